//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/mailtest"
)

// The tests of this and the other send_real files run the built program against
// submission servers that others wrote.

// realSMTP is a make of server and a way to reach it. The makes with TLS have each
// of its forms in one of the lists.
type realSMTP struct {
	name  string
	start func(testing.TB, *mailtest.CA) *mailtest.RealSMTP
	tls   string
}

func realSMTPs() []realSMTP {
	return []realSMTP{
		{"postfix", mailtest.StartPostfix, "implicit"},
		{"exim", mailtest.StartExim, "starttls"},
		{"opensmtpd", mailtest.StartOpenSMTPD, "none"},
	}
}

// otherWay is the list with the forms of TLS changed.
func otherWay() []realSMTP {
	all := realSMTPs()
	all[0].tls, all[1].tls = all[1].tls, all[0].tls
	return all
}

const realSendPassword = "a pass:word, with \"oddities\" #1"

// realSendAccount is an account of the configuration.
type realSendAccount struct {
	name     string // "work" if empty
	server   *mailtest.RealSMTP
	port     int // the server's own if 0
	tls      string
	auth     string // "auto" if empty
	address  string // ada@example.org if empty
	aliases  []string
	password string // the right one if empty
}

// portOf is where an account reaches a server: one without logins through a front
// that has them.
func portOf(t *testing.T, server *mailtest.RealSMTP, tls string) int {
	t.Helper()
	switch {
	case tls == "implicit":
		return server.TLSPort
	case len(server.Mechanisms) == 0:
		return newFront(t, server)
	}
	return server.Port
}

func (a realSendAccount) yaml(t *testing.T, dir string) string {
	t.Helper()
	or := func(text *string, usual string) {
		if *text == "" {
			*text = usual
		}
	}
	or(&a.name, "work")
	or(&a.address, "ada@example.org")
	or(&a.auth, "auto")
	or(&a.password, realSendPassword)
	if a.port == 0 {
		a.port = portOf(t, a.server, a.tls)
	}
	var aliases []string
	for _, alias := range a.aliases {
		aliases = append(aliases, quoted(alias))
	}
	ca := ""
	if a.tls != "none" {
		file := filepath.Join(dir, a.name+".pem")
		if err := os.WriteFile(file, a.server.CA.PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		ca = ", ca_file: " + quoted(file)
	}
	return fmt.Sprintf("  %s:\n    address: %s\n    aliases: [%s]\n    user: ada\n    password: '%s'\n    smtp: {host: %s, port: %d, tls: %s, auth: %s%s}\n",
		a.name, a.address, strings.Join(aliases, ", "), a.password, a.server.Host, a.port, a.tls, a.auth, ca)
}

// realSender is the built program with a configuration and a root of its own.
type realSender struct {
	t                                  *testing.T
	binary, home, root, outbox, config string
}

// TestRealSend builds the program once for all tests of these files.
func TestRealSend(t *testing.T) {
	t.Parallel()
	binary := builtProgram(t)
	for name, test := range map[string]func(t *testing.T, binary string){
		"Files": realSendFiles, "Sendmail": realSendSendmail, "Mechanisms": realSendMechanisms, "Recipients": realSendRecipients,
		"Many": realSendMany, "LoginRefused": realSendLoginRefused, "Cut": realSendCut,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, binary)
		})
	}
}

// builtProgram builds the program as `go build` does for everybody.
func builtProgram(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "postrider")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build postrider: %v\n%s", err, out)
	}
	return binary
}

func newRealSender(t *testing.T, binary string, accounts ...realSendAccount) *realSender {
	t.Helper()
	home := t.TempDir()
	s := &realSender{
		t: t, binary: binary, home: home, root: filepath.Join(home, "Mail"),
		outbox: filepath.Join(home, "Outbox"), config: filepath.Join(home, "config.yaml"),
	}
	if err := os.Mkdir(s.outbox, 0o700); err != nil {
		t.Fatal(err)
	}
	s.configure(accounts...)
	return s
}

func (s *realSender) configure(accounts ...realSendAccount) {
	s.t.Helper()
	text := fmt.Sprintf("maildir: %s\nlog: {level: error}\noutbox: {path: %s}\naccounts:\n", s.root, s.outbox)
	for _, a := range accounts {
		text += a.yaml(s.t, s.home)
	}
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *realSender) command(ctx context.Context, stdin []byte, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, s.binary, append([]string{"-c", s.config}, args...)...)
	c.Env = []string{"HOME=" + s.home, "XDG_STATE_HOME=" + filepath.Join(s.home, "state"), "PATH=" + os.Getenv("PATH")}
	c.Stdin = bytes.NewReader(stdin)
	return c
}

// run runs a verb and returns its exit code and all that it printed.
func (s *realSender) run(stdin []byte, args ...string) (code int, output string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	out, err := s.command(ctx, stdin, args...).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		s.t.Fatalf("postrider %s did not end:\n%s", strings.Join(args, " "), out)
	case err == nil:
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		code = exit.ExitCode()
	default:
		s.t.Fatalf("postrider %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	if strings.Contains(string(out), realSendPassword) {
		s.t.Errorf("the password is shown:\n%s", out)
	}
	return code, string(out)
}

// wants runs a verb that has to end with a code.
func (s *realSender) wants(code int, args ...string) (output string) {
	s.t.Helper()
	got, output := s.run(nil, args...)
	if got != code {
		s.t.Fatalf("postrider %s ended with %d, want %d:\n%s", strings.Join(args, " "), got, code, clippedLines(output))
	}
	return output
}

