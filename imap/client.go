// Package imap is an IMAP client for those who may lose nothing: RFC 3501 and
// 9051 with the extensions that make a mailbox cheap to follow, over a
// connection that the caller has dialled.
//
// A session goes like this:
//
//  1. New takes over a connection and reads the greeting.
//  2. Capabilities says what the server can do; StartTLS, if the connection is
//     not TLS yet; then Authenticate or Login. ID should follow wherever it is
//     offered: some servers refuse everything else without it.
//  3. Enable and Compress, before any mailbox is selected. Where the server is
//     known, Ahead sends these and the next step in one flight.
//  4. List tells the mailboxes and, with their status, which of them changed.
//  5. Select opens one; Search and FetchAttributes tell what is in it; Fetch
//     streams messages into a Receiver, the next ones asked for while these
//     arrive; Store, Expunge and Move change it, by UID and never otherwise.
//  6. Idle waits for news. Logout, or Leave, ends the session.
//
// A server is not trusted: every string, list, literal and silence has a limit.
// Responses are read by their grammar. What is unknown or malformed is
// skipped, be it a response, an item or a code. Only a broken frame, such as a tag
// that nobody sent or text behind a message where none can be, ends the session:
// the line is cut and every later call returns that first error. So do a failed
// line, a BYE and the end of the context. A NO or a BAD does not.
package imap

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"
)

// Options are the limits of a session. The zero value of each field stands for
// its default.
type Options struct {
	// Timeout is the silence after which a read or a write fails: 60 s. It
	// runs from the last octets, so a slow transfer is not cut; on a TLS
	// connection, from the last record.
	Timeout time.Duration
	// WindowOctets bounds the announced size of the messages that have been
	// asked for and are not here yet: 32 MiB. Some are always asked for.
	WindowOctets int64
	// MaxLiteral is the size at which a message is refused: 2 GiB.
	MaxLiteral int64
	// MaxNesting is how deep lists may stand in lists: 32.
	MaxNesting int
	// Secure says that the connection is TLS already. It is implied by a
	// *tls.Conn.
	Secure bool
	// Events is told what the server says on its own, by the goroutine of the
	// call under way. It must not call the client, save Close.
	Events func(Event)
}

func (o Options) withDefaults() Options {
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.WindowOctets <= 0 {
		o.WindowOctets = 32 << 20
	}
	if o.MaxLiteral <= 0 {
		o.MaxLiteral = 2 << 30
	}
	if o.MaxNesting <= 0 {
		o.MaxNesting = 32
	}
	if o.Events == nil {
		o.Events = func(Event) {}
	}
	return o
}

// Client is one session with an IMAP server. Its methods are for one goroutine
// at a time, except Close.
type Client struct {
	line    *line
	p       parser
	options Options
	failed  error // the first failure, which ended the session

	secure        bool // TLS is in use
	authenticated bool
	leaving       bool // a BYE is what we want
	utf8          bool // names are UTF-8: UTF8=ACCEPT or IMAP4rev2 is enabled
	plainLists    bool // the server did not understand an extended LIST

	greeting     string
	throttled    string        // the words with which the server asked for time; a BYE may follow that says nothing
	capabilities *Capabilities // the last that were told; nil: ask
	events       func(Event)   // of Options, or of Idle

	prefix  string // of all tags of this session
	tags    uint64 // how many were used
	seen    int    // responses since the last command was answered
	ahead   []early
	out     []byte   // scratch for what is written
	secrets []string // what no error may repeat
}

// New takes over a connection, shakes hands if it is a *tls.Conn that has not
// done so, and reads the greeting. On an error the connection is closed; it is a
// *ResponseError if the server refuses the session with BYE.
//
// A server that greets with PREAUTH needs no login: see Authenticated. Before TLS
// that is an error, for who can put it there takes the login and TLS away.
func New(ctx context.Context, conn net.Conn, o Options) (*Client, error) {
	o = o.withDefaults()
	c := &Client{options: o, line: newLine(conn, o.Timeout), secure: o.Secure || isTLS(conn), events: o.Events}
	c.p = parser{line: c.line, maxLiteral: o.MaxLiteral, nesting: o.MaxNesting}
	// Whoever puts replies on the line before the commands are sent has to guess.
	c.prefix = string([]byte{letter(), letter(), letter()})
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
	if err := c.greet(); err != nil {
		return nil, c.fail(err)
	}
	return c, nil
}

func letter() byte { return byte('A' + rand.IntN(26)) }

// Close cuts the line. It is safe at any time, from any goroutine, and more
// than once; a call under way returns with an error.
func (c *Client) Close() error {
	c.line.cut()
	return nil
}

// Authenticated reports that the server knows who we are.
func (c *Client) Authenticated() bool { return c.authenticated }

// Greeting returns the text of the server's greeting, escaped by nobody.
func (c *Client) Greeting() string { return c.greeting }

// Noop does nothing but let the server tell its news (RFC 9051 section 6.1.2).
func (c *Client) Noop(ctx context.Context) error { return c.ask(ctx, "NOOP") }

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

// ask sends a command without arguments and awaits its end.
func (c *Client) ask(ctx context.Context, verb string) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return c.exec(c.command(verb), nil)
}

func (c *Client) tag() string {
	c.tags++
	return c.prefix + strconv.FormatUint(c.tags, 10)
}
