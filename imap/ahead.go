package imap

import (
	"context"
	"errors"
)

// maxAhead bounds what is sent before anything is read: as much as any socket
// takes from us even if the server is busy writing and reads nothing.
const maxAhead = 4 << 10

// early is a command that was sent before its call.
type early struct{ tag, octets string }

// Ahead is a command for Client.Ahead.
type Ahead func(c *Client) *command

// AheadCapabilities is the CAPABILITY of a later call of Capabilities.
func AheadCapabilities() Ahead { return func(c *Client) *command { return c.command("CAPABILITY") } }

// AheadID is the ID of a later call of ID.
func AheadID(fields map[string]string) Ahead {
	return func(c *Client) *command { return c.idCommand(fields) }
}

// AheadEnable is the ENABLE of a later call of Enable.
func AheadEnable(names ...string) Ahead {
	return func(c *Client) *command { return c.enableCommand(names) }
}

// AheadList is the extended LIST of a later call of List. Without LIST-EXTENDED
// it cannot be sent ahead.
func AheadList(want ListRequest) Ahead {
	return func(c *Client) *command {
		m := c.listCommand(want)
		if !c.extendedLists() {
			m.err = unsupported("LIST", "LIST-EXTENDED")
		}
		return m
	}
}

// AheadSelect is the command of a later call of Select.
func AheadSelect(name Name, o SelectOptions) Ahead {
	return func(c *Client) *command { return c.selectCommand(name, o) }
}

// AheadSearch is the command of a later call of Search. With a set that needs
// more than one it cannot be sent ahead.
func AheadSearch(uids UIDSet) Ahead {
	return func(c *Client) *command { return c.searchCommand(uids).inOne(uids) }
}

// AheadAttributes is the command of a later call of FetchAttributes. With a set
// that needs more than one it cannot be sent ahead.
func AheadAttributes(want AttributesRequest) Ahead {
	return func(c *Client) *command { return c.attributesCommand(want, want.UIDs).inOne(want.UIDs) }
}

// inOne refuses a set that a call would ask for in pieces.
func (m *command) inOne(uids UIDSet) *command {
	n := 0
	for range uids.Pieces(maxSetText) {
		n++
	}
	if n != 1 {
		m.err = errors.New("send ahead: the set does not fit one command")
	}
	return m
}

// Ahead sends commands before their turn, in one flight: what would take a round
// trip each takes one together. The calls that belong to them must follow in the
// same order; each finds its command sent and only reads the answer. It is for a
// session that is logged in, and never reaches across a login or STARTTLS.
//
// A call that would send anything else, and an answer out of order, end the session
// with ErrAhead; the caller should then dial again and go one step at a time. Nothing
// that changes a mailbox can be sent ahead. When the server refuses a Select, it
// refuses what was sent behind it, and the calls say so.
//
// If one of the steps cannot be sent ahead, nothing is sent, and the session goes
// on as if Ahead had not been called. A step is worked out from what is known when
// Ahead is called: where an Enable among them changes how names are written,
// those behind it should be ASCII.
func (c *Client) Ahead(ctx context.Context, steps ...Ahead) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if !c.authenticated {
		return errors.New("send ahead: not logged in")
	}
	var lines []early
	var out []byte
	for _, step := range steps {
		m := step(c)
		switch {
		case m.err != nil:
			return m.err
		case len(m.waits) > 0:
			return errors.New("send ahead: a literal has to wait for the server")
		}
		e := early{tag: c.tag(), octets: string(m.octets)}
		out = append(append(append(out, e.tag...), ' '), e.octets...)
		out = append(out, "\r\n"...)
		lines = append(lines, e)
	}
	if len(out) > maxAhead {
		return errors.New("send ahead: the commands are too long")
	}
	if len(lines) == 0 {
		return nil
	}
	c.ahead = append(c.ahead, lines...)
	return c.write("commands ahead", out)
}
