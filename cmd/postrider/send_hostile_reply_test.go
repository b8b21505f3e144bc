package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/mailtest"
)

// TestT77SMTPReplies: replies that are none end the session, wherever they come.
// Before the final dot the message waits, behind it nobody knows.
func TestT77SMTPReplies(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]string{
		"differing codes": "250-one\r\n550 two\r\n", "code 000": "000 what\r\n", "code 999": "999 what\r\n", "letters": "OK\r\n",
		"64 KiB": "250 " + strings.Repeat("x", 64<<10+1) + "\r\n", "endless": strings.Repeat("250-go on\r\n", 100_000), "empty": "\r\n", "no line": "250",
	} {
		for _, verb := range []string{"EHLO", "AUTH", "MAIL", "RCPT", "DATA", "DOT"} {
			t.Run(name+" to "+verb, func(t *testing.T) {
				t.Parallel()
				s := startSMTP(t, mailtest.SMTPOptions{Hook: onSMTP(verb, func(e *mailtest.SMTPEvent) {
					e.Edit(func([]byte) []byte { return []byte(bad) })
					e.Cut(int64(len(bad)))
				})})
				h := newSender(t, []sendAccount{{port: s.Port(), keys: "timeout: 1s"}})
				h.drop("a.eml", noteTo("a", "bob@example.com"))
				o := h.pipe("", "send")
				if o.code != exitUnavailable && o.code != exitTemporary {
					t.Errorf("exit code %d: %s", o.code, o.stderr)
				}
				if len(o.stderr) > 2000 {
					t.Errorf("%d octets are shown", len(o.stderr))
				}
				letters := 0
				if verb == "DOT" {
					letters = 1 // about the doubt
					h.queued("uncertain")
					got(t, s, 1)
					h.due()
					h.sends(exitOK)
				} else {
					h.queued("deferred")
					got(t, s, 0)
				}
				if n := len(h.reports("work")); n != letters {
					t.Errorf("%d letters, want %d", n, letters)
				}
			})
		}
	}
}

// TestT78SMTPOddAnswers: a 250 to DATA, a 354 that comes late, and a 421 anywhere.
func TestT78SMTPOddAnswers(t *testing.T) {
	t.Parallel()
	t.Run("250 to DATA", func(t *testing.T) {
		t.Parallel()
		s := startSMTP(t, mailtest.SMTPOptions{Hook: onSMTP("DATA", func(e *mailtest.SMTPEvent) { e.Reply("250 2.0.0 queued") })})
		h := newSender(t, []sendAccount{{port: s.Port(), keys: "timeout: 1s"}})
		h.drop("a.eml", noteTo("a", "bob@example.com"))
		h.sends(exitTemporary, "DATA")
		h.queued("deferred")
		got(t, s, 0)
	})
	t.Run("354 late", func(t *testing.T) {
		t.Parallel()
		s := startSMTP(t, mailtest.SMTPOptions{Hook: onSMTP("DATA", func(e *mailtest.SMTPEvent) { e.Delay(300 * time.Millisecond) })})
		h := newSender(t, []sendAccount{{port: s.Port(), keys: "timeout: 1s"}})
		h.drop("a.eml", noteTo("a", "bob@example.com"))
		h.sends(exitOK)
		got(t, s, 1)
	})
	t.Run("354 too late", func(t *testing.T) {
		t.Parallel()
		s := startSMTP(t, mailtest.SMTPOptions{Hook: onSMTP("DATA", func(e *mailtest.SMTPEvent) { e.Stall(0, 0) })})
		h := newSender(t, []sendAccount{{port: s.Port(), keys: "timeout: 1s"}})
		h.drop("a.eml", noteTo("a", "bob@example.com"))
		h.sends(exitTemporary, "timeout")
		h.queued("deferred")
		got(t, s, 0)
	})
	for _, verb := range []string{"GREETING", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "DOT"} {
		t.Run("421 to "+verb, func(t *testing.T) {
			t.Parallel()
			var told atomic.Bool
			s := startSMTP(t, mailtest.SMTPOptions{Hook: onSMTP(verb, func(e *mailtest.SMTPEvent) {
				if !told.Swap(true) {
					e.Refuse(421, "4.3.2 going down")
				}
			})})
			h := newSender(t, []sendAccount{{port: s.Port()}})
			h.drop("a.eml", noteTo("a", "bob@example.com"))
			h.drop("b.eml", noteTo("b", "bob@example.com"))
			// The message that met it is put off; another may go out by a session more.
			h.sends(exitTemporary)
			if n, q := len(s.Messages()), h.spooled(); n > 1 || q != "deferred deferred"[9*n:] {
				t.Errorf("%d messages at the server, queued: %q", n, q)
			}
			h.due()
			h.sends(exitOK)
			got(t, s, 2)
			h.queued("")
		})
	}
}

