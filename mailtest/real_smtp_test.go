//go:build linux

package mailtest_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"

	"postrider/mailtest"
	"postrider/smtp"
)

var realSMTPs = []struct {
	name  string
	start func(testing.TB, *mailtest.CA) *mailtest.RealSMTP
}{
	{"postfix", mailtest.StartPostfix},
	{"exim", mailtest.StartExim},
	{"opensmtpd", mailtest.StartOpenSMTPD},
}

// login opens a session at one of the server's ports.
func login(t *testing.T, ctx context.Context, s *mailtest.RealSMTP, port int, a sasl.Client) *smtp.Client {
	t.Helper()
	conn, err := s.Dial(port)
	if err != nil {
		t.Fatal(err)
	}
	_, secure := conn.(*tls.Conn)
	c, err := smtp.New(ctx, conn, smtp.Options{Name: "client.example"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if !secure && s.TLSPort != 0 {
		if err := c.StartTLS(ctx, s.TLS()); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.Mechanisms) > 0 {
		if err := c.Auth(ctx, a); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

var oddTexts = map[string]string{
	"dots":         ".\n..\n.a\n\n.\n",
	"eight bits":   "\xff\xfe grüße\n",
	"long line":    strings.Repeat("0123456789", 90) + "\n",
	"no end":       "the last line has no end",
	"empty body":   "",
	"trailing":     "spaces \t\n\n\n",
	"From":         "From the beginning\n>From it\n",
	"many lines":   strings.Repeat("another line of many\n", 5000),
	"line of dots": strings.Repeat(".", 500) + "\n",
	"longer line":  strings.Repeat("0123456789", 120) + "\n",
	"very long":    strings.Repeat("0123456789", 3000) + "\n",
	"lone CR":      "a\rb\r\n",
	"dot after CR": "a\r.\r\n\r.\n",
}

func TestRealSMTPStoresWhatWasSent(t *testing.T) {
	for _, server := range realSMTPs {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t, nil)
			s.AddUser(t, "ada", "secret")
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			want := make(map[string][]byte)
			var mails []*smtp.Mail
			left := 0
			add := func(name string, octets []byte) {
				kept, ok := s.Kept(sent(octets))
				to := fmt.Sprintf("to-%d@b.example", len(want))
				m := submission(octets, to)
				if !ok || m == nil {
					left++
					return
				}
				mails, want[to] = append(mails, m), kept
			}
			for _, m := range mailtest.Corpus(t) {
				add(m.Name, m.Octets)
			}
			for name, text := range oddTexts {
				add(name, []byte("Subject: "+name+"\nDate: Mon, 2 Nov 2026 10:00:00 +0000\nFrom: ada@a.example\nMessage-ID: <1@a.example>\nX-Fold: a\n\tb\n\n"+text))
			}
			if left > len(mails) {
				t.Errorf("%d messages are sent, and %d are not", len(mails), left)
			}
			half := len(mails) / 2
			for i, part := range [][]*smtp.Mail{mails[:half], mails[half:]} {
				c := login(t, ctx, s, []int{s.Port, cmp.Or(s.TLSPort, s.Port)}[i],
					[]sasl.Client{sasl.NewPlainClient("", "ada", "secret"), sasl.NewLoginClient("ada", "secret")}[i])
				q := &outbox{mails: part}
				if err := c.Send(ctx, q); err != nil {
					t.Error(err)
				}
				for n, o := range q.outcomes {
					if o.Fate != smtp.Sent {
						t.Errorf("%s: %v", part[n].To[0].Address, errors.Join(o.To...))
					}
				}
				if err := c.Quit(); err != nil {
					t.Error(err)
				}
			}
			got := make(map[string][][]byte)
			for _, m := range s.Messages(t) {
				got[m.To] = append(got[m.To], m.Octets)
				if m.From != "ada@a.example" {
					t.Errorf("a message comes from %q", m.From)
				}
			}
			for to, octets := range want {
				if len(got[to]) != 1 || !bytes.Equal(got[to][0], octets) {
					t.Errorf("%s: %d copies; %s", to, len(got[to]), difference(got[to], octets))
				}
			}
			if len(got) > len(want) {
				t.Errorf("%d messages were stored, %d sent", len(got), len(want))
			}
		})
	}
}

func TestRealSMTPRecipients(t *testing.T) {
	for _, server := range realSMTPs {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t, nil)
			s.AddUser(t, "ada", `s3cr:et "x" {y} %u $HOME \ grün`)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			c := login(t, ctx, s, s.Port, sasl.NewPlainClient("", "ada", `s3cr:et "x" {y} %u $HOME \ grün`))
			text := []byte("Subject: x\nDate: Mon, 2 Nov 2026 10:00:00 +0000\nFrom: ada@a.example\nMessage-ID: <1@a.example>\n\nbody\n")
			to := []string{"one@b.example", "hard-two@b.example", "three@c.example"}
			if s.Soft {
				to = append(to, "soft-four@c.example")
			}
			q := &outbox{mails: []*smtp.Mail{submission(text, to...), submission(text, "hard-one@b.example"), submission(text, "five@b.example")}}
			if err := c.Send(ctx, q); err != nil {
				t.Fatal(err)
			}
			_ = c.Quit()
			var fates []smtp.Fate
			for _, o := range q.outcomes {
				fates = append(fates, o.Fate)
			}
			if !slices.Equal(fates, []smtp.Fate{smtp.Sent, smtp.Unsent, smtp.Sent}) {
				t.Fatalf("fates %v", fates)
			}
			for i, err := range q.outcomes[0].To {
				permanent := false
				var p interface{ Permanent() bool }
				if errors.As(err, &p) {
					permanent = p.Permanent()
				}
				hard, soft := strings.HasPrefix(to[i], "hard-"), strings.HasPrefix(to[i], "soft-")
				if (err != nil) != (hard || soft) || permanent != hard {
					t.Errorf("%s: %v, permanent %v", to[i], err, permanent)
				}
			}
			var got []string
			for _, m := range s.Messages(t) {
				got = append(got, m.To)
				if !bytes.Equal(m.Octets, text) {
					t.Errorf("stored %q", m.Octets)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, []string{"five@b.example", "one@b.example", "three@c.example"}) {
				t.Errorf("stored for %q", got)
			}
		})
	}
}

