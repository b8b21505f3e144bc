package fetch

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"postrider/ledger"
	"postrider/maildir"
)

// plan is what one session is going to do.
type plan struct {
	listed   int
	want     []want
	chosen   map[ledger.Key]bool // the keys of all that is new
	numbers  []int               // by place in the ledger: the message's number on the server; 0: it is not there
	complete bool
	tooLarge int
	aside    []Aside

	since   Mark            // from which the server was asked to list
	heard   []uint32        // what it has listed of the messages below that
	coming  map[uint64]bool // twins that are on their way, see isComing
	listing Listing
	counted bool     // all that is on the server was counted before it was listed
	open    []uint32 // wanted, and not asked for in this session
	twins   int      // delivered from another mailbox
	adopted int      // known from their files alone

	fresh       int                // how many of want were never asked for
	later       int                // new messages that this session does not ask for
	laterOctets int64              // their announced size
	taken       map[ledger.Key]int // by the key of an identifier's first occurrence: how many are other messages of this list
	repeats     bool               // an identifier stands for several messages
	candidates  int                // of all of want

	// rematch: the server seems to have given its messages new identifiers.
	// Each new one is compared by content with those that are gone, and
	// nothing is removed on the server.
	rematch  bool
	noUID    bool                    // the server does not identify all of its messages
	gone     map[ledger.Digest][]int // places of the messages that are gone, by content
	same     map[ledger.Digest]int   // how many messages without identifier had this content
	left     map[int64]bool          // announced sizes of the messages that were wanted and not fetched
	breaking bool                    // there are messages that get a session of their own
}

// Bounds of what one session keeps in memory of messages that are new,
// whatever the server lists.
const (
	maxFresh      = 50_000  // with an identifier; the rest gets sessions of its own
	maxNumbered   = 20_000  // with a number that lasts: another session costs no login
	maxNoUID      = 200_000 // without: all of them have to be fetched to be compared
	maxCandidates = 1 << 20 // for comparison, of all new messages together
	maxLeft       = 10_000  // sizes of messages that are left
)

// everyday is how few messages may all be gone without anybody wondering.
const everyday = 10

// leave notes a message that stays unknown: it could be any of its size.
func (p *plan) leave(octets int64) {
	if len(p.left) >= maxLeft {
		octets = -1
	}
	p.left[max(octets, -1)] = true
}

// mayBeLeft tells whether a message that is gone could be one that was not
// fetched, under another identifier.
func (p *plan) mayBeLeft(r ledger.Record) bool {
	if !p.rematch && !p.noUID || len(p.left) == 0 {
		return false
	}
	return r.Octets < 0 || p.left[-1] || p.left[r.Octets]
}

// setOpen notes that a message stays to be asked for in another session.
func (p *plan) setOpen(w want) {
	if w.Number > 0 && w.Number <= math.MaxUint32 {
		p.open = append(p.open, uint32(w.Number))
	}
}

// want is a message to retrieve.
type want struct {
	Request
	key        ledger.Key
	uid        string
	noUID      bool  // its identity is its content
	gone       bool  // from the server, meanwhile
	tooLarge   bool  // which showed only when it came
	candidates []int // places of known messages with this identifier that are of another size, or were gone
	flags      maildir.Flags
	date       int64  // of arrival at the server, in Unix seconds; 0: unknown
	twin       uint64 // see Item
	next       int    // one more than the place of the known message that is the occurrence after this one; 0: there is none
}

// goneHold is how long a message that the server does not list any more is
// remembered. A server that once shows an empty or shorter list by mistake, and
// then the whole again, makes everything come again; but nothing is delivered
// that is still remembered.
const goneHold = 7 * 24 * time.Hour

// sameSize compares announced sizes, of which a server may have given none.
func sameSize(a, b int64) bool { return a == b || a < 0 || b < 0 }

// choose asks what the server has and decides what to retrieve: everything
// that the ledger does not know by identifier, occurrence and size.
func (l *Line) choose(ctx context.Context, src Source, breaking bool) (*plan, error) {
	p := &plan{
		numbers: make([]int, l.known.Places()), same: map[ledger.Digest]int{}, left: map[int64]bool{},
		chosen: map[ledger.Key]bool{}, taken: map[ledger.Key]int{},
	}
	var err error
	if p.since, err = l.since(ctx, src, p); err != nil {
		return nil, err
	}
	p.listing, err = src.List(ctx, p.since, func(it Item) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		p.listed++
		return l.consider(p, it)
	})
	if err != nil {
		return nil, err
	}
	p.complete = p.listing.Complete || p.counted && p.listing.Epoch == p.since.Epoch
	l.enterEpoch(p)
	if err := l.checkRenumbered(p); err != nil {
		return nil, err
	}
	if p.tooLarge > 0 {
		l.log.Info("messages larger than max_size are left on the server", "messages", p.tooLarge)
	}
	l.leaveBreaking(p, breaking)
	l.lastComeSuspects(p)
	octets := p.laterOctets
	for _, w := range p.want {
		octets += max(w.Octets, 0)
	}
	l.progress.Wanted(len(p.want)+p.later, octets)
	return p, nil
}

