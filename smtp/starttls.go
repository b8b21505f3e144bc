package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"
)

// StartTLS makes the connection TLS (RFC 3207). If the server does not offer it
// the error is ErrNotOffered, and if it refuses, a *ReplyError: the connection is
// what it was then, and the caller must not log in on it. What the server said
// about itself before is forgotten. A second StartTLS is an error, and so is one
// on a connection that is TLS, or after a login.
//
// TLS below 1.2 is not spoken whatever config says. Config must name the server
// and is not changed.
func (c *Client) StartTLS(ctx context.Context, config *tls.Config) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	switch {
	case config == nil:
		return errors.New("send STARTTLS: no TLS configuration")
	case c.secure:
		return errors.New("send STARTTLS: the connection is TLS already")
	case c.authenticated:
		return errors.New("send STARTTLS: the login has been made without it")
	}
	if err := c.hello(false); err != nil {
		return err
	}
	if !c.capabilities.StartTLS {
		return fmt.Errorf("send STARTTLS: %w", ErrNotOffered)
	}
	r, err := c.ask("STARTTLS", "STARTTLS", nil)
	switch {
	case err != nil:
		return err
	case r.refusal():
		return refused("STARTTLS", r)
	case r.code != 220:
		return c.odd("STARTTLS", r)
	}
	// Octets behind the reply came in the clear. To take them for what the server
	// says under TLS would let anybody on the way put words into its mouth.
	if c.line.in.Buffered() > 0 {
		return c.fail(&ProtocolError{Doing: awaiting("STARTTLS"), Detail: "octets between the reply and the TLS handshake"})
	}
	if err := c.line.startTLS(config); err != nil {
		return c.fail(c.line.failure("TLS handshake", err))
	}
	c.secure, c.capabilities = true, nil
	return nil
}

// startTLS shakes hands, all within one timeout.
func (l *line) startTLS(config *tls.Config) error {
	if config.MinVersion < tls.VersionTLS12 {
		config = config.Clone()
		config.MinVersion = tls.VersionTLS12
	}
	conn := tls.Client(l.raw, config)
	if err := l.handshake(conn); err != nil {
		return err
	}
	l.conn = conn
	l.in.Reset(deadlineReader{l})
	return nil
}

// handshake does not hand the context to crypto/tls, which would close the
// connection from a goroutine of its own; the deadline does the same.
func (l *line) handshake(conn *tls.Conn) error {
	l.patience = l.timeout
	if err := l.arm(l.raw.SetDeadline, time.Now().Add(l.timeout)); err != nil {
		return err
	}
	return conn.Handshake()
}
