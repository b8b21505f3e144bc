package fetch

import (
	"context"
	"sort"
	"time"

	"postrider/ledger"
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

	// rematch: the server seems to have given its messages new identifiers.
	// Each new one is compared by content with those that are gone, and
	// nothing is removed on the server.
	rematch  bool
	noUID    bool                    // the server does not identify all of its messages
	gone     map[ledger.Digest][]int // places of the messages that are gone, by content
	same     map[ledger.Digest]int   // how many messages without identifier had this content
	failed   bool                    // not all that was wanted could be dealt with
	breaking bool                    // there are messages that get a session of their own
}

// want is a message to retrieve.
type want struct {
	Request
	key        ledger.Key
	uid        string
	noUID      bool  // its identity is its content
	candidates []int // places of known messages with this identifier and another size
}

// choose asks what the server has and decides what to retrieve: everything
// that the ledger does not know by identifier, occurrence and size.
func (l *Line) choose(ctx context.Context, src Source, breaking bool) (*plan, error) {
	p := &plan{numbers: make([]int, l.known.Places()), same: map[ledger.Digest]int{}, chosen: map[ledger.Key]bool{}}
	listing, err := src.List(ctx, func(it Item) error {
		p.listed++
		if len(it.UID) == 0 {
			p.noUID = true
			p.want = append(p.want, want{Request: Request{it.Number, it.Octets}, key: l.origins.byUID(nil, it.Number), noUID: true})
			return nil
		}
		if w, isNew := l.identify(p, it); isNew {
			p.chosen[w.key] = true
			p.want = append(p.want, w)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p.complete = listing.Complete
	if err := l.checkRenumbered(p); err != nil {
		return nil, err
	}
	l.leaveTooLarge(p)
	l.leaveBreaking(p, breaking)
	l.lastComeSuspects(p)
	octets := int64(0)
	for _, w := range p.want {
		octets += max(w.Octets, 0)
	}
	l.progress.Wanted(len(p.want), octets)
	return p, nil
}

// identify finds the message among those known, or says that it is wanted. The
// same identifier may stand for several messages, and a server may use one
// again for another: so the occurrence and the size count as well.
func (l *Line) identify(p *plan, it Item) (want, bool) {
	w := want{Request: Request{it.Number, it.Octets}}
	for n := 0; ; n++ {
		w.key = l.origins.byUID(it.UID, n)
		place, known := l.known.Find(w.key)
		if !known {
			if p.chosen[w.key] {
				continue
			}
			if place, known = l.known.Adopt(w.key, it.Octets, time.Now()); known {
				p.see(place, it.Number)
				return w, false
			}
			w.uid = string(it.UID)
			return w, true
		}
		if p.number(place) != 0 {
			continue // this one is another message of the same list
		}
		r, _ := l.known.At(place)
		if r.Octets == it.Octets || r.Octets < 0 || it.Octets < 0 {
			p.see(place, it.Number)
			return w, false
		}
		w.candidates = append(w.candidates, place)
	}
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
// new. Messages that we removed ourselves do not count.
func (l *Line) checkRenumbered(p *plan) error {
	var gone []int
	known := 0
	for place := range l.known.Places() {
		r, ok := l.known.At(place)
		if !ok || r.State == ledger.Disposing && p.number(place) == 0 {
			continue
		}
		known++
		if p.number(place) == 0 {
			gone = append(gone, place)
		}
	}
	renumbered := 2*len(gone) > known && 2*len(p.want) >= len(gone)
	if len(gone) == 0 || !renumbered && !p.noUID {
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
	if p.noUID {
		return nil // identity is content there, nothing has changed
	}
	p.rematch = true
	l.log.Warn("more than half of the known messages have gone and as many are new: comparing contents before anything is taken for new, and removing nothing on the server",
		"known", known, "gone", len(gone), "new", len(p.want))
	return nil
}

// leaveTooLarge takes out what is larger than the account allows.
func (l *Line) leaveTooLarge(p *plan) {
	if l.job.MaxSize <= 0 {
		return
	}
	kept := p.want[:0]
	for _, w := range p.want {
		if w.Octets > l.job.MaxSize {
			p.tooLarge++
			p.failed = true
			l.log.Info("left on the server: larger than max_size", "uid", w.uid, "octets", w.Octets)
			continue
		}
		kept = append(kept, w)
	}
	p.want = kept
}

// leaveBreaking takes out the messages at which sessions break, or everything
// else: they get a session of their own, after everything else is done.
func (l *Line) leaveBreaking(p *plan, breaking bool) {
	kept := p.want[:0]
	for _, w := range p.want {
		a, ok := l.known.Aside(w.key)
		if ok && a.Breaks != breaking || !ok && breaking {
			p.failed = true
			p.breaking = p.breaking || !breaking
			continue
		}
		kept = append(kept, w)
	}
	p.want = kept
}

// lastComeSuspects moves messages that failed before to the end, those at
// which a session broke last of all.
func (l *Line) lastComeSuspects(p *plan) {
	aside := func(k ledger.Key) bool { _, ok := l.known.Aside(k); return ok }
	rank := func(w want) int {
		switch {
		case l.suspects[w.key]:
			return 2
		case aside(w.key):
			return 1
		}
		return 0
	}
	sort.SliceStable(p.want, func(i, k int) bool { return rank(p.want[i]) < rank(p.want[k]) })
}

// forget drops from the ledger what is gone from a complete list, so that it
// does not grow for ever and a server may use an identifier again.
func (l *Line) forget(p *plan) {
	if !p.complete || (p.rematch || p.noUID) && p.failed {
		return
	}
	for place := range p.numbers {
		if _, ok := l.known.At(place); ok && p.numbers[place] == 0 {
			l.known.Forget(place)
		}
	}
	l.known.EachAside(func(k ledger.Key, _ ledger.Aside) {
		if !p.chosen[k] && !p.noUID {
			l.known.ClearAside(k)
		}
	})
}
