// Package pop3 is a POP3 client for those who may lose nothing: RFC 1939 with
// CAPA and response codes (RFC 2449, 3206), STLS (2595), SASL (5034), UTF8
// (6856) and PIPELINING, over a connection that the caller has dialled.
//
// A session goes like this:
//
//  1. New takes over a connection and reads the greeting.
//  2. Capabilities asks what the server can do; StartTLS, if the connection
//     is not TLS yet; then Auth, Login or APOP.
//  3. Listing streams every message's number, unique-id and size.
//  4. Retrieve streams the wanted messages into a Receiver, many in flight
//     where the server offers PIPELINING, and one by one where it does not.
//  5. Delete marks messages. They go when Quit has been answered with +OK, and
//     not before. A session that marked nothing may Leave without waiting.
//
// A server is not trusted: every line, list, message and silence has a limit.
// Once a reply cannot be understood, the line is lost or the context is
// cancelled, the connection is cut and every later call returns that first
// error: after a reply too many or too few, numbers and messages would no longer
// match. A -ERR is no such failure; the session goes on after it.
package pop3

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// Options are the limits of a session. The zero value of each field stands for
// its default.
type Options struct {
	// Timeout is the silence after which a read or a write fails: 60 s. It
	// runs from the last octets, so a slow transfer is not cut; on a TLS
	// connection, from the last record.
	Timeout time.Duration
	// Window is how many commands may be unanswered: 512.
	Window int
	// WindowOctets bounds the announced size of the messages that have been
	// asked for and are not here yet: 32 MiB. One message is always asked for.
	WindowOctets int64
	// MaxMessage is the size at which a message is cut: 2 GiB.
	MaxMessage int64
	// Secure says that the connection is TLS already. It is implied by a
	// *tls.Conn.
	Secure bool
}

func (o Options) withDefaults() Options {
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.Window <= 0 {
		o.Window = 512
	}
	if o.WindowOctets <= 0 {
		o.WindowOctets = 32 << 20
	}
	if o.MaxMessage <= 0 {
		o.MaxMessage = 2 << 30
	}
	return o
}

// Client is one session with a POP3 server. Its methods are for one goroutine
// at a time, except Close.
type Client struct {
	line    *line
	options Options
	secure  bool  // TLS is in use
	failed  error // the first failure, which ended the session

	greeting     string
	capabilities *Capabilities // the last answer; nil: ask
	silent       bool          // the server refused CAPA
	pipelining   bool          // what the last answer said, or Ahead took for granted

	ahead   []string // command lines sent before their call, oldest first
	command []byte   // scratch for what is written
	secrets []string // what no error may repeat
}

// New takes over a connection, shakes hands if it is a *tls.Conn that has not
// done so, and reads the greeting. On an error the connection is closed; it is a
// *ReplyError if the server refuses the session in its greeting.
func New(ctx context.Context, conn net.Conn, o Options) (*Client, error) {
	o = o.withDefaults()
	c := &Client{options: o, line: newLine(conn, o.Timeout), secure: o.Secure || isTLS(conn)}
	leave, err := c.enter(ctx)
	if err != nil {
		c.line.cut()
		return nil, err
	}
	defer leave()
	if t, ok := conn.(*tls.Conn); ok {
		if err := c.line.handshake(t); err != nil {
			return nil, c.fail(c.line.failure("TLS handshake", err))
		}
	}
	text, err := c.reply("")
	if err != nil {
		c.line.cut()
		return nil, err
	}
	c.greeting = clip(string(text), maxText)
	return c, nil
}

// Close cuts the line. It is safe at any time, from any goroutine, and more
// than once; a call under way returns with an error. Messages marked by Delete
// stay on the server.
func (c *Client) Close() error {
	c.line.cut()
	return nil
}

// enter begins a call: it refuses one on a session that has ended, and ties
// the line to the context until leave is called.
func (c *Client) enter(ctx context.Context) (leave func(), err error) {
	if c.failed != nil {
		return nil, c.failed
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("talk to the server: %w", err)
	}
	return c.line.watch(ctx), nil
}

// fail ends the session. Only the first failure is kept, for it is the cause of
// the others.
func (c *Client) fail(err error) error {
	if c.failed == nil {
		c.failed = err
	}
	c.line.cut()
	return err
}

// send writes command lines, all of them in one flight. Lines that Ahead has
// sent already are not sent again. The verb is for errors.
func (c *Client) send(verb string, lines ...string) error {
	out, early := c.command[:0], false
	for _, l := range lines {
		if len(c.ahead) == 0 {
			out = append(append(out, l...), '\r', '\n')
			continue
		}
		if c.ahead[0] != l {
			return c.fail(fmt.Errorf("send %s: %w", verb, ErrAhead))
		}
		c.ahead, early = c.ahead[1:], true
	}
	c.command = out[:0]
	if len(out) == 0 {
		return nil
	}
	if !early {
		if err := c.quiet(verb); err != nil {
			return err
		}
	}
	return c.write(verb, out)
}

// quiet makes sure that nothing has come that nobody asked for. A reply that
// is there before its command was sent either belongs to another command or was
// put there by somebody else.
func (c *Client) quiet(verb string) error {
	if c.line.in.Buffered() > 0 {
		return c.fail(&ProtocolError{Doing: "send " + verb, Detail: "the server has sent what was not asked for"})
	}
	return nil
}

func (c *Client) write(verb string, p []byte) error {
	if err := c.line.write(p); err != nil {
		return c.fail(c.line.failure("send "+verb, err))
	}
	return nil
}

// ask sends one command and awaits its reply, for the commands that have
// neither arguments nor a list for an answer.
func (c *Client) ask(ctx context.Context, verb string) (text []byte, err error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := c.send(verb, verb); err != nil {
		return nil, err
	}
	return c.reply(verb)
}
