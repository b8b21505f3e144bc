package remote

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"
	"slices"

	"postrider/fetch"
	"postrider/imap"
	"postrider/maildir"
)

// maxListed bounds how many messages a server is believed to have that does not
// list them one by one: it may claim all numbers that there are in one line.
const maxListed = 5_000_000

// maxVanished is how many ranges of messages that went are passed on. What is
// not shows when all messages are counted.
const maxVanished = 50_000

// fewNumbers is how many messages may be on their way into a mailbox that has
// given them their numbers already.
const fewNumbers = 8

// List implements fetch.Source: all messages if the mark is of another epoch,
// and otherwise those that it does not settle.
func (m *Mailbox) List(ctx context.Context, since fetch.Mark, each func(fetch.Item) error) (fetch.Listing, error) {
	if m.epoch() == 0 || since.Epoch != m.epoch() || m.behind(since) {
		since = fetch.Mark{}
	}
	l := fetch.Listing{Epoch: m.epoch(), Next: max(since.Next, 1), Told: m.selected.UIDNext, ModSeq: m.selected.HighestModSeq}
	if m.late != 0 {
		l.Told = min(l.Told, m.late)
	}
	row := func(it fetch.Item) error {
		n := uint32(it.Number)
		if m.late != 0 && n >= m.late {
			return nil
		}
		if n >= l.Next {
			l.Next = min(n, math.MaxUint32-1) + 1
		}
		return each(it)
	}
	got, err := m.answer(ctx, since, row)
	if err != nil {
		return l, err
	}
	told, err := m.complement(ctx, since, got, &l, row)
	if err != nil {
		return l, err
	}
	l.Complete = since.Next == 0 && !got.Scattered && told.Count() >= int64(m.selected.Exists)
	if l.Told != 0 {
		l.Told = max(l.Told, l.Next)
	}
	if looked := since.Epoch != 0 && since.Next == l.Next; !looked && l.Told-l.Next <= fewNumbers {
		// The last numbers may belong to messages that are not to be seen yet: the next poll looks again.
		l.Told = min(l.Told, l.Next)
	}
	if since.Epoch != 0 && len(m.selected.Vanished) <= maxVanished {
		l.Gone = numbersOf(setOf(l.Gone).Union(m.selected.Vanished).Minus(told))
	}
	return l, nil
}

// behind reports that the server counts on from a number below those that it
// has shown. What it gives out then would never be above the mark.
func (m *Mailbox) behind(since fetch.Mark) bool {
	return m.selected.UIDNext != 0 && m.selected.UIDNext < since.Next
}

// heard is what the server has told of messages.
type heard struct {
	imap.Attributes
	refusal error // NO or BAD, which may be meant for one of them only
}

// complement asks for messages again of which the server should have told and
// did not: that a row could not be read, was left out or refused must not lose
// one. It returns all that it has told of.
func (m *Mailbox) complement(ctx context.Context, since fetch.Mark, got heard, l *fetch.Listing, row func(fetch.Item) error) (imap.UIDSet, error) {
	open, told := setOf(since.Open), got.UIDs
	doubt := open.Minus(told)
	unsure := got.Malformed > 0 || got.refusal != nil
	switch {
	case got.Scattered:
		doubt = nil // it has told of very many, and nobody knows of which
	case unsure,
		since.Next == 0 && told.Count() < int64(m.selected.Exists),
		since.Told != 0 && l.Told > since.Told && l.Next == since.Next:
		doubt = doubt.Union(imap.From(max(since.Next, 1)).Minus(told))
	}
	if doubt.Empty() {
		if got.refusal != nil {
			return told, m.failed("list messages", got.refusal)
		}
		return told, nil
	}
	there, err := m.client.Search(ctx, doubt)
	switch {
	case err != nil && got.refusal != nil && answered(err):
		return told, m.failed("list messages", got.refusal)
	case err != nil && (!answered(err) || unsure):
		return told, m.failed("look for messages", err)
	case err != nil:
		return told, nil
	case there.Count() > maxListed:
		return told, m.failed("look for messages", errors.New("the server claims to have more messages than can be"))
	}
	l.Gone = numbersOf(open.Intersect(doubt).Minus(there))
	return told.Union(there), m.listRest(ctx, there, told.Empty(), row)
}

