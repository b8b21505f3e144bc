package mailtest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSMTPSession(t *testing.T) {
	s := startSMTP(t, SMTPOptions{Size: 5000})
	c := dialSMTP(t, s)
	c.say(`
		S: 220 mailtest.example ESMTP ready
		C: EHLO client.example
		S: 250-mailtest.example greets you
		S: 250-PIPELINING
		S: 250-8BITMIME
		S: 250-ENHANCEDSTATUSCODES
		S: 250-SMTPUTF8
		S: 250-DSN
		S: 250 SIZE 5000
		C: MAIL FROM:<ada@a.example> SIZE=10 BODY=8BITMIME RET=HDRS ENVID=x+2By
		C: RCPT TO:<bob@b.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob@b.example
		C: RCPT TO:<"odd >\" one"@[127.0.0.1]>
		C: DATA
		S: 250 2.1.0 *
		S: 250 2.1.5 *
		S: 250 2.1.5 *
		S: 354 *
		C: Message-ID: <1@a.example>
		C:
		C: ..
		C: ..two
		C: end
		C: .
		C: MAIL FROM:<>
		C: RCPT TO:<postmaster>
		C: DATA
		S: 250 2.0.0 kept
		S: 250 *
		S: 250 *
		S: 354 *
		C: .
		S: 250 2.0.0 *
		C: RSET
		C: NOOP
		S: 250 *
		S: 250 *
		C: QUIT
		S: 221 2.0.0 bye
		S: (end)`)
	faultless(t, s)
	got := s.Messages()
	if len(got) != 2 {
		t.Fatalf("%d messages", len(got))
	}
	if m := got[0]; string(m.Octets) != "Message-ID: <1@a.example>\r\n\r\n.\r\n.two\r\nend\r\n" || m.From != "ada@a.example" ||
		!slices.Equal(m.To, []string{"bob@b.example", `"odd >\" one"@[127.0.0.1]`}) || m.Session != 1 || len(m.Params) != 4 ||
		len(m.ToParams) != 2 || len(m.ToParams[0]) != 2 || m.Longest != 25 || time.Since(m.Time) > time.Minute {
		t.Errorf("first message %+v", m)
	}
	if m := got[1]; len(m.Octets) != 0 || m.From != "" || !slices.Equal(m.To, []string{"postmaster"}) {
		t.Errorf("second message %+v", m)
	}
	if got := s.Accepted(); got["<1@a.example>"] != 1 || got[""] != 1 {
		t.Errorf("accepted %v", got)
	}
	counts := s.Counts()
	if counts.Commands["MAIL"] != 2 || counts.Commands["DOT"] != 2 || counts.Messages != 2 || counts.Depth != 4 || counts.Early != 0 {
		t.Errorf("counts %+v", counts)
	}
}

// TestSMTPRefusals has the replies to what is wrong, and the faults it is.
func TestSMTPRefusals(t *testing.T) {
	for _, test := range []struct {
		name       string
		o          SMTPOptions
		transcript string
		fault      string
	}{
		{"MAIL before EHLO", SMTPOptions{}, "C: MAIL FROM:<a@b.example>\nS: 503 *", "MAIL before EHLO"},
		{"RCPT before MAIL", SMTPOptions{}, "C: HELO me\nS: 250 *\nC: RCPT TO:<a@b.example>\nS: 503 *", "RCPT before MAIL"},
		{"DATA before MAIL", SMTPOptions{}, "C: HELO me\nS: 250 *\nC: DATA\nS: 503 *", "DATA before MAIL"},
		{"two MAIL", SMTPOptions{}, "C: HELO me\nS: 250 *\nC: MAIL FROM:<a@b.example>\nS: 250 *\nC: MAIL FROM:<a@b.example>\nS: 503 *", "inside a transaction"},
		{"nobody", SMTPOptions{}, "C: HELO me\nS: 250 *\nC: MAIL FROM:<a@b.example>\nS: 250 *\nC: DATA\nS: 554 *", ""},
		{"no name", SMTPOptions{}, "C: EHLO\nS: 501 *", "for a name"},
		{"unknown", SMTPOptions{}, "C: Hello there\nS: 500 *", `unknown command "HELLO"`},
		{"SIZE", SMTPOptions{Size: 9, Without: []string{"PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8", "DSN"}},
			"C: EHLO me\nS: 250-*\nS: 250 SIZE 9\nC: MAIL FROM:<a@b.example> SIZE=10\nS: 552 *\nC: RCPT TO:<a@b.example>\nS: 503 *", ""},
		{"parameter in HELO", SMTPOptions{}, "C: HELO me\nS: 250 *\nC: MAIL FROM:<a@b.example> SIZE=10\nS: 555 *", "not offered"},
		{"space", SMTPOptions{}, "C: HELO me\nS: 250 *\nC: MAIL FROM: <a@b.example>\nS: 501 *", "MAIL with"},
		{"half an address", SMTPOptions{}, "C: HELO me\nS: 250 *\nC: MAIL FROM:<a@>\nS: 501 *", "MAIL with"},
		{"injection", SMTPOptions{}, "C: HELO me\nS: 250 *\nC: MAIL FROM:<a@b.example\rRCPT>\nS: 501 *", "bare CR"},
		{"UTF-8", SMTPOptions{}, "C: HELO me\nS: 250 *\nC: MAIL FROM:<ä@b.example>\nS: 553 *", ""},
		{"530", SMTPOptions{RequireAuth: true}, "C: HELO me\nS: 250 *\nC: MAIL FROM:<a@b.example>\nS: 530 *", ""},
		{"AUTH before EHLO", SMTPOptions{Mechanisms: []string{"PLAIN"}}, "C: AUTH PLAIN x\nS: 503 *", "AUTH before EHLO"},
		{"STARTTLS", SMTPOptions{}, "C: HELO me\nS: 250 *\nC: STARTTLS\nS: 503 *", "not offered"},
		{"recipients", SMTPOptions{Recipients: 1}, "C: HELO me\nS: 250 *\nC: MAIL FROM:<a@b.example>\nS: 250 *\n" +
			"C: RCPT TO:<a@b.example>\nS: 250 *\nC: RCPT TO:<b@b.example>\nS: 452 *", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startSMTP(t, test.o)
			dialSMTP(t, s).say("S: 220 *\n" + test.transcript)
			if got := strings.Join(s.Faults(), "\n"); !strings.Contains(got, test.fault) || (test.fault == "") != (got == "") {
				t.Errorf("faults %q, want %q", got, test.fault)
			}
		})
	}
}

