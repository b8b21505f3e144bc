// Package smtp submits messages to a mail server for those who may lose nothing
// and send nothing twice: RFC 5321 and 6409 with STARTTLS (RFC 3207), AUTH
// (4954), PIPELINING (2920), SIZE (1870), 8BITMIME (6152), SMTPUTF8 (6531), DSN
// (3461) and enhanced status codes (2034), over a connection that the caller has
// dialled.
//
// A session goes like this:
//
//  1. New takes over a connection and reads the greeting.
//  2. StartTLS, if the connection is not TLS yet; then Capabilities, which tells
//     the mechanisms, and Auth. EHLO is said by itself, once for each state of
//     the connection, and never after a login, which some servers would forget.
//  3. Send asks a Queue for messages and says what became of each. Where the
//     server offers PIPELINING, one message costs one round trip: the envelope of
//     the next travels behind the final dot of the present one.
//  4. Send may be called again when there is more. Quit ends the session.
//
// Before the final dot the server has nothing, whatever happens; after its reply
// the fate of the message is known. Only in between is it not, and the Queue is
// asked before that begins.
//
// A server is not trusted: every line, reply and silence has a limit. Once
// a reply cannot be understood, the line is lost or the context is cancelled, the
// connection is cut and every later call returns that first error. A refusal is
// no such failure; the session goes on after it, except after a 421.
package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// Options are the limits of a session. The zero value of each field stands for
// its default.
type Options struct {
	// Timeout is how long a reply is awaited, and how long the server may take no
	// octets: 5 minutes (RFC 5321 section 4.5.3.2).
	Timeout time.Duration
	// DotTimeout is how long the reply to the final dot is awaited: 10 minutes.
	// To give up earlier than the server makes messages arrive twice.
	DotTimeout time.Duration
	// Name is what EHLO says: a host name in ASCII or an address literal. By
	// default it is the literal of the connection's local address.
	Name string
	// Window is how many commands may be unanswered: 128.
	Window int
	// Lockstep has PIPELINING ignored, for a server that offers it in error.
	Lockstep bool
	// Secure says that the connection is TLS already. It is implied by a
	// *tls.Conn.
	Secure bool
}

func (o Options) withDefaults() Options {
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Minute
	}
	if o.DotTimeout <= 0 {
		o.DotTimeout = 10 * time.Minute
	}
	if o.Window <= 0 {
		o.Window = 128
	}
	return o
}

// Client is one session with a submission server. Its methods are for one
// goroutine at a time, except Close. A Queue must not call them either, Close
// again excepted.
type Client struct {
	line    *line
	options Options
	secure  bool  // TLS is in use
	failed  error // the first failure, which ended the session

	capabilities  *Capabilities // what EHLO said; nil: not said in this state
	authenticated bool
	dirty         bool // a transaction was left open: RSET comes before the next

	command []byte        // scratch for what is written
	answer  []byte        // scratch for the text of a reply
	text    *bufio.Writer // of messages
	piece   []byte        // of a message that is read
	secrets []string      // what no error may repeat
}

// New takes over a connection, shakes hands if it is a *tls.Conn that has not
// done so, and reads the greeting. On an error the connection is closed; it is a
// *ReplyError if the server refuses the session in its greeting.
func New(ctx context.Context, conn net.Conn, o Options) (*Client, error) {
	o = o.withDefaults()
	c := &Client{options: o, line: newLine(conn, o.Timeout), secure: o.Secure || isTLS(conn)}
	if err := c.greet(ctx, conn); err != nil {
		return nil, c.fail(err)
	}
	return c, nil
}

func (c *Client) greet(ctx context.Context, conn net.Conn) error {
	if c.options.Name == "" {
		c.options.Name = literal(conn.LocalAddr())
	} else if problem := checkDomain(c.options.Name); problem != "" || !isASCII(c.options.Name) {
		return fmt.Errorf("say EHLO: %s is no host name or address literal", printable(c.options.Name))
	}
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if t, ok := conn.(*tls.Conn); ok {
		if err := c.line.handshake(t); err != nil {
			return c.line.failure("TLS handshake", err)
		}
	}
	r, err := c.reply("", c.options.Timeout)
	switch {
	case err != nil:
		return err
	case r.refusal():
		return refused("", r)
	case r.code != 220:
		return c.odd("", r)
	}
	return nil
}

// Close cuts the line. It is safe at any time, from any goroutine, and more
// than once; a call under way returns with an error.
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

// quiet makes sure that nothing has come that nobody asked for. A reply that
// is there before its command was sent either belongs to another command or was
// put there by somebody else. Only 421 may come at any time.
func (c *Client) quiet(verb string) error {
	if c.line.in.Buffered() == 0 {
		return nil
	}
	if _, err := c.reply(verb, c.options.Timeout); err != nil {
		return err
	}
	return c.fail(&ProtocolError{Doing: sending(verb), Detail: "the server has sent what was not asked for"})
}

// write sends commands. When that fails, a 421 among the replies that are under
// way says why.
func (c *Client) write(verb string, p []byte, unanswered int) error {
	if _, err := c.line.write(p); err != nil {
		err = c.line.failure(sending(verb), err)
		return c.fail(c.lastWords(verb, err, unanswered, func(r reply) bool { return r.code == 421 }))
	}
	return nil
}

// lastWords looks for what the server said before it stopped to read, and returns
// the error that it would have been told with.
func (c *Client) lastWords(verb string, err error, unanswered int, telling func(reply) bool) error {
	if c.line.cancelled.Load() {
		return err
	}
	for range unanswered + 1 {
		r, failed := c.readReply(verb, parting, nil)
		if failed != nil {
			break
		}
		if telling(r) {
			return refused(verb, r)
		}
	}
	return err
}

// ask sends one command and awaits its reply. The error is that of the session;
// a refusal is a reply.
func (c *Client) ask(verb, command string, each func(text []byte)) (reply, error) {
	if err := c.quiet(verb); err != nil {
		return reply{}, err
	}
	c.command = append(append(c.command[:0], command...), '\r', '\n')
	if err := c.write(verb, c.command, 0); err != nil {
		return reply{}, err
	}
	return c.replyLines(verb, c.options.Timeout, each)
}

// Noop keeps an idle session alive and shows whether it still is.
func (c *Client) Noop(ctx context.Context) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	r, err := c.ask("NOOP", "NOOP", nil)
	if err == nil && r.refusal() {
		err = refused("NOOP", r)
	}
	return err
}