// clippedLines is the beginning and the end of what was printed.
func clippedLines(output string) string {
	lines := strings.SplitAfter(output, "\n")
	if len(lines) > 40 {
		lines = append(append(lines[:10:10], fmt.Sprintf("... %d lines ...\n", len(lines)-40)), lines[len(lines)-30:]...)
	}
	return strings.Join(lines, "")
}

func (s *realSender) drop(name string, octets []byte) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.outbox, name), octets, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// dropNotes drops n small messages of which each has a recipient of its own, and
// returns the recipients.
func (s *realSender) dropNotes(n int, text string) (to []string) {
	s.t.Helper()
	for i := range n {
		to = append(to, numbered(i))
		s.drop(fmt.Sprintf("%d.eml", i), fmt.Appendf(nil, "From: ada@example.org\nTo: %s\nSubject: note %d\n\n%s\n", to[i], i, text))
	}
	return to
}

// read returns the files of a directory by name; none where it is not there.
func (s *realSender) read(elem ...string) map[string][]byte {
	s.t.Helper()
	dir := filepath.Join(elem...)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			s.t.Fatal(err)
		}
	}
	return files
}

func (s *realSender) failed() map[string][]byte  { return s.read(s.outbox, "failed") }
func (s *realSender) reports() map[string][]byte { return s.read(s.root, "work", "INBOX", "new") }

// copies are the messages in the Sent folder, which are all read.
func (s *realSender) copies(account string) (copies [][]byte) {
	s.t.Helper()
	sent := filepath.Join(s.root, account, "Sent")
	for name, octets := range s.read(sent, "cur") {
		if !strings.HasSuffix(name, ":2,S") {
			s.t.Errorf("a copy is called %s", name)
		}
		copies = append(copies, octets)
	}
	for _, sub := range []string{"tmp", "new"} {
		if left := s.read(sent, sub); len(left) > 0 {
			s.t.Errorf("%d files are in %s of the Sent folder", len(left), sub)
		}
	}
	return copies
}

// items are the items of the queue in a state.
func (s *realSender) items(state string) (ids []string) {
	s.t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.outbox, ".spool", state))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	return ids
}

// empty wants nothing left in outbox and queue, failed/ aside.
func (s *realSender) empty() {
	s.t.Helper()
	if files := s.read(s.outbox); len(files) > 0 {
		s.t.Errorf("left in the outbox: %d files, as %v", len(files), slices.Sorted(maps.Keys(files))[0])
	}
	for _, state := range []string{"incoming", "active", "deferred", "held", "uncertain", "corrupt"} {
		if left := s.items(state); len(left) > 0 {
			s.t.Errorf("%d items are %s, as %s", len(left), state, left[0])
		}
	}
}

var anyLineEnd = regexp.MustCompile(`\r*\n|\r`)

// onTheWire is what goes over the line of a copy: each CR is the end of a line,
// but for one of a line's end.
func onTheWire(copied []byte) []byte {
	return mailtest.Wire(anyLineEnd.ReplaceAll(copied, []byte("\n")))
}

// recipient is an address as it is compared: servers write it in the form they like.
func recipient(address string) string {
	return strings.ToLower(strings.NewReplacer(`"`, "", `\`, "").Replace(address))
}

// stored are the octets of the server's messages, by recipient.
func stored(t *testing.T, server *mailtest.RealSMTP) map[string][][]byte {
	t.Helper()
	all := map[string][][]byte{}
	messages, _ := delivered(t, server)
	for _, m := range messages {
		to := recipient(m.To)
		all[to] = append(all[to], m.Octets)
	}
	return all
}

// delivered are the server's messages without its own reports, and how many it has
// thrown back: OpenSMTPD takes what is not new to an address for a loop, and says so
// when it has accepted it.
func delivered(t *testing.T, server *mailtest.RealSMTP) (messages []mailtest.RealMessage, thrownBack int) {
	t.Helper()
	for _, m := range server.Messages(t) {
		if m.From != "" {
			messages = append(messages, m)
		}
	}
	return messages, strings.Count(server.Log(), "result=PermFail stat=Loop detected")
}

// keptOf are the copies by the hash of what the server makes of them; odd are those
// of which it is not known what it makes.
func keptOf(server *mailtest.RealSMTP, copies [][]byte) (kept map[[32]byte][]byte, odd [][]byte) {
	kept = map[[32]byte][]byte{}
	for _, c := range copies {
		if octets, ok := server.Kept(onTheWire(c)); ok {
			kept[sha256.Sum256(octets)] = c
		} else {
			odd = append(odd, c)
		}
	}
	return kept, odd
}

// once wants one message for each recipient, which is in the Sent folder as it was
// stored.
func (s *realSender) once(server *mailtest.RealSMTP, to []string) {
	s.t.Helper()
	have, copies := stored(s.t, server), s.copies("work")
	kept, odd := keptOf(server, copies)
	if len(odd) > 0 {
		s.t.Errorf("%d copies are odd: %q", len(odd), odd[0])
	}
	for _, a := range to {
		if n := len(have[recipient(a)]); n != 1 {
			s.t.Errorf("%s got %d messages", a, n)
			continue
		}
		if octets := have[recipient(a)][0]; kept[sha256.Sum256(octets)] == nil {
			s.t.Errorf("%s got what is not in the Sent folder: %q", a, clippedTo(string(octets), 500))
		}
	}
	if len(have) != len(to) {
		s.t.Errorf("%d addresses got messages, want %d", len(have), len(to))
	}
	if len(copies) != len(to) {
		s.t.Errorf("%d copies in the Sent folder, want %d", len(copies), len(to))
	}
}
