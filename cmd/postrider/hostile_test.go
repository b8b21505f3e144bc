package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/mailtest"
)

// The tests of this and the other hostile files run the whole program, in this
// process, against servers and lines that do what they should not. What counts
// is what the user gets: the exit code, the message, and every mail once.

const hostilePassword = `pass "word" Ä\%s`

// hostileAccount is an account of a configuration.
type hostileAccount struct {
	name     string // "work" if empty
	port     int
	tls      string // "none" if empty
	ca       *mailtest.CA
	password string // in YAML; the usual one if empty
	extra    string // more keys of pop3, one a line
}

// hostile is a configuration, a root and a home for runs of the program.
type hostile struct {
	t      *testing.T
	dir    string
	config string
	log    string // of the configuration: {level: ...}
	env    map[string]string
}

func newHostile(t *testing.T, accounts ...hostileAccount) *hostile {
	t.Helper()
	h := &hostile{t: t, dir: t.TempDir(), log: "{level: debug}"}
	h.config = filepath.Join(h.dir, "config.yaml")
	h.env = map[string]string{"HOME": h.dir, "XDG_STATE_HOME": filepath.Join(h.dir, "state"), "PATH": os.Getenv("PATH")}
	h.write(accounts...)
	return h
}

func (h *hostile) write(accounts ...hostileAccount) {
	h.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "maildir: %s\noutbox: off\nlog: %s\naccounts:\n", h.mail(), h.log)
	for _, a := range accounts {
		if a.name == "" {
			a.name = "work"
		}
		if a.tls == "" {
			a.tls = "none"
		}
		if a.password == "" {
			a.password = quoted(hostilePassword)
		}
		fmt.Fprintf(&b, "  %s:\n    address: ada@example.org\n    user: ada\n    password: %s\n    pop3:\n      host: 127.0.0.1\n      port: %d\n      tls: %s\n      schedule: manual\n",
			a.name, a.password, a.port, a.tls)
		if a.ca != nil {
			file := filepath.Join(h.dir, a.name+".pem")
			if err := os.WriteFile(file, a.ca.PEM(), 0o600); err != nil {
				h.t.Fatal(err)
			}
			fmt.Fprintf(&b, "      ca_file: %s\n", file)
		}
		for line := range strings.Lines(a.extra) {
			fmt.Fprintf(&b, "      %s\n", strings.TrimSpace(line))
		}
	}
	if err := os.WriteFile(h.config, []byte(b.String()), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func (h *hostile) mail() string { return filepath.Join(h.dir, "Mail") }

// written is what a run has written; log and display write at the same time.
type written struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// outcome is what a run shows.
type outcome struct {
	t              *testing.T
	code           int
	stdout, stderr string
}

// run runs the program with its configuration.
func (h *hostile) run(args ...string) outcome {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 50*time.Second)
	defer cancel()
	o := h.runContext(ctx, args...)
	for strings.Contains(o.stderr, "another postrider is using it") && ctx.Err() == nil {
		// Another test starts a program at this moment: between fork and exec its child holds
		// everything that is open in this process, the lock of the run before among it.
		o = h.runContext(ctx, args...)
	}
	if ctx.Err() != nil {
		h.t.Fatalf("postrider %v did not end by itself:\n%s%s", args, o.stdout, o.stderr)
	}
	return o
}

func (h *hostile) runContext(ctx context.Context, args ...string) outcome {
	h.t.Helper()
	var out, errs written
	var environ []string
	for k, v := range h.env {
		environ = append(environ, k+"="+v)
	}
	code := run(ctx, append([]string{"-c", h.config}, args...), world{
		stdin: strings.NewReader(""), stdout: &out, stderr: &errs,
		getenv: func(k string) string { return h.env[k] }, environ: environ,
	})
	o := outcome{h.t, code, out.String(), errs.String()}
	h.noSecret(o)
	return o
}

// noSecret checks that the password is in nothing that was written.
func (h *hostile) noSecret(o outcome) {
	h.t.Helper()
	if strings.Contains(o.stdout+o.stderr, hostilePassword) {
		h.t.Errorf("the password is shown:\n%s%s", o.stdout, o.stderr)
	}
}

