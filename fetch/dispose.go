package fetch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"postrider/ledger"
)

// inferredHold is how long a message stays on the server of which a crash left
// no file to prove its delivery.
const inferredHold = 7 * 24 * time.Hour

// disposal is a message with which something is to be done on the server.
type disposal struct{ number, place int }

// dispose is step 7: the server is told what to do with the messages that are
// due, and the session ends in order. Every message that it is told of is
// recorded as delivered.
func (l *Line) dispose(ctx context.Context, src Source, p *plan, total *Result) error {
	due := l.due(p, time.Now())
	if len(due) == 0 {
		l.moveMark(p, time.Now())
	}
	if err := l.save(); err != nil {
		return err
	}
	if len(due) == 0 {
		return src.Close(ctx)
	}
	numbers := make([]int, len(due))
	for i, d := range due {
		numbers[i] = d.number
	}
	outcome := map[int]error{}
	err := src.Dispose(ctx, numbers, func(number int, err error) { outcome[number] = err })
	l.warnUndone(numbers, outcome)
	if err != nil {
		return fmt.Errorf("do what on_server says: %w", err)
	}
	if err := src.Close(ctx); err != nil {
		return fmt.Errorf("do what on_server says: the server did not confirm it: %w", err)
	}
	for _, d := range due {
		if err, told := outcome[d.number]; told {
			l.disposed(d, err, total)
		}
	}
	l.moveMark(p, time.Now())
	return l.save()
}

// warnUndone tells what the server refused: one line for each reason, as it may
// refuse thousands of messages for the same one.
func (l *Line) warnUndone(numbers []int, outcome map[int]error) {
	first, messages := map[string]int{}, map[string]int{}
	for _, number := range numbers {
		err := outcome[number]
		if err == nil || errors.Is(err, ErrStays) {
			continue
		}
		if messages[err.Error()]++; messages[err.Error()] == 1 {
			first[err.Error()] = number
		}
	}
	for _, reason := range slices.SortedFunc(maps.Keys(first), func(a, b string) int { return first[a] - first[b] }) {
		l.log.Warn("the server does not do what on_server says, it is asked again next time", "number", first[reason], "messages", messages[reason], "err", reason)
	}
}

// disposed notes what became of one message on the server.
func (l *Line) disposed(d disposal, err error, total *Result) {
	switch {
	case errors.Is(err, ErrStays):
		l.known.SetState(d.place, ledger.Told)
	case err != nil:
	case !l.job.OnServer.removes():
		l.known.SetState(d.place, ledger.Delivered)
	default:
		total.Disposed++
		if l.job.Numbered {
			l.known.SetGone(d.place, time.Now())
		}
	}
}

// due returns the messages with which something is to be done on the server
// now. That they are removed is recorded before they are: when one of them is
// found gone afterwards, it is our doing.
func (l *Line) due(p *plan, now time.Time) []disposal {
	if l.job.OnServer.Action == Keep || p.rematch || l.shared.Root.Behind {
		return nil
	}
	var due []disposal
	for place, number := range p.numbers {
		if number == 0 {
			continue
		}
		r, ok := l.known.At(place)
		if !ok {
			continue
		}
		if at, wanted := l.dueTime(r); !wanted || at.After(now) {
			continue
		}
		if r.State != ledger.Disposing {
			l.known.SetState(place, ledger.Disposing)
		}
		due = append(due, disposal{number, place})
	}
	return due
}

// isDue tells whether the message at a place is to be removed on the server by now.
func (l *Line) isDue(place int, now time.Time) bool {
	r, ok := l.known.At(place)
	at, wanted := l.dueTime(r)
	return ok && l.job.OnServer.removes() && wanted && !at.After(now)
}

// dueTime returns when something is to be done with a message on the server,
// if anything is. With no time to wait it is due whatever the clock has done.
func (l *Line) dueTime(r ledger.Record) (at time.Time, wanted bool) {
	if !l.job.OnServer.removes() {
		return time.Time{}, r.State == ledger.Disposing
	}
	wait := l.job.OnServer.After
	if r.State == ledger.Inferred {
		wait = max(wait, inferredHold)
	}
	if wait == 0 {
		return time.Time{}, r.State != ledger.Told
	}
	return r.Time.Add(wait), r.State != ledger.Told
}

// nextDue returns when the next message is due that is on the server as far as
// is known, in Unix seconds; 0 if there is none.
func (l *Line) nextDue() (next int64) {
	if l.job.OnServer.Action == Keep {
		return 0
	}
	for place := range l.known.Places() {
		r, ok := l.known.At(place)
		if !ok || !r.Gone.IsZero() {
			continue
		}
		if at, wanted := l.dueTime(r); wanted {
			if due := max(at.Unix(), 1); next == 0 || due < next {
				next = due
			}
		}
	}
	return next
}
