package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/mailtest"
)

// sendingHome is a configuration with accounts that send, and runs of the
// program.
type sendingHome struct {
	*hostile
	server *mailtest.SMTP
}

const sendPassword = "a pass:word"

// newSending has one account, work, at a server with the given options.
func newSending(t *testing.T, o mailtest.SMTPOptions, extra ...string) *sendingHome {
	t.Helper()
	o.Users = map[string]string{"ada": sendPassword}
	o.Mechanisms = []string{"PLAIN"}
	o.Quirks.ClearAuth = true
	s := mailtest.NewSMTP(o)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	h := &sendingHome{hostile: newHostile(t), server: s}
	h.configure(extra...)
	return h
}

// configure writes the configuration; extra are lines at its top.
func (h *sendingHome) configure(extra ...string) {
	h.t.Helper()
	text := fmt.Sprintf(`maildir: %s
outbox: {path: %s}
%s
accounts:
  work:
    address: ada@example.org
    aliases: ["*@ada.example"]
    user: ada
    password: %q
    smtp: {host: 127.0.0.1, port: %d, tls: none}
`, h.mail(), h.outbox(), strings.Join(extra, "\n"), sendPassword, h.server.Port())
	if strings.Contains(strings.Join(extra, ""), "outbox:") {
		text = strings.Replace(text, "outbox: {path: "+h.outbox()+"}\n", "", 1)
	}
	if err := os.WriteFile(h.config, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *sendingHome) outbox() string { return filepath.Join(h.dir, "Outbox") }

// drop writes a file into the outbox as a user does.
func (h *sendingHome) drop(name, text string) {
	h.t.Helper()
	if err := os.MkdirAll(h.outbox(), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.outbox(), name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// command runs the program with this on its standard input.
func (h *sendingHome) command(stdin string, args ...string) (code int, out, errOut string) {
	h.t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(h.t.Context(), append([]string{"-c", h.config}, args...), world{
		stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &stderr, getenv: func(k string) string { return h.env[k] },
	})
	return code, stdout.String(), stderr.String()
}

// mustSend runs send, which has to end with the code.
func (h *sendingHome) mustSend(want int) (out, errOut string) {
	h.t.Helper()
	code, out, errOut := h.command("", "send")
	if code != want {
		h.t.Fatalf("send ended with %d, want %d\n%s%s", code, want, out, errOut)
	}
	return out, errOut
}

// files returns what is in a directory below the outbox, the spool's lock aside.
func (h *sendingHome) files(path ...string) []string {
	h.t.Helper()
	entries, err := os.ReadDir(filepath.Join(append([]string{h.outbox()}, path...)...))
	if err != nil && !os.IsNotExist(err) {
		h.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != ".spool" && e.Name() != "lock" {
			names = append(names, e.Name())
		}
	}
	return names
}

const simpleMail = "From: Ada <ada@example.org>\nTo: bob@example.com\nBcc: eve@example.com\nSubject: hello\n\n.dots\nand text\n"

func TestSendDroppedFile(t *testing.T) {
	t.Parallel()
	h := newSending(t, mailtest.SMTPOptions{})
	h.drop("hello.eml", simpleMail)
	out, _ := h.mustSend(0)
	if !strings.HasPrefix(out, "1 message sent in ") {
		t.Errorf("printed %q", out)
	}
	got := h.server.Messages()
	if len(got) != 1 || got[0].From != "ada@example.org" || fmt.Sprint(got[0].To) != "[bob@example.com eve@example.com]" {
		t.Fatalf("%+v", got)
	}
	text := string(got[0].Octets)
	for _, part := range []string{"From: Ada <ada@example.org>\r\nTo: bob@example.com\r\nSubject: hello\r\n\r\n.dots\r\nand text\r\n", "Date: ", "Message-ID: <"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in %q", part, text)
		}
	}
	if strings.Contains(text, "Bcc") || len(h.server.Faults()) > 0 {
		t.Errorf("%q, %v", text, h.server.Faults())
	}
	if left := h.files(); len(left) > 0 {
		t.Errorf("left in the outbox: %v", left)
	}
	// The copy is what was sent, read, in cur/.
	sent, err := filepath.Glob(filepath.Join(h.mail(), "work/Sent/cur/*:2,S"))
	if err != nil || len(sent) != 1 {
		t.Fatalf("%v, %v", sent, err)
	}
	if copied, err := os.ReadFile(sent[0]); err != nil || string(mailtest.Wire(copied)) != text {
		t.Errorf("the copy is %q, %v", copied, err)
	}
	if out, _ := h.mustSend(0); !strings.HasPrefix(out, "0 messages sent") {
		t.Errorf("printed %q", out)
	}
	if n := len(h.server.Messages()); n != 1 {
		t.Errorf("%d messages at the server", n)
	}
}

func TestSendmailCommand(t *testing.T) {
	t.Parallel()
	h := newSending(t, mailtest.SMTPOptions{})
	if code, _, errOut := h.command("Subject: from cron\n\n.\nbody\n", "sendmail", "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"); code != 0 {
		t.Fatalf("ended with %d: %s", code, errOut)
	}
	if code, _, errOut := h.command(simpleMail, "sendmail", "-t", "-oi", "carol@example.com"); code != 0 {
		t.Fatalf("ended with %d: %s", code, errOut)
	}
	_, out, _ := h.command("", "queue")
	if strings.Count(out, "active") != 2 {
		t.Errorf("the queue is\n%s", out)
	}
	h.mustSend(0)
	got := h.server.Messages()
	if len(got) != 2 || fmt.Sprint(got[0].To) != "[root@example.org]" || fmt.Sprint(got[1].To) != "[carol@example.com bob@example.com eve@example.com]" {
		t.Fatalf("%+v", got)
	}
	if text := string(got[0].Octets); !strings.Contains(text, "From: \"CronDaemon\" <ada@example.org>\r\n") || !strings.HasSuffix(text, "\r\n\r\n.\r\nbody\r\n") {
		t.Errorf("%q", text)
	}
}

func TestSendNoAccount(t *testing.T) {
	t.Parallel()
	h := newSending(t, mailtest.SMTPOptions{})
	h.drop("x.eml", strings.Replace(simpleMail, "ada@example.org", "mallory@example.net", 1))
	_, errOut := h.mustSend(1)
	if !strings.Contains(errOut, "failed") {
		t.Errorf("printed %q", errOut)
	}
	if got := h.files("failed"); fmt.Sprint(got) != "[x.eml x.eml.why.txt]" {
		t.Errorf("in failed/: %v", got)
	}
	if len(h.server.Messages()) > 0 {
		t.Error("it was sent")
	}
}

func TestSendMixedRecipients(t *testing.T) {
	t.Parallel()
	o := mailtest.ProfileSMTPMixed()
	h := newSending(t, o)
	h.drop("m.eml", strings.Replace(simpleMail, "To: bob@example.com", "To: ok-a@example.com, hard-b@example.com, soft-c@example.com", 1))
	_, errOut := h.mustSend(75)
	got := h.server.Messages()
	if len(got) != 1 || strings.Contains(fmt.Sprint(got[0].To), "hard") || strings.Contains(fmt.Sprint(got[0].To), "soft") {
		t.Fatalf("%+v\n%s", got, errOut)
	}
	_, out, _ := h.command("", "queue")
	if !strings.Contains(out, "soft-c@example.com") || strings.Contains(out, "ok-a") || strings.Contains(out, "hard") {
		t.Errorf("the queue is\n%s", out)
	}
	reports, _ := filepath.Glob(filepath.Join(h.mail(), "work/INBOX/new/*"))
	if len(reports) != 1 {
		t.Fatalf("%d reports", len(reports))
	}
	if text, _ := os.ReadFile(reports[0]); !bytes.Contains(text, []byte("hard-b@example.com")) || bytes.Contains(text, []byte("Final-Recipient: rfc822; soft")) || !bytes.Contains(text, []byte("multipart/report")) {
		t.Errorf("the report is\n%s", text)
	}
}

func TestSendLoginRefused(t *testing.T) {
	t.Parallel()
	h := newSending(t, mailtest.SMTPOptions{RequireAuth: true})
	h.server.SetPassword("ada", "another")
	h.drop("hello.eml", simpleMail)
	_, errOut := h.mustSend(77)
	if !strings.Contains(errOut, "log in") || strings.Contains(errOut, sendPassword) {
		t.Errorf("printed %q", errOut)
	}
	letters, _ := filepath.Glob(filepath.Join(h.mail(), "work/INBOX/new/*"))
	if len(letters) != 1 {
		t.Errorf("%d letters to the user", len(letters))
	}
	h.server.SetPassword("ada", sendPassword)
	h.mustSend(0) // paused
	if len(h.server.Messages()) > 0 {
		t.Error("sent in spite of the pause")
	}
	if code, _, errOut := h.command("", "queue", "flush"); code != 0 {
		t.Fatal(errOut)
	}
	h.mustSend(0)
	if len(h.server.Messages()) != 1 {
		t.Errorf("%d messages at the server", len(h.server.Messages()))
	}
}

func TestSendLost250(t *testing.T) {
	t.Parallel()
	h := newSending(t, mailtest.ProfileSMTPLost250())
	h.drop("hello.eml", simpleMail)
	h.mustSend(75)
	_, out, _ := h.command("", "queue")
	if !strings.Contains(out, "uncertain") {
		t.Errorf("the queue is\n%s", out)
	}
	h.mustSend(0)
	if n := len(h.server.Messages()); n != 1 {
		t.Errorf("%d messages at the server", n)
	}
}

func TestCheckOnlineLogsInToSend(t *testing.T) {
	t.Parallel()
	h := newSending(t, mailtest.SMTPOptions{RequireAuth: true})
	if code, out, errOut := h.command("", "check", "--online"); code != 0 || !strings.Contains(out, fmt.Sprintf("work: logged in at 127.0.0.1:%d to send\n", h.server.Port())) {
		t.Errorf("ended with %d: %s%s", code, out, errOut)
	}
	h.server.SetPassword("ada", "another")
	if code, _, errOut := h.command("", "check", "--online", "work"); code != 77 || !strings.Contains(errOut, "account work: ") {
		t.Errorf("ended with %d: %s", code, errOut)
	}
	if len(h.server.Messages()) > 0 {
		t.Error("something was sent")
	}
}
