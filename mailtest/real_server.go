//go:build linux

package mailtest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"text/template"
	"time"
)

// RealServer is a mail server that others wrote, installed from a package of
// the distribution and run as a child of the test: StartDovecot, StartCyrus,
// StartCourier.
//
// It has its own directory, its own certificate and free ports on the loopback
// interface, starts in the foreground as a user without privileges (the test's
// own, or nobody when the test is root) and ends with the test. POP3 and IMAP
// offer STLS and STARTTLS, POP3S and IMAPS are implicit TLS; a port is 0 where
// the protocol is not offered. Several may run at once.
//
// The methods that take a testing.TB fail that test when the server does not
// do what they ask. They must not be called at the same time.
type RealServer struct {
	Name                     string // "dovecot", "cyrus", "courier"
	Host                     string // the address; the certificate also says localhost
	POP3, POP3S, IMAP, IMAPS int
	CA                       *CA      // what clients have to trust
	Mechanisms               []string // of SASL, under TLS, the weakest first

	flavour realFlavour
	account *osAccount
	dir     string
	banner  string // in the greeting of this server and of no other
	extra   string // lines for the end of its configuration
	process *realProcess
}

// realFlavour is what differs from one make of server to the next.
type realFlavour interface {
	// configure writes the server's files below s.dir and says what to run.
	configure(s *RealServer) (argv, env []string, err error)
	addUser(s *RealServer, user, password string) error
	// deliver puts messages, as they shall be on the wire, into user's INBOX.
	deliver(s *RealServer, user string, messages [][]byte) error
	count(s *RealServer, user string) (int, error)
	served(wire []byte) (octets []byte, ok bool)
	mechanisms() []string
}

// RealOption changes how a RealServer is started.
type RealOption func(*RealServer)

// RealConfig adds lines, in the server's own syntax, to the end of its
// configuration: dovecot.conf or imapd.conf.
func RealConfig(lines string) RealOption {
	return func(s *RealServer) { s.extra = lines }
}

// How often a start is tried: between the choice of a free port and its use by
// the server somebody else may take it.
const realStarts = 3

// How long a server may take from its start to the last greeting.
const realStartTimeout = 20 * time.Second

var realUser = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// startReal runs a server until the end of the test. A nil ca means a new one.
func startReal(tb testing.TB, name string, f realFlavour, ca *CA, opts []RealOption) *RealServer {
	tb.Helper()
	account, err := unprivilegedAccount()
	if err != nil {
		missingServer(tb, "%s cannot be started: %v", name, err)
	}
	if ca == nil {
		if ca, err = NewCA(); err != nil {
			tb.Fatal(err)
		}
	}
	for try := 1; ; try++ {
		s := &RealServer{Name: name, Host: "127.0.0.1", CA: ca, Mechanisms: f.mechanisms(), flavour: f, account: account}
		for _, o := range opts {
			o(s)
		}
		err := s.start()
		if err == nil {
			tb.Cleanup(func() { s.stop(tb) })
			return s
		}
		log := s.Log()
		s.discard()
		if try == realStarts {
			tb.Fatalf("start %s: %v\n%s", name, err, log)
		}
	}
}

// missingServer ends a test that has no server to talk to: quietly on a
// developer's machine, as a failure where POSTRIDER_REQUIRE_SERVERS=1 says
// that everything has to be there.
func missingServer(tb testing.TB, format string, args ...any) {
	tb.Helper()
	if os.Getenv("POSTRIDER_REQUIRE_SERVERS") == "1" {
		tb.Fatalf(format, args...)
	}
	tb.Skipf(format, args...)
}

func (s *RealServer) start() error {
	// Not the test's own directory: the server may run as another user, who
	// cannot enter that one, and the names of its sockets must stay short.
	dir, err := os.MkdirTemp("/tmp", "real-")
	if err != nil {
		return err
	}
	s.dir, s.banner = dir, filepath.Base(dir)
	ports, err := freePorts(4)
	if err != nil {
		return err
	}
	s.POP3, s.POP3S, s.IMAP, s.IMAPS = ports[0], ports[1], ports[2], ports[3]
	if err := writeKeyPair(s.CA, s.path("cert.pem"), s.path("key.pem")); err != nil {
		return err
	}
	argv, env, err := s.flavour.configure(s)
	if err != nil {
		return err
	}
	if err := s.give(dir); err != nil {
		return err
	}
	s.process, err = startProcess(argv, env, s.account, s.path("log"))
	if err != nil {
		return err
	}
	return s.await()
}

