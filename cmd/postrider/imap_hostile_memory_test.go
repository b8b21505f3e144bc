//go:build linux

package main_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// flood is what a server says in answer to one command.
type flood struct {
	name string
	verb string             // "GREETING" too
	head string             // %t is the tag
	next func(i int) string // said n times behind the head
	n    int
	tail string
	must string // what stderr must have in it
	long bool   // a list that is kept, up to its own bound
}

func same(chunk string) func(int) string { return func(int) string { return chunk } }

const (
	page  = 64 << 10
	much  = 128 << 20 // octets of a flood
	quota = 16 << 20  // of memory above that of a good session
	more  = 16 << 20  // with a list that is kept
)

func floods() []flood {
	pages, row := much/page, strings.Repeat("x", page)
	return []flood{
		{name: "T26 endless greeting", verb: "GREETING", head: "* OK ", next: same(row), n: pages, must: "too long"},
		{name: "T26 endless code", verb: "EXAMINE", head: "* OK [UNSEEN ", next: same(row), n: pages, must: "too long"},
		{name: "T26 endless tag", verb: "EXAMINE", next: same(row), n: pages, must: "too long"},
		{name: "T26 endless atom", verb: "EXAMINE", head: "* ", next: same(row), n: pages, must: "too long"},
		{name: "T26 endless unknown response", verb: "EXAMINE", head: "* XYZ ", next: same(row), n: pages},
		{name: "T26 capabilities", verb: "CAPABILITY", head: "* CAPABILITY", next: same(strings.Repeat(" CAPABILITY", 100)), n: 10_000, tail: "\r\n%t OK done\r\n"},
		{name: "T26 flags", verb: "EXAMINE", head: "* FLAGS (", next: same(strings.Repeat(`\Seen `, 1000)), n: much / 6000},
		{name: "T26 endless refusal", verb: "EXAMINE", head: "%t NO ", next: same(row), n: pages, must: "too long"},
		{name: "T26 spaces", verb: "EXAMINE", next: same("* OK" + strings.Repeat(" ", page)), n: pages},
		{name: "T26 empty lines", verb: "EXAMINE", next: same(strings.Repeat("\r\n", page)), n: pages / 2},
		{name: "T27 literal in a list", verb: "LIST", head: "* LIST () \"/\" {4294967296}\r\n", next: same(row), n: pages},
		{name: "T27 literal of 2^63", verb: "LIST", head: "* LIST () \"/\" {9223372036854775808}\r\n", next: same(row), n: pages},
		{name: "T27 literal in a row", verb: "UID FETCH", head: "* 1 FETCH (UID 1 X {2147483647}\r\n", next: same(row), n: pages},
		{name: "T27 negative literal", verb: "UID FETCH", head: "* 1 FETCH (UID 1 FLAGS () BODY[] {-1}\r\n", next: same(row), n: pages},
		{name: "T28 small literals", verb: "UID FETCH", head: "* 1 FETCH (UID 1 X (", next: same(strings.Repeat("{1}\r\na ", 1000)), n: much / 7000},
		{name: "T28 small literals in names", verb: "LIST", next: func(i int) string { return fmt.Sprintf("* LIST ({1}\r\na) \"/\" {8}\r\n%08d\r\n", i) }, n: 2_000_000, long: true},
		{name: "T29 quoted string", verb: "LIST", head: "* LIST () \"/\" \"", next: same(row), n: pages},
		{name: "T30 nested lists", verb: "UID FETCH", head: "* 1 FETCH (UID 1 X ", next: same(strings.Repeat("(", page)), n: pages},
		{name: "T30 nested lists in the unknown", verb: "EXAMINE", head: "* XYZ ", next: same(strings.Repeat("(", page)), n: pages},
		{name: "T22 rows", verb: "UID FETCH", next: func(i int) string {
			return fmt.Sprintf("* %d FETCH (UID %d FLAGS (\\Seen) RFC822.SIZE 100)\r\n", i+1, i+1)
		}, n: 200_000, tail: "%t OK done\r\n"},
		{name: "T39 rows that are scattered", verb: "UID FETCH", next: func(i int) string { return fmt.Sprintf("* 1 FETCH (UID %d FLAGS ())\r\n", 2*i+1) }, n: 200_000, tail: "%t OK done\r\n", long: true},
		{name: "T39 rows that are scattered, downwards", verb: "UID FETCH", next: func(i int) string { return fmt.Sprintf("* 1 FETCH (UID %d FLAGS ())\r\n", 400_001-2*i) }, n: 200_000, tail: "%t OK done\r\n", long: true},
		{name: "T43 vanished", verb: "EXAMINE", head: "* VANISHED (EARLIER) 1", next: func(i int) string { return fmt.Sprintf(",%d", 2*i+3) }, n: 5_000_000, tail: "\r\n%t OK done\r\n", long: true},
		{name: "T43 all numbers there are", verb: "UID FETCH", head: "* 1 FETCH (UID x)\r\n%t OK done\r\n", must: "more messages than can be"},
	}
}

