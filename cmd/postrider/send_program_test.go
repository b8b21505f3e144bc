//go:build linux

package main_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/mailtest"
)

// The tests of this file have programs that send mail call postrider under the
// name sendmail, the installed ones or those unpacked below
// $POSTRIDER_TEST_SERVERS/programs, and look at what the server gets.

// newPrograms has sendmail, mailq and newaliases in bin/ of the home.
func newPrograms(t *testing.T) *submitter {
	t.Helper()
	s := newSubmitter(t, buildPostrider(t), mailtest.SMTPOptions{})
	bin := filepath.Join(s.dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sendmail", "mailq", "newaliases"} {
		if err := os.Symlink(s.binary, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *submitter) sendmail() string { return filepath.Join(s.dir, "bin", "sendmail") }

// unpacked is where programs may be that are not installed.
func unpacked() string {
	if dir := os.Getenv("POSTRIDER_TEST_SERVERS"); dir != "" {
		return filepath.Join(dir, "programs")
	}
	return "/opt/postrider-test/programs"
}

// program finds one of some names, or skips the test.
func program(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
		for _, dir := range []string{"usr/bin", "usr/lib/git-core"} {
			if path := filepath.Join(unpacked(), dir, name); isFile(path) {
				return path
			}
		}
	}
	t.Skipf("%s is not installed", names[0])
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// runs runs a program in the home, and fails the test if that ends otherwise.
func (s *submitter) runs(want int, stdin string, argv ...string) (out string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	me, err := user.Current() // s-nail takes another's home else
	if err != nil {
		s.t.Fatal(err)
	}
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	lib := filepath.Join(unpacked(), "usr/lib/x86_64-linux-gnu")
	c.Env = append(slices.Clone(s.env), "TERM=dumb", "LC_ALL=C", "USER="+me.Username, "LOGNAME="+me.Username, "MAILRC=/dev/null",
		"PATH="+filepath.Join(s.dir, "bin")+":"+os.Getenv("PATH"),
		"LD_LIBRARY_PATH="+lib+":"+lib+"/mailutils", "PERL5LIB="+filepath.Join(unpacked(), "usr/share/perl5"))
	c.Dir, c.Stdin = s.dir, strings.NewReader(stdin)
	c.WaitDelay = 5 * time.Second
	b, err := c.CombinedOutput()
	code := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		s.t.Fatalf("%q: %v\n%s", argv, err, b)
	}
	if code != want {
		s.t.Errorf("%q ended with %d, want %d\n%s", argv, code, want, b)
	}
	return string(b)
}

// arrives sends what is queued, which is one message, and checks its envelope and
// that its text ends in body.
func (s *submitter) arrives(from string, to []string, body string) mailtest.SMTPMessage {
	s.t.Helper()
	before := len(s.server.Messages())
	// Some programs do not wait for sendmail.
	queued := func(path string) bool { return strings.Contains(path, "/active/") }
	for deadline := time.Now().Add(10 * time.Second); !slices.ContainsFunc(s.left(), queued) && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	s.wants(0, "postrider", "", "send")
	all := s.server.Messages()[before:]
	if len(all) != 1 {
		s.t.Fatalf("%d messages at the server, want 1\n%s", len(all), s.wants(0, "mailq", ""))
	}
	m := all[0]
	got := slices.Clone(m.To)
	slices.Sort(got)
	slices.Sort(to)
	if m.From != from || !slices.Equal(got, to) {
		s.t.Errorf("from %s to %v, want from %s to %v", m.From, got, from, to)
	}
	head, text, _ := strings.Cut(string(m.Octets), "\r\n\r\n")
	if !strings.HasSuffix(text, strings.ReplaceAll(body, "\n", "\r\n")) {
		s.t.Errorf("the text is %q, want %q", text, body)
	}
	if lower := "\n" + strings.ToLower(head); strings.Contains(lower, "\nbcc:") || strings.Contains(head, "eve@") {
		s.t.Errorf("Bcc went out: %q", head)
	}
	for _, name := range []string{"From", "Date", "Message-ID"} {
		if n := strings.Count("\n"+strings.ToLower(head), "\n"+strings.ToLower(name)+":"); n != 1 {
			s.t.Errorf("%d %s fields in %q", n, name, head)
		}
	}
	if f := s.server.Faults(); len(f) > 0 {
		s.t.Errorf("faults: %q", f)
	}
	return m
}

// dotted is a text with what programs stumble over.
const dotted = "first\n.\n..\n.hidden\nFrom here\n\nlast\n"

func TestProgramMutt(t *testing.T) {
	t.Parallel()
	mutt := program(t, "mutt")
	s := newPrograms(t)
	rc := filepath.Join(s.dir, "muttrc")
	for name, more := range map[string]string{
		"plain": "", "all options": "set use_envelope_from=yes\nset use_8bitmime=yes\nset dsn_notify=failure,delay\nset dsn_return=hdrs\n",
	} {
		text := fmt.Sprintf("set sendmail=%q\nset sendmail_wait=0\nset from=ada@example.org\nset realname=Ada\nset copy=no\nset hostname=example.org\n%s", s.sendmail(), more)
		if name == "plain" {
			text = strings.Replace(text, s.sendmail(), s.sendmail()+" -oem -oi", 1)
		} else {
			text = strings.Replace(text, `"`+s.sendmail()+`"`, `"`+s.binary+` sendmail -oem -oi"`, 1)
		}
		if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.runs(0, dotted, mutt, "-n", "-F", rc, "-s", "from mutt", "-c", "carol@example.com", "-b", "eve@example.com", "bob@example.com")
		m := s.arrives("ada@example.org", []string{"bob@example.com", "carol@example.com", "eve@example.com"}, dotted)
		if params := fmt.Sprint(m.Params, m.ToParams); (name != "plain") != (strings.Contains(params, "RET=HDRS") && strings.Contains(params, "NOTIFY=FAILURE,DELAY")) {
			t.Errorf("%s: %s", name, params)
		}
	}
	// What is refused, mutt tells.
	text := fmt.Sprintf("set sendmail=%q\nset sendmail_wait=0\nset from=mallory@example.net\nset copy=no\n", s.sendmail()+" -oem -oi")
	if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := s.runs(1, dotted, mutt, "-n", "-F", rc, "-s", "x", "bob@example.com"); !strings.Contains(out, "65") {
		t.Errorf("mutt says %q", out)
	}
}

func TestProgramGit(t *testing.T) {
	t.Parallel()
	program(t, "git")
	sendEmail := program(t, "git-send-email")
	s := newPrograms(t)
	patch := "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: Ada <ada@example.org>\nDate: Mon, 2 Mar 2026 10:00:00 +0100\nSubject: [PATCH] dots\n\n" + dotted
	if err := os.WriteFile(filepath.Join(s.dir, "0001.patch"), []byte(patch), 0o600); err != nil {
		t.Fatal(err)
	}
	s.runs(0, "", "git", "init", "-q", "repo")
	git := func(want int, more ...string) {
		t.Helper()
		c := append([]string{"env", "GIT_DIR=" + filepath.Join(s.dir, "repo", ".git"), "GIT_CONFIG_GLOBAL=/dev/null", sendEmail,
			"--quiet", "--confirm=never", "--from=Ada <ada@example.org>", "--to=bob@example.com", "--cc=carol@example.com", "--bcc=eve@example.com", "--suppress-cc=all", "--no-thread"}, more...)
		s.runs(want, "", append(c, "0001.patch")...)
	}
	everybody := []string{"bob@example.com", "carol@example.com", "eve@example.com"}
	git(0, "--smtp-server="+s.sendmail())
	s.arrives("ada@example.org", everybody, dotted)
	git(0, "--sendmail-cmd="+s.binary+" sendmail", "--envelope-sender=ada@example.org")
	s.arrives("ada@example.org", everybody, dotted)
}

func TestProgramMailx(t *testing.T) {
	t.Parallel()
	mailx := program(t, "bsd-mailx")
	s := newPrograms(t)
	rc := filepath.Join(s.dir, ".mailrc")
	if err := os.WriteFile(rc, []byte("set sendmail="+s.sendmail()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, from := range [][]string{nil, {"-r", "ada@example.org"}} {
		s.runs(0, dotted, append(append([]string{"env", "MAILRC=" + rc, mailx, "-s", "from mailx", "-c", "carol@example.com", "-b", "eve@example.com"}, from...), "bob@example.com")...)
		s.arrives("ada@example.org", []string{"bob@example.com", "carol@example.com", "eve@example.com"}, dotted)
	}
}

func TestProgramNail(t *testing.T) {
	t.Parallel()
	nail := program(t, "s-nail")
	s := newPrograms(t)
	// Started by root it gives sendmail the home that the password file says.
	s.configure(fmt.Sprintf("outbox: {path: %q}", filepath.Join(s.dir, "Outbox")))
	text := "first\n..\n.hidden\n\nlast\n" // it encodes other lines
	for _, from := range [][]string{nil, {"-r", "ada@example.org"}} {
		s.runs(0, text, append(append([]string{"env", "POSTRIDER_CONFIG=" + s.config(), nail, "-n", "-S", "v15-compat=yes", "-S", "mta=" + s.sendmail(), "-S", "from=ada@example.org", "-S", "sendwait", "-S", "DEAD=/dev/null", "-S", "hostname=example.org",
			"-s", "from s-nail", "-c", "carol@example.com", "-b", "eve@example.com"}, from...), "bob@example.com")...)
		s.arrives("ada@example.org", []string{"bob@example.com", "carol@example.com", "eve@example.com"}, text)
	}
}

func TestProgramMailutils(t *testing.T) {
	t.Parallel()
	mail := program(t, "mail.mailutils")
	s := newPrograms(t)
	s.runs(0, dotted, mail, "--norc", "-E", "set sendmail=sendmail:"+s.sendmail(), "-s", "from mailutils", "-a", "From: ada@example.org", "-a", "Cc: carol@example.com", "-a", "Bcc: eve@example.com", "bob@example.com")
	s.arrives("ada@example.org", []string{"bob@example.com", "carol@example.com", "eve@example.com"}, dotted)
}

// TestProgramsByArgv: the calls of programs that are not started here, as they
// were recorded.
func TestProgramsByArgv(t *testing.T) {
	t.Parallel()
	s := newPrograms(t)
	head := "From: ada@example.org\nTo: bob@example.com\nBcc: eve@example.com\nSubject: x\n\n"
	bob, both := []string{"bob@example.com"}, []string{"bob@example.com", "eve@example.com"}
	for _, tt := range []struct {
		name, text string
		args       []string
		from       string
		to         []string
	}{
		{"mutt", head, []string{"-oem", "-oi", "--", "bob@example.com"}, "ada@example.org", bob},
		{"mutt, options", head, []string{"-oem", "-oi", "-B8BITMIME", "-f", "ada@example.org", "-N", "failure,delay", "-R", "hdrs", "--", "bob@example.com"}, "ada@example.org", bob},
		{"git", head, []string{"-i", "bob@example.com"}, "ada@example.org", bob},
		{"git, sender", head, []string{"-f", "ada@work.example", "-i", "bob@example.com"}, "ada@example.org", bob}, // no address of the account's
		{"git, alias", head, []string{"-f", "list@ada.example", "-i", "bob@example.com"}, "list@ada.example", bob},
		{"bsd-mailx", head, []string{"-i", "-t"}, "ada@example.org", both},
		{"bsd-mailx -r", head, []string{"-i", "-t", "-f", "ada@example.org"}, "ada@example.org", both},
		{"s-nail", head, []string{"-i", "--", "bob@example.com"}, "ada@example.org", bob},
		{"s-nail -r", head, []string{"-i", "-m", "-v", "-f", "ada@example.org", "--", "bob@example.com"}, "ada@example.org", bob},
		{"mailutils", head, []string{"-oi", "-f", "root@unroutable", "-t"}, "ada@example.org", both},
		{"Debian's cron", "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> job\n\n", []string{"-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"}, "ada@example.org", []string{"root@example.org"}},
		{"cronie", "From: \"(Cron Daemon)\" <root>\nTo: root\nSubject: job\n\n", []string{"-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root"}, "ada@example.org", []string{"root@example.org"}},
		{"cronie 1.7", "From: root\nTo: bob@example.com\nSubject: job\n\n", []string{"-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "<>"}, "", bob},
		{"aerc", head, []string{"bob@example.com", "carol@example.com"}, "ada@example.org", []string{"bob@example.com", "carol@example.com"}},
		{"Emacs", head, []string{"-oi", "-oem", "-odi", "-f", "ada@example.org", "-t"}, "ada@example.org", both},
		{"Emacs for msmtp", head, []string{"--read-envelope-from", "-oi", "-t"}, "ada@example.org", both},
		{"sudo", "To: root\nFrom: ada\nAuto-Submitted: auto-generated\nSubject: *** SECURITY\n\n", []string{"-t"}, "ada@example.org", []string{"root@example.org"}},
		{"fail2ban", head, []string{"-f", "ada@example.org", "bob@example.com"}, "ada@example.org", bob},
		{"PHP", head, []string{"-t", "-i"}, "ada@example.org", both},
		{"unattended-upgrades", head, []string{"-oi", "-t"}, "ada@example.org", both},
	} {
		if out := s.runs(0, tt.text+dotted, append([]string{s.sendmail()}, tt.args...)...); out != "" && !slices.Contains(tt.args, "-v") {
			t.Errorf("%s: it says %q", tt.name, out)
		}
		s.arrives(tt.from, tt.to, dotted)
	}
}

// TestSendmailDialogue: -bs from the call to the server; mailq and -q.
func TestSendmailDialogue(t *testing.T) {
	t.Parallel()
	s := newPrograms(t)
	in := strings.ReplaceAll("EHLO me.example\nMAIL FROM:<ada@example.org> BODY=8BITMIME RET=FULL ENVID=xyz\nRCPT TO:<bob@example.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bobby@example.com\nRCPT TO:<eve@example.com>\nRCPT TO:<b c@example.com>\nDATA\n"+
		"From: Ada <ada@example.org>\nTo: bob@example.com\nBcc: eve@example.com\nSubject: Grüße\n\n..\n..hidden\n.\nRSET\nMAIL FROM:<ada@example.org>\nRCPT TO:<bob@example.com>\nDATA\nFrom: mallory@example.net\n\n.\nQUIT\n", "\n", "\r\n")
	out := s.runs(0, in, s.sendmail(), "-bs")
	var codes []string
	for line := range strings.SplitSeq(strings.TrimSpace(out), "\r\n") {
		if len(line) > 3 && line[3] == ' ' {
			codes = append(codes, line[:3])
		}
	}
	if got := strings.Join(codes, " "); got != "220 250 250 250 250 501 354 250 250 250 250 354 554 221" {
		t.Errorf("%s\n%s", got, out)
	}
	if queue := s.runs(0, "", filepath.Join(s.dir, "bin", "mailq")); strings.Count(queue, "active") != 1 || !strings.Contains(queue, "bob@example.com") {
		t.Errorf("mailq: %s", queue)
	}
	s.runs(0, "", s.sendmail(), "-q")
	m := s.arrives("ada@example.org", []string{"bob@example.com", "eve@example.com"}, ".\n.hidden\n")
	if params := fmt.Sprint(m.Params, m.ToParams); !strings.Contains(params, "RET=FULL ENVID=xyz") || !strings.Contains(params, "[NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bobby@example.com]") {
		t.Error(params)
	}
	s.runs(75, "EHLO me\r\nMAIL FROM:<ada@example.org>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\nFrom: ada@example.org\r\n\r\ncut", s.sendmail(), "-bs")
	if queue := s.runs(0, "", filepath.Join(s.dir, "bin", "mailq")); queue != "the queue is empty\n" {
		t.Errorf("mailq: %s", queue)
	}
}
