package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/mailtest"
)

// The tests of this and the other send_hostile files run the whole program
// against submission servers that do what they should not. What counts is who
// got the message, what is still queued, and what the user is told.

// startSMTP serves until the end of the test, with ada for a user.
func startSMTP(t *testing.T, o mailtest.SMTPOptions) *mailtest.SMTP {
	t.Helper()
	if o.Users == nil {
		o.Users = map[string]string{"ada": sendPassword}
	}
	if o.Mechanisms == nil {
		o.Mechanisms = []string{"PLAIN"}
	}
	o.Quirks.ClearAuth = o.TLS == nil
	s := mailtest.NewSMTP(o)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// sendAccount is an account that sends.
type sendAccount struct {
	name, address string // "work" and ada@example.org if empty
	port          int
	tls           string // "none" if empty
	ca            *mailtest.CA
	password      string // in YAML; the usual one if empty
	keys          string // more keys of smtp, with commas between them
}

// newSender has accounts, and extra lines at the top of the configuration.
func newSender(t *testing.T, accounts []sendAccount, extra ...string) *sendingHome {
	t.Helper()
	h := &sendingHome{hostile: newHostile(t)}
	h.accounts(accounts, extra...)
	return h
}

// accounts writes the configuration.
func (h *sendingHome) accounts(accounts []sendAccount, extra ...string) {
	h.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "maildir: %s\nlog: %s\n", h.mail(), h.log)
	if more := strings.Join(extra, "\n"); strings.Contains(more, "outbox:") {
		fmt.Fprintf(&b, "%s\naccounts:\n", more)
	} else {
		fmt.Fprintf(&b, "outbox: {path: %q}\n%s\naccounts:\n", h.outbox(), more)
	}
	for i, a := range accounts {
		if a.name == "" {
			a.name = "work"
		}
		if a.address == "" {
			a.address = "ada@example.org"
		}
		if a.tls == "" {
			a.tls = "none"
		}
		if a.password == "" {
			a.password = quoted(sendPassword)
		}
		if a.ca != nil {
			file := filepath.Join(h.dir, fmt.Sprintf("ca%d.pem", i))
			h.save(file, string(a.ca.PEM()))
			a.keys += ", ca_file: " + quoted(file)
		}
		if a.keys != "" && a.keys[0] != ',' {
			a.keys = ", " + a.keys
		}
		fmt.Fprintf(&b, "  %s:\n    address: %s\n    aliases: [\"*@%s.example\"]\n    user: ada\n    password: %s\n    smtp: {host: 127.0.0.1, port: %d, tls: %s%s}\n",
			a.name, a.address, a.name, a.password, a.port, a.tls, a.keys)
	}
	h.save(h.config, b.String())
}

// pipe runs the program with this on its standard input.
func (h *sendingHome) pipe(stdin string, args ...string) outcome {
	h.t.Helper()
	return h.pipeAs("postrider", stdin, append([]string{"-c", h.config}, args...)...)
}

// pipeAs runs the program by a name, with all its arguments.
func (h *sendingHome) pipeAs(name, stdin string, args ...string) outcome {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 50*time.Second)
	defer cancel()
	var environ []string
	for k, v := range h.env {
		environ = append(environ, k+"="+v)
	}
	for {
		var out, errs written
		code := run(ctx, args, world{
			name: name, stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs,
			getenv: func(k string) string { return h.env[k] }, environ: environ,
		})
		o := outcome{h.t, code, out.String(), errs.String()}
		// See hostile.run: a child of another test may hold the lock for a moment.
		if strings.Contains(o.stderr, "another postrider is") && ctx.Err() == nil {
			continue
		}
		if ctx.Err() != nil {
			h.t.Fatalf("%s %v did not end by itself:\n%s%s", name, args, o.stdout, o.stderr)
		}
		if strings.Contains(o.stdout+o.stderr, sendPassword) {
			h.t.Errorf("the password is shown:\n%s%s", o.stdout, o.stderr)
		}
		return o
	}
}

