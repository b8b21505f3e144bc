package systemd

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listen is a service manager: it returns its NOTIFY_SOCKET, and what it was
// told in the next message.
func listen(t *testing.T, name string) (*Notifier, func() string) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	next := func() string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		message := make([]byte, 8192)
		n, err := conn.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		return string(message[:n])
	}
	return NewNotifier(environment("NOTIFY_SOCKET=" + name)), next
}

func environment(entries ...string) func(string) string {
	return func(name string) string {
		for _, e := range entries {
			if value, ok := strings.CutPrefix(e, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

func sockets(t *testing.T) map[string]string {
	return map[string]string{
		"path":     filepath.Join(t.TempDir(), "notify"),
		"abstract": fmt.Sprintf("@postrider-test-%d-%d", unix.Getpid(), time.Now().UnixNano()),
	}
}

func TestMessages(t *testing.T) {
	cases := []struct {
		name string
		send func(*Notifier) error
		want string
	}{
		{"ready", func(n *Notifier) error { return n.Ready("4 accounts") }, "READY=1\nSTATUS=4 accounts\n"},
		{"ready without status", func(n *Notifier) error { return n.Ready("") }, "READY=1\n"},
		{"stopping", func(n *Notifier) error { return n.Stopping("closing 3 connections") }, "STOPPING=1\nSTATUS=closing 3 connections\n"},
		{"status", func(n *Notifier) error { return n.Status("17 delivered, 2 queued") }, "STATUS=17 delivered, 2 queued\n"},
		{"watchdog", (*Notifier).Watchdog, "WATCHDOG=1\n"},
		{"extend", func(n *Notifier) error { return n.ExtendTimeout(90 * time.Second) }, "EXTEND_TIMEOUT_USEC=90000000\n"},
		{"extend by less than nothing", func(n *Notifier) error { return n.ExtendTimeout(-time.Second) }, "EXTEND_TIMEOUT_USEC=0\n"},
		{"errno", func(n *Notifier) error { return n.Errno(syscall.ENOSPC) }, "ERRNO=28\n"},
	}
	for kind, name := range sockets(t) {
		n, next := listen(t, name)
		for _, c := range cases {
			t.Run(kind+"/"+c.name, func(t *testing.T) {
				if err := c.send(n); err != nil {
					t.Fatal(err)
				}
				if got := next(); got != c.want {
					t.Errorf("sent %q, want %q", got, c.want)
				}
			})
		}
	}
}

// The manager compares the time with that of its own request: it must be the
// monotonic clock's, in microseconds, and not older than the call.
func TestReloading(t *testing.T) {
	n, next := listen(t, sockets(t)["path"])
	before := monotonicMicroseconds(t)
	if err := n.Reloading("reading the configuration"); err != nil {
		t.Fatal(err)
	}
	after := monotonicMicroseconds(t)
	lines := strings.Split(next(), "\n")
	if len(lines) != 4 || lines[0] != "RELOADING=1" || lines[2] != "STATUS=reading the configuration" || lines[3] != "" {
		t.Fatalf("sent %q", lines)
	}
	digits, ok := strings.CutPrefix(lines[1], "MONOTONIC_USEC=")
	at, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || at < before || at > after {
		t.Errorf("sent %q between %d and %d", lines[1], before, after)
	}
}

func monotonicMicroseconds(t *testing.T) int64 {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	return now.Sec*1e6 + now.Nsec/1e3
}

func TestNobodyListens(t *testing.T) {
	all := func(n *Notifier) []error {
		return []error{n.Ready("x"), n.Reloading("x"), n.Stopping("x"), n.Status("x"), n.Watchdog(), n.ExtendTimeout(time.Second), n.Errno(syscall.EIO)}
	}
	none := NewNotifier(environment())
	if none.Listening() {
		t.Error("somebody listens without NOTIFY_SOCKET")
	}
	for i, err := range all(none) {
		if err != nil {
			t.Errorf("message %d without NOTIFY_SOCKET: %v", i, err)
		}
	}
	for _, socket := range []string{filepath.Join(t.TempDir(), "gone"), "@postrider-test-nobody", "vsock:2:1", "relative", "/" + strings.Repeat("x", 200)} {
		for i, err := range all(NewNotifier(environment("NOTIFY_SOCKET=" + socket))) {
			if err == nil || !strings.HasPrefix(err.Error(), "notify service manager: ") {
				t.Errorf("message %d to %s: error %v", i, socket, err)
			}
		}
	}
}

// A manager that hangs must not hang the daemon with it.
func TestFullSocket(t *testing.T) {
	n, _ := listen(t, sockets(t)["path"])
	began := time.Now()
	for range 100000 {
		if err := n.Status("x"); err != nil {
			if took := time.Since(began); took < patience || took > 20*patience {
				t.Errorf("gave up after %v: %v", took, err)
			}
			return
		}
	}
	t.Error("a socket that nobody reads takes everything")
}

func TestStatusLine(t *testing.T) {
	long := strings.Repeat("ä", statusLimit)
	cases := []struct{ status, want string }{
		{"", ""},
		{"fetching work: 3 of 12", "STATUS=fetching work: 3 of 12"},
		{"Käse ☃", "STATUS=Käse ☃"},
		{"busy\nREADY=1\r\n", `STATUS=busy\x0aREADY=1\x0d\x0a`},
		{"a\x00b\x1b[2Jc\u0085", `STATUS=a\x00b\x1b[2Jc\x85`},
		{"\xff\xc3", `STATUS=\xff\xc3`},
		{"to \u202emoc\u2028", `STATUS=to \u202emoc\u2028`},
		{"\ufffd", "STATUS=\ufffd"},
		{long, "STATUS=" + long[:504] + "..."},
	}
	for _, c := range cases {
		if got := statusLine(c.status); got != c.want {
			t.Errorf("status %q gives\n%q, want\n%q", c.status, got, c.want)
		}
	}
}
