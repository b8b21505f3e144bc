package mailtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// spoiltIMAP serves three messages; the hook spoils the nth command called verb.
// The session has INBOX open.
func spoiltIMAP(t *testing.T, verb string, nth int, spoil func(*IMAPEvent)) (*IMAP, *imapTalk) {
	t.Helper()
	s := startIMAP(t, IMAPOptions{Without: []string{"CONDSTORE", "QRESYNC"}, Hook: func(e *IMAPEvent) {
		if e.Verb == verb && e.Nth == nth {
			spoil(e)
		}
	}})
	for i := range 3 {
		s.Account("ada").Mailbox("INBOX").Add(fmt.Appendf(nil, "message %d\r\n", i+1))
	}
	return s, loginIMAP(t, s)
}

const openINBOX = `
	C: open SELECT INBOX
	S~: [*].*
	S~: [*].*
	S~: [*].*
	S~: [*].*
	S~: [*].*
	S~: [*].*
	S~: [*].*
	S~: open OK .*`

func TestIMAPEventSees(t *testing.T) {
	var got []string
	s := startIMAP(t, IMAPOptions{Without: []string{"CONDSTORE", "QRESYNC"}, Hook: func(e *IMAPEvent) {
		got = append(got, fmt.Sprintf("%d %s %s(%s)%d %s %s", e.Session, e.Tag, e.Verb, e.Arg, e.Nth, e.User, e.Mailbox))
		if strings.HasPrefix(e.Verb, "UID ") && (!e.Covers(7) || e.Covers(6) || !e.Covers(1<<32-1)) {
			t.Errorf("%s %s covers the wrong UIDs", e.Verb, e.Arg)
		}
	}})
	s.Account("ada").Mailbox("INBOX").Add([]byte("x\r\n"))
	c := loginIMAP(t, s)
	c.play(openINBOX)
	c.play(`
		C: f uid fetch 7:* uid
		S: * 1 FETCH (UID 1)
		S: f OK fetched
		C: a STATUS {1}
		S~: [+].*
		C: x (MESSAGES)
		S~: a NO .*
		C: i idle
		S: + idling
		C: DONE
		S: i OK IDLE ended`)
	want := []string{"1  GREETING()1  ", "1 l LOGIN(ada secret)1  ", "1 open SELECT(INBOX)1 ada INBOX", "1 f UID FETCH(7:* uid)1 ada INBOX",
		"1 a +(a STATUS {1})1 ada INBOX", "1 a STATUS({1}\r\nx (MESSAGES))1 ada x", "1 i IDLE()1 ada INBOX", "1 i DONE(DONE)1 ada INBOX"}
	if !slices.Equal(got, want) {
		t.Errorf("events\n%q, want\n%q", got, want)
	}
}

func TestIMAPEventRefuses(t *testing.T) {
	s, c := spoiltIMAP(t, "UID STORE", 1, func(e *IMAPEvent) { e.Refuse("[INUSE] later") })
	c.play(openINBOX + `
		C: a UID STORE 1 +FLAGS (\Seen)
		S: a NO [INUSE] later
		C: b UID STORE 2 +FLAGS.SILENT (\Seen)
		S: b OK stored`)
	if m := s.Account("ada").Mailbox("INBOX").Messages(); len(m[0].Flags) != 0 || len(m[1].Flags) != 1 {
		t.Errorf("flags %v, %v", m[0].Flags, m[1].Flags)
	}
	_, c = spoiltIMAP(t, "NOOP", 2, func(e *IMAPEvent) { e.Bad("what?") })
	c.play("C: a NOOP\nS: a OK nothing done\nC: b NOOP\nS: b BAD what?\nC: c NOOP\nS: c OK nothing done")
	_, c = spoiltIMAP(t, "NOOP", 1, func(e *IMAPEvent) { e.Bye("enough") })
	c.play("C: a NOOP\nS: * BYE enough")
	if got := c.ended(); got != "" {
		t.Errorf("after BYE: %q", got)
	}
	s = startIMAP(t, IMAPOptions{Hook: func(e *IMAPEvent) { e.Refuse("[UNAVAILABLE] not you") }})
	c = talkIMAP(t, s)
	c.play("S: * BYE [UNAVAILABLE] not you")
	c.ended()
	_, c = spoiltIMAP(t, "+", 1, func(e *IMAPEvent) { e.Refuse("[OVERQUOTA] too large") })
	c.play("C: a APPEND INBOX {100}\nS: a NO [OVERQUOTA] too large\nC: b NOOP\nS: b OK nothing done")
}

func TestIMAPEventReplaces(t *testing.T) {
	_, c := spoiltIMAP(t, "SELECT", 1, func(e *IMAPEvent) { e.Reply("* 7 EXISTS", "junk", e.Tag+" OK [READ-WRITE] yes") })
	c.play(`
		C: a SELECT INBOX
		S: * 7 EXISTS
		S: junk
		S: a OK [READ-WRITE] yes
		C: b FETCH 3 UID
		S: * 3 FETCH (UID 3)
		S: b OK fetched`)
	_, c = spoiltIMAP(t, "UID FETCH", 1, func(e *IMAPEvent) {
		e.Serve(1, []byte("other\r\n"))
		e.Serve(2, nil)
		e.Serve(3, []byte{})
	})
	c.play(openINBOX + `
		C: a UID FETCH 1:3 BODY.PEEK[]
		S: * 1 FETCH (UID 1 BODY[] {7}
		S: other
		S: )
		S: * 2 FETCH (UID 2 BODY[] NIL)
		S: * 3 FETCH (UID 3 BODY[] {0}
		S: )
		S: a OK fetched`)
	_, c = spoiltIMAP(t, "UID FETCH", 1, func(e *IMAPEvent) {
		e.Row(func(uid uint32, row []byte) []byte {
			switch uid {
			case 1:
				return nil
			case 2:
				return append(row, row...)
			}
			return bytes.Replace(row, []byte("UID 3"), []byte("UID 9"), 1)
		})
	})
	c.play(openINBOX + `
		C: a UID FETCH 1:* BODY.PEEK[]<0.1>
		S: * 2 FETCH (UID 2 BODY[]<0> {1}
		S: m)
		S: * 2 FETCH (UID 2 BODY[]<0> {1}
		S: m)
		S: * 3 FETCH (UID 9 BODY[]<0> {1}
		S: m)
		S: a OK fetched`)
	_, c = spoiltIMAP(t, "NOOP", 1, func(e *IMAPEvent) {
		e.Edit(func(r []byte) []byte { return append([]byte("* 9 RECENT\r\n"), r...) })
		e.Append([]byte("* OK more\r\n"))
	})
	c.play("C: a NOOP\nS: * 9 RECENT\nS: a OK nothing done\nS: * OK more\nC: b NOOP\nS: b OK nothing done")
}

