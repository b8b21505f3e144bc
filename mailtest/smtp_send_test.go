package mailtest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"regexp"
	"testing"
	"time"

	"github.com/emersion/go-sasl"

	"postrider/mailtest"
	"postrider/smtp"
)

// outbox gives messages to smtp's Send and notes what becomes of them.
type outbox struct {
	mails    []*smtp.Mail
	given    int
	outcomes []smtp.Outcome
}

func (q *outbox) Next(context.Context) *smtp.Mail {
	if q.given == len(q.mails) {
		return nil
	}
	q.given++
	return q.mails[q.given-1]
}

func (q *outbox) Dot(context.Context, *smtp.Mail, []error) error { return nil }

func (q *outbox) Done(_ *smtp.Mail, o smtp.Outcome) error {
	q.outcomes = append(q.outcomes, o)
	return nil
}

// submission is the message as it is to be sent; nil if it cannot be mail.
func submission(octets []byte, to ...string) *smtp.Mail {
	var measure smtp.Measure
	_, _ = measure.Write(octets)
	if measure.Close() != nil {
		return nil
	}
	m := &smtp.Mail{From: "ada@a.example", Size: measure.Size(), EightBit: measure.EightBit(), Text: bytes.NewReader(octets)}
	for _, address := range to {
		m.To = append(m.To, smtp.Recipient{Address: address})
	}
	return m
}

// sent is what package smtp makes of a message: each CR is the end of a line,
// but one of its LF.
func sent(octets []byte) []byte {
	lines := regexp.MustCompile(`\r*\n|\r`).ReplaceAll(octets, []byte("\n"))
	return mailtest.Wire(lines)
}

func difference(copies [][]byte, want []byte) string {
	if len(copies) == 0 {
		return ""
	}
	got, n := copies[0], 0
	for n < len(got) && n < len(want) && got[n] == want[n] {
		n++
	}
	return fmt.Sprintf("%d octets, want %d; from octet %d on got %.60q, want %.60q", len(got), len(want), n, got[n:], want[n:])
}

// TestSMTPTakesTheCorpus sends it through both ways to TLS, with and without
// pipelining, and wants no fault found.
func TestSMTPTakesTheCorpus(t *testing.T) {
	ca, err := mailtest.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		implicit, pipelining := n&1 != 0, n&2 != 0
		t.Run(fmt.Sprintf("implicit=%t,pipelining=%t", implicit, pipelining), func(t *testing.T) {
			s := mailtest.NewSMTP(mailtest.SMTPOptions{
				TLS: config, Implicit: implicit, NoPipelining: !pipelining, RequireAuth: true,
				Users: map[string]string{"ada": "secret"}, Mechanisms: []string{"PLAIN"},
			})
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			conn, err := net.Dial("tcp", s.Addr())
			if err != nil {
				t.Fatal(err)
			}
			if implicit {
				conn = tls.Client(conn, ca.ClientTLS("localhost"))
			}
			c, err := smtp.New(ctx, conn, smtp.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if !implicit {
				if err := c.StartTLS(ctx, ca.ClientTLS("localhost")); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Auth(ctx, sasl.NewPlainClient("", "ada", "secret")); err != nil {
				t.Fatal(err)
			}
			q := new(outbox)
			var want [][]byte
			messages := mailtest.Corpus(t)
			if !pipelining { // the server takes its time to look for octets that come too early
				messages = mailtest.Embedded()
			}
			for _, m := range messages {
				if mail := submission(m.Octets, "b@b.example"); mail != nil {
					q.mails, want = append(q.mails, mail), append(want, sent(m.Octets))
				}
			}
			if err := c.Send(ctx, q); err != nil {
				t.Fatal(err)
			}
			if err := c.Quit(); err != nil {
				t.Error(err)
			}
			got := s.Messages()
			if len(got) != len(want) {
				t.Fatalf("%d messages were kept, want %d", len(got), len(want))
			}
			for i, m := range got {
				if !bytes.Equal(m.Octets, want[i]) {
					t.Errorf("message %d: %s", i, difference([][]byte{m.Octets}, want[i]))
				}
			}
			if faults := s.Faults(); len(faults) > 0 {
				t.Errorf("faults %q", faults)
			}
			perMessage := float64(s.Counts().Flights) / float64(len(want))
			if pipelining && perMessage > 2.1 || !pipelining && perMessage < 4 {
				t.Errorf("%.2f flights a message", perMessage)
			}
		})
	}
}
