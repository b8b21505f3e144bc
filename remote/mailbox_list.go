package remote

import (
	"context"
	"math"
	"slices"

	"postrider/fetch"
	"postrider/imap"
	"postrider/maildir"
)

// List implements fetch.Source: all messages if the mark is of another epoch,
// and otherwise those that it does not settle.
func (m *Mailbox) List(ctx context.Context, since fetch.Mark, each func(fetch.Item) error) (fetch.Listing, error) {
	if m.epoch() == 0 || since.Epoch != m.epoch() {
		since = fetch.Mark{}
	}
	l := fetch.Listing{Epoch: m.epoch(), Next: max(since.Next, 1), Told: m.selected.UIDNext, ModSeq: m.selected.HighestModSeq}
	var told imap.UIDSet
	row := func(it fetch.Item) error {
		n := uint32(it.Number)
		told.Add(n)
		if n >= l.Next {
			l.Next = min(n, math.MaxUint32-1) + 1
		}
		return each(it)
	}
	attributes, err := m.answer(ctx, since, row)
	if err != nil {
		return l, err
	}
	if err := m.complement(ctx, since, attributes, &told, &l, row); err != nil {
		return l, err
	}
	l.Complete = since.Next == 0 && told.Count() >= int64(m.selected.Exists)
	if l.Told != 0 {
		l.Told = max(l.Told, l.Next)
	}
	if since.Epoch != 0 {
		l.Gone = numbersOf(setOf(l.Gone).Union(m.selected.Vanished).Minus(told))
	}
	return l, nil
}

// complement asks for messages again of which the server should have told and
// did not: that a row could not be read, or was left out, must not lose one.
func (m *Mailbox) complement(ctx context.Context, since fetch.Mark, a imap.Attributes, told *imap.UIDSet, l *fetch.Listing, row func(fetch.Item) error) error {
	open := setOf(since.Open)
	doubt := open.Minus(*told)
	switch {
	case a.Malformed > 0,
		since.Next == 0 && told.Count() < int64(m.selected.Exists),
		since.Told != 0 && l.Told > since.Told && l.Next == since.Next:
		doubt = doubt.Union(imap.From(max(since.Next, 1)).Minus(*told))
	}
	if doubt.Empty() {
		return nil
	}
	there, err := m.client.Search(ctx, doubt)
	if err != nil {
		if !answered(err) || a.Malformed > 0 {
			return m.failed("look for messages", err)
		}
		return nil
	}
	l.Gone = numbersOf(open.Intersect(doubt).Minus(there))
	for uid := range there.All() {
		if err := row(fetch.Item{Number: int(uid), Epoch: m.epoch(), Octets: -1}); err != nil {
			return err
		}
	}
	return nil
}

// answer passes on what was asked for ahead, if it fits, or asks now.
func (m *Mailbox) answer(ctx context.Context, since fetch.Mark, each func(fetch.Item) error) (imap.Attributes, error) {
	if m.rows != nil {
		r := m.rows
		m.rows = nil
		for _, it := range r.items {
			if err := each(it); err != nil {
				return imap.Attributes{}, err
			}
		}
		return imap.Attributes{Malformed: r.malformed}, nil
	}
	if m.asked != nil && !sameStart(*m.asked, since) {
		if err := m.drain(ctx); err != nil {
			return imap.Attributes{}, err
		}
	}
	return m.list(ctx, since, each)
}

func sameStart(a, b fetch.Mark) bool {
	return max(a.Next, 1) == max(b.Next, 1) && slices.Equal(a.Open, b.Open)
}

// list asks for the attributes of what the mark does not settle, or reads the
// answer if that was asked already.
func (m *Mailbox) list(ctx context.Context, since fetch.Mark, each func(fetch.Item) error) (imap.Attributes, error) {
	m.asked = nil
	open := setOf(since.Open)
	a, err := m.client.FetchAttributes(ctx, m.attributes(since), func(msg *imap.Message) error {
		// The last message is always among those from some number on (RFC 9051 section 9, seq-range).
		if msg.UID == 0 || msg.UID < since.Next && !open.Contains(msg.UID) {
			return nil
		}
		return each(m.item(msg))
	})
	if err != nil {
		return a, m.failed("list messages", err)
	}
	return a, nil
}

func (m *Mailbox) item(msg *imap.Message) fetch.Item {
	it := fetch.Item{Number: int(msg.UID), Epoch: m.epoch(), Octets: -1, Flags: flagsOf(msg.Flags), Date: msg.Date, Twin: msg.GmailID}
	if msg.Has&imap.ItemSize != 0 {
		it.Octets = msg.Octets
	}
	return it
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