// listRest lists messages that are there and that the server did not tell of
// when it was asked for all. Those that it does not tell of even now are listed
// with nothing but their numbers; but not if there are several and it tells of
// none at all, which is rather a server that is unwell.
func (m *Mailbox) listRest(ctx context.Context, there imap.UIDSet, mute bool, row func(fetch.Item) error) error {
	var silent imap.UIDSet
	var refusal error
	refusals := 0
	for parts := []imap.UIDSet{there}; len(parts) > 0 && !there.Empty(); {
		uids := parts[len(parts)-1]
		parts = parts[:len(parts)-1]
		a, err := m.client.FetchAttributes(ctx, imap.AttributesRequest{UIDs: uids, Items: m.items()}, func(msg *imap.Message) error {
			return row(m.item(msg))
		})
		if err != nil && !answered(err) {
			return m.failed("list messages", err)
		}
		mute = mute && a.UIDs.Empty() && !a.Scattered
		left := uids.Minus(a.UIDs)
		switch {
		case a.Scattered:
		case err != nil && left.Count() > 1 && refusals < maxRefusals:
			refusals++
			first, second := halves(left)
			parts = append(parts, second, first)
		default:
			silent = silent.Union(left)
		}
		if err != nil {
			refusal = err
		}
	}
	if mute && refusal != nil && silent.Count() > 1 {
		return m.failed("list messages", refusal)
	}
	for uid := range silent.All() {
		if err := row(fetch.Item{Number: int(uid), Epoch: m.epoch(), Octets: -1}); err != nil {
			return err
		}
	}
	return nil
}

// answer passes on what was asked for ahead, if it fits, or asks now.
func (m *Mailbox) answer(ctx context.Context, since fetch.Mark, each func(fetch.Item) error) (heard, error) {
	if m.rows != nil {
		r := m.rows
		m.rows = nil
		for _, it := range r.items {
			if err := each(it); err != nil {
				return heard{}, err
			}
		}
		return r.told, nil
	}
	if m.asked != nil && !sameStart(*m.asked, since) {
		if err := m.drain(ctx); err != nil {
			return heard{}, err
		}
	}
	return m.list(ctx, since, each)
}

func sameStart(a, b fetch.Mark) bool {
	return max(a.Next, 1) == max(b.Next, 1) && slices.Equal(a.Open, b.Open)
}

// list asks for the attributes of what the mark does not settle, or reads the
// answer if that was asked already.
func (m *Mailbox) list(ctx context.Context, since fetch.Mark, each func(fetch.Item) error) (heard, error) {
	ahead := m.asked != nil // and nothing of the answer has come
	m.asked = nil
	// The last message is always among those from some number on, which does not
	// make it one of them (RFC 9051 section 9, seq-range).
	a, err := m.client.FetchAttributes(ctx, m.attributes(since), func(msg *imap.Message) error {
		ahead = false
		return each(m.item(msg))
	})
	if err != nil && answered(err) {
		return heard{a, err}, nil
	}
	if err != nil {
		return heard{}, m.stumbled(ahead, m.failed("list messages", err))
	}
	return heard{Attributes: a}, m.account.settled(m.Session)
}

func (m *Mailbox) item(msg *imap.Message) fetch.Item {
	it := fetch.Item{Number: int(msg.UID), Epoch: m.epoch(), Octets: -1, Flags: flagsOf(msg.Flags), Date: msg.Date}
	if msg.Has&imap.ItemSize != 0 {
		it.Octets = msg.Octets
		it.Twin = twinOf(msg.GmailID, msg.Octets)
	}
	return it
}

// twinOf returns what a message has in common with itself in other mailboxes.
// The server's number alone is not enough: were it by mistake that of another
// message, this one would never come.
func twinOf(id uint64, octets int64) uint64 {
	if id == 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, id), uint64(octets)))
	return max(h.Sum64(), 1)
}

// flagsOf returns the flags that a reader of Maildir folders knows. \Deleted is
// not carried: that would be the server's business.
func flagsOf(names []string) (f maildir.Flags) {
	for _, name := range names {
		switch name {
		case `\Seen`:
			f |= maildir.Seen
		case `\Answered`:
			f |= maildir.Replied
		case `\Flagged`:
			f |= maildir.Flagged
		case `\Draft`:
			f |= maildir.Draft
		case "$Forwarded", "$forwarded", "Forwarded":
			f |= maildir.Passed
		}
	}
	return f
}

// Count implements fetch.Counter.
func (m *Mailbox) Count(ctx context.Context) (fetch.Count, error) {
	if err := m.drain(ctx); err != nil {
		return fetch.Count{}, err
	}
	m.rows = nil
	there, err := m.client.Search(ctx, imap.From(1))
	if err != nil && !answered(err) {
		return fetch.Count{}, m.failed("count messages", err)
	}
	exists := int64(m.selected.Exists)
	if there.Count() < exists {
		// Some servers search as they please.
		_, err := m.client.FetchAttributes(ctx, imap.AttributesRequest{UIDs: imap.From(1)}, func(msg *imap.Message) error {
			there.Add(msg.UID)
			return nil
		})
		if err != nil {
			return fetch.Count{}, m.failed("count messages", err)
		}
	}
	return fetch.Count{Epoch: m.epoch(), Numbers: numbersOf(there), Complete: there.Count() >= exists}, nil
}
