package fetch

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"postrider/maildir"
)

// letter is one message of a numbered server.
type letter struct {
	uid    uint32
	name   string // its text is text(name)
	octets int64  // announced; 0: what it has
	flags  maildir.Flags
	date   time.Time
	twin   uint64
}

func (l letter) size() int64 {
	if l.octets != 0 {
		return l.octets
	}
	return int64(len(text(l.name)))
}

// numbered is a server in memory whose numbers last, with the faults that a test
// wants. Its sessions are Sources and Counters; like those of IMAP they
// dispose of messages at once, and not at their end.
type numbered struct {
	epoch   uint32 // 0: the numbers do not last
	next    uint32 // the number of the next message
	letters []letter

	action     Action             // what Dispose does
	hidden     map[uint32]bool    // neither listed nor counted
	mute       map[uint32]bool    // not listed
	doubled    bool               // lists everything twice
	incomplete bool               // admits that it does not list or count everything
	counted    Numbers            // what Count says, if there is anything
	told       Numbers            // what it says has gone, whatever is true
	quiet      bool               // tells of nothing that has gone
	shuffle    func([]int)        // the order in which messages come
	late       bool               // the number comes after the text
	refused    map[uint32]int     // how often a message is refused; -1: always
	breaking   map[uint32]int     // how often the session breaks in the middle of it
	empty      map[uint32]int     // how often it comes without octets; -2: without Begin
	fleeting   map[uint32]bool    // gone when it is asked for
	stays      bool               // says so of what it is to remove
	deaf       bool               // does nothing and says that it did
	unwilling  map[uint32]int     // how often it refuses to dispose of a message
	unheard    error              // of Dispose, after it was done
	event      func(string) error // called at each step of a session

	gone     map[uint32]bool // removed, in this epoch
	flagged  map[uint32]bool // marked as seen by Dispose
	moved    []string
	sessions int
	counts   int
	since    []Mark   // of each List
	listed   []uint32 // by all Lists
	asked    []uint32
	disposed []uint32
}

func newNumbered(names ...string) *numbered {
	s := &numbered{epoch: 7, next: 1}
	return s.add(names...)
}

func (s *numbered) add(names ...string) *numbered {
	for _, name := range names {
		s.put(letter{name: name})
	}
	return s
}

// put adds a message under the next number and returns that.
func (s *numbered) put(l letter) uint32 {
	l.uid = s.next
	s.letters = append(s.letters, l)
	s.next++
	return l.uid
}

// renumber begins a new epoch with other numbers.
func (s *numbered) renumber(epoch uint32) {
	s.epoch, s.gone = epoch, nil
	for i := range s.letters {
		s.letters[i].uid = s.next
		s.next++
	}
}

// expunge removes messages, as another client does.
func (s *numbered) expunge(uids ...uint32) {
	if s.gone == nil {
		s.gone = map[uint32]bool{}
	}
	for _, uid := range uids {
		s.letters = slices.DeleteFunc(s.letters, func(l letter) bool { return l.uid == uid })
		s.gone[uid] = true
	}
}

func (s *numbered) names() (names []string) {
	for _, l := range s.letters {
		names = append(names, l.name)
	}
	return names
}

// forgetLog begins a new list of what the server was asked.
func (s *numbered) forgetLog() {
	s.sessions, s.counts, s.since, s.listed, s.asked, s.disposed = 0, 0, nil, nil, nil, nil
}

func (s *numbered) step(name string) error {
	if s.event == nil {
		return nil
	}
	return s.event(name)
}

func (s *numbered) dial(context.Context) (Source, error) {
	s.sessions++
	return &numberedSession{server: s, letters: slices.Clone(s.letters), epoch: s.epoch}, nil
}

type numberedSession struct {
	server  *numbered
	letters []letter
	epoch   uint32
}