func TestIMAPEventPretends(t *testing.T) {
	s := startIMAP(t, IMAPOptions{Without: []string{"CONDSTORE", "QRESYNC"}, Hook: func(e *IMAPEvent) { e.Pretend() }})
	inbox := s.Account("ada").Mailbox("INBOX")
	inbox.Add([]byte("x\r\n"), `\Deleted`, `\Seen`)
	c := loginIMAP(t, s)
	c.play(strings.Replace(openINBOX, "\tS~: [*].*\n", "", 1))
	c.play(`
		C: a UID STORE 1 FLAGS.SILENT ()
		S: a OK stored
		C: b UID EXPUNGE 1
		S: b OK expunged
		C: c UID MOVE 1 INBOX
		S: * OK [COPYUID 1001 1 2] copied
		S: c OK moved
		C: d APPEND INBOX {1+}
		C: x
		S: d OK [APPENDUID 1001 2] appended
		C: e CREATE x
		S: e OK done
		C: f CLOSE
		S: f OK closed`)
	if m := inbox.Messages(); len(m) != 1 || len(m[0].Flags) != 2 || len(s.Account("ada").Mailboxes()) != 1 {
		t.Errorf("it was done: %+v", m)
	}
}

func TestIMAPEventSilence(t *testing.T) {
	s, c := spoiltIMAP(t, "UID STORE", 1, func(e *IMAPEvent) { e.Mute() })
	c.play(openINBOX + `
		C: a UID STORE 1 +FLAGS (\Seen)
		C: b NOOP
		S: b OK nothing done`)
	if m := s.Account("ada").Mailbox("INBOX").Messages(); len(m[0].Flags) != 1 {
		t.Error("a muted command was not carried out")
	}
	_, c = spoiltIMAP(t, "NOOP", 1, func(e *IMAPEvent) { e.Delay(30 * time.Millisecond) })
	began := time.Now()
	c.play("C: a NOOP\nS: a OK nothing done")
	if d := time.Since(began); d < 30*time.Millisecond {
		t.Errorf("answered after %v", d)
	}
	_, c = spoiltIMAP(t, "NOOP", 1, func(e *IMAPEvent) { e.Stall(4, 30*time.Millisecond) })
	began = time.Now()
	c.play("C: a NOOP\nREAD: \"a OK\"")
	if d := time.Since(began); d > 25*time.Millisecond {
		t.Skipf("the machine is too slow to see the stall (%v)", d)
	}
	c.play("READ: \" nothing done\\r\\n\"")
	if d := time.Since(began); d < 30*time.Millisecond {
		t.Errorf("no stall: %v", d)
	}
	_, c = spoiltIMAP(t, "DONE", 1, func(e *IMAPEvent) { e.Stall(0, 0) })
	c.play("C: a IDLE\nS: + idling\nC: DONE")
	_ = c.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if rest, err := io.ReadAll(c.r); err == nil || len(rest) > 0 {
		t.Errorf("DONE was answered: %q, %v", rest, err)
	}
}

// TestIMAPEventCut cuts a FETCH at every octet: what arrives is exactly so many.
func TestIMAPEventCut(t *testing.T) {
	whole := "* 1 FETCH (UID 1 BODY[] {11}\r\nmessage 1\r\n)\r\na OK fetched\r\n"
	for n := range int64(len(whole) + 2) {
		_, c := spoiltIMAP(t, "UID FETCH", 1, func(e *IMAPEvent) { e.Cut(n) })
		c.play(openINBOX)
		c.send("a UID FETCH 1 BODY.PEEK[]\r\n")
		if got, want := c.ended(), whole[:min(n, int64(len(whole)))]; got != want {
			t.Fatalf("cut at %d: %q, want %q", n, got, want)
		}
	}
	_, c := spoiltIMAP(t, "NOOP", 1, func(e *IMAPEvent) { e.Reset(3) })
	c.send("a NOOP\r\n")
	if _, err := io.ReadAll(c.r); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after a reset: %v", err)
	}
}

// TestIMAPEventChangesMailbox: the hook may use the server, before and after.
func TestIMAPEventChangesMailbox(t *testing.T) {
	var inbox *IMAPMailbox
	s, c := spoiltIMAP(t, "UID FETCH", 1, func(e *IMAPEvent) {
		inbox.Remove(1)
		e.After(func() { inbox.Add([]byte("new\r\n")) })
	})
	inbox = s.Account("ada").Mailbox("INBOX")
	c.play(openINBOX + `
		C: a UID FETCH 1:2 UID
		S: * 2 FETCH (UID 2)
		S: * 1 EXPUNGE
		S: a OK fetched
		C: b NOOP
		S: * 3 EXISTS
		S: b OK nothing done`)
}
