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

// since returns the mark from which the server is asked to list. If there is an
// occasion to look at everything, the messages that are there are counted first:
// known ones are seen, and those below the mark that are unknown are asked for.
func (l *Line) since(ctx context.Context, src Source, p *plan) (Mark, error) {
	m := l.mark
	m.Open = slices.Clone(m.Open)
	counter, ok := src.(Counter)
	if !ok || m.Next == 0 || !l.wantsCount(time.Now()) {
		return m, nil
	}
	count, err := counter.Count(ctx)
	if err != nil {
		return m, err
	}
	if count.Epoch != m.Epoch {
		return Mark{}, nil
	}
	if count.Complete {
		m.Open = nil
	}
	for n := range count.Numbers.All() {
		place, known := l.known.Find(l.origins.byNumber(count.Epoch, n))
		switch {
		case known:
			p.listed++
			l.seeAgain(p, place, int(n))
		case n < m.Next:
			m.Open.Add(n)
		}
	}
	p.counted = count.Complete
	return m, nil
}

// wantsCount tells whether all that is on the server is of interest.
func (l *Line) wantsCount(now time.Time) bool {
	m := l.mark
	return l.renumbered || m.Policy != l.job.policy() || m.Due > 0 && m.Due <= now.Unix() || now.Sub(time.Unix(m.Counted, 0)) > countEvery
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
	key := l.origins.byNumber(it.Epoch, uint32(it.Number))
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
	if known {
		l.seeAgain(p, place, it.Number)
		return want{}, false, nil
	}
	if has, err := l.hasTwin(it.Twin); err != nil {
		return want{}, false, err
	} else if has {
		p.twins++
		place := l.known.Add(ledger.Record{Key: key, Octets: it.Octets, Time: time.Now(), State: l.deliveredState()})
		p.see(place, it.Number)
		return want{}, false, nil
	}
	w := want{Request: Request{it.Number, it.Octets}, key: key, uid: strconv.Itoa(it.Number), flags: it.Flags, twin: it.Twin}
	if !it.Date.IsZero() {
		w.date = it.Date.Unix()
	}
	return w, true, nil
}

// enterEpoch finds out whether the server has begun to count anew. Then all
// its messages look new, and each is compared by content before it is taken for
// that. The mark says so before anything is recorded in the new epoch.
func (l *Line) enterEpoch(p *plan) {
	epoch := p.listing.Epoch
	if !l.job.Numbered || epoch == 0 || epoch == l.mark.Epoch {
		return
	}
	l.renumbered = l.known.Len() > p.adopted
	l.setMark(Mark{Epoch: epoch, Comparing: l.renumbered})
	if l.renumbered {
		l.log.Warn("the server numbers its messages anew (UIDVALIDITY changed): comparing contents before anything is taken for new, and removing nothing on the server",
			"mailbox", l.job.Mailbox, "known", l.known.Len(), "listed", p.listed)
	}
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

// noteTwin has the number written with the next commit.
func (l *Line) noteTwin(n uint64) {
	if n != 0 && l.job.Twins != "" {
		l.twins = append(l.twins, n)
	}
}