// floodServer answers one session after the other, and floods at one command.
func floodServer(t *testing.T, f flood) (port int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(40 * time.Second))
			floodSession(conn, f)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return listener.Addr().(*net.TCPAddr).Port
}

func floodSession(conn net.Conn, f flood) {
	w := bufio.NewWriter(conn)
	answer := func(verb, tag, usual string) error {
		if verb != f.verb {
			_, err := io.WriteString(w, usual)
			return errors.Join(err, w.Flush())
		}
		_, err := io.WriteString(w, strings.ReplaceAll(f.head, "%t", tag))
		for i := 0; i < f.n && err == nil; i++ {
			_, err = io.WriteString(w, f.next(i))
		}
		if err == nil {
			_, err = io.WriteString(w, strings.ReplaceAll(f.tail, "%t", tag))
		}
		return errors.Join(err, w.Flush())
	}
	if answer("GREETING", "", "* OK ready\r\n") != nil {
		return
	}
	usual := map[string]string{
		"CAPABILITY": "* CAPABILITY IMAP4rev1 ESEARCH ID\r\n%t OK done\r\n",
		"EXAMINE":    "* 2 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n%t OK [READ-ONLY] open\r\n",
		"LIST":       "* LIST () \"/\" INBOX\r\n%t OK done\r\n",
		"UID SEARCH": "* ESEARCH (TAG \"%t\") UID ALL 1:4294967295\r\n%t OK done\r\n",
		"UID FETCH":  "* 1 FETCH (UID 1 FLAGS () RFC822.SIZE 3 BODY[] {3}\r\na\r\n)\r\n* 2 FETCH (UID 2 FLAGS () RFC822.SIZE 3 BODY[] {3}\r\nb\r\n)\r\n%t OK done\r\n",
	}
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			return
		}
		verb := words[1]
		if verb == "UID" {
			verb += " " + words[2]
		}
		reply, ok := usual[verb]
		if verb == "UID FETCH" && strings.Contains(lines.Text(), "BODY.PEEK[]") && f.verb == verb && f.n > 100_000 {
			return // a long list is what counts; the mail need not come
		}
		if !ok {
			reply = "%t OK done\r\n"
		}
		if answer(verb, words[0], strings.ReplaceAll(reply, "%t", words[0])) != nil {
			return
		}
	}
}

// TestT26IMAPMemory: whatever a server says, a session takes no more than so much
// memory, and the pass ends. The other numbers are in the names of the floods.
func TestT26IMAPMemory(t *testing.T) {
	t.Parallel()
	binary := buildPostrider(t)
	base, _, _ := floodRun(t, binary, flood{}, "[INBOX, a]")
	for _, f := range floods() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			folders := "[INBOX]"
			if f.verb == "LIST" {
				folders = "[INBOX, a]"
			}
			most, took, stderr := floodRun(t, binary, f, folders)
			t.Logf("%d KiB above %d KiB, %v", (most-base)>>10, base>>10, took.Round(time.Millisecond))
			if most > base+quota && !f.long || most > base+more {
				t.Errorf("%d MiB of memory, %d MiB for a good session", most>>20, base>>20)
			}
			if !strings.Contains(stderr, f.must) {
				t.Errorf("nothing on stderr has %q in it: %s", f.must, stderr)
			}
		})
	}
}

// floodRun runs the program, and returns how much memory it had at most.
func floodRun(t *testing.T, binary string, f flood, folders string) (most int64, took time.Duration, stderr string) {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf("maildir: %s/Mail\noutbox: off\nlog: {level: error}\naccounts:\n  work:\n    user: ada\n    password: secret\n    imap: {host: 127.0.0.1, port: %d, tls: none, folders: %s, timeout: 1s, schedule: manual, max_size: 1}\n", dir, floodServer(t, f), folders)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	var out strings.Builder
	c := exec.CommandContext(ctx, binary, "-c", config, "fetch", "--quiet")
	c.Env = []string{"HOME=" + dir, "XDG_STATE_HOME=" + filepath.Join(dir, "state"), "PATH=" + os.Getenv("PATH")}
	c.Stderr = &out
	start := time.Now()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		most = peakUntil(c.Process.Pid, ended)
	}()
	_ = c.Wait() // it fails as it may: what counts is that it ends
	close(ended)
	<-watched
	if ctx.Err() != nil {
		t.Fatalf("it did not end by itself: %s", out.String())
	}
	return most, time.Since(start), out.String()
}

// peakUntil returns how much memory a process had at most when it was looked at
// last. What the kernel tells when it has ended counts the process that started
// it, too.
func peakUntil(pid int, ended <-chan struct{}) (most int64) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
			if _, rest, ok := strings.Cut(string(text), "VmHWM:"); ok {
				var kib int64
				if _, err := fmt.Sscanf(rest, "%d kB", &kib); err == nil {
					most = max(most, kib<<10)
				}
			}
		}
		select {
		case <-ended:
			return most
		case <-tick.C:
		}
	}
}