// await returns when every port answers with this very server's greeting.
func (s *RealServer) await() error {
	deadline := time.Now().Add(realStartTimeout)
	for _, port := range []int{s.POP3, s.POP3S, s.IMAP, s.IMAPS} {
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

// stop ends the server at the end of tb and shows what it logged last if tb
// failed.
func (s *RealServer) stop(tb testing.TB) {
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
func (s *RealServer) discard() {
	if s.process != nil {
		_ = s.process.stop()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// AddUser makes an account, or gives an existing one another password. A name
// is of a-z, 0-9, "_" and "-"; a password of anything but NUL and line ends.
func (s *RealServer) AddUser(tb testing.TB, user, password string) {
	tb.Helper()
	if !realUser.MatchString(user) || password == "" || strings.ContainsAny(password, "\x00\r\n") {
		tb.Fatalf("add user %q to %s: this name or password cannot be used", user, s.Name)
	}
	if err := s.flavour.addUser(s, user, password); err != nil {
		tb.Fatalf("add user %s to %s: %v", user, s.Name, err)
	}
}

// Append puts messages into user's INBOX behind those that are there, in this
// order, past the protocols: the server finds them in its own store. They are
// given as they shall be on the wire before dot-stuffing, as Wire makes them; one
// that ends without CRLF or has an LF without its CR fails the test, for such a
// message these servers do not send. See Served.
func (s *RealServer) Append(tb testing.TB, user string, messages ...[]byte) {
	tb.Helper()
	for i, m := range messages {
		lines := bytes.Count(m, []byte("\r\n"))
		if len(m) > 0 && !bytes.HasSuffix(m, []byte("\r\n")) || bytes.Count(m, []byte("\n")) != lines {
			tb.Fatalf("append to %s: message %d of %d is not made of CRLF lines", s.Name, i+1, len(messages))
		}
	}
	if err := s.flavour.deliver(s, user, messages); err != nil {
		tb.Fatalf("append to %s: %v", s.Name, err)
	}
}

// Served says what a POP3 client gets to see, dot-stuffing undone, of a message
// that Append was given, for each server has its own oddities; the functions
// that start them name them. It is false for a message that Append must not be given
// or that the server sends in a form that breaks the protocol.
func (s *RealServer) Served(wire []byte) (octets []byte, ok bool) {
	return s.flavour.served(wire)
}

// Count says how many messages user's INBOX holds, by the server's files.
func (s *RealServer) Count(tb testing.TB, user string) int {
	tb.Helper()
	n, err := s.flavour.count(s, user)
	if err != nil {
		tb.Fatalf("count messages of %s: %v", s.Name, err)
	}
	return n
}

// Log is what the server has written to its standard output and error so far.
func (s *RealServer) Log() string {
	text, _ := os.ReadFile(s.path("log"))
	return string(text)
}

func (s *RealServer) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// give hands path and everything below it to the account the server runs as.
func (s *RealServer) give(path string) error {
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

// writeTemplate writes one of the server's files; words are more names and
// values for it.
func writeTemplate(t *template.Template, s *RealServer, name string, words ...string) error {
	file, err := os.OpenFile(s.path(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	data := map[string]any{
		"Host": s.Host, "Dir": s.dir, "Banner": s.banner, "Extra": s.extra,
		"POP3": s.POP3, "POP3S": s.POP3S, "IMAP": s.IMAP, "IMAPS": s.IMAPS,
		"User": s.account.user, "Group": s.account.group, "UID": s.account.uid, "GID": s.account.gid,
	}
	for i := 0; i+1 < len(words); i += 2 {
		data[words[i]] = words[i+1]
	}
	return errors.Join(t.Execute(file, data), file.Close())
}

// freePorts finds n ports of the loopback interface that nobody uses now.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		// Held until all are chosen, so that they are n different ones.
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
