package fetch

import (
	"context"
	"slices"
	"strconv"
	"time"

	"postrider/ledger"
)

// maxVanished bounds how many numbers that the server says have gone are looked
// up one by one. It may name any, also such as never were; what is passed over
// shows when the messages are counted.
const maxVanished = 1 << 20

// maxCounted bounds how many numbers a count is believed to have. A server may
// claim all that there are in one line.
const maxCounted = 5_000_000

// since returns the mark from which the server is asked to list. If there is an
// occasion to look at everything, the messages that are there are counted first:
// known ones are seen, and those below the mark that are unknown are asked for.
func (l *Line) since(ctx context.Context, src Source, p *plan) (Mark, error) {
	m := l.mark
	counter, ok := src.(Counter)
	if !ok || m.Next == 0 || !l.wantsCount(time.Now()) {
		return m, nil
	}
	count, err := counter.Count(ctx)
	if err != nil {
		return m, err
	}
	if count.Epoch != m.Epoch || count.Numbers.Count() > maxCounted {
		return Mark{}, nil // the list of everything tells
	}
	now := time.Now()
	var open []uint32
	if !count.Complete {
		open = slices.Collect(m.Open.All())
	}
	for n := range count.Numbers.All() {
		if err := ctx.Err(); err != nil {
			return m, err
		}
		place, known := l.known.Find(l.origins.byNumber(count.Epoch, n))
		switch {
		case n >= m.Next: // it is going to be listed
		case !known, l.isDue(place, now):
			open = append(open, n) // what is removed must be what was delivered: its size says more than its number
		default:
			p.listed++
			l.seeAgain(p, place, int(n))
		}
	}
	m.Open = numbersOf(open)
	p.counted = count.Complete
	return m, nil
}

// wantsCount tells whether all that is on the server is of interest.
func (l *Line) wantsCount(now time.Time) bool {
	m := l.mark
	// A count from the future was made by a clock that was wrong.
	age := now.Sub(time.Unix(m.Counted, 0)).Abs()
	return l.renumbered || m.Policy != l.job.policy() || m.Due > 0 && m.Due <= now.Unix() || age > countEvery
}

// seeAgain notes that a known message is on the server. A number is never
// used again: what had gone from the list is back.
func (l *Line) seeAgain(p *plan, place, number int) {
	if r, _ := l.known.At(place); !r.Gone.IsZero() {
		l.known.SetThere(place, r.Octets)
	}
	p.see(place, number)
}

// identifyNumber finds the message among those known, or says that it is wanted.
func (l *Line) identifyNumber(p *plan, it Item) (want, bool, error) {
	number := uint32(it.Number)
	key := l.origins.byNumber(it.Epoch, number)
	if number < p.since.Next {
		p.heard = append(p.heard, number)
	}
	if p.chosen[key] {
		return want{}, false, nil // listed twice
	}
	place, known := l.known.Find(key)
	if !known {
		if place, known = l.known.Adopt(key, it.Octets, time.Now()); known {
			p.adopted++
			l.noteTwin(it.Twin)
		}
	}
	w := want{Request: Request{it.Number, it.Octets}, key: key, uid: strconv.Itoa(it.Number), flags: it.Flags, date: dateOf(it), twin: it.Twin}
	if known {
		if r, _ := l.known.At(place); sameSize(r.Octets, it.Octets) {
			l.seeAgain(p, place, it.Number)
			return want{}, false, nil
		}
		// A server that was put back from a backup may give numbers out again: the content decides.
		w.candidates = []int{place}
		return w, true, nil
	}
	if has, err := l.hasTwin(it.Twin); err != nil {
		return want{}, false, err
	} else if has {
		p.twins++
		place := l.known.Add(ledger.Record{Key: key, Octets: it.Octets, Time: time.Now(), State: l.deliveredState()})
		p.see(place, it.Number)
		return want{}, false, nil
	}
	if l.isComing(p, it.Twin) {
		p.setOpen(w)
		p.leave(it.Octets)
		return want{}, false, nil
	}
	return w, true, nil
}

// dateOf returns when a message arrived at the server, in Unix seconds; 0 if it
// does not say.
func dateOf(it Item) int64 {
	if it.Date.IsZero() {
		return 0
	}
	return it.Date.Unix()
}

// enterEpoch finds out whether the server has begun to count anew. Then all
// its messages look new, and each is compared by content before it is taken for
// that. The mark says so before anything is recorded in the new epoch.
func (l *Line) enterEpoch(p *plan) {
	epoch := p.listing.Epoch
	if !l.job.Numbered || epoch == l.mark.Epoch {
		return
	}
	if epoch == 0 {
		// What is known gets keys by content in this session: should the numbers last again, they are of no use.
		l.setMark(Mark{})
		return
	}
	l.renumbered = l.missesAny(p)
	counted := l.mark.Epoch != 0 // else it is a mailbox that has inherited, or of which the mark was lost
	l.setMark(Mark{Epoch: epoch, Comparing: l.renumbered})
	if l.renumbered && counted {
		l.log.Warn("the numbers of the server's messages mean nothing any more (UIDVALIDITY has changed): comparing contents before anything is taken for new, and removing nothing on the server",
			"mailbox", l.job.Mailbox, "known", l.known.Len(), "listed", p.listed)
	}
}

// missesAny tells whether a known message was not listed.
func (l *Line) missesAny(p *plan) bool {
	for place := range l.known.Places() {
		if _, ok := l.known.At(place); ok && p.number(place) == 0 {
			return true
		}
	}
	return false
}

// vanish notes which messages the server says have gone.
func (l *Line) vanish(p *plan, now time.Time) {
	gone := p.listing.Gone
	if p.listing.Epoch != l.mark.Epoch || gone.Count() > maxVanished {
		return
	}
	for n := range gone.All() {
		key := l.origins.byNumber(p.listing.Epoch, n)
		l.known.ClearAside(key)
		if place, known := l.known.Find(key); known && p.number(place) == 0 {
			if r, _ := l.known.At(place); r.Gone.IsZero() {
				l.known.SetGone(place, now)
			}
		}
	}
}

func (l *Line) hasTwin(n uint64) (bool, error) {
	if n == 0 || l.job.Twins == "" {
		return false, nil
	}
	has, err := l.shared.Root.Ledger.HasTwin(append([]string{l.job.Twins}, l.job.OtherTwins...), n)
	if err != nil {
		return false, &LocalError{err}
	}
	return has, nil
}

// isComing tells whether a twin of the message is on its way already: it was
// listed before it, or another line, which recovery has still to see to, has
// an intent for it. Otherwise it is, from now on.
func (l *Line) isComing(p *plan, n uint64) bool {
	if n == 0 || l.job.Twins == "" {
		return false
	}
	if p.coming == nil {
		p.coming = map[uint64]bool{}
		for _, b := range l.shared.Root.Ledger.Open("") {
			if b.Twins != l.job.Twins && !slices.Contains(l.job.OtherTwins, b.Twins) {
				continue
			}
			for _, in := range b.Intents {
				p.coming[in.Twin] = true
			}
		}
	}
	coming := p.coming[n]
	p.coming[n] = true
	return coming
}

// noteTwin has the number written with the next commit.
func (l *Line) noteTwin(n uint64) {
	if n != 0 && l.job.Twins != "" {
		l.twins = append(l.twins, n)
	}
}
