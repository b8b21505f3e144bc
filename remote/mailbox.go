package remote

import (
	"context"
	"errors"

	"postrider/configs"
	"postrider/fetch"
	"postrider/imap"
)

// Mailbox is an open mailbox, as a fetch.Source of which the numbers are UIDs.
// Closing it leaves the session to whoever has it.
type Mailbox struct {
	*Session
	name       string
	selected   imap.Selected
	selectName imap.Name   // as it was selected
	asked      *fetch.Mark // since which attributes were asked for, while the answer is not read
	rows       *rows       // what was read of that before List; nil: nothing
	late       uint32      // of a view: messages from this number on are left to another pass; 0: none are
}

// maxRows bounds what is kept of an answer. A longer one is asked for again.
const maxRows = 1000

// rows is an answer that waits for List.
type rows struct {
	items []fetch.Item
	told  heard
}

// open selects the mailbox and asks for what was added, in one flight where the
// server takes that.
func (s *Session) open(ctx context.Context, box imap.Mailbox, mark fetch.Mark) (*Mailbox, error) {
	m := &Mailbox{Session: s, name: box.Name}
	options := s.selectOptions(mark)
	wire := s.wire(box)
	sent, err := s.flight(ctx, isASCII(box.Name), imap.AheadSelect(wire, options), imap.AheadAttributes(s.attributes(mark)))
	if err != nil {
		return nil, err
	}
	if sent {
		m.asked = &mark
	} else {
		options, wire = s.selectOptions(mark), s.wire(box)
	}
	m.selected, err = s.client.Select(ctx, wire, options)
	if err != nil && m.asked != nil && answered(err) {
		if err := m.drain(ctx); err != nil {
			return nil, err
		}
	}
	var refusal *imap.ResponseError
	if errors.As(err, &refusal) && refusal.Status == "BAD" && (options.CondStore || options.QResync != nil) {
		s.plain = true // it does not know what it offers
		m.selected, err = s.client.Select(ctx, s.wire(box), s.selectOptions(mark))
	}
	if err != nil {
		return nil, s.failed("open mailbox "+box.Name, err)
	}
	m.selectName = s.wire(box)
	if m.selected.UIDNext == 0 {
		m.selected.UIDNext = nextOf(box.Status, m.selected.UIDValidity)
	}
	return m, nil
}

// leaveLate leaves what came into a view after the mailboxes were surveyed to
// another pass: those that it is in besides may have been listed before it came,
// and it would be delivered from both.
func (m *Mailbox) leaveLate(found Found) *Mailbox {
	if found.View {
		m.late = nextOf(found.Status, m.epoch())
	}
	return m
}

// nextOf returns the UIDNEXT of a status, or 0. Courier tells it there and not
// when a mailbox is opened. It may be older than what is listed, but never
// newer.
func nextOf(s *imap.Status, epoch uint32) uint32 {
	const told = imap.StatusUIDNext | imap.StatusUIDValidity
	if s == nil || s.Has&told != told || s.UIDValidity != epoch {
		return 0
	}
	return s.UIDNext
}

// wire is the name for commands: as LIST gave it, if it did.
func (s *Session) wire(box imap.Mailbox) imap.Name {
	if box.Wire != "" {
		return box.Wire
	}
	return s.client.Name(box.Name)
}

// selectOptions: nothing is changed by looking, unless something is to be
// changed. What the mark knows lets the server tell what has gone since.
func (s *Session) selectOptions(mark fetch.Mark) imap.SelectOptions {
	o := imap.SelectOptions{ReadOnly: s.account.box.OnServer.Action == configs.Keep}
	if s.plain {
		return o
	}
	o.CondStore = s.caps.Has("CONDSTORE")
	// In the flight with which it is enabled, QRESYNC is on by then.
	on := s.qresync || !s.introduced && s.caps.Has("ENABLE") && s.caps.Has("QRESYNC")
	if on && mark.Epoch != 0 && mark.ModSeq != 0 {
		o.QResync = &imap.QResync{UIDValidity: mark.Epoch, ModSeq: mark.ModSeq}
	}
	return o
}

// attributes are what is asked of messages before their text.
func (s *Session) attributes(since fetch.Mark) imap.AttributesRequest {
	return imap.AttributesRequest{UIDs: setOf(since.Open).Union(imap.From(max(since.Next, 1))), Items: s.items()}
}

func (s *Session) items() imap.Items {
	items := imap.ItemFlags | imap.ItemSize | imap.ItemDate
	if s.caps.Has("X-GM-EXT-1") {
		items |= imap.ItemGmailID
	}
	return items
}

// drain reads an answer that nobody wants.
func (m *Mailbox) drain(ctx context.Context) error {
	if m.asked == nil {
		return nil
	}
	asked := *m.asked
	m.asked = nil
	_, err := m.client.FetchAttributes(ctx, m.attributes(asked), func(*imap.Message) error { return nil })
	if err != nil && !answered(err) {
		return m.stumbled(true, m.failed("list messages", err))
	}
	return nil
}