// sends runs send.
func (h *sendingHome) sends(code int, patterns ...string) outcome {
	h.t.Helper()
	return h.pipe("", "send").wants(code, patterns...)
}

// spooled returns the states of what is queued, such as "active deferred".
func (h *sendingHome) spooled() string {
	h.t.Helper()
	var found []string
	for _, state := range []string{"incoming", "active", "deferred", "held", "uncertain", "corrupt"} {
		for range h.files(".spool", state) {
			found = append(found, state)
		}
	}
	return strings.Join(found, " ")
}

// queued checks what is queued.
func (h *sendingHome) queued(want string) {
	h.t.Helper()
	if got := h.spooled(); got != want {
		h.t.Errorf("queued: %q, want %q\n%s", got, want, h.pipe("", "queue").stdout)
	}
}

// got checks how many messages a server has, and that no message came twice.
func got(t *testing.T, s *mailtest.SMTP, n int) []mailtest.SMTPMessage {
	t.Helper()
	all := s.Messages()
	if len(all) != n {
		t.Errorf("%d messages at the server, want %d", len(all), n)
	}
	for _, m := range all {
		for _, other := range all {
			if m.Time.Before(other.Time) && m.MessageID() == other.MessageID() && meet(m.To, other.To) {
				t.Errorf("%v and %v got %s both", m.To, other.To, m.MessageID())
			}
		}
	}
	return all
}

func meet(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			if x == y {
				return true
			}
		}
	}
	return false
}

// faultless checks that the server has nothing to complain of.
func faultless(t *testing.T, s *mailtest.SMTP) {
	t.Helper()
	if f := s.Faults(); len(f) > 0 {
		t.Errorf("faults: %q", f)
	}
}

// reports returns the texts of what was put into the account's INBOX.
func (h *sendingHome) reports(account string) []string {
	h.t.Helper()
	paths, err := filepath.Glob(filepath.Join(h.mail(), account, "INBOX", "new", "*"))
	if err != nil {
		h.t.Fatal(err)
	}
	var texts []string
	for _, path := range paths {
		texts = append(texts, h.read(path))
	}
	return texts
}

// copies returns the texts in the account's Sent folder.
func (h *sendingHome) copies(account string) []string {
	h.t.Helper()
	paths, err := filepath.Glob(filepath.Join(h.mail(), account, "Sent", "cur", "*:2,S"))
	if err != nil {
		h.t.Fatal(err)
	}
	var texts []string
	for _, path := range paths {
		texts = append(texts, h.read(path))
	}
	return texts
}

// due makes everything due now.
func (h *sendingHome) due() { h.t.Helper(); h.pipe("", "queue", "flush").wants(exitOK) }

// noteTo is a message from ada.
func noteTo(subject string, to ...string) string {
	return fmt.Sprintf("From: ada@example.org\nTo: %s\nSubject: %s\nMessage-ID: <%s@example.org>\nDate: Mon, 2 Mar 2026 10:00:00 +0100\n\n%s\n.\n..\n",
		strings.Join(to, ", "), subject, strings.ReplaceAll(subject, " ", "."), subject)
}

// onSMTP returns a hook that does something at one command.
func onSMTP(verb string, do func(*mailtest.SMTPEvent)) func(*mailtest.SMTPEvent) {
	return func(e *mailtest.SMTPEvent) {
		if e.Verb == verb {
			do(e)
		}
	}
}

// noSecretOnDisk checks that the password is in nothing that is queued or was
// delivered.
func (h *sendingHome) noSecretOnDisk() {
	h.t.Helper()
	for _, dir := range []string{h.outbox(), h.mail()} {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			octets, err := os.ReadFile(path)
			if err == nil && bytes.Contains(octets, []byte(sendPassword)) {
				h.t.Errorf("the password is in %s", path)
			}
			return err
		})
		if err != nil {
			h.t.Fatal(err)
		}
	}
}
