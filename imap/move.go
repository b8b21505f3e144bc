package imap

import (
	"context"
	"strings"
)

// Moved says what became of a Move.
type Moved struct {
	UIDValidity uint32 // of the mailbox moved to; 0 if the server did not tell
	From, To    UIDSet // the UIDs there and here, as far as the server told
	// Left is what was copied and marked \Deleted here, and could not be removed:
	// the server offers neither MOVE nor UIDPLUS.
	Left UIDSet
}

// Move moves messages to another mailbox: with MOVE (RFC 6851), and else by COPY,
// \Deleted and UID EXPUNGE, in this order and each only after the one before
// went well. Messages that the server told to have copied others than are then
// left alone. A NO is a *ResponseError; with the code TRYCREATE, the mailbox does
// not exist. After an error, some messages may have been moved, and after one on
// the way, some copied and not removed.
func (c *Client) Move(ctx context.Context, uids UIDSet, to Name) (Moved, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return Moved{}, err
	}
	defer leave()
	if err := c.known(); err != nil {
		return Moved{}, err
	}
	var all Moved
	for set := range uids.Pieces(maxSetText) {
		var m Moved
		if c.offers("MOVE") {
			m, err = c.transfer("UID MOVE", set, to)
		} else {
			m, err = c.copyAndDelete(set, to)
		}
		all.UIDValidity = m.UIDValidity
		all.From, all.To, all.Left = all.From.Union(m.From), all.To.Union(m.To), all.Left.Union(m.Left)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

func (c *Client) copyAndDelete(uids UIDSet, to Name) (Moved, error) {
	m, err := c.transfer("UID COPY", uids, to)
	if err != nil {
		return m, err
	}
	if !m.From.Empty() {
		uids = uids.Intersect(m.From)
	}
	if err := c.store(uids, []string{`\Deleted`}); err != nil {
		return m, err
	}
	if !c.offers("UIDPLUS") {
		m.Left = uids
		return m, nil
	}
	return m, c.expunge(uids)
}

// transfer runs a COPY or MOVE. Its COPYUID may come in the answer or before it.
func (c *Client) transfer(verb string, uids UIDSet, to Name) (Moved, error) {
	var m Moved
	r, err := c.perform(c.command(verb).uids(uids).name(to), func(u *untagged) (bool, error) {
		return u.name == "OK" && m.note(u.reply), nil
	})
	if err == nil {
		m.note(r)
	}
	m.From = m.From.Intersect(uids)
	return m, err
}

// note takes a COPYUID (RFC 4315 section 3). One that makes no sense says nothing.
func (m *Moved) note(r reply) (taken bool) {
	if r.code != "COPYUID" {
		return false
	}
	words := strings.Fields(r.args)
	if len(words) != 3 {
		return true
	}
	from, err := ParseUIDSet(words[1])
	if err != nil || from.Max() == MaxUID {
		return true
	}
	to, err := ParseUIDSet(words[2])
	if err != nil || to.Max() == MaxUID || from.Count() != to.Count() {
		return true
	}
	m.UIDValidity, m.From, m.To = codeNumber(words[0]), m.From.Union(from), m.To.Union(to)
	return true
}

// Create makes a mailbox (RFC 9051 section 6.3.4).
func (c *Client) Create(ctx context.Context, name Name) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return c.exec(c.command("CREATE").name(name), nil)
}