func TestRealSMTPLogin(t *testing.T) {
	for _, server := range realSMTPs {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t, nil)
			if len(s.Mechanisms) == 0 {
				t.Skip("it has no logins")
			}
			s.AddUser(t, "ada", "first")
			s.AddUser(t, "ada", "secret")
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			c := login(t, ctx, s, s.TLSPort, sasl.NewLoginClient("ada", "secret"))
			_ = c.Quit()
			conn, err := s.Dial(s.TLSPort)
			if err != nil {
				t.Fatal(err)
			}
			if c, err = smtp.New(ctx, conn, smtp.Options{}); err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			capabilities, err := c.Capabilities(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range s.Mechanisms {
				if !slices.Contains(capabilities.SASL(), m) {
					t.Errorf("%s is not offered: %v", m, capabilities.SASL())
				}
			}
			var refusal *smtp.ReplyError
			if err := c.Auth(ctx, sasl.NewPlainClient("", "ada", "first")); !errors.As(err, &refusal) || !refusal.LoginRefused() {
				t.Errorf("the old password: %v", err)
			}
			q := &outbox{mails: []*smtp.Mail{submission([]byte("Subject: x\n\n"), "one@b.example")}}
			if err := c.Send(ctx, q); err == nil && q.outcomes[0].Fate != smtp.Unsent {
				t.Error("mail was taken without a login")
			}
		})
	}
}

// Nothing is left when a server has been stopped.
func TestRealSMTPEnd(t *testing.T) {
	for _, server := range realSMTPs {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			var s *mailtest.RealSMTP
			t.Run("run", func(t *testing.T) { s = server.start(t, nil) })
			if s == nil {
				t.SkipNow()
			}
			for _, port := range []int{s.Port, cmp.Or(s.TLSPort, s.Port)} {
				if conn, err := s.Dial(port); err == nil {
					conn.Close()
					t.Errorf("somebody still listens on port %d", port)
				}
			}
		})
	}
}
