package pop3

import (
	"context"
	"errors"

	"github.com/emersion/go-sasl"
)

// maxAhead bounds what is sent before anything is read: as much as any socket
// takes from us even if the server is busy writing and reads nothing.
const maxAhead = 4 << 10

// Ahead is a command for Client.Ahead.
type Ahead struct {
	lines  []string // with the secret in them: see String
	secret string
	err    error
}

// String shows nothing of the command, which may hold a password.
func (Ahead) String() string { return "pop3.Ahead" }

// GoString is String.
func (a Ahead) GoString() string { return a.String() }

// AheadCapabilities is the CAPA of a later call of Capabilities.
func AheadCapabilities() Ahead { return Ahead{lines: []string{"CAPA"}} }

// AheadUTF8 is the UTF8 of a later call of UTF8.
func AheadUTF8() Ahead { return Ahead{lines: []string{"UTF8"}} }

// AheadLogin is the USER and PASS of a later call of Login.
func AheadLogin(user, password string) Ahead {
	lines, err := loginLines(user, password)
	return Ahead{lines: lines, secret: password, err: err}
}

// AheadAuth is the AUTH of a later call of Auth. It serves mechanisms that say
// everything in a short initial response, and the same each time: PLAIN and
// EXTERNAL. Client.Ahead refuses the others.
func AheadAuth(a sasl.Client) Ahead {
	cmd, err := newAuthCommand(a)
	if err == nil && !cmd.immediate {
		err = errors.New("send ahead: " + cmd.mechanism + " does not say everything in its first line")
	}
	return Ahead{lines: []string{cmd.line}, secret: cmd.response, err: err}
}

// AheadListing is the LIST and UIDL of a later call of Listing.
func AheadListing() Ahead { return Ahead{lines: []string{"LIST", "UIDL"}} }

// Ahead sends commands before their turn, in one flight: the round trips of a
// whole login and listing become one. The calls that belong to them must follow
// in the same order; each finds its command sent and only reads the reply. A call
// that would send anything else, and a server that asks back after an AUTH, end
// the session with ErrAhead.
//
// It is for servers that offered PIPELINING in an earlier session, which is then
// taken for granted in this one until an answer to CAPA says otherwise. A server
// that stumbles nevertheless, by dropping what came too early, shows as
// a timeout, a ProtocolError, or ErrAhead: the caller should then forget what it
// knew, dial again, and go one step at a time. No message can be harmed by it:
// nothing that changes the maildrop can be sent ahead. When the login is refused,
// the commands behind it are refused by the server as well; the session is of no
// more use, and Close or Leave ends it.
//
// If one of the steps cannot be sent ahead, nothing is sent, and the session
// goes on as if Ahead had not been called.
func (c *Client) Ahead(ctx context.Context, steps ...Ahead) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	out := c.command[:0]
	var lines []string
	for _, s := range steps {
		if s.err != nil {
			return s.err
		}
		for _, l := range s.lines {
			lines = append(lines, l)
			out = append(append(out, l...), '\r', '\n')
		}
	}
	c.command = out[:0]
	if len(out) > maxAhead {
		return errors.New("send ahead: the commands are too long")
	}
	if len(lines) == 0 {
		return nil
	}
	if len(c.ahead) == 0 {
		if err := c.quiet("commands ahead"); err != nil {
			return err
		}
	}
	for _, s := range steps {
		c.keepSecret(s.secret) // for good: any reply may be one to another line
	}
	c.ahead = append(c.ahead, lines...)
	c.pipelining = true
	return c.write("commands ahead", out)
}
