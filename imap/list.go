package imap

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
)

const (
	maxMailboxes  = 20_000  // of one list
	maxMailboxSum = 2 << 20 // octets of all their names
	maxAttributes = 32      // of one mailbox
)

// Mailbox is a mailbox as LIST describes it (RFC 9051 section 7.3.1).
type Mailbox struct {
	Wire       Name   // for commands
	Name       string // for people: UTF-8, with the server's delimiters; INBOX in capitals
	Delimiter  string // between the levels of its name; empty if there are none
	Attributes []string
	Status     *Status // nil if not asked for, or not told
}

// Is reports whether the mailbox has an attribute, such as \Noselect or \Sent.
// Case does not matter.
func (m *Mailbox) Is(attribute string) bool {
	return slices.ContainsFunc(m.Attributes, func(a string) bool { return strings.EqualFold(a, attribute) })
}

// Selectable reports that the mailbox can hold messages and exists.
func (m *Mailbox) Selectable() bool { return !m.Is(`\Noselect`) && !m.Is(`\NonExistent`) }

// ListRequest is what to list.
type ListRequest struct {
	Patterns []string    // in UTF-8, with the wildcards * and %
	Status   StatusItems // for each mailbox that can be selected; 0 for none
}

// List returns the mailboxes that match any of the patterns, each once, in the
// server's order. Special uses (RFC 6154) and status come in one round trip where
// the server offers LIST-EXTENDED and LIST-STATUS (RFC 5258, 5819), and otherwise
// by one LIST for each pattern and one STATUS for each mailbox, all of them in
// flight at once. Mailboxes that STATUS is refused for have none.
//
// Some servers offer LIST-EXTENDED and do not have it: where they answer BAD or
// nothing at all, the plain way is tried.
func (c *Client) List(ctx context.Context, want ListRequest) ([]Mailbox, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := c.known(); err != nil {
		return nil, err
	}
	if c.extendedLists() {
		l := lister{client: c, index: make(map[Name]int)}
		err := c.exec(c.listCommand(want), l.take)
		bad := asResponse(err)
		switch {
		case err == nil && len(l.mailboxes) > 0:
			return l.finish(want)
		case bad != nil && bad.Status == "BAD":
			c.plainLists = true
		case err != nil:
			return nil, err
		}
	}
	l := lister{client: c, index: make(map[Name]int)}
	if err := l.plain(want); err != nil {
		return nil, err
	}
	return l.finish(want)
}

func (c *Client) extendedLists() bool { return c.offers("LIST-EXTENDED") && !c.plainLists }

// listCommand is an extended LIST.
func (c *Client) listCommand(want ListRequest) *command {
	m := c.command("LIST").raw(` ""`)
	if len(want.Patterns) == 1 {
		m.name(c.Name(want.Patterns[0]))
	} else {
		m.open()
		for _, pattern := range want.Patterns {
			m.name(c.Name(pattern))
		}
		m.raw(")")
	}
	var options []string
	if c.offers("SPECIAL-USE") {
		options = append(options, "SPECIAL-USE")
	}
	if want.Status != 0 && c.offers("LIST-STATUS") {
		options = append(options, "STATUS ("+c.statusNames(want.Status)+")")
	}
	if len(options) > 0 {
		m.raw(" RETURN (" + strings.Join(options, " ") + ")")
	}
	return m
}

// lister collects what comes for a List.
type lister struct {
	client    *Client
	mailboxes []Mailbox
	index     map[Name]int
	octets    int
	statuses  bool // some have come
}

func (l *lister) take(u *untagged) (bool, error) {
	switch u.name {
	case "LIST":
		m, err := l.client.readMailbox()
		if err != nil {
			return true, err
		}
		return true, l.add(m)
	case "STATUS":
		name, s, err := l.client.readStatus()
		if err != nil {
			return true, err
		}
		l.status(name, s)
		return true, nil
	}
	return false, nil
}

