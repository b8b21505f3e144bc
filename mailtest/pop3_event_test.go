package mailtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// spoilt starts a server whose hook spoils the nth command called verb.
func spoilt(t *testing.T, verb string, nth int, spoil func(*POP3Event)) *POP3 {
	t.Helper()
	s := startPOP3(t, POP3Options{LockWait: 5 * time.Second, Hook: func(e *POP3Event) {
		if e.Verb == verb && e.Nth == nth {
			spoil(e)
		}
	}})
	for i := range 3 {
		s.Mailbox("ada").Add(fmt.Sprint("uid", i+1), Wire(fmt.Appendf(nil, "message %d\n.dot\n", i+1)))
	}
	return s
}

func TestEventSees(t *testing.T) {
	var got []string
	s := startPOP3(t, POP3Options{Hook: func(e *POP3Event) {
		got = append(got, fmt.Sprintf("%d %s/%s/%d %s %d %s", e.Session, e.Verb, e.Arg, e.Nth, e.User, e.Message, e.UID))
	}})
	s.Mailbox("ada").Add("u1", nil)
	c := login(t, s)
	c.retrieve(1)
	c.cmd("+OK", "dele 1")
	c.cmd("-ERR", "TOP 7 0")
	c.cmd("-ERR", "TOP x 0")
	c.cmd("+OK", "QUIT")
	c.ended()
	want := []string{"1 GREETING//1  0 ", "1 USER/ada/1  0 ", "1 PASS/secret/1  0 ", "1 RETR/1/1 ada 1 u1",
		"1 DELE/1/1 ada 1 u1", "1 TOP/7 0/1 ada 7 ", "1 TOP/x 0/2 ada 0 ", "1 QUIT//1 ada 0 "}
	if !slices.Equal(got, want) {
		t.Errorf("events %q\nwant %q", got, want)
	}
}

func TestEventRefuse(t *testing.T) {
	s := spoilt(t, "DELE", 1, func(e *POP3Event) { e.Refuse("[SYS/TEMP] later") })
	c := login(t, s)
	if got := c.cmd("-ERR", "DELE 1"); got != "-ERR [SYS/TEMP] later" {
		t.Errorf("reply %q", got)
	}
	c.cmd("+OK", "DELE 2")
	c.cmd("+OK", "QUIT")
	if n := s.Mailbox("ada").Len(); n != 2 {
		t.Errorf("%d messages are left, want 2", n)
	}

	s = spoilt(t, "GREETING", 1, func(e *POP3Event) { e.Refuse("[SYS/PERM] not you") })
	c = dial(t, s)
	c.expect("-ERR [SYS/PERM]")
	c.ended()
	dial(t, s).expect("-ERR [SYS/PERM]")

	s = spoilt(t, "QUIT", 1, func(e *POP3Event) { e.Refuse("not all removed") })
	c = login(t, s)
	c.cmd("+OK", "DELE 1")
	c.cmd("-ERR", "QUIT")
	c.ended()
	if n := s.Mailbox("ada").Len(); n != 3 {
		t.Errorf("%d messages are left, want 3", n)
	}
}

func TestEventReply(t *testing.T) {
	s := spoilt(t, "RETR", 1, func(e *POP3Event) { e.Reply("-ERR gone") })
	c := login(t, s)
	c.cmd("-ERR gone", "RETR 1")
	c.retrieve(2)

	s = spoilt(t, "RETR", 1, func(e *POP3Event) { e.Reply("+OK 7 octets, or so") })
	c = login(t, s)
	c.cmd("+OK 7 octets, or so", "RETR 1")
	c.rawBody()
}

func TestEventServeAndSize(t *testing.T) {
	s := spoilt(t, "RETR", 1, func(e *POP3Event) {
		e.Serve([]byte("other"))
		e.Size(func(number int, octets int64) int64 { return octets + 1000*int64(number) })
	})
	c := login(t, s)
	if got := c.cmd("+OK", "RETR 2"); got != "+OK 2017 octets" {
		t.Errorf("RETR announces %q", got)
	}
	if got := c.rawBody(); string(got) != "other\r\n" {
		t.Errorf("RETR serves %q", got)
	}
	s = spoilt(t, "LIST", 1, func(e *POP3Event) {
		e.Size(func(int, int64) int64 { return 0 })
	})
	if got := login(t, s).lines("LIST"); !slices.Equal(got, []string{"1 0", "2 0", "3 0"}) {
		t.Errorf("LIST %q", got)
	}
}

func TestEventRows(t *testing.T) {
	s := spoilt(t, "UIDL", 1, func(e *POP3Event) {
		e.Rows(func(row string) string {
			switch row {
			case "1 uid1":
				return ""
			case "2 uid2":
				return "2   uid2"
			}
			return row + "\r\n4 more"
		})
	})
	if got := login(t, s).lines("UIDL"); !slices.Equal(got, []string{"2   uid2", "3 uid3", "4 more"}) {
		t.Errorf("UIDL %q", got)
	}
}

