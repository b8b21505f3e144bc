package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"postrider/auth"
	"postrider/configs"
	"postrider/outbox"
	"postrider/smtp"
)

// SMTP is an account at a submission server. Its methods may be called from
// many goroutines at once.
type SMTP struct {
	dialer *dialer
	login  *login
	server configs.Server
	name   string // for EHLO
}

// NewSMTP prepares an account that has smtp. Host is what EHLO says, if it is
// fit for that.
func NewSMTP(a configs.Account, env auth.Environ, host string) (*SMTP, error) {
	d, err := newDialer(a.SMTP.Server)
	if err != nil {
		return nil, err
	}
	return &SMTP{dialer: d, login: newLogin(a, env), server: a.SMTP.Server, name: ehloName(host)}, nil
}

// ehloName returns a host name with a dot in it, or nothing: then the client
// says its address. Servers take bare names for a badly set up machine.
func ehloName(host string) string {
	for i := range len(host) {
		c := host[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '-' && c != '.' {
			return ""
		}
		if c == '.' && i > 0 && i < len(host)-1 {
			return host
		}
	}
	return ""
}

// Address is the server's host:port.
func (a *SMTP) Address() string {
	return net.JoinHostPort(a.server.Host, strconv.Itoa(a.server.Port))
}

// Dial returns a session that is logged in. The error is a *ServerError or a
// *LoginError, save for what is our own.
func (a *SMTP) Dial(ctx context.Context) (outbox.Session, error) {
	// A password command may take its time: no server waits for it.
	if err := a.login.ready(ctx); err != nil {
		return nil, a.noLogin(err)
	}
	conn, err := a.dialer.dial(ctx)
	if err != nil {
		return nil, err
	}
	c, err := smtp.New(ctx, conn, smtp.Options{Name: a.name, Timeout: a.server.Timeout})
	if err != nil {
		return nil, &ServerError{a.Address(), fmt.Errorf("begin session: %w", err)}
	}
	s := &smtpSession{account: a, client: c}
	if err := s.begin(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// smtpSession is a session as package outbox sees it.
type smtpSession struct {
	account *SMTP
	client  *smtp.Client
}

func (s *smtpSession) begin(ctx context.Context) error {
	server := s.account.server
	if server.TLS == "starttls" {
		if err := s.client.StartTLS(ctx, s.account.dialer.tls); err != nil {
			return s.failed("begin TLS", err)
		}
	}
	caps, err := s.client.Capabilities(ctx)
	if err != nil {
		return s.failed("ask for capabilities", err)
	}
	if s.account.login.password == nil && server.ClientCert == "" {
		return nil // a server that knows its users by where they are
	}
	choice, err := auth.Choose(ctx, policy(server, server.TLS != "none"), s.account.login.credentials(server), caps.SASL(), false)
	if err != nil {
		return s.account.noLogin(err)
	}
	err = s.client.Auth(ctx, choice.Client)
	if err == nil {
		err = auth.Finished(choice.Client)
	} else if told := auth.Refusal(choice.Client); told != nil {
		err = fmt.Errorf("%w (%w)", err, told)
	}
	return s.loggedIn(err)
}

// loggedIn sorts what came of a login: nil, a refusal, or a failure that says
// nothing about the password.
func (s *smtpSession) loggedIn(err error) error {
	var reply *smtp.ReplyError
	var own *auth.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &reply) && (reply.LoginRefused() || reply.Policy()):
		if p := s.account.login.password; p != nil {
			p.Forget()
		}
		return &LoginError{s.account.Address(), err}
	case errors.As(err, &own):
		return s.account.noLogin(err)
	}
	return s.failed("log in", err)
}

// noLogin is the error of a login that failed on this side.
func (a *SMTP) noLogin(err error) error {
	login := &LoginError{a.Address(), err}
	var class interface{ Permanent() bool }
	if errors.As(err, &class) && class.Permanent() {
		return login
	}
	return unreadyError{login}
}

// unreadyError is a login for which there is no password now, as its command
// was stopped or its store is locked. Nothing was refused, and another try soon
// locks nobody out.
type unreadyError struct{ error }

func (e unreadyError) Unwrap() error    { return e.error }
func (unreadyError) LoginRefused() bool { return false }

func (s *smtpSession) failed(doing string, err error) error {
	return &ServerError{s.account.Address(), fmt.Errorf("%s: %w", doing, err)}
}

// Send implements outbox.Session.
func (s *smtpSession) Send(ctx context.Context, q outbox.Queue) error {
	err := s.client.Send(ctx, &smtpQueue{queue: q, mails: map[*smtp.Mail]*outbox.Mail{}})
	if err == nil {
		return nil
	}
	var reply *smtp.ReplyError
	if errors.As(err, &reply) && reply.LoginRefused() {
		return &LoginError{s.account.Address(), err}
	}
	return s.failed("send", err)
}

// Close implements outbox.Session.
func (s *smtpSession) Close() {
	_ = s.client.Quit() // nothing depends on it: every message has had its reply
	s.client.Close()
}

// smtpQueue shows an outbox.Queue to an smtp.Client.
type smtpQueue struct {
	queue outbox.Queue
	mails map[*smtp.Mail]*outbox.Mail
}

// Next implements smtp.Queue.
func (q *smtpQueue) Next(ctx context.Context) *smtp.Mail {
	m := q.queue.Next(ctx)
	if m == nil {
		return nil
	}
	mail := &smtp.Mail{
		From: m.From, Size: m.Size, EightBit: m.EightBit, UTF8: m.UTF8,
		Return: m.Return, EnvelopeID: m.EnvelopeID, Text: m.Text,
	}
	for _, to := range m.To {
		mail.To = append(mail.To, smtp.Recipient{Address: to.Address, Notify: to.Notify, Original: to.Original})
	}
	q.mails[mail] = m
	return mail
}

// Dot implements smtp.Queue.
func (q *smtpQueue) Dot(ctx context.Context, mail *smtp.Mail, to []error) error {
	return q.queue.Dot(ctx, q.mails[mail], to)
}

// Done implements smtp.Queue.
func (q *smtpQueue) Done(mail *smtp.Mail, o smtp.Outcome) error {
	m := q.mails[mail]
	delete(q.mails, mail)
	reply := ""
	if o.Fate == smtp.Sent {
		reply = o.Reply.String()
	}
	fate := map[smtp.Fate]outbox.Fate{smtp.Unsent: outbox.Unsent, smtp.Sent: outbox.Accepted, smtp.Uncertain: outbox.Unknown}[o.Fate]
	return q.queue.Done(m, outbox.Result{Fate: fate, Reply: reply, Err: o.Err, To: o.To})
}
