//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"postrider/daemon"
	"postrider/fetch"
	"postrider/mailtest"
	"postrider/remote"
)

// openTerminal returns both ends of a pseudo terminal, 120 columns wide.
func openTerminal(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { screen.Close() })
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 120})
	}
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	return screen, tty
}

// TestBarsOnATerminal: a bar for each account that has something to fetch, with
// what goes wrong above it, and a summary at the end.
func TestBarsOnATerminal(t *testing.T) {
	t.Parallel()
	// The last message waits, so that the bars are drawn at least once.
	drawn := make(chan struct{})
	s := startPOP3(t, mailtest.POP3Options{Hook: on("RETR", func(e *mailtest.POP3Event) {
		switch e.UID {
		case "uid-2":
			e.Refuse("not this one")
		case "uid-4":
			<-drawn
		}
	})}, letters(4)...)
	idle := startPOP3(t, mailtest.POP3Options{})
	h := newHostile(t, hostileAccount{name: "busy", port: s.Port()}, hostileAccount{name: "idle", port: idle.Port()})
	screen, tty := openTerminal(t)
	var shown written
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for open := true; ; {
			n, err := screen.Read(buf)
			shown.Write(buf[:n])
			if open && strings.Contains(shown.String(), "0/4") {
				close(drawn)
				open = false
			}
			if err != nil {
				return
			}
		}
	}()
	var out written
	code := run(t.Context(), []string{"-c", h.config, "fetch"}, world{
		stdin: strings.NewReader(""), stdout: io.MultiWriter(tty, &out), stderr: tty, getenv: func(k string) string { return h.env[k] },
	})
	tty.Close()
	<-read
	if code != exitTemporary {
		t.Errorf("exit code %d", code)
	}
	got := shown.String()
	for _, want := range []string{"busy", "0/4", "4/4", "B/s", "[", "]", "done", "message set aside", "not this one", "3 new messages", "from 2 accounts"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not on the screen:\n%s", want, got)
		}
	}
	if !strings.Contains(out.String(), "from 2 accounts") {
		t.Errorf("stdout: %q", out.String())
	}
}

func TestLinesElsewhere(t *testing.T) {
	t.Parallel()
	s := startPOP3(t, mailtest.POP3Options{}, letters(3)...)
	h := newHostile(t, hostileAccount{port: s.Port(), extra: "on_server: delete"})
	h.log = "{level: info}"
	h.write(hostileAccount{port: s.Port(), extra: "on_server: delete"})
	o := h.run("fetch").wants(exitOK)
	o.says(`(?m)\Awork: 3 messages to fetch \(141 B\)\nwork: 3 new messages \(126 B\) in \S+\n3 new messages \(126 B\) from 1 account in \S+, 3 messages removed on the server\n\z`)
	if o.stderr != "" || strings.ContainsAny(o.stdout, "\r\x1b") {
		t.Errorf("stdout %q, stderr %q", o.stdout, o.stderr)
	}
}

func TestQuiet(t *testing.T) {
	t.Parallel()
	s := startPOP3(t, mailtest.POP3Options{}, letters(3)...)
	h := newHostile(t, hostileAccount{port: s.Port()})
	h.log = "{level: warn}"
	h.write(hostileAccount{port: s.Port()})
	if o := h.run("fetch", "-q").wants(exitOK); o.stdout+o.stderr != "" {
		t.Errorf("stdout %q, stderr %q", o.stdout, o.stderr)
	}
	s.SetPassword("ada", "another")
	if o := h.run("fetch", "--quiet").wants(exitNoPerm); o.stdout != "" || strings.Count(o.stderr, "\n") != 1 {
		t.Errorf("stdout %q, stderr %q", o.stdout, o.stderr)
	}
}

// TestDumbTerminal: a terminal that cannot move its cursor, as programs run in
// Emacs have it, gets lines.
func TestDumbTerminal(t *testing.T) {
	t.Parallel()
	s := startPOP3(t, mailtest.POP3Options{}, letters(3)...)
	h := newHostile(t, hostileAccount{port: s.Port()})
	screen, tty := openTerminal(t)
	var shown written
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&shown, screen)
	}()
	code := run(t.Context(), []string{"-c", h.config, "fetch"}, world{
		stdin: strings.NewReader(""), stdout: tty, stderr: tty,
		getenv: func(k string) string { return map[string]string{"TERM": "dumb"}[k] + h.env[k] },
	})
	tty.Close()
	<-read
	if got := shown.String(); code != exitOK || strings.Contains(got, "\x1b") || !strings.Contains(got, "3 messages to fetch") {
		t.Errorf("exit code %d: %q", code, got)
	}
}

// TestLinesOfSeveralMailboxes: each line tells what is found beyond what was told
// before, and a session that begins anew tells nothing.
func TestLinesOfSeveralMailboxes(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	l := &lines{out: &out, name: "work"}
	l.Wanted(2, 300)
	l.Octets(100)
	l.Message()
	l.Wanted(1+3, 200+50) // of another mailbox
	l.Wanted(4, 250)      // the same again
	l.Octets(250)
	l.Wanted(4+1, 7) // the octets have come, and none of the messages is done with
	if got, want := out.String(), "work: 2 messages to fetch (300 B)\nwork: 3 more messages to fetch (50 B)\nwork: 1 more message to fetch (7 B)\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBarTexts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		current, total int64
		want           string
	}{
		{0, 999, "0/999 B"}, {500, 1500, "0.5/1.5 kB"}, {1_900_000, 7_200_000, "1.9/7.2 MB"}, {10, 2_000_000_000, "0.0/2.0 GB"}, {2000, 1000, "2.0 kB"},
	} {
		if got := progressOctets(tt.current, tt.total); got != tt.want {
			t.Errorf("%d of %d: %q, want %q", tt.current, tt.total, got, tt.want)
		}
	}
	if a, b := shortName("a-dozen-ones"), shortName("private-long-name"); a != "a-dozen-ones" || b != "private-lon~" {
		t.Errorf("%q, %q", a, b)
	}
}

// TestInterruptedIsSaidOnce: what a signal has cut is said in a user's words, once, and a
// failing disk is not hidden by it.
func TestInterruptedIsSaidOnce(t *testing.T) {
	t.Parallel()
	var s summary
	cut := &remote.ServerError{Server: "h:1", Err: context.Canceled}
	s.add(daemon.Report{Account: "b", Err: cut})
	s.add(daemon.Report{Account: "a", Err: cut})
	if err := s.err(); err == nil || strings.Contains(err.Error(), "canceled") || !strings.HasSuffix(err.Error(), ": a, b") || exitCode(err) != exitTemporary {
		t.Errorf("%v, exit code %d", err, exitCode(err))
	}
	s.add(daemon.Report{Account: "c", Err: errors.Join(cut, &fetch.LocalError{Err: errors.New("the disk is full")})})
	if err := s.err(); !strings.Contains(err.Error(), "account c: ") || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("%v", err)
	}
	if line := s.line(0); !strings.Contains(line, "2 accounts interrupted, trouble with 1 account") {
		t.Error(line)
	}
}
