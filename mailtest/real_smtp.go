//go:build linux

package mailtest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"
)

// RealSMTP is a submission server that others wrote, unpacked from a package of
// the distribution and run as a child of the test: StartPostfix, StartExim,
// StartOpenSMTPD.
//
// It has its own directory, its own certificate and free ports on the loopback
// interface, and ends with the test. It takes mail from whoever has logged in, where
// it knows logins, to anybody, and keeps it in a Maildir. A recipient that begins with "hard-" is
// refused for good, and one that begins with "soft-" for now. Several may run at
// once.
//
// The methods that take a testing.TB fail that test when the server does not
// do what they ask. They must not be called at the same time.
type RealSMTP struct {
	Name       string   // "postfix", "exim", "opensmtpd"
	Host       string   // the address; the certificate also says localhost
	Port       int      // where TLSPort is not 0, with STARTTLS and no login before it
	TLSPort    int      // implicit TLS; 0: the server offers no TLS at all
	CA         *CA      // what clients have to trust
	Mechanisms []string // none: mail is taken without a login
	Soft       bool     // "soft-" recipients are known

	flavour realSMTPFlavour
	account *osAccount // who keeps the mail
	dir     string
	banner  string // in the greeting of this server and of no other
	process *realProcess
}

// RealMessage is one copy of a message as the server has stored it.
type RealMessage struct {
	From   string // the reverse-path
	To     string // the recipient of this copy
	Trace  string // the fields that the server has put on top
	Octets []byte // what follows, its lines ended in LF
}

// realSMTPFlavour is what differs from one make of server to the next.
type realSMTPFlavour interface {
	// configure writes the server's files below s.dir and says what to run, and as whom.
	configure(s *RealSMTP) (argv, env []string, as *osAccount, err error)
	addUser(s *RealSMTP, user, password string) error
	// queued says how many messages have been accepted and not yet stored.
	queued(s *RealSMTP) (int, error)
	// trace names the fields that are put on top, in their order; to is the one
	// that has the recipient.
	trace() (fields []string, to string)
	kept(wire []byte) (octets []byte, ok bool)
}

// startRealSMTP runs a server until the end of the test. A nil ca means a new one.
func startRealSMTP(tb testing.TB, model RealSMTP, ca *CA) *RealSMTP {
	tb.Helper()
	account, err := unprivilegedAccount()
	if err != nil {
		missingServer(tb, "%s cannot be started: %v", model.Name, err)
	}
	if ca == nil {
		if ca, err = NewCA(); err != nil {
			tb.Fatal(err)
		}
	}
	for try := 1; ; try++ {
		s := model
		s.Host, s.CA, s.account = "127.0.0.1", ca, account
		err := s.start()
		if err == nil {
			tb.Cleanup(func() { s.stop(tb) })
			return &s
		}
		log := s.Log()
		s.discard()
		if try == realStarts {
			tb.Fatalf("start %s: %v\n%s", s.Name, err, log)
		}
	}
}

// The kernel forgets to tell a server of the test's end when it changes its user.
// The end of the standard input tells it, too. The watcher is nobody's child, for
// some servers wonder at children that they have not made.
const realWatched = `exec 3<&0; ( { read -r _ <&3; kill $$; } >/dev/null 2>&1 & ); exec "$@" 3<&-`

func (s *RealSMTP) start() error {
	dir, err := os.MkdirTemp("/tmp", "real-")
	if err != nil {
		return err
	}
	s.dir, s.banner = dir, filepath.Base(dir)
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	if s.Port = ports[0]; len(s.Mechanisms) > 0 {
		s.TLSPort = ports[1]
	}
	if err := writeKeyPair(s.CA, s.path("cert.pem"), s.path("key.pem")); err != nil {
		return err
	}
	if err := makeMaildir(s.path("store")); err != nil {
		return err
	}
	if err := s.give(dir); err != nil {
		return err
	}
	argv, env, as, err := s.flavour.configure(s)
	if err != nil {
		return err
	}
	argv = append([]string{"sh", "-c", realWatched, "sh"}, argv...)
	if s.process, err = startProcess(argv, env, as, s.path("log")); err != nil {
		return err
	}
	return s.await()
}

