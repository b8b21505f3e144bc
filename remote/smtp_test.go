package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/auth"
	"postrider/configs"
	"postrider/mailtest"
	"postrider/outbox"
)

// submission is an account at a server on loopback with the given options.
func submission(t *testing.T, o mailtest.SMTPOptions, change func(*configs.Account)) (*SMTP, *mailtest.SMTP) {
	t.Helper()
	ca, err := mailtest.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	if o.TLS, err = ca.Server(); err != nil {
		t.Fatal(err)
	}
	file, err := ca.WriteFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o.Users, o.Mechanisms, o.RequireAuth = map[string]string{"ada": "secret"}, []string{"PLAIN", "SCRAM-SHA-256"}, true
	server := mailtest.NewSMTP(o)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	mode := "starttls"
	if o.Implicit {
		mode = "implicit"
	}
	a := configs.Account{Name: "work", User: "ada", Password: configs.Secret{Literal: "secret"}, SMTP: &configs.Submission{
		Server: configs.Server{Host: "127.0.0.1", Port: server.Port(), TLS: mode, CAFile: file, Auth: "auto", Timeout: 5 * time.Second},
	}}
	if change != nil {
		change(&a)
	}
	s, err := NewSMTP(a, auth.Environ(os.Environ()), "host.example")
	if err != nil {
		t.Fatal(err)
	}
	return s, server
}

// mails is a queue that writes down what it is told.
type mails struct {
	waiting []*outbox.Mail
	told    []string
}

func (q *mails) Next(context.Context) *outbox.Mail {
	if len(q.waiting) == 0 {
		return nil
	}
	m := q.waiting[0]
	q.waiting = q.waiting[1:]
	return m
}

func (q *mails) Dot(_ context.Context, m *outbox.Mail, to []error) error {
	q.told = append(q.told, fmt.Sprintf("dot %s %d", m.EnvelopeID, len(to)))
	return nil
}

func (q *mails) Done(m *outbox.Mail, r outbox.Result) error {
	var class interface{ Permanent() bool }
	good := 0
	for _, err := range r.To {
		good += map[bool]int{true: 1}[err == nil]
	}
	q.told = append(q.told, fmt.Sprintf("done %s %d %d/%d reply=%t permanent=%t", m.EnvelopeID, r.Fate, good, len(r.To), r.Reply != "", errors.As(r.Err, &class) && class.Permanent()))
	return nil
}

func mail(id, text string, to ...string) *outbox.Mail {
	m := &outbox.Mail{From: "ada@example.org", EnvelopeID: id, Text: strings.NewReader(text)}
	for _, address := range to {
		m.To = append(m.To, outbox.Recipient{Address: address})
	}
	return m
}

func TestSubmission(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		t.Run(fmt.Sprint("implicit ", implicit), func(t *testing.T) {
			account, server := submission(t, mailtest.SMTPOptions{Implicit: implicit}, nil)
			s, err := account.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			q := &mails{waiting: []*outbox.Mail{
				mail("1", "Subject: one\n\n.dot\n", "a@b.example", "b@b.example"),
				mail("2", "Subject: nul\n\nx\n", "not an address"),
				mail("3", "Subject: three\n\nx\n", "a@b.example"),
			}}
			if err := s.Send(t.Context(), q); err != nil {
				t.Error(err)
			}
			s.Close()
			told := strings.Join(q.told, "; ")
			for _, want := range []string{"dot 1 2", "done 1 1 2/2 reply=true permanent=false", "done 2 0 0/1 reply=false", "done 3 1 1/1 reply=true permanent=false"} {
				if !strings.Contains(told, want) {
					t.Errorf("no %q in %s", want, told)
				}
			}
			got := server.Messages()
			if len(got) != 2 || string(got[0].Octets) != "Subject: one\r\n\r\n.dot\r\n" || len(server.Faults()) > 0 {
				t.Errorf("%+v, %v", got, server.Faults())
			}
		})
	}
}

// What of a login is a refusal, which pauses the account, and what is not.
func TestSubmissionLogin(t *testing.T) {
	script := filepath.Join(t.TempDir(), "locked")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		change  func(*configs.Account)
		cancel  bool
		refused bool
		login   bool // it is a *LoginError, for the exit code
	}{
		{name: "wrong password", change: func(a *configs.Account) { a.Password.Literal = "wrong" }, refused: true, login: true},
		{name: "no such mechanism", change: func(a *configs.Account) { a.SMTP.Auth = "cram-md5" }, refused: true, login: true},
		{name: "locked store", change: func(a *configs.Account) { a.Password = configs.Secret{Command: []string{script}} }, login: true},
		{name: "stopped", change: func(a *configs.Account) { a.Password = configs.Secret{Command: []string{"sleep", "10"}} }, cancel: true, login: true},
		{name: "no TLS there", change: func(a *configs.Account) { a.SMTP.TLS = "implicit" }},
		{name: "nobody there", change: func(a *configs.Account) { a.SMTP.Port = 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			account, _ := submission(t, mailtest.SMTPOptions{}, tt.change)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.cancel {
				time.AfterFunc(50*time.Millisecond, cancel)
			}
			s, err := account.Dial(ctx)
			if err == nil {
				s.Close()
				t.Fatal("logged in")
			}
			var class interface{ LoginRefused() bool }
			var login *LoginError
			if refused := errors.As(err, &class) && class.LoginRefused(); refused != tt.refused || errors.As(err, &login) != tt.login {
				t.Errorf("refused %t: %v", refused, err)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("a secret in %v", err)
			}
		})
	}
}

// A message that the line is lost with is told as what it is.
func TestSubmissionCut(t *testing.T) {
	account, _ := submission(t, mailtest.ProfileSMTPLost250(), nil)
	s, err := account.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	q := &mails{waiting: []*outbox.Mail{mail("1", "Subject: one\n\nx\n", "a@b.example")}}
	err = s.Send(t.Context(), q)
	var server *ServerError
	if !errors.As(err, &server) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
	if told := strings.Join(q.told, "; "); told != "dot 1 1; done 1 2 0/1 reply=false permanent=false" {
		t.Errorf("%s", told)
	}
}

func TestEHLOName(t *testing.T) {
	for host, want := range map[string]string{
		"mail.example.org": "mail.example.org", "a-1.b": "a-1.b", "localhost": "", "": "", "a b.c": "", ".a": "", "a.": "", "é.example": "", "a_b.example": "",
	} {
		if got := ehloName(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}