// Unchanged reports that nothing was added since the mark. Then the mailbox is
// not of interest any more.
func (m *Mailbox) Unchanged(ctx context.Context, mark fetch.Mark) (bool, error) {
	s := m.selected
	switch {
	case m.epoch() == 0 || m.epoch() != mark.Epoch, !s.Vanished.Empty():
		return false, nil
	case s.UIDNext != 0 && mark.Told != 0:
		return s.UIDNext == mark.Told, nil
	case s.HighestModSeq != 0 && s.HighestModSeq == mark.ModSeq:
		return true, nil
	case m.asked == nil || mark.Next == 0:
		return false, nil
	}
	// It does not say, so what it lists does.
	var r rows
	n := 0
	var err error
	r.told, err = m.list(ctx, *m.asked, func(it fetch.Item) error {
		if n++; n <= maxRows {
			r.items = append(r.items, it)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	if n <= maxRows {
		m.rows = &r
	}
	return n == 0 && r.told.Malformed == 0 && r.told.refusal == nil, nil
}

// ModSeq is the mailbox's highest modification sequence; 0 if the server does not
// tell.
func (m *Mailbox) ModSeq() uint64 { return m.selected.HighestModSeq }

// Changed tells whether a mailbox may have got something since the mark, by
// what its status says.
func (f *Found) Changed(mark fetch.Mark) bool {
	s := f.Status
	const told = imap.StatusUIDValidity
	switch {
	case s == nil || s.Has&told == 0:
		return true
	case f.unused() && mark.Next == 1:
		return false // until something comes, Courier may change its UIDVALIDITY at any time
	case s.UIDValidity != mark.Epoch:
		return true
	case s.Has&imap.StatusUIDNext != 0 && mark.Told != 0:
		return s.UIDNext != mark.Told
	case s.Has&imap.StatusHighestModSeq != 0 && s.HighestModSeq != 0:
		return s.HighestModSeq != mark.ModSeq
	}
	return true
}

// unused reports that there was never a message in a mailbox.
func (f *Found) unused() bool {
	const told = imap.StatusMessages | imap.StatusUIDNext
	return f.Status.Has&told == told && f.Status.Messages == 0 && f.Status.UIDNext == 1
}

// Another tells whether the mailbox is another one than that which was carried to
// the mark, if any was, or has begun to count anew.
func (f *Found) Another(mark fetch.Mark) bool {
	s := f.Status
	return s != nil && s.Has&imap.StatusUIDValidity != 0 && s.UIDValidity != mark.Epoch
}

// MayBe tells whether the mailbox may be the one that was carried to the mark,
// under another name.
func (f *Found) MayBe(mark fetch.Mark) bool {
	const told = imap.StatusUIDValidity | imap.StatusUIDNext
	s := f.Status
	return s != nil && s.Has&told == told && mark.Next > 1 && s.UIDValidity == mark.Epoch && s.UIDNext >= mark.Next
}

// Added estimates how many messages a changed mailbox has got since the mark.
func (f *Found) Added(mark fetch.Mark) int64 {
	s := f.Status
	switch {
	case s == nil:
		return 0
	case mark.Next > 0 && s.Has&imap.StatusUIDNext != 0 && s.UIDNext > mark.Next:
		return min(int64(s.UIDNext-mark.Next), int64(s.Messages))
	case mark.Next > 0:
		return 0
	}
	return int64(s.Messages)
}

// Status is what was shown of the mailbox when it was opened; nil if that does not
// tell how far its UIDs go.
func (m *Mailbox) Status() *imap.Status {
	if m.epoch() == 0 || m.selected.UIDNext == 0 {
		return nil
	}
	return &imap.Status{Has: imap.StatusUIDValidity | imap.StatusUIDNext, UIDValidity: m.epoch(), UIDNext: m.selected.UIDNext}
}

// epoch is the UIDVALIDITY, or 0 if UIDs do not last.
func (m *Mailbox) epoch() uint32 {
	if m.selected.NotSticky {
		return 0
	}
	return m.selected.UIDValidity
}

// Close implements fetch.Source.
func (m *Mailbox) Close(context.Context) error { return nil }

// setOf returns the numbers as UIDs.
func setOf(n fetch.Numbers) imap.UIDSet {
	set := make(imap.UIDSet, 0, len(n))
	for _, r := range n {
		set = append(set, imap.UIDRange(r))
	}
	return set
}

// numbersOf returns the UIDs as numbers.
func numbersOf(s imap.UIDSet) fetch.Numbers {
	n := make(fetch.Numbers, 0, len(s))
	for _, r := range s {
		n = append(n, fetch.Range(r))
	}
	return n
}
