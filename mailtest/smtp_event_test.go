package mailtest

import (
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

// spoiltSMTP starts a server whose hook spoils the nth command called verb.
func spoiltSMTP(t *testing.T, verb string, nth int, spoil func(*SMTPEvent)) *SMTP {
	t.Helper()
	return startSMTP(t, SMTPOptions{Hook: func(e *SMTPEvent) {
		if e.Verb == verb && e.Nth == nth {
			spoil(e)
		}
	}})
}

// smtpFlight brings a message with the text "x" to its final dot.
const smtpFlight = `
	C: MAIL FROM:<a@a.example>
	S: 250 *
	C: RCPT TO:<b@b.example>
	S: 250 *
	C: DATA
	S: 354 *
	C: x
	C: .
`

func TestSMTPEventSees(t *testing.T) {
	var got []string
	s := startSMTP(t, SMTPOptions{Hook: func(e *SMTPEvent) {
		got = append(got, fmt.Sprintf("%d %s/%s/%d %s %s %q", e.Session, e.Verb, e.Arg, e.Nth, e.From, e.To, e.Octets))
	}})
	c := dialSMTP(t, s)
	c.greet()
	c.say(smtpFlight + "S: 250 *\nC: quit\nS: 221 *\nS: (end)")
	want := []string{`1 GREETING//1  [] ""`, `1 EHLO/client.example/1  [] ""`, `1 MAIL/FROM:<a@a.example>/1 a@a.example [] ""`,
		`1 RCPT/TO:<b@b.example>/1 a@a.example [b@b.example] ""`, `1 DATA//1 a@a.example [b@b.example] ""`,
		`1 TEXT//1 a@a.example [b@b.example] ""`, `1 DOT//1 a@a.example [b@b.example] "x\r\n"`, `1 QUIT//1  [] ""`}
	if !slices.Equal(got, want) {
		t.Errorf("events %q\nwant %q", got, want)
	}
}

func TestSMTPEventRefuse(t *testing.T) {
	s := spoiltSMTP(t, "RCPT", 2, func(e *SMTPEvent) { e.Refuse(451, "4.7.1 one\n4.7.1 two") })
	c := dialSMTP(t, s)
	c.greet()
	c.say(`
		C: MAIL FROM:<a@a.example>
		C: RCPT TO:<b@b.example>
		C: RCPT TO:<c@b.example>
		C: RCPT TO:<d@b.example>
		C: DATA
		S: 250 *
		S: 250 *
		S: 451-4.7.1 one
		S: 451 4.7.1 two
		S: 250 *
		S: 354 *
		C: .
		S: 250 *`)
	if got := s.Messages()[0].To; !slices.Equal(got, []string{"b@b.example", "d@b.example"}) {
		t.Errorf("recipients %q", got)
	}
	s = spoiltSMTP(t, "DOT", 1, func(e *SMTPEvent) { e.Refuse(554, "5.7.1 spam") })
	c = dialSMTP(t, s)
	c.greet()
	c.say(smtpFlight + "S: 554 5.7.1 spam" + smtpFlight + "S: 250 *")
	if n := len(s.Messages()); n != 1 {
		t.Errorf("%d messages were kept, want 1", n)
	}
	// After a 421 there is nothing more, and a refused greeting is the end.
	for _, verb := range []string{"GREETING", "EHLO", "MAIL", "RCPT", "DATA", "DOT", "NOOP"} {
		s = spoiltSMTP(t, verb, 1, func(e *SMTPEvent) { e.Refuse(421, "4.3.2 shutting down") })
		c = dialSMTP(t, s)
		c.write("EHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n.\r\nNOOP\r\nNOOP\r\n")
		if got := c.rest(); !strings.HasSuffix(got, "421 4.3.2 shutting down\r\n") || strings.Count(got, "421") != 1 {
			t.Errorf("%s: got %q", verb, got)
		}
		if n := len(s.Messages()); (n == 1) != (verb == "NOOP") {
			t.Errorf("%s: %d messages were kept", verb, n)
		}
	}
}

func TestSMTPEventReply(t *testing.T) {
	s := spoiltSMTP(t, "DATA", 1, func(e *SMTPEvent) { e.Reply("250 fine") })
	c := dialSMTP(t, s)
	c.greet()
	c.say("C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<a@b.example>\nS: 250 *\nC: DATA\nS: 250 fine\nC: NOOP\nS: 250 *")
	s = spoiltSMTP(t, "RCPT", 1, func(e *SMTPEvent) { e.Reply("250-one", "550 two") })
	c = dialSMTP(t, s)
	c.greet()
	c.say("C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<a@b.example>\nS: 250-one\nS: 550 two\nC: DATA\nS: 354 *\nC: .\nS: 250 *")
	s = spoiltSMTP(t, "EHLO", 1, func(e *SMTPEvent) {
		e.Edit(func(reply []byte) []byte { return []byte(strings.ReplaceAll(string(reply), "250-DSN\r\n", "")) })
		e.Append([]byte("* more\r\n"))
	})
	c = dialSMTP(t, s)
	c.greet()
	c.say("S: * more")
	if strings.Contains(strings.Join(s.Faults(), ""), "e") {
		t.Errorf("faults %q", s.Faults())
	}
}

func TestSMTPEventPretend(t *testing.T) {
	s := spoiltSMTP(t, "DOT", 1, func(e *SMTPEvent) { e.Pretend() })
	c := dialSMTP(t, s)
	c.greet()
	c.say(smtpFlight + "S: 250 *")
	if n := len(s.Messages()); n != 0 {
		t.Errorf("%d messages were kept, want none", n)
	}
	s = spoiltSMTP(t, "RCPT", 1, func(e *SMTPEvent) { e.Pretend() })
	c = dialSMTP(t, s)
	c.greet()
	c.say("C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<a@b.example>\nS: 250 *\nC: DATA\nS: 554 *")
}

// TestSMTPEventAfterTheDot has all ways to lose a line there: the message is
// kept or not, as the hook says.
func TestSMTPEventAfterTheDot(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*SMTPEvent)
		kept  int
		want  string
	}{
		"kept, cut before the reply": {func(e *SMTPEvent) { e.Cut(0) }, 1, ""},
		"kept, cut in the reply":     {func(e *SMTPEvent) { e.Cut(3) }, 1, "250"},
		"kept, cut behind the reply": {func(e *SMTPEvent) { e.Cut(1000) }, 1, "250 2.0.0 kept\r\n"},
		"gone, cut before the reply": {func(e *SMTPEvent) { e.Refuse(451, "later"); e.Cut(0) }, 0, ""},
		"pretended, cut":             {func(e *SMTPEvent) { e.Pretend(); e.Cut(0) }, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := spoiltSMTP(t, "DOT", 1, test.spoil)
			c := dialSMTP(t, s)
			c.greet()
			c.say(smtpFlight)
			if got := c.rest(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if n := len(s.Messages()); n != test.kept {
				t.Errorf("%d messages were kept, want %d", n, test.kept)
			}
		})
	}
}

