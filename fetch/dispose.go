package fetch

import (
	"context"
	"fmt"
	"time"

	"postrider/ledger"
)

// inferredHold is how long a message stays on the server of which a crash left
// no file to prove its delivery.
const inferredHold = 7 * 24 * time.Hour

// dispose is step 7: the server is told to remove what is due, and the session
// ends in order. Every message that it names is recorded as delivered.
func (l *Line) dispose(ctx context.Context, src Source, p *plan, total *Result) error {
	numbers, err := l.due(p, time.Now())
	if err != nil {
		return err
	}
	if len(numbers) == 0 {
		return src.Close(ctx)
	}
	refused := 0
	err = src.Dispose(ctx, numbers, func(number int, err error) {
		if err != nil {
			refused++
			l.log.Warn("the server does not remove a message, it is asked again next time", "number", number, "err", err)
		}
	})
	if err != nil {
		return fmt.Errorf("remove messages on the server: %w", err)
	}
	if err := src.Close(ctx); err != nil {
		return fmt.Errorf("remove messages on the server: it did not confirm: %w", err)
	}
	total.Disposed += len(numbers) - refused
	return nil
}

// due returns the messages that are to be removed on the server now. That they
// are is recorded first: when one of them is found gone afterwards, it is our
// doing.
func (l *Line) due(p *plan, now time.Time) ([]int, error) {
	if !l.job.OnServer.Delete || p.rematch || l.shared.Root.Behind {
		return nil, nil
	}
	var numbers []int
	for place, number := range p.numbers {
		if number == 0 || !l.isDue(place, now) {
			continue
		}
		if r, _ := l.known.At(place); r.State != ledger.Disposing {
			l.known.SetState(place, ledger.Disposing)
		}
		numbers = append(numbers, number)
	}
	if l.known.Changed() {
		if err := l.commit(l.known.Save); err != nil {
			return nil, err
		}
	}
	return numbers, nil
}

func (l *Line) isDue(place int, now time.Time) bool {
	r, ok := l.known.At(place)
	if !ok {
		return false
	}
	wait := l.job.OnServer.After
	if r.State == ledger.Inferred {
		wait = max(wait, inferredHold)
	}
	if wait == 0 {
		return true // whatever the clock has done since
	}
	return now.Sub(r.Time) >= wait
}