func TestEventEditAndAppend(t *testing.T) {
	s := spoilt(t, "RETR", 1, func(e *POP3Event) {
		e.Edit(func(response []byte) []byte { return bytes.ReplaceAll(response, []byte(".."), []byte(".")) })
		e.Append([]byte("* garbage\r\n"))
	})
	c := login(t, s)
	c.cmd("+OK", "RETR 1")
	for _, want := range []string{"message 1", ".dot", ".", "* garbage"} {
		if line, _ := c.ReadLine(); line != want {
			t.Errorf("line %q, want %q", line, want)
		}
	}
}

func TestEventPretend(t *testing.T) {
	for _, verb := range []string{"DELE", "QUIT"} {
		s := spoilt(t, verb, 1, func(e *POP3Event) { e.Pretend() })
		c := login(t, s)
		c.cmd("+OK", "DELE 1")
		c.cmd("+OK", "QUIT")
		if n := s.Mailbox("ada").Len(); n != 3 {
			t.Errorf("%s: %d messages are left, want 3", verb, n)
		}
		login(t, s) // the lock has been given back
	}
}

func TestEventMute(t *testing.T) {
	s := spoilt(t, "QUIT", 1, func(e *POP3Event) { e.Mute() })
	c := login(t, s)
	c.cmd("+OK", "DELE 1")
	if err := c.PrintfLine("QUIT"); err != nil {
		t.Fatal(err)
	}
	if got := c.ended(); len(got) > 0 {
		t.Errorf("QUIT was answered %q", got)
	}
	if n := s.Mailbox("ada").Len(); n != 2 {
		t.Errorf("%d messages are left, want 2", n)
	}
}

func TestEventCutAtEveryOctet(t *testing.T) {
	const whole = "+OK 17 octets\r\nmessage 1\r\n..dot\r\n.\r\n"
	for n := range len(whole) + 5 {
		s := spoilt(t, "RETR", 1, func(e *POP3Event) { e.Cut(int64(n)) })
		c := login(t, s)
		// More commands than the server reads at once lie in its socket when the
		// line is cut: they must not turn the end into a reset.
		if err := c.PrintfLine("RETR 1\r\n%s", strings.Repeat("RETR 2\r\n", 10000)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c.R)
		if want := whole[:min(n, len(whole))]; string(got) != want || err != nil {
			t.Fatalf("cut at %d: got %q, %v, want %q", n, got, err, want)
		}
		if got := s.Counts().Commands["RETR"]; got != 1 {
			t.Fatalf("cut at %d: %d commands were carried out", n, got)
		}
		_ = s.Close()
	}
}

func TestEventReset(t *testing.T) {
	s := spoilt(t, "STAT", 1, func(e *POP3Event) { e.Reset(0) })
	c := login(t, s)
	if err := c.PrintfLine("STAT"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c.R); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the line ended with %v, want a reset", err)
	}
}

func TestEventStall(t *testing.T) {
	const wait = 150 * time.Millisecond
	s := spoilt(t, "RETR", 1, func(e *POP3Event) { e.Stall(4, wait); e.Cut(13) })
	c := login(t, s)
	if err := c.PrintfLine("RETR 1"); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(c.R, head); err != nil || string(head) != "+OK " {
		t.Fatalf("before the stall: %q, %v", head, err)
	}
	start := time.Now()
	if rest := c.ended(); string(rest) != "17 octets" {
		t.Errorf("after the stall: %q", rest)
	}
	if took := time.Since(start); took < wait/2 {
		t.Errorf("the stall was over after %v, want %v", took, wait)
	}
}

func TestEventStallForEver(t *testing.T) {
	for _, verb := range []string{"GREETING", "STAT", "QUIT"} {
		s := spoilt(t, verb, 1, func(e *POP3Event) { e.Stall(0, 0) })
		c := dial(t, s)
		if _, err := io.WriteString(c.conn, "USER ada\r\nPASS secret\r\nSTAT\r\nQUIT\r\n"); err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{"GREETING", "USER", "PASS", "STAT", "QUIT"} {
			if line == verb {
				break
			}
			c.expect("+OK")
		}
		_ = c.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		line, err := c.ReadLine()
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%s: %q, %v after the stall, want silence", verb, line, err)
		}
		// The session ends, and gives the maildrop back, when the client leaves.
		_ = c.conn.Close()
		if verb != "GREETING" {
			login(t, s)
		}
	}
}

func TestEventTLS(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	s := startPOP3(t, POP3Options{TLS: config, Implicit: true, Hook: func(e *POP3Event) {
		if e.Verb == "TLS" {
			e.Cut(0)
		}
	}})
	if got := dial(t, s).ended(); len(got) > 0 {
		t.Errorf("%q came over a line that was cut before the handshake", got)
	}
}

func TestEventDelay(t *testing.T) {
	const delay = 80 * time.Millisecond
	s := spoilt(t, "STAT", 1, func(e *POP3Event) { e.Delay(delay) })
	c := login(t, s)
	start := time.Now()
	c.cmd("+OK", "STAT")
	if took := time.Since(start); took < delay {
		t.Errorf("the reply came after %v, want %v", took, delay)
	}
}