// consider wants a message unless it is known.
func (l *Line) consider(p *plan, it Item) (err error) {
	var w want
	isNew := false
	switch {
	case it.Epoch != 0:
		w, isNew, err = l.identifyNumber(p, it)
	case len(it.UID) > 0:
		w, isNew = l.identify(p, it)
	default:
		return l.wantNoUID(p, it)
	}
	if isNew {
		l.wantNew(p, w)
	}
	return err
}

// wantNoUID wants a message that only its content can identify.
func (l *Line) wantNoUID(p *plan, it Item) error {
	p.noUID = true
	w := want{Request: Request{it.Number, it.Octets}, key: l.origins.byUID(nil, it.Number), noUID: true, flags: it.Flags, date: dateOf(it)}
	switch {
	case l.leaveTooLarge(p, w):
	case len(p.want) >= maxNoUID:
		return fmt.Errorf("the server lists more than %d messages without identifiers", maxNoUID)
	default:
		p.want = append(p.want, w)
	}
	return nil
}

// wantNew wants a new message, in this session or in one after it. Messages that
// failed before take nobody's place.
func (l *Line) wantNew(p *plan, w want) {
	if l.leaveTooLarge(p, w) {
		return
	}
	if _, failed := l.known.Aside(w.key); !failed {
		if p.fresh >= l.job.maxFresh {
			p.later++
			p.setOpen(w)
			p.laterOctets += max(w.Octets, 0)
			p.leave(-1)
			return
		}
		p.fresh++
	}
	p.chosen[w.key] = true
	p.want = append(p.want, w)
}

// identify finds the message among those known, or says that it is wanted. The
// same identifier may stand for several messages, and a server may use one
// again for another: so the occurrence and the size count as well.
func (l *Line) identify(p *plan, it Item) (want, bool) {
	w := want{Request: Request{it.Number, it.Octets}}
	for n, key := l.firstFree(p, it.UID); ; n, key = n+1, l.origins.byUID(it.UID, n+1) {
		p.repeats = p.repeats || n > 0
		place, known := l.known.Find(key)
		if !known {
			if p.chosen[key] {
				continue
			}
			if place, known = l.known.Adopt(key, it.Octets, time.Now()); known {
				p.see(place, it.Number)
				return w, false
			}
			w.key, w.uid = key, string(it.UID)
			if place, known := l.known.Find(l.origins.byUID(it.UID, n+1)); known && p.number(place) == 0 {
				w.next = place + 1
			}
			return w, true
		}
		if p.number(place) != 0 {
			continue // this one is another message of the same list
		}
		r, _ := l.known.At(place)
		if sameSize(r.Octets, it.Octets) && r.Gone.IsZero() {
			p.see(place, it.Number)
			return w, false
		}
		if p.candidates < maxCandidates {
			p.candidates++
			w.candidates = append(w.candidates, place)
		}
	}
}

// firstFree returns the first occurrence of an identifier that is no other
// message of the same list, and its key. What it has found is kept for the next one: a server
// that gives all its messages one identifier would otherwise cost the square of
// their number.
func (l *Line) firstFree(p *plan, uid []byte) (n int, key ledger.Key) {
	first := l.origins.byUID(uid, 0)
	n, key = p.taken[first], first
	if n > 0 {
		key = l.origins.byUID(uid, n)
	}
	for l.isOther(p, key) {
		n++
		key = l.origins.byUID(uid, n)
	}
	if n > 0 {
		p.taken[first] = n
	}
	return n, key
}

// isOther tells whether the key belongs to a message of this list already.
func (l *Line) isOther(p *plan, k ledger.Key) bool {
	place, known := l.known.Find(k)
	return p.chosen[k] || known && p.number(place) != 0
}

// see notes that the message at a place is on the server.
func (p *plan) see(place, number int) {
	for len(p.numbers) <= place {
		p.numbers = append(p.numbers, 0)
	}
	p.numbers[place] = number
}

func (p *plan) number(place int) int {
	if place >= len(p.numbers) {
		return 0
	}
	return p.numbers[place]
}

