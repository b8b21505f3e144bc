package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/mailtest"
)

// TestSendmailManual checks what postrider-sendmail(1) says of the options.
func TestSendmailManual(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, mailtest.SMTPOptions{})
	h := newSender(t, []sendAccount{{port: s.Port()}})
	body := "Subject: x\n\ntext\n"
	for _, tt := range []struct {
		text  string
		args  []string
		code  int
		from  string // of the envelope
		field string // what the text has in it
	}{
		{body, []string{"-FA Da", "bob@example.com"}, exitOK, "ada@example.org", "From: \"A Da\" <ada@example.org>\r\n"},
		{body, []string{"-F", "Ädä", "bob@example.com"}, exitOK, "ada@example.org", "<ada@example.org>\r\n"},
		{"From: root\n" + body, []string{"bob@example.com"}, exitOK, "ada@example.org", "From: ada@example.org\r\n"},
		{"From: Eve <eve@work.example>\n" + body, []string{"-F", "Ada", "bob@example.com"}, exitOK, "eve@work.example", "From: Eve <eve@work.example>\r\n"},
		{body, []string{"-f", "<>", "bob@example.com"}, exitOK, "", "From: ada@example.org\r\n"},
		{body, []string{"-f", "", "bob@example.com"}, exitOK, "", "text"},
		{body, []string{"-f", "x@work.example", "bob@example.com"}, exitOK, "x@work.example", "From: ada@example.org\r\n"},
		{body, []string{"-rx@work.example", "bob@example.com"}, exitOK, "x@work.example", "text"},
		{body, []string{"-f", "eve@example.net", "bob@example.com"}, exitOK, "ada@example.org", "text"},
		{"From: mallory@example.net\n" + body, []string{"-f", "ada@example.org", "bob@example.com"}, exitData, "", "no account sends for"},
		{body, []string{"-h", "100", "bob@example.com"}, exitOK, "ada@example.org", "text"},
		{body, []string{"-h", "101", "bob@example.com"}, exitUsage, "", "loop"},
		{body, []string{"-a", "other", "-X", "/tmp/log", "-O", "DeliveryMode=b", "-K", "-ZZ", "bob@example.com"}, exitOK, "ada@example.org", "text"},
		{body, []string{"-Ac", "-em", "-G", "-Ltag", "-m", "-n", "-pSMTP", "-s", "-T", "-U", "-c", "-x", "-odi", "-oem", "--read-envelope-from", "bob@example.com"}, exitOK, "ada@example.org", "text"},
		{body, []string{"-bd", "bob@example.com"}, exitUsage, "", "daemon"},
		{body, []string{"--frob", "bob@example.com"}, exitUsage, "", "--frob"},
		{body, []string{"-bp", "bob@example.com"}, exitUsage, "", "takes no recipients"},
		{body, []string{"-q15m", "-t"}, exitUsage, "", "-t"},
		{body, []string{"-i"}, exitUsage, "", "no recipient"},
		{body, []string{"-V", strings.Repeat("x", 101), "bob@example.com"}, exitUsage, "", "identifier"},
		{"\xef\xbb\xbfTo: bob@example.com\n" + body, []string{"-t"}, exitData, "", "byte order mark"},
	} {
		before := len(s.Messages())
		o := h.pipe(tt.text, append([]string{"sendmail"}, tt.args...)...).wants(tt.code)
		if tt.code != exitOK {
			if !strings.Contains(o.stderr, tt.field) {
				t.Errorf("%q: no %q in %q", tt.args, tt.field, o.stderr)
			}
			h.queued("")
			continue
		}
		h.sends(exitOK)
		all := s.Messages()[before:]
		if len(all) != 1 || all[0].From != tt.from || !strings.Contains(string(all[0].Octets), tt.field) {
			t.Errorf("%q: %d messages, %+v", tt.args, len(all), all)
		}
	}
	if out := h.pipe(body, "sendmail", "-v", "bob@example.com").wants(exitOK).stdout; out != "queued as "+h.ids("active")[0]+"\n" {
		t.Errorf("-v says %q", out)
	}
	if out := h.pipe(body, "sendmail", "-a", "other", "-X", "/tmp/log", "bob@example.com").wants(exitOK); out.stdout != "" || !strings.Contains(out.stderr, "options without a meaning here") || strings.Contains(out.stderr, "/tmp/log") {
		t.Errorf("at the level debug: %q", out.stderr)
	}
	h.log = "{level: info}"
	h.accounts([]sendAccount{{port: s.Port()}})
	if out := h.pipe(body, "sendmail", "-a", "other", "bob@example.com").wants(exitOK); out.stdout+out.stderr != "" {
		t.Errorf("at the level info: %q", out.stderr)
	}
	for name, args := range map[string][]string{"mailq": nil, "sendmail": {"-bp"}} {
		h.env["POSTRIDER_CONFIG"] = h.config
		h.pipeAs("/usr/bin/"+name, "", args...).wants(exitOK).says(`(?s)(active.*){3}`)
	}
	h.pipeAs("newaliases", "").wants(exitOK)
	delete(h.env, "POSTRIDER_CONFIG")
	h.pipeAs("sendmail", body, "-C", h.config, "bob@example.com").wants(exitOK)
	h.sends(exitOK)
	faultless(t, s)
}

