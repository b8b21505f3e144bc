//go:build linux

package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/mailtest"
)

// submitter is the built program, a server, and a home with one account, for
// calls as other programs make them.
type submitter struct {
	t      *testing.T
	binary string
	dir    string
	server *mailtest.SMTP
	env    []string
}

const submitPassword = "a pass:word"

// newSubmitter starts a server and writes the configuration, where the program
// finds it by itself.
func newSubmitter(t *testing.T, binary string, o mailtest.SMTPOptions) *submitter {
	t.Helper()
	o.Users = map[string]string{"ada": submitPassword}
	o.Mechanisms = []string{"PLAIN"}
	o.Quirks.ClearAuth = true
	server := mailtest.NewSMTP(o)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	s := &submitter{t: t, binary: binary, dir: t.TempDir(), server: server}
	s.env = []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH")}
	if err := os.MkdirAll(filepath.Join(s.dir, ".config", "postrider"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.configure("outbox: {path: ~/Outbox}")
	return s
}

func (s *submitter) config() string {
	return filepath.Join(s.dir, ".config", "postrider", "config.yaml")
}

// configure writes the configuration; extra are lines at its top.
func (s *submitter) configure(extra string) {
	s.t.Helper()
	text := fmt.Sprintf("maildir: ~/Mail\n%s\naccounts:\n  work:\n    address: ada@example.org\n    aliases: [\"*@ada.example\"]\n    user: ada\n    password: %q\n    smtp: {host: 127.0.0.1, port: %d, tls: none}\n",
		extra, submitPassword, s.server.Port())
	if err := os.WriteFile(s.config(), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// command is a call of the program by a name, which argv[0] shows.
func (s *submitter) command(ctx context.Context, name, stdin string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, s.binary, args...)
	c.Args[0] = name
	c.Env, c.Dir = s.env, s.dir
	c.Stdin = strings.NewReader(stdin)
	return c
}

// call runs the program and returns its exit code and what it wrote.
func (s *submitter) call(name, stdin string, args ...string) (code int, out string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	b, err := s.command(ctx, name, stdin, args...).CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		s.t.Fatalf("%s %q: %v\n%s", name, args, err, b)
	} else if err != nil {
		code = exit.ExitCode()
	}
	return code, string(b)
}

// wants is call with an exit code that it has to have.
func (s *submitter) wants(want int, name, stdin string, args ...string) (out string) {
	s.t.Helper()
	code, out := s.call(name, stdin, args...)
	if code != want {
		s.t.Errorf("%s %q ended with %d, want %d\n%s", name, args, code, want, out)
	}
	return out
}

// left returns the paths of all files in the outbox.
func (s *submitter) left() (paths []string) {
	s.t.Helper()
	root := filepath.Join(s.dir, "Outbox")
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() != "lock" {
			paths = append(paths, strings.TrimPrefix(path, root+"/"))
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return paths
}

const notice = "From: ada@example.org\nTo: bob@example.com\nSubject: notice\n\ntext\n"

// TestT84SendmailExitCodes: 0 only for what is on disk, without a daemon and
// without a network; else the number of sysexits that says what to do.
func TestT84SendmailExitCodes(t *testing.T) {
	t.Parallel()
	s := newSubmitter(t, buildPostrider(t), mailtest.SMTPOptions{})
	s.wants(0, "sendmail", notice, "-t")
	if n := s.server.Counts().Sessions; n > 0 {
		t.Errorf("%d sessions", n)
	}
	if left := s.left(); len(left) != 2 || !strings.Contains(left[0], ".spool/active/") {
		t.Errorf("in the outbox: %v", left)
	}
	s.wants(64, "sendmail", notice)
	s.wants(64, "sendmail", notice, "-bd")
	s.wants(64, "sendmail", notice, "--frob", "bob@example.com")
	s.wants(64, "sendmail", notice, "-f")
	s.wants(65, "sendmail", strings.Replace(notice, "ada@", "mallory@", 1), "-t")
	s.wants(65, "sendmail", "From: ada@example.org\n\ntext\n", "-t")
	s.wants(65, "sendmail", notice, "bob@")
	s.wants(65, "sendmail", notice, "-f", "bob@", "bob@example.com")
	s.wants(0, "newaliases", "")
	s.wants(0, "sendmail", "", "-bi")
	s.wants(0, "sendmail", "", "-I")
	s.wants(0, "mailq", "")
	s.wants(0, "sendmail", "", "-bp")
	s.wants(64, "mailq", "", "x")

	s.configure("outbox: off")
	for _, args := range [][]string{{"-t"}, {"-bp"}, {"-q"}, {"-bs"}} {
		if out := s.wants(78, "sendmail", notice, args...); !strings.Contains(out, "outbox: off") {
			t.Errorf("%q", out)
		}
	}
	s.configure("outbox: {path: ~/Outbox}\nfrob: 1")
	s.wants(78, "sendmail", notice, "-t")
	s.wants(78, "sendmail", notice, "-C", "/nonexistent.yaml", "-t")
	if err := os.Remove(s.config()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/etc/postrider/config.yaml"); err != nil {
		s.wants(78, "sendmail", notice, "-t")
	}
	s.configure("outbox: {path: ~/Other/Outbox}")
	if out := s.wants(73, "sendmail", notice, "-t"); !strings.Contains(out, "make outbox") {
		t.Errorf("%q", out)
	}
	s.configure("outbox: {path: ~/new}")
	s.wants(0, "sendmail", notice, "-t")
	if info, err := os.Stat(filepath.Join(s.dir, "new")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestT84SendmailIsKilled at some moments: what remains is a message that was
// queued, or none.
func TestT84SendmailIsKilled(t *testing.T) {
	t.Parallel()
	s := newSubmitter(t, buildPostrider(t), mailtest.SMTPOptions{})
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT} {
		c := s.command(t.Context(), "sendmail", "", "-t")
		c.Stdin = nil
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write([]byte(notice)); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); len(s.left()) == 0 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		start := time.Now()
		if err := c.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if sig != syscall.SIGKILL {
			_ = in.Close() // a program that is blocked in a read of a pipe ends with it
		}
		err = c.Wait()
		_ = in.Close()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || sig != syscall.SIGKILL && exit.ExitCode() != 75 || time.Since(start) > 5*time.Second {
			t.Errorf("%v: ended with %v after %v", sig, err, time.Since(start))
		}
		s.wants(0, "postrider", "", "send") // what a dead one left is swept
		if left := s.left(); len(left) > 0 {
			t.Errorf("%v: left: %v", sig, left)
		}
	}
	if n := len(s.server.Messages()); n > 0 {
		t.Errorf("%d messages were sent", n)
	}
}

// TestT84DiskFull: nothing is promised that is not on the disk, and when there is
// room again all goes on.
func TestT84DiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}
	t.Parallel()
	s := newSubmitter(t, buildPostrider(t), mailtest.SMTPOptions{})
	small := filepath.Join(s.dir, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s.configure("outbox: {path: ~/small/Outbox}")
	s.wants(0, "sendmail", notice, "-t")
	large := notice + strings.Repeat("0123456789012345678901234567890123456789012345678901234567890123\n", 32<<10)
	if out := s.wants(74, "sendmail", large, "-t"); !strings.Contains(out, "no space left") {
		t.Errorf("%q", out)
	}
	if out := s.wants(0, "sendmail", "HELO me\r\nMAIL FROM:<ada@example.org>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n"+strings.ReplaceAll(large, "\n", "\r\n")+".\r\nQUIT\r\n", "-bs"); !strings.Contains(out, "\r\n452 4.3.1 ") {
		t.Errorf("%q", out)
	}
	filler := filepath.Join(small, "filler")
	if err := os.WriteFile(filler, bytes.Repeat([]byte{1}, 4<<20), 0o600); err == nil {
		t.Fatal("the file system is not full")
	}
	s.wants(74, "sendmail", notice, "-t")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.wants(0, "sendmail", notice, "-t")
	s.wants(0, "postrider", "", "send")
	if n := len(s.server.Messages()); n != 2 {
		t.Errorf("%d messages at the server", n)
	}
	entries, err := filepath.Glob(filepath.Join(small, "Outbox", ".spool", "*", "*"))
	if err != nil || len(entries) > 0 {
		t.Errorf("left in the spool: %v, %v", entries, err)
	}
}

// TestT93SurroundingsOfSendmail: the environment of whoever calls the command
// sends no mail elsewhere and shows no secret.
func TestT93SurroundingsOfSendmail(t *testing.T) {
	t.Parallel()
	s := newSubmitter(t, buildPostrider(t), mailtest.SMTPOptions{})
	good := s.env
	s.env = []string{"PATH=/nonexistent", "HOME=" + s.dir, "http_proxy=http://127.0.0.1:1", "ALL_PROXY=socks5://127.0.0.1:1", "SSL_CERT_FILE=/nonexistent", "SSL_CERT_DIR=/nonexistent",
		"LD_PRELOAD=/nonexistent.so", "TMPDIR=/nonexistent", "IFS=x", "MAILRC=/etc/passwd", "SENDMAIL=/bin/false", "GODEBUG=netdns=9", "TZ=Nowhere/Here", "LANG=xx", "POSTRIDER_CONFIG="}
	s.wants(0, "sendmail", notice, "-t")
	s.wants(0, "postrider", "", "send")
	s.env = []string{}
	if code, out := s.call("sendmail", notice, "-t"); code == 0 || strings.Contains(out, submitPassword) {
		t.Errorf("without HOME it ended with %d: %s", code, out)
	}
	s.wants(78, "sendmail", notice, "-t")
	s.env = good
	s.wants(0, "postrider", "", "send")
	if n := len(s.server.Messages()); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// TestT92NothingOfAMessageIsRun: no part of a message, its file's name or a reply
// is a command, a path or a format of anything, also where it looks like one.
func TestT92NothingOfAMessageIsRun(t *testing.T) {
	t.Parallel()
	canary := "canary"
	s := newSubmitter(t, buildPostrider(t), mailtest.SMTPOptions{Hook: func(e *mailtest.SMTPEvent) {
		if e.Verb == "RCPT" {
			e.Refuse(550, "5.1.1 $(touch "+canary+") `touch "+canary+"` %s%n ../../"+canary)
		}
	}})
	dir := filepath.Join(s.dir, "Outbox")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	names := []string{"$(touch canary)", "`touch canary`", "-rf", "a\nb", "\x1b[2J", "%s%n", strings.Repeat("x", 255), "=x", "\xff\xfe"}
	for _, name := range names {
		text := strings.Replace(notice, "notice", "$(touch "+canary+") %s%n ../../"+canary+" "+strings.ToValidUTF8(strings.ReplaceAll(name, "\n", " "), "?"), 1)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out := s.wants(1, "postrider", "", "send"); strings.ContainsRune(out, 0x1b) || strings.Contains(out, "\xff") {
		t.Errorf("%q", out)
	}
	failed, err := os.ReadDir(filepath.Join(dir, "failed"))
	if err != nil {
		t.Fatal(err)
	}
	why := 0
	for _, e := range failed {
		if strings.HasSuffix(e.Name(), ".why.txt") {
			why++
		}
	}
	if why != len(names) || len(failed) != 2*len(names) {
		t.Errorf("%d of %d files in failed/ say why, of %d messages", why, len(failed), len(names))
	}
	err = filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
		if strings.HasPrefix(d.Name(), canary) {
			t.Errorf("there is %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
