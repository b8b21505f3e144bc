package remote

import (
	"context"
	"errors"

	"postrider/auth"
	"postrider/configs"
	"postrider/imap"
	"postrider/pop3"
	"postrider/smtp"
)

// login is who an account is. Its password is asked for once and serves all
// its sessions.
type login struct {
	user     string
	password *auth.Password // nil: a client certificate says it all
}

func newLogin(a configs.Account, env auth.Environ) *login {
	l := &login{user: a.User}
	if !a.Password.IsZero() {
		s := a.Password
		l.password = auth.NewPassword(auth.Source{Literal: s.Literal, File: s.File, Env: s.Env, Credential: s.Credential, Command: s.Command}, env)
	}
	return l
}

// ready asks for the password, which is then kept if it came from a command.
func (l *login) ready(ctx context.Context) error {
	if l.password == nil {
		return nil
	}
	_, err := l.password.Get(ctx)
	return err
}

func (l *login) credentials(s configs.Server) auth.Credentials {
	c := auth.Credentials{User: l.user, Host: s.Host, Port: s.Port, ClientCert: s.ClientCert != ""}
	if l.password != nil {
		c.Password = l.password.Get
	}
	return c
}

// policy: without TLS the configuration has been checked to allow it for this
// host, which otherwise is a loopback one.
func policy(s configs.Server, overTLS bool) auth.Policy {
	return auth.Policy{Auth: s.Auth, Secure: overTLS || s.TLS == "none"}
}

// LoginError is a login that the server, or our own rules, refused.
type LoginError struct {
	Server string
	Err    error
}

func (e *LoginError) Error() string {
	text := e.Server + ": log in: " + e.Err.Error()
	var reply *pop3.ReplyError
	var response *imap.ResponseError
	var submission *smtp.ReplyError
	switch {
	case errors.As(e.Err, &submission):
		text += " (check user and password; some providers want SMTP switched on first, or a password made for one program)"
	case errors.As(e.Err, &reply):
		text += " (check user and password; some providers want POP3 switched on first, or a password made for one program)"
	case errors.As(e.Err, &response):
		text += " (check user and password; some providers want IMAP switched on first, or a password made for one program)"
	}
	return text
}

func (e *LoginError) Unwrap() error { return e.Err }

// LoginRefused tells a refused login from a server that cannot be used now.
func (e *LoginError) LoginRefused() bool { return true }