// add keeps a mailbox. One that comes again has the attributes of both.
func (l *lister) add(m Mailbox) error {
	if i, ok := l.index[m.Wire]; ok {
		for _, a := range m.Attributes {
			if len(l.mailboxes[i].Attributes) < maxAttributes && !l.mailboxes[i].Is(a) {
				l.mailboxes[i].Attributes = append(l.mailboxes[i].Attributes, a)
			}
		}
		return nil
	}
	l.octets += len(m.Wire) + len(m.Name)
	for _, a := range m.Attributes {
		l.octets += len(a)
	}
	if len(l.mailboxes) >= maxMailboxes || l.octets > maxMailboxSum {
		return &ProtocolError{Detail: "too many mailboxes"}
	}
	l.index[m.Wire] = len(l.mailboxes)
	l.mailboxes = append(l.mailboxes, m)
	return nil
}

// status assigns a status by the name, which servers spell the same way in
// both; INBOX only in any case.
func (l *lister) status(name Name, s Status) {
	l.statuses = true
	i, ok := l.index[name]
	if !ok && strings.EqualFold(string(name), "INBOX") {
		i = slices.IndexFunc(l.mailboxes, func(m Mailbox) bool { return m.Name == "INBOX" })
		ok = i >= 0
	}
	if ok {
		l.mailboxes[i].Status = &s
	}
}

// plain lists each pattern by itself.
func (l *lister) plain(want ListRequest) error {
	c, n := l.client, 0
	var refused error
	err := c.pipeline(batch{
		verb: "LIST",
		next: func() *command {
			if n++; n > len(want.Patterns) {
				return nil
			}
			return c.command("LIST").raw(` ""`).name(c.Name(want.Patterns[n-1]))
		},
		take: l.take,
		done: func(_ int, r reply) error {
			if err := r.err("LIST"); err != nil {
				refused = errors.Join(refused, err)
			}
			return nil
		},
	})
	return firstError(err, refused)
}

// finish asks for the status of each mailbox, unless it came with the list. Where
// that one mailbox lacks then, the server could not tell.
func (l *lister) finish(want ListRequest) ([]Mailbox, error) {
	if want.Status == 0 || l.statuses || len(l.client.ahead) > 0 {
		return l.mailboxes, nil
	}
	c, i := l.client, 0
	err := c.pipeline(batch{
		verb: "STATUS",
		next: func() *command {
			for ; i < len(l.mailboxes); i++ {
				if l.mailboxes[i].Selectable() {
					i++
					return c.statusCommand(l.mailboxes[i-1].Wire, want.Status)
				}
			}
			return nil
		},
		take: l.take,
		done: func(int, reply) error { return nil },
	})
	if err != nil {
		return nil, err
	}
	return l.mailboxes, nil
}

// readMailbox reads the data of a LIST response.
func (c *Client) readMailbox() (Mailbox, error) {
	p := &c.p
	var m Mailbox
	err := p.words(func(b []byte) {
		if len(m.Attributes) < maxAttributes {
			m.Attributes = append(m.Attributes, string(b))
		}
	})
	if err != nil {
		return m, err
	}
	if err := p.spaces(); err != nil {
		return m, err
	}
	b, null, err := p.str()
	if err != nil {
		return m, err
	}
	if !null {
		m.Delimiter = string(b)
	}
	if err := p.spaces(); err != nil {
		return m, err
	}
	if b, err = c.readListedName(); err != nil {
		return m, err
	}
	if len(b) == 0 || bytes.IndexByte(b, 0) >= 0 {
		return m, syntaxError("a mailbox with a name that no command can have")
	}
	m.Wire = Name(b)
	m.Name = c.text(m.Wire)
	if err := p.spaces(); err != nil {
		return m, err
	}
	if next, err := p.peek(); err == nil && next == '(' {
		return m, p.skip(0) // extended data items
	} else {
		return m, err
	}
}

// readListedName reads a name. NIL can be one, as an atom; some servers write
// spaces and brackets without quotes, and then it ends with the line.
func (c *Client) readListedName() ([]byte, error) {
	p := &c.p
	next, err := p.peek()
	if err != nil {
		return nil, err
	}
	literal, err := p.isLiteral()
	if err != nil {
		return nil, err
	}
	if next == '"' || literal {
		b, _, err := p.str()
		return b, err
	}
	b, err := p.until(isEnd)
	if err == nil {
		err = p.keep(len(b))
	}
	if i := strings.LastIndex(string(b), ` (`); i > 0 && strings.HasSuffix(string(b), ")") {
		b = b[:i]
	}
	return []byte(strings.TrimRight(string(b), " ")), err
}