// TestSendmailWhileSending: while a send is under way, the command takes messages
// and shows the queue; what needs the queue for itself says to try again.
func TestSendmailWhileSending(t *testing.T) {
	t.Parallel()
	reached, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s := startSMTP(t, mailtest.SMTPOptions{Hook: onSMTP("DOT", func(*mailtest.SMTPEvent) {
		once.Do(func() { close(reached); <-goOn })
	})})
	h := newSender(t, []sendAccount{{port: s.Port()}})
	h.pipe(noteTo("a", "bob@example.com"), "sendmail", "-t").wants(exitOK)
	done := make(chan outcome)
	go func() { done <- h.runContext(t.Context(), "send") }()
	select {
	case <-reached:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was sent")
	}
	h.pipe(noteTo("b", "bob@example.com"), "sendmail", "-t").wants(exitOK)
	h.pipe("", "sendmail", "-bp").wants(exitOK).says("(?s)active.*active")
	h.pipe("", "queue", "show", h.ids("active")[1]).wants(exitOK).says("Subject: b")
	for _, args := range [][]string{{"sendmail", "-q"}, {"queue", "flush"}, {"queue", "hold", h.ids("active")[1]}, {"send"}} {
		// Not by pipe, which waits for the lock.
		if o := h.runContext(t.Context(), args...); o.code != exitTemporary || !strings.Contains(o.stderr, "another postrider") {
			t.Errorf("%v ended with %d: %s", args, o.code, o.stderr)
		}
	}
	close(goOn)
	(<-done).wants(exitOK)
	h.sends(exitOK)
	got(t, s, 2)
}

// TestT85EachByItsOwnAccount: the author chooses the account, and no other's
// login is used, whatever the envelope, the order or the state of the others.
func TestT85EachByItsOwnAccount(t *testing.T) {
	t.Parallel()
	work := startSMTP(t, mailtest.SMTPOptions{Users: map[string]string{"ada": "work's"}, RequireAuth: true})
	home := startSMTP(t, mailtest.SMTPOptions{Users: map[string]string{"ada": "home's"}, RequireAuth: true})
	dead := sendAccount{name: "dead", address: "ada@dead.example", port: 1}
	h := newSender(t, []sendAccount{dead,
		{name: "work", address: "ada@example.org", port: work.Port(), password: "work's"},
		{name: "home", address: "ada@home.example.net", port: home.Port(), password: "home's"}})
	from := func(address string) string {
		return strings.Replace(noteTo("from "+strings.ReplaceAll(address, "@", "."), "bob@example.com"), "ada@example.org", address, 1)
	}
	for i, address := range []string{"ada@example.org", "x@work.example", "ADA@Example.ORG", "ada@home.example.net", "y@home.example", "ada@dead.example", "ada@example.net", "x@sub.work.example", "ada@home.example.net.evil.example"} {
		if i < 6 {
			h.pipe(from(address), "sendmail", "-f", "ada@example.org", "-t").wants(exitOK)
		} else {
			h.pipe(from(address), "sendmail", "-f", "ada@example.org", "-t").wants(exitData, "no account sends for")
		}
		h.drop(fmt.Sprintf("%d.eml", i), from(address))
	}
	h.sends(exitUnavailable)
	for _, s := range []*mailtest.SMTP{work, home} {
		want := map[*mailtest.SMTP]int{work: 6, home: 4}[s]
		if n := len(s.Messages()); n != want {
			t.Errorf("%d messages, want %d", n, want)
		}
		for _, m := range s.Messages() {
			mine := strings.HasPrefix(strings.ToLower(string(m.Octets)), "from: ada@example.org") || strings.HasPrefix(string(m.Octets), "From: x@work.example")
			if mine != (s == work) {
				t.Errorf("by the other's server: %q", m.Octets)
			}
		}
		if c := s.Counts(); c.Refused > 0 {
			t.Errorf("%d logins refused", c.Refused)
		}
		faultless(t, s)
	}
	h.queued("deferred deferred")
	if failed := h.files("failed"); len(failed) != 6 {
		t.Errorf("in failed/: %v", failed)
	}
}

// TestT94GarbageAndModes: garbage on the input of a dialogue ends it and leaves
// nothing; and others can read none of what is queued.
func TestT94GarbageAndModes(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, mailtest.SMTPOptions{})
	h := newSender(t, []sendAccount{{port: s.Port()}})
	for _, in := range []string{strings.Repeat("\x00\xff", 1<<18), strings.Repeat("x", 1<<20), strings.Repeat("\n", 1<<16), strings.Repeat("DATA\r\n", 1000),
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "MAIL FROM:<" + strings.Repeat("a", 1<<16), "EHLO x\r\nMAIL FROM:<ada@example.org>\r\n" + strings.Repeat("RCPT TO:<a@b.example> X=Y\r\n", 200)} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		var out, errs bytes.Buffer
		code := run(ctx, []string{"-c", h.config, "sendmail", "-bs"}, world{stdin: strings.NewReader(in), stdout: &out, stderr: &errs, getenv: func(k string) string { return h.env[k] }})
		cancel()
		if out.Len() > 200_000 || strings.Contains(out.String(), "250 2.0.0 queued") {
			t.Errorf("%q...: ended with %d and %d octets", in[:10], code, out.Len())
		}
	}
	h.queued("")
	h.pipe(noteTo("a", "soft@example.com"), "sendmail", "-t").wants(exitOK)
	h.drop("bad.eml", "no header\n")
	h.pipe("", "queue", "hold", h.ids("active")[0]).wants(exitOK)
	h.sends(exitFailed)
	err := filepath.WalkDir(h.outbox(), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