// wants checks the exit code and that stderr matches each of the patterns.
func (o outcome) wants(code int, patterns ...string) outcome {
	o.t.Helper()
	if o.code != code {
		o.t.Errorf("exit code %d, want %d\n%s%s", o.code, code, o.stdout, o.stderr)
	}
	for _, p := range patterns {
		if !regexp.MustCompile(p).MatchString(o.stderr) {
			o.t.Errorf("nothing on stderr matches %q:\n%s", p, o.stderr)
		}
	}
	return o
}

// says checks that stdout matches.
func (o outcome) says(pattern string) outcome {
	o.t.Helper()
	if !regexp.MustCompile(pattern).MatchString(o.stdout) {
		o.t.Errorf("nothing on stdout matches %q:\n%s", pattern, o.stdout)
	}
	return o
}

// folder returns how many copies of each text an account's folder holds.
func (h *hostile) folder(account string) map[string]int {
	h.t.Helper()
	found := map[string]int{}
	for _, sub := range []string{"new", "cur"} {
		dir := filepath.Join(h.mail(), account, "INBOX", sub)
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			h.t.Fatal(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				h.t.Fatal(err)
			}
			found[string(b)]++
		}
	}
	return found
}

// holds checks that an account's folder holds these messages, given as they
// are on the wire, each exactly as often as it is named, and nothing else.
func (h *hostile) holds(account string, wires ...[]byte) {
	h.t.Helper()
	want := map[string]int{}
	for _, w := range wires {
		want[string(mailtest.Local(w))]++
	}
	got := h.folder(account)
	for text, n := range want {
		if got[text] != n {
			h.t.Errorf("%s: %d copies, want %d, of %q", account, got[text], n, clipped(text))
		}
	}
	for text, n := range got {
		if want[text] == 0 {
			h.t.Errorf("%s: %d copies, want none, of %q", account, n, clipped(text))
		}
	}
	if left, _ := os.ReadDir(filepath.Join(h.mail(), account, "INBOX", "tmp")); len(left) > 0 {
		h.t.Errorf("%s: left in tmp/: %v", account, left)
	}
}

func clipped(s string) string { return s[:min(len(s), 80)] }

// startPOP3 serves until the end of the test, with messages for ada.
func startPOP3(t *testing.T, o mailtest.POP3Options, messages ...[]byte) *mailtest.POP3 {
	t.Helper()
	if o.Users == nil {
		o.Users = map[string]string{"ada": hostilePassword}
	}
	if o.LockWait == 0 {
		o.LockWait = 5 * time.Second // the server may learn late that the session before has ended
	}
	s := mailtest.NewPOP3(o)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for i, m := range messages {
		s.Mailbox("ada").Add(fmt.Sprintf("uid-%d", i+1), m)
	}
	return s
}

// letters returns n small messages as they are on the wire.
func letters(n int) [][]byte {
	list := make([][]byte, n)
	for i := range list {
		list[i] = fmt.Appendf(nil, "Subject: letter %d\r\n\r\n.\r\n..\r\nThis is letter %d.\r\n", i+1, i+1)
	}
	return list
}

// newCA returns an authority, and the TLS of a good server of its.
func newCA(t *testing.T) (*mailtest.CA, mailtest.POP3Options) {
	t.Helper()
	ca, err := mailtest.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	return ca, mailtest.POP3Options{TLS: server, Implicit: true}
}

// noCleartext checks that no credential was sent without TLS.
func noCleartext(t *testing.T, s *mailtest.POP3) {
	t.Helper()
	if n := s.Counts().Cleartext; n != 0 {
		t.Errorf("%d credentials were sent in the clear", n)
	}
}

// on returns a hook that does something at one command.
func on(verb string, do func(*mailtest.POP3Event)) func(*mailtest.POP3Event) {
	return func(e *mailtest.POP3Event) {
		if e.Verb == verb {
			do(e)
		}
	}
}

func (h *hostile) read(path string) string {
	h.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b)
}

func (h *hostile) save(path, text string) {
	h.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}
