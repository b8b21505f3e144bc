package imap

import "context"

// Search asks which of the UIDs there are, with ESEARCH where it is offered and
// the answer therefore a set (RFC 4731). The answer may come in any order. What
// was not asked for is left out of it, for there are servers that answer with all
// they have. An answer that cannot be read ends the session: a UID that is left
// out of it would be taken for a message that is gone.
func (c *Client) Search(ctx context.Context, uids UIDSet) (UIDSet, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := c.known(); err != nil {
		return nil, err
	}
	var g gatherer
	take := func(u *untagged) (bool, error) {
		switch u.name {
		case "SEARCH":
			return true, strict(c.readSearch(&g))
		case "ESEARCH":
			return true, strict(c.readESearch(&g))
		}
		return false, nil
	}
	if err := c.inPieces("UID SEARCH", uids, take, c.searchCommand); err != nil {
		return nil, err
	}
	return g.set().Intersect(uids), nil
}

func (c *Client) searchCommand(set UIDSet) *command {
	m := c.command("UID SEARCH")
	if c.offers("ESEARCH") {
		m.raw(" RETURN (ALL)")
	}
	return m.raw(" UID").uids(set)
}

// readSearch reads numbers, and perhaps a MODSEQ behind them (RFC 7162 section 3.1.5).
func (c *Client) readSearch(g *gatherer) error {
	p := &c.p
	p.plain = maxNumbers
	for n := 0; ; n++ {
		if err := p.spaces(); err != nil {
			return err
		}
		next, err := p.peek()
		if err != nil || isEnd(next) {
			return err
		}
		if next == '(' {
			if err := p.skip(0); err != nil {
				return err
			}
			continue
		}
		uid, err := p.uid()
		if err != nil {
			return err
		}
		if n >= maxListed || !g.add(uid, uid) {
			return errResponseTooLarge
		}
	}
}

// readESearch reads a list with the tag, the word UID and pairs, of all of which
// only ALL matters. AOL leaves the word UID out.
func (c *Client) readESearch(g *gatherer) error {
	p := &c.p
	for {
		if err := p.spaces(); err != nil {
			return err
		}
		next, err := p.peek()
		if err != nil || isEnd(next) {
			return err
		}
		if next == '(' {
			if err := p.skip(0); err != nil {
				return err
			}
			continue
		}
		b, err := p.atom()
		if err != nil {
			return err
		}
		if equalFold(b, "UID") {
			continue
		}
		all := equalFold(b, "ALL")
		if err := p.spaces(); err != nil {
			return err
		}
		if all {
			err = p.uids(g)
		} else {
			err = p.skip(0)
		}
		if err != nil {
			return err
		}
	}
}