// TestT79SMTPCut cuts the line behind many an octet of a session, either way. The
// message is sent, or waits, or is uncertain; the last only if the line broke
// between the final dot and its reply. Nobody gets it twice without being asked.
func TestT79SMTPCut(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, mailtest.SMTPOptions{})
	try := func(dir mailtest.Direction, n int64) (up, down int64, state string) {
		h := newSender(t, nil)
		p := startProxy(t, s.Addr(), mailtest.ProxyOptions{CutAfter: func(_ int, d mailtest.Direction) int64 {
			if d == dir {
				return n
			}
			return -1
		}})
		defer p.Close()
		subject := fmt.Sprintf("%v %d", dir, n)
		h.accounts([]sendAccount{{port: p.Port(), keys: "timeout: 5s"}})
		h.drop("a.eml", noteTo(subject, "bob@example.com"))
		o := h.pipe("", "send")
		state = h.spooled()
		have := s.Accepted()["<"+strings.ReplaceAll(subject, " ", ".")+"@example.org>"]
		switch {
		case o.code == exitOK && state == "" && have == 1:
		case o.code != exitOK && state == "deferred" && have == 0:
		case o.code == exitTemporary && state == "uncertain" && have <= 1:
		default:
			t.Errorf("cut %s: exit code %d, queued %q, %d at the server\n%s", subject, o.code, state, have, o.stderr)
		}
		h.accounts([]sendAccount{{port: s.Port()}})
		h.due()
		h.pipe("", "send").wants(exitOK)
		want := 1
		if state == "uncertain" {
			want = have
		}
		if again := s.Accepted()["<"+strings.ReplaceAll(subject, " ", ".")+"@example.org>"]; again != want {
			t.Errorf("cut %s: %q, then %d at the server, want %d", subject, state, again, want)
		}
		return p.Octets(1, mailtest.Up), p.Octets(1, mailtest.Down), state
	}
	up, down, _ := try(mailtest.Up, -1)
	text := int64(len(mailtest.Wire([]byte(noteTo("down 123", "bob@example.com")))))
	var wg sync.WaitGroup
	room := make(chan struct{}, 4)
	var uncertain atomic.Int64
	for _, way := range []struct {
		dir  mailtest.Direction
		most int64
	}{{mailtest.Up, up}, {mailtest.Down, down}} {
		for n := int64(0); n < way.most; n++ {
			near := way.most - n
			if n%11 != 0 && near > 45 && os.Getenv("POSTRIDER_WHOLE") != "1" {
				continue
			}
			room <- struct{}{}
			wg.Go(func() {
				defer func() { <-room }()
				_, _, state := try(way.dir, n)
				if state != "uncertain" {
					return
				}
				uncertain.Add(1)
				// Behind it there are the reply to the dot, QUIT, and its reply. Up it can be the whole
				// text, as a client cannot see how much of what it has sent goes through.
				if way.dir == mailtest.Up && near > text+int64(len("..\r\n.\r\nQUIT\r\n")) || way.dir == mailtest.Down && near > 60 {
					t.Errorf("cut %v behind %d of %d octets is uncertain", way.dir, n, way.most)
				}
			})
		}
	}
	wg.Wait()
	if uncertain.Load() == 0 {
		t.Error("no cut fell behind the final dot")
	}
	faultless(t, s)
}

// TestT80LateReplyToTheDot: the account's timeout is not for the final dot, for
// which a server may take minutes. (The minutes themselves are tested in smtp.)
func TestT80LateReplyToTheDot(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, mailtest.SMTPOptions{Hook: onSMTP("DOT", func(e *mailtest.SMTPEvent) { e.Delay(1500 * time.Millisecond) })})
	h := newSender(t, []sendAccount{{port: s.Port(), keys: "timeout: 1s"}})
	h.drop("a.eml", noteTo("a", "bob@example.com"))
	h.sends(exitOK)
	got(t, s, 1)
	h.queued("")
}

