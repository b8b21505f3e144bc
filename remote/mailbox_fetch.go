package remote

import (
	"context"
	"errors"
	"fmt"
	"io"

	"postrider/fetch"
	"postrider/imap"
)

// worthCompressing is how many octets must be expected for the round trip that
// it costs to agree on compression.
const worthCompressing = 1 << 20

// Retrieve implements fetch.Source.
func (m *Mailbox) Retrieve(ctx context.Context, want []fetch.Request, r fetch.Receiver) error {
	if err := m.compress(ctx, want); err != nil {
		return err
	}
	in := &incoming{receiver: r, want: want, index: make(map[uint32]int32, len(want))}
	uids := make([]uint32, len(want))
	for i, w := range want {
		in.index[uint32(w.Number)] = int32(i)
		uids[i] = uint32(w.Number)
		if w.Octets == 0 {
			in.items = imap.ItemSize // only so is a message known that has no octets
		}
	}
	if err := m.fetch(ctx, in, imap.UIDs(uids...)); err != nil {
		return err
	}
	return m.again(ctx, in)
}

func (m *Mailbox) fetch(ctx context.Context, in *incoming, uids imap.UIDSet) error {
	err := m.client.Fetch(ctx, imap.FetchRequest{UIDs: uids, Items: in.items, Octets: in.octets}, in)
	if err != nil {
		return m.failed("retrieve", err)
	}
	return nil
}

// compress switches compression on if it is worth it. A refusal is no harm.
func (m *Mailbox) compress(ctx context.Context, want []fetch.Request) error {
	if m.compressed || !m.caps.Has("COMPRESS=DEFLATE") {
		return nil
	}
	var octets int64
	for _, w := range want {
		octets += max(w.Octets, 0)
	}
	if octets < worthCompressing {
		return nil
	}
	m.compressed = true
	if err := m.client.Compress(ctx); err != nil && !answered(err) {
		return m.failed("compress", err)
	}
	return nil
}

// maxRefusals bounds how many messages that a server refuses are looked for
// one by one among those that were asked for with them.
const maxRefusals = 100

// again finds out what became of messages that did not come, or came without
// text. One that is gone is nobody's concern. One that is there may have been
// refused for the sake of another in the same command.
func (m *Mailbox) again(ctx context.Context, in *incoming) error {
	missing := in.missing.Union(in.bare)
	if missing.Empty() {
		return nil
	}
	there, err := m.client.Search(ctx, missing)
	if err != nil {
		if !answered(err) {
			return m.failed("look for messages", err)
		}
		there = missing
	}
	if err := in.endAll(missing.Minus(there), fetch.ErrGone); err != nil {
		return err
	}
	if err := in.endAll(there.Intersect(in.bare), in.why); err != nil {
		return err
	}
	there = there.Minus(in.bare)
	in.bare = nil
	if err := m.oneByOne(ctx, in, there); err != nil {
		return err
	}
	return in.endAll(in.bare, in.why)
}

// oneByOne asks again for messages that the server has and did not send.
func (m *Mailbox) oneByOne(ctx context.Context, in *incoming, there imap.UIDSet) error {
	if there.Empty() {
		return nil
	}
	refusals := 0
	for parts := []imap.UIDSet{there}; len(parts) > 0; {
		uids := parts[len(parts)-1]
		parts = parts[:len(parts)-1]
		if uids.Count() > 1 && refusals < maxRefusals {
			a, b := halves(uids)
			parts = append(parts, b)
			uids = a
		}
		in.missing = nil
		if refusals < maxRefusals {
			if err := m.fetch(ctx, in, uids); err != nil {
				return err
			}
		} else {
			in.missing = uids
		}
		switch {
		case in.missing.Empty():
		case in.missing.Count() > 1 && refusals < maxRefusals:
			refusals++
			parts = append(parts, in.missing)
		default:
			refusals++
			if err := in.endAll(in.missing, in.cause); err != nil {
				return err
			}
		}
	}
	return nil
}

// halves divides a set of at least two.
func halves(s imap.UIDSet) (a, b imap.UIDSet) {
	half, n := s.Count()/2, int64(0)
	for uid := range s.All() {
		if n++; n <= half {
			a.Add(uid)
		} else {
			b.Add(uid)
		}
	}
	return a, b
}

// incoming passes what an imap.Client fetches on to a fetch.Receiver.
type incoming struct {
	receiver fetch.Receiver
	want     []fetch.Request
	index    map[uint32]int32 // by UID
	items    imap.Items
	missing  imap.UIDSet
	cause    error // why the last of them is missing
	bare     imap.UIDSet
	why      error // the last of them has no text
}

func (in *incoming) octets(uid uint32) int64 {
	if i, ok := in.index[uid]; ok {
		return in.want[i].Octets
	}
	return -1
}

// Begin implements imap.Receiver.
func (in *incoming) Begin(m *imap.Message) (io.Writer, error) {
	i, ok := in.index[m.UID]
	if !ok {
		i = -1
	}
	return in.receiver.Begin(int(i))
}

// End implements imap.Receiver.
func (in *incoming) End(m *imap.Message, err error) error {
	i, ok := in.index[m.UID]
	switch {
	case !ok || errors.Is(err, imap.ErrUnasked):
		i = -1
	case errors.Is(err, imap.ErrNoBody):
		// Dovecot says so of a message that was expunged meanwhile.
		in.bare.Add(m.UID)
		in.why = fmt.Errorf("%w (%w)", fetch.ErrEmpty, err)
		return nil
	}
	return in.receiver.End(int(i), err)
}

// Missing implements imap.Receiver.
func (in *incoming) Missing(uids imap.UIDSet, err error) error {
	in.missing, in.cause = in.missing.Union(uids), err
	return nil
}

// endAll tells of messages that did not come.
func (in *incoming) endAll(uids imap.UIDSet, err error) error {
	for uid := range uids.All() {
		if err := in.receiver.End(int(in.index[uid]), err); err != nil {
			return err
		}
	}
	return nil
}
