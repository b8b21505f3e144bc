package pop3

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strconv"
)

const (
	maxListed = 5_000_000 // messages, and so numbers and lines
	maxUID    = 1 << 10   // octets; RFC 1939 allows 70
)

// Item is a message as LIST and UIDL describe it.
type Item struct {
	Number int
	// UID is the unique-id, valid during the call. It is opaque: servers give
	// more than 70 octets, spaces, 8-bit characters, and the same one twice. It is
	// empty if the server gave none, or one with control characters or of more
	// than 1 KiB.
	UID    []byte
	Octets int64 // announced, often wrong; exact only below 4 GiB; -1 if not given
}

// Listed sums up a listing.
type Listed struct {
	Messages  int  // how many items there were
	NoUIDL    bool // the server does not know UIDL: every UID is empty
	Malformed int  // lines that were passed over
}

// Listing asks for the numbers, unique-ids and sizes of all messages (LIST and
// UIDL, RFC 1939 sections 5 and 7), in one flight where the server offers
// PIPELINING, and passes each message to each as it comes. Messages that only
// LIST knows follow at the end. The order is otherwise the server's.
//
// The items are complete only if there is no error: a listing that was cut short
// says nothing about what it does not mention. Odd lines are counted and passed
// over. An error of each ends the session and is returned.
func (c *Client) Listing(ctx context.Context, each func(Item) error) (Listed, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return Listed{}, err
	}
	defer leave()
	l := lister{each: each}
	flight := []string{"LIST"}
	if c.pipelining {
		flight = append(flight, "UIDL")
	}
	if err := c.send("LIST", flight...); err != nil {
		return l.Listed, err
	}
	refused, err := c.listOrRefusal("LIST", l.size)
	if err != nil {
		return l.Listed, err
	}
	if len(flight) == 1 {
		if refused != nil {
			return l.Listed, refused
		}
		if err := c.send("UIDL", "UIDL"); err != nil {
			return l.Listed, err
		}
	}
	if refused != nil {
		// The reply to UIDL is under way all the same.
		if _, err := c.listOrRefusal("UIDL", func([]byte) error { return nil }); err != nil {
			return l.Listed, err
		}
		return l.Listed, refused
	}
	err = c.uidl(&l)
	return l.Listed, err
}

// listOrRefusal reads a reply with a list of messages, or a refusal.
func (c *Client) listOrRefusal(verb string, each func(b []byte) error) (refused *ReplyError, err error) {
	if _, err := c.reply(verb); err != nil {
		if errors.As(err, &refused) {
			return refused, nil
		}
		return nil, err
	}
	return nil, c.list(verb, maxListed, math.MaxInt64, each)
}

// uidl reads the reply to UIDL and passes on the items. A server that announced
// UIDL, or gives a reason, has it and refuses it now: that is an error, for to
// take its messages for messages without a unique-id would be to fetch them all
// again.
func (c *Client) uidl(l *lister) error {
	refused, err := c.listOrRefusal("UIDL", l.uid)
	if err != nil {
		return err
	}
	if refused != nil {
		if refused.Code != "" || c.capabilities != nil && c.capabilities.UIDL {
			return refused
		}
		l.NoUIDL = true
	}
	if err := l.rest(); err != nil {
		return c.fail(err)
	}
	return nil
}

// lister holds what LIST said until UIDL says the rest.
type lister struct {
	Listed
	each     func(Item) error
	messages numbers
}

// size takes a line of LIST: number and octets.
func (l *lister) size(b []byte) error {
	n, rest, ok := parseNumber(b)
	if !ok {
		l.Malformed++
		return nil
	}
	if i := bytes.IndexAny(rest, " \t"); i >= 0 {
		rest = rest[:i] // servers may say more (RFC 1939 section 5)
	}
	octets, err := strconv.ParseInt(string(rest), 10, 64)
	if err != nil || octets < 0 || !l.messages.setOctets(n, octets) {
		l.Malformed++
	}
	return nil
}

// uid takes a line of UIDL: number and unique-id.
func (l *lister) uid(b []byte) error {
	n, uid, ok := parseNumber(b)
	if !ok || !l.messages.setListed(n) {
		l.Malformed++
		return nil
	}
	if len(uid) > maxUID || bytes.ContainsFunc(uid, isControl) {
		uid = nil
	}
	l.Messages++
	return l.each(Item{Number: n, UID: uid, Octets: l.messages.octets(n)})
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// rest passes on the messages that UIDL left out.
func (l *lister) rest() error {
	return l.messages.unlisted(func(n int) error {
		l.Messages++
		return l.each(Item{Number: n, Octets: l.messages.octets(n)})
	})
}

// parseNumber splits a line into the message number and what follows, without
// the white space around it, of which some servers use more than RFC 1939 says.
func parseNumber(b []byte) (n int, rest []byte, ok bool) {
	b = bytes.Trim(b, " \t")
	i := 0
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		if n = n*10 + int(b[i]-'0'); n > maxListed {
			return 0, nil, false
		}
	}
	if i == 0 || n == 0 || i < len(b) && b[i] != ' ' && b[i] != '\t' {
		return 0, nil, false
	}
	return n, bytes.TrimLeft(b[i:], " \t"), true
}
