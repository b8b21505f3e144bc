//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"postrider/mailtest"
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
			if open && strings.Contains(shown.String(), "messages") {
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
	for _, want := range []string{"busy", "0/4 messages", "4/4 messages", "b/s", "[", "]", "done", "message set aside", "not this one", "3 new messages", "from 2 accounts"} {
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