func TestSMTPMessageID(t *testing.T) {
	for text, want := range map[string]string{
		"Message-ID: <a@b>\r\n\r\n":                       "<a@b>",
		"Subject: x\r\nmessage-id:\r\n <a@b>\r\n\r\nbody": "<a@b>",
		"Subject: x\r\n\r\nMessage-ID: <a@b>\r\n":         "",
		"": "",
	} {
		m := SMTPMessage{Octets: []byte(text)}
		if got := m.MessageID(); got != want {
			t.Errorf("%q has %q, want %q", text, got, want)
		}
	}
}

func TestSMTPAwait(t *testing.T) {
	s := startSMTP(t, SMTPOptions{})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c := dialSMTP(t, s)
	c.say("S: 220 *\nC: HELO me\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<a@b.example>\nS: 250 *\nC: DATA\nS: 354 *\nC: .")
	if err := s.Await(ctx, 1); err != nil {
		t.Error(err)
	}
	gone, stop := context.WithCancel(ctx)
	stop()
	if err := s.Await(gone, 2); err == nil {
		t.Error("a second message was not sent, and yet awaited")
	}
}

// TestSMTPPipelining counts the round trips of both kinds of clients, and finds
// the octets that came too early.
func TestSMTPPipelining(t *testing.T) {
	const flight = "C: MAIL FROM:<>\nC: RCPT TO:<a@b.example>\nC: DATA\nS: 250 *\nS: 250 *\nS: 354 *\nC: x\nC: .\n"
	s := startSMTP(t, SMTPOptions{Latency: 20 * time.Millisecond})
	c := dialSMTP(t, s)
	start := time.Now()
	c.greet()
	c.say(flight + flight[:0] + "C: MAIL FROM:<>\nC: RCPT TO:<a@b.example>\nC: DATA\nS: 250 *\nS: 250 *\nS: 250 *\nS: 354 *\nC: .\nS: 250 *")
	faultless(t, s)
	if n := s.Counts().Flights; n != 4 {
		t.Errorf("%d flights, want 4", n)
	}
	if took := time.Since(start); took < 80*time.Millisecond {
		t.Errorf("four flights took %v", took)
	}
	s = startSMTP(t, SMTPOptions{NoPipelining: true})
	c = dialSMTP(t, s)
	c.greet()
	c.say("C: NOOP\nS: 250 *\n" + flight + "S: 250 *")
	if n, faults := s.Counts().Early, s.Faults(); n < 20 || len(faults) == 0 || !strings.Contains(faults[0], "before the reply to MAIL") {
		t.Errorf("%d octets were early; faults %q", n, faults)
	}
	for _, verb := range []string{"EHLO me", "NOOP", "QUIT"} {
		s = startSMTP(t, SMTPOptions{})
		c = dialSMTP(t, s)
		c.greet()
		c.say("C: " + verb + "\nC: NOOP")
		c.reply()
		if faults := s.Faults(); len(faults) == 0 || !strings.Contains(faults[0], "before the reply to "+verb[:4]) {
			t.Errorf("%s and more in one piece: faults %q", verb, faults)
		}
	}
}

func TestSMTPStop(t *testing.T) {
	s := startSMTP(t, SMTPOptions{})
	c := dialSMTP(t, s)
	c.greet()
	s.Cut()
	if got := c.rest(); got != "" {
		t.Errorf("%q came over a line that was cut", got)
	}
	c = dialSMTP(t, s)
	c.greet()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if got := c.rest(); got != "" {
		t.Errorf("%q came from a closed server", got)
	}
	if s.Counts().Open != 0 {
		t.Error("a session is open")
	}
	if err := NewSMTP(SMTPOptions{Implicit: true}).Start(); err == nil {
		t.Error("implicit TLS without a certificate")
	}
}