// checkRenumbered looks whether the server gave its messages new identifiers:
// more than half of the known ones are gone and at least about as many are
// new. Messages that we removed ourselves do not count. Once found it holds,
// through cuts and crashes, until every new message was compared: after the
// first half of them the counts would look like everyday's.
func (l *Line) checkRenumbered(p *plan) error {
	if l.job.Numbered && !l.renumbered && !p.noUID {
		return nil // it would have said so
	}
	var gone, before []int
	known := 0
	for place := range l.known.Places() {
		r, ok := l.known.At(place)
		if !ok {
			continue
		}
		if p.number(place) == 0 && (r.State == ledger.Disposing || !r.Gone.IsZero()) {
			before = append(before, place)
			continue
		}
		known++
		if p.number(place) == 0 {
			gone = append(gone, place)
		}
	}
	if !l.job.Numbered && !p.noUID && !l.renumbered && 2*len(gone) > known && 2*(len(p.want)+p.later) >= len(gone) {
		level := slog.LevelWarn
		if len(gone) < everyday {
			level = slog.LevelInfo
		}
		l.log.Log(context.Background(), level, "more than half of the known messages have gone and as many are new: comparing contents before anything is taken for new, and removing nothing on the server",
			"known", known, "gone", len(gone), "new", len(p.want)+p.later)
		if err := l.setRenumbered(true); err != nil {
			return err
		}
	}
	if l.job.Numbered {
		// Nothing is guessed from their number, and a mailbox that was put back from a backup has them again.
		gone = append(gone, before...)
	}
	p.rematch = l.renumbered
	if len(gone) == 0 || !p.rematch && !p.noUID {
		return nil
	}
	digests, err := l.known.Digests(gone)
	if err != nil {
		return &LocalError{err}
	}
	p.gone = map[ledger.Digest][]int{}
	for i, d := range digests {
		if d != (ledger.Digest{}) {
			p.gone[d] = append(p.gone[d], gone[i])
		}
	}
	return nil
}

// leaveTooLarge tells whether a message is larger than the account allows.
func (l *Line) leaveTooLarge(p *plan, w want) bool {
	if l.job.MaxSize <= 0 || w.Octets <= l.job.MaxSize {
		return false
	}
	p.tooLarge++
	p.leave(w.Octets)
	l.log.Debug("left on the server: larger than max_size", l.job.LogUID, w.uid, "octets", w.Octets)
	return true
}

// leaveBreaking takes out the messages at which sessions break, or everything
// else: they get a session of their own, after everything else is done.
func (l *Line) leaveBreaking(p *plan, breaking bool) {
	kept := p.want[:0]
	for _, w := range p.want {
		a, ok := l.known.Aside(w.key)
		if ok && a.Breaks != breaking || !ok && breaking {
			p.leave(w.Octets)
			p.setOpen(w)
			p.breaking = p.breaking || !breaking
			continue
		}
		kept = append(kept, w)
	}
	p.want = kept
}

// lastComeSuspects moves messages that failed before to the end, the most
// tried ones behind the others, so that each of several that break the session
// gets its turn; those at which a session of this pass broke come last of all.
func (l *Line) lastComeSuspects(p *plan) {
	rank := func(w want) (suspect, tries int) {
		if l.suspects[w.key] {
			suspect = 1
		}
		a, _ := l.known.Aside(w.key)
		return suspect, a.Tries
	}
	slices.SortStableFunc(p.want, func(a, b want) int {
		suspectA, triesA := rank(a)
		suspectB, triesB := rank(b)
		return cmp.Or(cmp.Compare(suspectA, suspectB), cmp.Compare(triesA, triesB))
	})
}

// forget drops from the ledger what has been gone from complete lists for long
// enough, so that it does not grow for ever. A server that uses an identifier
// again meanwhile has the contents compared.
func (l *Line) forget(p *plan, now time.Time) (compared bool) {
	if l.job.Numbered {
		l.vanish(p, now)
	}
	if !p.complete {
		return false // what the server said has gone is forgotten when it was counted
	}
	compared = true
	for place := range p.numbers {
		r, ok := l.known.At(place)
		switch {
		case !ok || p.numbers[place] != 0:
		case p.mayBeLeft(r):
			compared = false
		case r.Gone.IsZero():
			l.known.SetGone(place, now)
		case now.Sub(r.Gone) > goneHold && !p.repeats:
			// With one of several occurrences forgotten, the next of them would be taken for it, and for new.
			l.known.Forget(place)
		}
	}
	l.known.EachAside(func(k ledger.Key, _ ledger.Aside) {
		if !p.chosen[k] && !p.noUID {
			l.known.ClearAside(k)
		}
	})
	return compared
}