// TestT81MixedRecipients: everyone has an outcome of one's own, whatever happens
// to the others and to the line.
func TestT81MixedRecipients(t *testing.T) {
	t.Parallel()
	var greylisted atomic.Bool
	var cut atomic.Bool
	greylisted.Store(true)
	cut.Store(true)
	s := startSMTP(t, mailtest.SMTPOptions{Hook: func(e *mailtest.SMTPEvent) {
		switch {
		case e.Verb == "RCPT" && strings.Contains(e.Arg, "hard"):
			e.Refuse(550, "5.1.1 no such user")
		case e.Verb == "RCPT" && strings.Contains(e.Arg, "soft") && greylisted.Load():
			e.Refuse(450, "4.2.1 later")
		case e.Verb == "DOT" && cut.Load():
			e.Cut(0)
		}
	}})
	h := newSender(t, []sendAccount{{port: s.Port()}})
	h.drop("a.eml", noteTo("a", "ok@example.com", "hard@example.com", "soft@example.com"))
	h.sends(exitTemporary)
	h.queued("uncertain")
	h.due()
	h.sends(exitOK) // nothing is due
	got(t, s, 1)

	id := h.files(".spool", "uncertain")[0]
	show := h.pipe("", "queue", "show", id).wants(exitOK).stdout
	for _, line := range []string{"<ok@example.com> waiting", "<hard@example.com> failed", "<soft@example.com> waiting"} {
		if !strings.Contains(show, line) {
			t.Errorf("no %q in\n%s", line, show)
		}
	}
	// The user knows that it did not arrive, and asks for it.
	cut.Store(false)
	h.pipe("", "queue", "retry", id).wants(exitOK)
	h.sends(exitTemporary)
	greylisted.Store(false)
	h.due()
	h.sends(exitFailed, "not sent to all recipients")
	h.queued("")
	count := map[string]int{}
	for _, m := range s.Messages() {
		for _, to := range m.To {
			count[to]++
		}
	}
	if fmt.Sprint(count) != "map[ok@example.com:2 soft@example.com:1]" { // ok twice, as was asked for
		t.Errorf("%v", count)
	}
	all := strings.Join(h.reports("work"), "\n")
	if n := len(h.reports("work")); n != 2 || strings.Count(all, "Final-Recipient:") != 1 || !strings.Contains(all, "Final-Recipient: rfc822; hard@example.com") || strings.Count(all, "postrider queue retry "+id) != 1 {
		t.Errorf("%d letters:\n%s", n, all)
	}
	if n := len(h.copies("work")); n != 1 {
		t.Errorf("%d copies", n)
	}
}

// TestT82OneReport: what a server refuses is reported once; a message from the
// null sender never, as it may be a report.
func TestT82OneReport(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, mailtest.SMTPOptions{Hook: onSMTP("DOT", func(e *mailtest.SMTPEvent) { e.Refuse(554, "5.7.1 spam \x1b[31m\u202e") })})
	h := newSender(t, []sendAccount{{port: s.Port()}})
	h.drop("a.eml", noteTo("a", "bob@example.com"))
	h.sends(exitFailed)
	h.sends(exitOK)
	h.due()
	h.sends(exitOK)
	if r := h.reports("work"); len(r) != 1 || !strings.Contains(r[0], "Status: 5.7.1") || strings.Contains(r[0], "\x1b") {
		t.Errorf("%d reports: %q", len(r), r)
	}
	if why := h.why("a.eml"); !strings.Contains(why, "5.7.1 spam") || strings.ContainsAny(why, "\x1b\u202e") {
		t.Errorf("%q", why)
	}
	h.pipe(noteTo("b", "bob@example.com"), "sendmail", "-f", "<>", "-t").wants(exitOK)
	h.pipe(noteTo("c", "bob@example.com"), "sendmail", "-N", "never", "-t").wants(exitOK)
	h.sends(exitFailed)
	if r := h.reports("work"); len(r) != 1 {
		t.Errorf("%d reports", len(r))
	}
	h.queued("")
	if n := s.Counts().Commands["DOT"]; n != 3 {
		t.Errorf("%d tries", n)
	}
	if n := len(h.files("failed")); n != 6 {
		t.Errorf("in failed/: %v", h.files("failed"))
	}
}

// TestT83BackoffOutlivesTheProcess: what was put off is left alone by the runs
// that come before its time, and each delay is longer than the one before.
func TestT83BackoffOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, mailtest.SMTPOptions{Hook: onSMTP("RCPT", func(e *mailtest.SMTPEvent) { e.Refuse(451, "4.3.0 later") })})
	h := newSender(t, []sendAccount{{port: s.Port()}})
	h.drop("a.eml", noteTo("a", "bob@example.com"))
	var last time.Duration
	for attempt := 1; attempt <= 4; attempt++ {
		h.sends(exitTemporary, "1 message put off")
		for range 3 {
			h.sends(exitOK)
		}
		if n := s.Counts().Commands["RCPT"]; n != attempt {
			t.Fatalf("%d tries, want %d", n, attempt)
		}
		id := h.files(".spool", "deferred")[0]
		show := h.pipe("", "queue", "show", id).stdout
		_, rest, _ := strings.Cut(show, "next:")
		next, err := time.Parse(time.RFC3339, strings.TrimSpace(rest[:strings.Index(rest, "\n")]))
		if err != nil || !strings.Contains(show, fmt.Sprintf("attempts:  %d\n", attempt)) || !strings.Contains(show, "4.3.0 later") {
			t.Fatalf("%v in\n%s", err, show)
		}
		delay := time.Until(next)
		if delay < last*3/2 || delay < 50*time.Second || delay > 10*time.Minute {
			t.Errorf("delay %d is %v, after %v", attempt, delay, last)
		}
		last = delay
		h.due()
	}
	// So is an account whose server is not there.
	h.accounts([]sendAccount{{port: 1}})
	h.sends(exitUnavailable)
	h.sends(exitOK)
	if o := h.pipe("", "queue"); !strings.Contains(o.stdout, "connection refused") {
		t.Errorf("the queue is\n%s", o.stdout)
	}
}
