package imap

import (
	"context"
	"strings"
)

// StatusItems is a set of what STATUS tells (RFC 9051 section 6.3.11).
type StatusItems uint8

const (
	StatusMessages StatusItems = 1 << iota
	StatusUIDNext
	StatusUIDValidity
	StatusUnseen
	StatusHighestModSeq // asked for only where CONDSTORE is offered
	StatusSize          // asked for only where STATUS=SIZE is offered
)

// Status is what the server said of a mailbox that is not open.
type Status struct {
	Has           StatusItems // which of the fields it said, in numbers that can be
	Messages      uint32
	UIDNext       uint32
	UIDValidity   uint32
	Unseen        uint32
	HighestModSeq uint64
	Size          int64 // octets of all messages
}

// Status asks for the state of one mailbox. Nothing in the answer is certain
// to be there.
func (c *Client) Status(ctx context.Context, name Name, items StatusItems) (Status, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return Status{}, err
	}
	defer leave()
	if err := c.known(); err != nil {
		return Status{}, err
	}
	var got Status
	err = c.exec(c.statusCommand(name, items), func(u *untagged) (bool, error) {
		if u.name != "STATUS" {
			return false, nil
		}
		n, s, err := c.readStatus()
		if err == nil && c.text(n) == c.text(name) {
			got = s
		}
		return true, err
	})
	return got, err
}

func (c *Client) statusCommand(name Name, items StatusItems) *command {
	return c.command("STATUS").name(name).raw(" (" + c.statusNames(items) + ")")
}

// statusNames leaves out what the server does not know.
func (c *Client) statusNames(items StatusItems) string {
	if !c.offers("CONDSTORE") && !c.offers("QRESYNC") {
		items &^= StatusHighestModSeq
	}
	if !c.offers("STATUS=SIZE") {
		items &^= StatusSize
	}
	var names []string
	for n, name := range [...]string{"MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "HIGHESTMODSEQ", "SIZE"} {
		if items&(1<<n) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// readStatus reads the data of a STATUS response. The list may be empty: then
// the server says nothing.
func (c *Client) readStatus() (Name, Status, error) {
	p := &c.p
	var s Status
	b, _, err := p.str()
	if err != nil {
		return "", s, err
	}
	name := Name(b)
	if err := p.spaces(); err != nil {
		return "", s, err
	}
	if next, err := p.peek(); err != nil || isEnd(next) {
		return name, s, err
	}
	err = p.list(0, func() error {
		b, err := p.atom()
		if err != nil {
			return err
		}
		item := strings.ToUpper(string(b))
		if err := p.spaces(); err != nil {
			return err
		}
		if next, err := p.peek(); err != nil {
			return err
		} else if next < '0' || next > '9' {
			return p.skip(1)
		}
		n, ok, err := p.number()
		if ok && err == nil {
			s.set(item, n)
		}
		return err
	})
	return name, s, err
}

func (s *Status) set(item string, n uint64) {
	switch item {
	case "HIGHESTMODSEQ":
		s.HighestModSeq, s.Has = n, s.Has|StatusHighestModSeq
		return
	case "SIZE":
		s.Size, s.Has = int64(n), s.Has|StatusSize
		return
	}
	if n > MaxUID {
		return
	}
	switch item {
	case "MESSAGES":
		s.Messages, s.Has = uint32(n), s.Has|StatusMessages
	case "UNSEEN":
		s.Unseen, s.Has = uint32(n), s.Has|StatusUnseen
	case "UIDNEXT": // 0 is no UID: some servers send it for "not known"
		if s.UIDNext = uint32(n); n > 0 {
			s.Has |= StatusUIDNext
		}
	case "UIDVALIDITY":
		if s.UIDValidity = uint32(n); n > 0 {
			s.Has |= StatusUIDValidity
		}
	}
}
