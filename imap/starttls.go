package imap

import (
	"context"
	"crypto/tls"
	"errors"
	"time"
)

// StartTLS makes the connection TLS (RFC 9051 section 6.2.1). After a NO or BAD,
// which is a *ResponseError, the connection is what it was: the caller must not
// log in on it. What the server said about itself before is forgotten.
// A second StartTLS is an error, and so is one on a connection that is TLS.
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
	case c.authenticated || len(c.ahead) > 0:
		return errors.New("send STARTTLS: too late")
	case c.line.in.Buffered() > 0:
		// An answer that is there before the command was put there by somebody.
		return c.fail(&ProtocolError{Doing: "send STARTTLS", Detail: "the server has sent what was not asked for"})
	}
	if err := c.exec(c.command("STARTTLS"), nil); err != nil {
		return err
	}
	// Octets behind the reply came in the clear. To take them for what the server
	// says under TLS would let anybody on the way put words into its mouth.
	if c.line.in.Buffered() > 0 {
		return c.fail(&ProtocolError{Doing: reading("STARTTLS"), Detail: "octets between the response and the TLS handshake"})
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
	if err := l.arm(l.raw.SetDeadline, time.Now().Add(l.timeout)); err != nil {
		return err
	}
	return conn.Handshake()
}
