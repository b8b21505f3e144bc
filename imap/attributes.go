package imap

import (
	"context"
	"iter"
	"strconv"
)

// AttributesRequest says what to ask of messages.
type AttributesRequest struct {
	UIDs  UIDSet // From(n) for all from n on
	Items Items
	// ChangedSince leaves out messages that have not changed since this
	// modification sequence (RFC 7162 section 3.1.4.1); 0 leaves out none. It needs CONDSTORE.
	ChangedSince uint64
	// Vanished asks for the UIDs that went since ChangedSince. It needs QRESYNC, and
	// that it was enabled.
	Vanished bool
}

// Attributes sums up what FetchAttributes has read.
type Attributes struct {
	UIDs      UIDSet // of the messages that each was given; nil if Scattered
	Scattered bool   // they are in too many ranges to be kept
	Vanished  UIDSet // may hold UIDs that never were
	Malformed int    // responses that were passed over
}

// FetchAttributes asks for the attributes of messages and passes each on as it
// comes, in the server's order. What each is given is valid during the call. Has
// says what the server told: a response may hold less than was asked for, and a
// message may come twice. Messages outside the set are events. An error of each
// ends the session and is returned.
//
// Messages that are not mentioned may not exist; only if there is no error were
// all of them asked for.
func (c *Client) FetchAttributes(ctx context.Context, want AttributesRequest, each func(*Message) error) (Attributes, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return Attributes{}, err
	}
	defer leave()
	var got Attributes
	vanished := gatherer{most: maxVanishedRanges}
	var given gatherer
	var m Message
	take := func(u *untagged) (bool, error) {
		switch u.name {
		case "FETCH", "UIDFETCH":
			if err := c.readMessage(u, &m, nil); err != nil {
				if isSyntax(err) {
					got.Malformed++
				}
				return true, err
			}
			if !want.UIDs.Contains(m.UID) {
				c.events(Event{Kind: EventMessage, Message: &m})
				return true, nil
			}
			if !got.Scattered && !given.add(m.UID, m.UID) {
				got.Scattered, given = true, gatherer{}
			}
			if err := each(&m); err != nil {
				return true, callerError{err}
			}
			return true, nil
		case "VANISHED":
			return true, c.gatherVanished(&vanished)
		}
		return false, nil
	}
	err = c.inPieces("UID FETCH", want.UIDs, take, func(set UIDSet) *command { return c.attributesCommand(want, set) })
	got.Vanished, got.UIDs = vanished.set(), given.set()
	return got, err
}

// gatherVanished keeps the UIDs that went before, and passes on those that go now.
func (c *Client) gatherVanished(g *gatherer) error {
	uids, earlier, err := c.readVanished()
	if err != nil {
		return err
	}
	if !earlier {
		c.events(Event{Kind: EventVanished, UIDs: uids})
	}
	if len(g.ranges) == 0 {
		g.ranges = uids
		return nil
	}
	for _, r := range uids {
		if !g.add(r.First, r.Last) {
			return errResponseTooLarge
		}
	}
	return nil
}

func (c *Client) attributesCommand(want AttributesRequest, set UIDSet) *command {
	m := c.command("UID FETCH").uids(set).raw(" (UID" + want.Items.names() + ")")
	if want.ChangedSince > 0 {
		m.raw(" (CHANGEDSINCE " + strconv.FormatUint(want.ChangedSince, 10))
		if want.Vanished {
			m.raw(" VANISHED")
		}
		m.raw(")")
	}
	return m
}

// inPieces sends a command for each part of a set that fits one. The first NO or
// BAD is returned after all are answered.
func (c *Client) inPieces(verb string, set UIDSet, take taker, build func(UIDSet) *command) error {
	next, stop := iter.Pull(set.Pieces(maxSetText))
	defer stop()
	var refused error
	err := c.pipeline(batch{
		verb: verb,
		next: func() *command {
			piece, ok := next()
			if !ok || refused != nil {
				return nil
			}
			return build(piece)
		},
		take: take,
		done: func(_ int, r reply) error {
			if err := r.err(verb); err != nil && refused == nil {
				refused = err
			}
			return nil
		},
	})
	return firstError(err, refused)
}