func (n *numberedSession) List(_ context.Context, since Mark, each func(Item) error) (Listing, error) {
	s := n.server
	s.since = append(s.since, since)
	if err := s.step("list"); err != nil {
		return Listing{}, err
	}
	if n.epoch == 0 || since.Epoch != n.epoch {
		since = Mark{}
	}
	l := Listing{Epoch: n.epoch, Next: max(since.Next, 1), Told: s.next, Complete: since.Next == 0 && !s.incomplete}
	there := map[uint32]bool{}
	for _, m := range n.letters {
		there[m.uid] = true
		if m.uid < since.Next && !since.Open.Contains(m.uid) || s.hidden[m.uid] || s.mute[m.uid] {
			continue
		}
		s.listed = append(s.listed, m.uid)
		l.Next = max(l.Next, m.uid+1)
		it := Item{Number: int(m.uid), Octets: m.size(), Epoch: n.epoch, Flags: m.flags, Date: m.date, Twin: m.twin}
		if err := each(it); err != nil {
			return l, err
		}
		if s.doubled {
			if err := each(it); err != nil {
				return l, err
			}
		}
	}
	if since.Epoch != 0 && !s.quiet {
		for _, uid := range slices.Sorted(maps.Keys(s.gone)) {
			l.Gone.Add(uid)
		}
		for uid := range since.Open.All() {
			if !there[uid] {
				l.Gone.Add(uid)
			}
		}
	}
	if s.told != nil {
		l.Gone = s.told
	}
	return l, nil
}

func (n *numberedSession) Count(context.Context) (Count, error) {
	s := n.server
	s.counts++
	c := Count{Epoch: n.epoch, Complete: !s.incomplete}
	for _, m := range n.letters {
		if !s.hidden[m.uid] {
			c.Numbers.Add(m.uid)
		}
	}
	if s.counted != nil {
		c.Numbers = s.counted
	}
	return c, s.step("count")
}

func (n *numberedSession) find(uid int) int {
	return slices.IndexFunc(n.letters, func(l letter) bool { return int(l.uid) == uid })
}

func (n *numberedSession) Retrieve(ctx context.Context, want []Request, r Receiver) error {
	order := make([]int, len(want))
	for i := range order {
		order[i] = i
	}
	if n.server.shuffle != nil {
		n.server.shuffle(order)
	}
	for _, i := range order {
		if err := ctx.Err(); err != nil {
			return err
		}
		n.server.asked = append(n.server.asked, uint32(want[i].Number))
		if err := n.retrieve(i, n.letters[n.find(want[i].Number)], r); err != nil {
			return err
		}
	}
	return nil
}

func spendOf(faults map[uint32]int, uid uint32) int {
	n := faults[uid]
	if n > 0 {
		faults[uid]--
	}
	return n
}

func (n *numberedSession) retrieve(i int, m letter, r Receiver) error {
	s := n.server
	empty := spendOf(s.empty, m.uid)
	switch {
	case s.fleeting[m.uid]:
		return r.End(i, ErrGone)
	case spendOf(s.refused, m.uid) != 0:
		return r.End(i, errRefused)
	case empty == -2:
		return r.End(i, ErrEmpty)
	}
	name := i
	if s.late {
		name = -1
	}
	to, err := r.Begin(name)
	if err != nil {
		return errors.Join(err, r.End(name, err))
	}
	part := text(m.name)
	breaks := spendOf(s.breaking, m.uid) != 0
	switch {
	case empty != 0:
		part = ""
	case breaks:
		part = part[:len(part)/2]
	}
	if _, err := io.WriteString(to, part); err != nil {
		return errors.Join(err, r.End(i, err))
	}
	if breaks {
		return errors.Join(errCut, r.End(name, errCut))
	}
	if err := r.End(i, nil); err != nil {
		return err
	}
	return s.step("end")
}

func (n *numberedSession) Dispose(_ context.Context, uids []int, each func(int, error)) error {
	s := n.server
	if err := s.step("dispose"); err != nil {
		return err
	}
	for _, number := range uids {
		uid := uint32(number)
		s.disposed = append(s.disposed, uid)
		switch {
		case spendOf(s.unwilling, uid) != 0:
			each(number, errRefused)
			continue
		case s.stays:
			each(number, ErrStays)
			continue
		case s.deaf || s.epoch != n.epoch:
		case s.action == MarkSeen:
			if s.flagged == nil {
				s.flagged = map[uint32]bool{}
			}
			s.flagged[uid] = true
		default:
			if i := n.find(number); i >= 0 && s.action == Move {
				s.moved = append(s.moved, n.letters[i].name)
			}
			s.expunge(uid)
		}
		each(number, nil)
	}
	if s.unheard != nil {
		return s.unheard
	}
	return s.step("disposed")
}

func (n *numberedSession) Close(context.Context) error { return n.server.step("close") }
func (n *numberedSession) Abort()                      {}

var _ Counter = (*numberedSession)(nil)

// withNumbers is a job of an IMAP mailbox.
func withNumbers(j *Job) { j.Protocol, j.Numbered = "imap", true }

func withPolicy(d Disposal) func(*Job) { return func(j *Job) { j.OnServer = d } }