func TestSMTPEventText(t *testing.T) {
	for n := range int64(8) {
		s := spoiltSMTP(t, "TEXT", 1, func(e *SMTPEvent) { e.Cut(n) })
		c := dialSMTP(t, s)
		c.greet()
		c.say(smtpFlight) // the text has six octets
		if n > 6 {
			c.say("S: 250 *")
		} else if got := c.rest(); got != "" {
			t.Errorf("cut at %d: %q", n, got)
		}
		if kept := len(s.Messages()); (kept == 1) != (n > 6) {
			t.Errorf("cut at %d: %d messages were kept", n, kept)
		}
	}
	const wait = 100 * time.Millisecond
	s := spoiltSMTP(t, "TEXT", 1, func(e *SMTPEvent) { e.Stall(2, wait) })
	c := dialSMTP(t, s)
	c.greet()
	start := time.Now()
	c.say(smtpFlight + "S: 250 *")
	if took := time.Since(start); took < wait {
		t.Errorf("the stall was over after %v", took)
	}
}

func TestSMTPEventCutAtEveryOctet(t *testing.T) {
	const whole = "250 2.0.0 nothing done\r\n"
	for n := range len(whole) + 2 {
		s := spoiltSMTP(t, "NOOP", 1, func(e *SMTPEvent) { e.Cut(int64(n)) })
		c := dialSMTP(t, s)
		c.greet()
		c.write("NOOP\r\n" + strings.Repeat("RSET\r\n", 10000))
		if got := c.rest(); got != whole[:min(n, len(whole))] {
			t.Fatalf("cut at %d: got %q", n, got)
		}
		_ = s.Close()
	}
}

func TestSMTPEventReset(t *testing.T) {
	s := spoiltSMTP(t, "NOOP", 1, func(e *SMTPEvent) { e.Reset(0) })
	c := dialSMTP(t, s)
	c.greet()
	c.write("NOOP\r\n")
	if _, err := io.ReadAll(c.in); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the line ended with %v, want a reset", err)
	}
}

func TestSMTPEventStallMuteDelay(t *testing.T) {
	for name, spoil := range map[string]func(*SMTPEvent){
		"stall": func(e *SMTPEvent) { e.Stall(0, 0) },
		"mute":  func(e *SMTPEvent) { e.Mute() },
	} {
		s := spoiltSMTP(t, "DOT", 1, spoil)
		c := dialSMTP(t, s)
		c.greet()
		c.say(smtpFlight)
		_ = c.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		line, err := c.in.ReadString('\n')
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%s: %q, %v, want silence", name, line, err)
		}
		if n := len(s.Messages()); n != 1 {
			t.Errorf("%s: %d messages were kept", name, n)
		}
	}
	const delay = 80 * time.Millisecond
	s := spoiltSMTP(t, "NOOP", 1, func(e *SMTPEvent) { e.Delay(delay) })
	c := dialSMTP(t, s)
	c.greet()
	start := time.Now()
	c.say("C: NOOP\nS: 250 *")
	if took := time.Since(start); took < delay {
		t.Errorf("the reply came after %v", took)
	}
}

func TestSMTPEventStallAndCut(t *testing.T) {
	const wait = 60 * time.Millisecond
	s := spoiltSMTP(t, "NOOP", 1, func(e *SMTPEvent) { e.Stall(4, wait); e.Cut(9) })
	c := dialSMTP(t, s)
	c.greet()
	start := time.Now()
	c.write("NOOP\r\n")
	if got := c.rest(); got != "250 2.0.0" {
		t.Errorf("got %q", got)
	}
	if took := time.Since(start); took < wait {
		t.Errorf("the stall was over after %v", took)
	}
}

// TestSMTPEventInjection sends octets behind the reply to STARTTLS in the same
// segment, in clear.
func TestSMTPEventInjection(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	s := startSMTP(t, SMTPOptions{TLS: config, Hook: func(e *SMTPEvent) {
		if e.Verb == "STARTTLS" {
			e.Append([]byte("250 injected\r\n"))
		}
	}})
	c := dialSMTP(t, s)
	c.greet()
	c.say("C: STARTTLS\nS: 220 *\nS: 250 injected")
}