// await returns when both ports answer with this very server's greeting.
func (s *RealSMTP) await() error {
	deadline := time.Now().Add(realStartTimeout)
	for _, port := range s.ports() {
		for {
			greeting, err := s.greeting(port)
			if err == nil && strings.Contains(greeting, s.banner) {
				break
			}
			if err == nil {
				return fmt.Errorf("port %d belongs to another server: %q", port, greeting)
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("no greeting after %v: %w", realStartTimeout, err)
			}
			select {
			case <-s.process.done:
				return errors.New("the server ended by itself")
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

func (s *RealSMTP) ports() []int {
	if s.TLSPort == 0 {
		return []int{s.Port}
	}
	return []int{s.Port, s.TLSPort}
}

// greeting is the first line that is said at port, and all is said in order.
func (s *RealSMTP) greeting(port int) (string, error) {
	conn, err := s.Dial(port)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err == nil {
		_, _ = fmt.Fprintf(conn, "QUIT\r\n")
		_, _ = in.ReadString('\n')
	}
	return line, err
}

// Dial connects to one of the server's ports, and makes TLS on TLSPort.
func (s *RealSMTP) Dial(port int) (net.Conn, error) {
	address := net.JoinHostPort(s.Host, strconv.Itoa(port))
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	if port == s.TLSPort {
		return tls.DialWithDialer(dialer, "tcp", address, s.TLS())
	}
	return dialer.Dial("tcp", address)
}

// TLS is what a client needs to reach s: its CA and nothing else is trusted.
func (s *RealSMTP) TLS() *tls.Config { return s.CA.ClientTLS("localhost") }

// stop ends the server at the end of tb and shows what it logged last if tb
// failed.
func (s *RealSMTP) stop(tb testing.TB) {
	if err := s.process.stop(); err != nil {
		tb.Errorf("stop %s: %v", s.Name, err)
	}
	if tb.Failed() {
		lines := strings.SplitAfter(s.Log(), "\n")
		tb.Logf("log of %s:\n%s", s.Name, strings.Join(lines[max(0, len(lines)-30):], ""))
	}
	s.discard()
}

// discard removes all that the server has left, itself included.
func (s *RealSMTP) discard() {
	if s.process != nil {
		_ = s.process.stop()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// AddUser makes a login, or gives an existing one another password. A name is of
// a-z, 0-9, "_" and "-"; a password of anything but NUL and line ends. A server
// without logins has no use for it.
func (s *RealSMTP) AddUser(tb testing.TB, user, password string) {
	tb.Helper()
	if !realUser.MatchString(user) || password == "" || strings.ContainsAny(password, "\x00\r\n") {
		tb.Fatalf("add user %q to %s: this name or password cannot be used", user, s.Name)
	}
	if err := s.flavour.addUser(s, user, password); err != nil {
		tb.Fatalf("add user %s to %s: %v", user, s.Name, err)
	}
}

// Messages returns what the server has stored, one copy for each recipient, when
// nothing that it has accepted is still on its way.
func (s *RealSMTP) Messages(tb testing.TB) []RealMessage {
	tb.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		n, err := s.flavour.queued(s)
		if err != nil {
			tb.Fatalf("look into the queue of %s: %v", s.Name, err)
		}
		if n == 0 {
			break
		}
		if time.Now().After(deadline) {
			tb.Fatalf("%s still has %d messages in its queue\n%s", s.Name, n, s.Log())
		}
		time.Sleep(20 * time.Millisecond)
	}
	files, err := filepath.Glob(s.path("store", "new", "*"))
	if err != nil {
		tb.Fatal(err)
	}
	var messages []RealMessage
	for _, file := range files {
		octets, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		fields, to := s.flavour.trace()
		m, err := parseStored(octets, fields, to)
		if err != nil {
			tb.Fatalf("%s stored %q: %v", s.Name, octets[:min(len(octets), 500)], err)
		}
		messages = append(messages, m)
	}
	return messages
}

// parseStored takes the trace off: each of the fields once, in this order. Return-Path
// may be missing: OpenSMTPD puts none on a report of its own.
func parseStored(octets []byte, fields []string, to string) (m RealMessage, err error) {
	angle := func(value string) string {
		return strings.Trim(strings.TrimSpace(value), "<>")
	}
	rest := octets
	for _, name := range fields {
		field, after := cutField(rest)
		value, is := strings.CutPrefix(field, name+":")
		if !is && name == "Return-Path" {
			continue
		}
		if !is {
			return m, fmt.Errorf("no %s where it should be", name)
		}
		switch name {
		case "Return-Path", "Return-path":
			m.From = angle(value)
		case to:
			m.To = angle(value)
		}
		rest = after
	}
	m.Trace = string(octets[:len(octets)-len(rest)])
	m.Octets = rest
	return m, nil
}

// cutField splits a header behind its first field with its folded lines.
func cutField(header []byte) (field string, rest []byte) {
	end := 0
	for end < len(header) {
		if end > 0 && header[end] != ' ' && header[end] != '\t' {
			break
		}
		n := bytes.IndexByte(header[end:], '\n')
		if n < 0 {
			n = len(header) - end - 1
		}
		end += n + 1
	}
	return string(header[:end]), header[end:]
}

// Kept says how the server stores a message that was sent to it as wire is, before
// dot-stuffing: what RealMessage.Octets will be. Each has its own oddities, which
// the functions that start them name. It is false for a message that is not taken, or
// not kept in any form that could be foretold.
func (s *RealSMTP) Kept(wire []byte) (octets []byte, ok bool) { return s.flavour.kept(wire) }

// Log is what the server has written to its standard output and error, and to its
// log, so far.
func (s *RealSMTP) Log() string {
	var all []byte
	for _, name := range []string{"log", "mainlog"} {
		text, _ := os.ReadFile(s.path(name))
		all = append(all, text...)
	}
	return string(all)
}

func (s *RealSMTP) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// give hands path and everything below it to the account that keeps the mail.
func (s *RealSMTP) give(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return filepath.WalkDir(path, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, s.account.uid, s.account.gid)
	})
}

// write makes one of the server's files of a template; words are more names and
// values for it.
func (s *RealSMTP) write(t *template.Template, name string, words ...string) error {
	data := map[string]any{
		"Host": s.Host, "Dir": s.dir, "Banner": s.banner, "Port": s.Port, "TLSPort": s.TLSPort,
		"User": s.account.user, "Group": s.account.group, "UID": s.account.uid, "GID": s.account.gid,
	}
	for pair := range slices.Chunk(words, 2) {
		data[pair[0]] = pair[1]
	}
	var text bytes.Buffer
	if err := t.Execute(&text, data); err != nil {
		return err
	}
	if err := os.WriteFile(s.path(name), text.Bytes(), 0o644); err != nil {
		return err
	}
	return s.give(s.path(name))
}

// countFiles counts the regular files below the directories whose name begins
// with prefix.
func countFiles(prefix string, dirs ...string) (n int, err error) {
	for _, dir := range dirs {
		err = errors.Join(err, filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
			// The server removes files and directories while we look.
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if e != nil && e.Type().IsRegular() && strings.HasPrefix(e.Name(), prefix) {
				n++
			}
			return nil
		}))
	}
	return n, err
}
