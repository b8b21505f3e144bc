package imap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestIdle(t *testing.T) {
	dialogue(t, Options{}, `
		S: * OK [CAPABILITY IMAP4rev1 IDLE] x
		C: A IDLE
		S: * 4 EXISTS
		S: + idling
		S: * 3 EXPUNGE
		S: * 2 EXISTS
		C+ DONE
		S: * 9 EXISTS
		S: A OK
		C: B NOOP
		S: B OK
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		ctx := context.Background()
		var s strings.Builder
		noError(t, c.Idle(ctx, 0, func(e Event) bool {
			fmt.Fprintf(&s, "%d:%d ", e.Kind, e.Number)
			return e.Number != 2
		}))
		if s.String() != "0:4 1:3 0:2 " {
			t.Errorf("got %s", s.String())
		}
		noError(t, c.Noop(ctx))
	})
}

// IDLE is renewed, and its end by the context leaves the session whole.
func TestIdleRenewsAndEnds(t *testing.T) {
	dialogue(t, Options{}, `
		S: * OK [CAPABILITY IMAP4rev1 IDLE] x
		C: A IDLE
		S: + idling
		C+ DONE
		S: A OK
		C: B IDLE
		S: + idling
		C+ DONE
		S: B OK
		C: C NOOP
		S: C OK
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), 14*time.Minute)
		defer cancel()
		start := time.Now()
		noError(t, c.Idle(ctx, 0, func(Event) bool { return true }))
		if d := time.Since(start); d != 14*time.Minute {
			t.Errorf("it took %v", d)
		}
		noError(t, c.Noop(context.Background()))
	})
}

func TestT40Idle(t *testing.T) {
	for name, tt := range map[string]struct {
		said string
		took time.Duration
		want any
	}{
		"no answer to DONE": {"C: A IDLE\nS: +\nC+ DONE\nSTALL", 10 * time.Minute, new(*ConnError)},
		"no answer to IDLE": {"C: A IDLE\nSTALL", time.Minute, new(*ConnError)},
		"cut":               {"C: A IDLE\nS: +\nCUT", 0, new(*ConnError)},
		"cut in a line":     {"C: A IDLE\nS: +\nS~ \"* 4 EXI\"\nCUT", 0, new(*ConnError)},
		"stalled in a line": {"C: A IDLE\nS: +\nS~ \"* 4 EXI\"\nSTALL", time.Minute, new(*ConnError)},
		"ended":             {"C: A IDLE\nS: +\nS: A OK", 0, ErrIdleEnded},
		"ended at once":     {"C: A IDLE\nS: A OK", 0, ErrIdleEnded},
		"refused":           {"C: A IDLE\nS: A BAD no", 0, nil},
		"bye":               {"C: A IDLE\nS: +\nS: * BYE timeout\nSTALL", 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dialogue(t, Options{}, "S: * OK [CAPABILITY IMAP4rev1 IDLE] x\n"+tt.said, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				start := time.Now()
				err = c.Idle(context.Background(), 0, func(Event) bool { return true })
				if d := time.Since(start); d != tt.took {
					t.Errorf("it took %v", d)
				}
				switch {
				case tt.want == nil:
					var e *ResponseError
					if !errors.As(err, &e) {
						t.Errorf("got %v", err)
					}
				case tt.want == ErrIdleEnded:
					if !errors.Is(err, ErrIdleEnded) || c.failed != nil {
						t.Errorf("got %v", err)
					}
				default:
					broken(t, c, err, tt.want)
				}
			})
		})
	}
}

// A flood of events costs its octets and has an end.
func TestT40Flood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer far.Close()
			go func() {
				b := make([]byte, 100)
				for {
					if _, err := far.Read(b); err != nil {
						return
					}
				}
			}()
			far.Write([]byte("* OK [CAPABILITY IDLE] x\r\n+ idling\r\n"))
			flood := []byte(strings.Repeat("* 4 EXISTS\r\n", 5000))
			for {
				if _, err := far.Write(flood); err != nil {
					return
				}
			}
		}()
		c, err := New(context.Background(), near, Options{})
		noError(t, err)
		n := 0
		err = c.Idle(context.Background(), 0, func(Event) bool { n++; return true })
		var e *ProtocolError
		if !errors.As(err, &e) || n < maxListed-10 {
			t.Errorf("got %v after %d events", err, n)
		}
		<-done
	})
}

func TestIdleClose(t *testing.T) {
	dialogue(t, Options{}, `
		S: * OK [CAPABILITY IMAP4rev1 IDLE] x
		C: A IDLE
		S: + idling
		STALL
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		time.AfterFunc(time.Second, func() { c.Close() })
		err = c.Idle(context.Background(), 0, func(Event) bool { return true })
		broken(t, c, err, new(*ConnError))
	})
}

func TestNotify(t *testing.T) {
	var s strings.Builder
	events := func(e Event) {
		fmt.Fprintf(&s, "%d", e.Kind)
		if e.Mailbox != nil {
			fmt.Fprintf(&s, " %s", e.Mailbox.Name)
		}
		if e.Status != nil {
			fmt.Fprintf(&s, " %d", e.Status.UIDNext)
		}
		if e.Message != nil {
			fmt.Fprintf(&s, " %d %v", e.Message.UID, e.Message.Flags)
		}
		fmt.Fprintf(&s, " %v %q\n", e.UIDs, e.Text)
	}
	dialogue(t, Options{Events: events}, `
		S: * OK [CAPABILITY IMAP4rev1 NOTIFY] x
		C: A NOTIFY SET STATUS (selected (MessageNew MessageExpunge FlagChange)) (personal (MessageNew MessageExpunge MailboxName)) (mailboxes ("a (b" "c") (MessageNew MessageExpunge))
		S: * STATUS misc (UIDNEXT 999)
		S: * LIST (\NonExistent) "." "x" ("OLDNAME" ("y"))
		S: * VANISHED 5:7
		S: * 4 FETCH (UID 9 FLAGS (\Seen))
		S: * OK [NOTIFICATIONOVERFLOW] sorry
		S: * NO [ALERT] disk
		S: * NO slow
		S: A OK [ALERT] read this
		C: B NOTIFY NONE
		S: B OK
	`, func(t *testing.T, c *Client, err error) {
		s.Reset()
		noError(t, err)
		noError(t, c.Notify(context.Background(), NotifyRequest{Personal: true, Mailboxes: []Name{"a (b", "c"}, Status: true}))
		noError(t, c.Notify(context.Background(), NotifyRequest{}))
		equal(t, "events", s.String(), `
			4 misc 999  ""
			5 x  ""
			2 5:7 ""
			3 9 [\Seen]  ""
			6  "sorry"
			7  "disk"
			8  "slow"
			7  "read this"
		`)
	})
}
