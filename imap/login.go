package imap

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-sasl"
)

const (
	maxInitial    = 8000 // octets of an AUTHENTICATE line; servers bound their lines
	maxChallenges = 16   // no mechanism has as many
)

// Login logs in with LOGIN (RFC 9051 section 6.2.3). A refusal is a
// *ResponseError; see its LoginRefused. A name or password with a line end or NUL
// in it is refused before anything is sent, and so is a LOGIN that the server has
// disabled. The caller decides whether the connection is fit for a password.
func (c *Client) Login(ctx context.Context, user, password string) error {
	for _, s := range []struct{ what, text string }{{"user name", user}, {"password", password}} {
		if strings.ContainsAny(s.text, "\r\n\x00") {
			return fmt.Errorf("log in: the %s contains a line end or NUL", s.what)
		}
	}
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := c.mayLogIn(); err != nil {
		return err
	}
	if c.offers("LOGINDISABLED") {
		return fmt.Errorf("send LOGIN: %w", ErrLoginDisabled)
	}
	defer c.keepSecret(password)()
	m := c.command("LOGIN").str("user name", user).str("password", password)
	c.capabilities = nil
	if err := c.exec(m, nil); err != nil {
		return err
	}
	c.authenticated = true
	return nil
}

// mayLogIn also makes sure that the capabilities are those of this state.
func (c *Client) mayLogIn() error {
	if c.authenticated {
		return errors.New("log in: logged in already")
	}
	return c.known()
}

// Authenticate logs in by a SASL mechanism (RFC 9051 section 6.2.2). A refusal is
// a *ResponseError; see its LoginRefused. When the mechanism itself fails, the
// exchange is cancelled and the session can be used further. Success is what
// the server said: a mechanism that also checks the server must be asked
// afterwards.
func (c *Client) Authenticate(ctx context.Context, a sasl.Client) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := c.mayLogIn(); err != nil {
		return err
	}
	mechanism, response, err := a.Start()
	if err != nil {
		return fmt.Errorf("start SASL mechanism: %w", err)
	}
	if !isMechanism(mechanism) {
		return errors.New("start SASL mechanism: its name is not one")
	}
	m := c.command("AUTHENTICATE").raw(" " + mechanism)
	e := exchange{client: c, sasl: a, mechanism: mechanism, held: response != nil}
	if e.held {
		e.response = base64.StdEncoding.EncodeToString(response)
		if c.offers("SASL-IR") && len(m.octets)+len(e.response) < maxInitial {
			e.held = false
			if m.raw(" " + e.response); e.response == "" {
				m.raw("=") // in the command, and only there, nothing has a sign
			}
		}
	}
	defer c.keepSecret(e.response)()
	c.capabilities = nil
	tag, err := c.start(m, nil)
	if err != nil {
		return err
	}
	if err := e.run(tag); err != nil {
		return err
	}
	c.authenticated = true
	return nil
}

// isMechanism checks the form of a mechanism's name (RFC 4422 section 3.1).
func isMechanism(s string) bool {
	for _, c := range s {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 20
}

// exchange is a SASL exchange whose command has been sent.
type exchange struct {
	client    *Client
	sasl      sasl.Client
	mechanism string
	held      bool   // the initial response waits to be asked for
	response  string // the initial one, in base64
}

// run answers challenges until the command is answered.
func (e *exchange) run(tag string) error {
	c := e.client
	for round := 0; ; round++ {
		r, err := c.next("AUTHENTICATE", nil)
		if err != nil {
			return err
		}
		if r.kind == tagged {
			if _, err := c.finish("AUTHENTICATE", tag, r); err != nil {
				return err
			}
			if e.held {
				return c.fail(&ProtocolError{Doing: reading("AUTHENTICATE"), Detail: "OK before any credentials were sent"})
			}
			return nil
		}
		response := e.response
		if !e.held {
			if response, err = e.respond(r.reply.text, round); err != nil {
				return e.cancel(tag, err)
			}
		}
		e.held = false
		defer c.keepSecret(response)()
		if err := c.write("AUTHENTICATE", []byte(response+"\r\n")); err != nil {
			return err
		}
	}
}

// respond asks the mechanism for its answer to a challenge. No answer is an
// empty one, and that an empty line: the server waits for it.
func (e *exchange) respond(challenge string, round int) (string, error) {
	if round >= maxChallenges {
		return "", errors.New("the server never stops asking")
	}
	decoded, err := base64.StdEncoding.DecodeString(challenge)
	if err != nil {
		return "", errors.New("the server's challenge is not base64")
	}
	response, err := e.sasl.Next(decoded)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(response), nil
}

// cancel ends an exchange that the mechanism cannot go on with.
func (e *exchange) cancel(tag string, cause error) error {
	c := e.client
	cause = fmt.Errorf("authenticate with %s: %w", e.mechanism, cause)
	if c.write("AUTHENTICATE", []byte("*\r\n")) != nil {
		return cause
	}
	r, err := c.next("AUTHENTICATE", nil)
	switch {
	case err != nil:
		return cause
	case r.kind == continuation:
		return c.fail(cause) // it does not know how to stop
	}
	if _, err := c.finish("AUTHENTICATE", tag, r); err == nil {
		return c.fail(cause) // OK to a cancelled exchange: whose session is it?
	}
	return cause
}
