package outbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"postrider/ledger"
)

// Item is one message in the queue.
type Item struct {
	ID    string
	State State
	Record
	PausedUntil time.Time // of its account
	Paused      string    // why
}

// List returns the queue, oldest first.
func (o *Outbox) List() ([]Item, error) {
	steps, err := loadSteps(o.root.Ledger)
	if err != nil {
		return nil, err
	}
	pauses, err := loadPauses(o.root.Ledger)
	if err != nil {
		return nil, err
	}
	return o.spool.items(steps, pauses)
}

// Items returns the queue as the spool alone tells it, for a process that has
// not the ledger: what came of attempts may be missing.
func (s *Spool) Items() ([]Item, error) { return s.items(nil, nil) }

func (s *Spool) items(steps map[string]*step, pauses map[string]*pause) (all []Item, err error) {
	seen := map[string]bool{}
	for _, state := range states()[1:] {
		ids, err := s.list(state)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if seen[id] {
				continue
			}
			seen[id] = true
			it := Item{ID: id, State: state}
			r, err := s.read(state, id)
			var corrupt *CorruptError
			if err != nil {
				if _, gone := os.Lstat(s.path(state, id)); errors.Is(gone, fs.ErrNotExist) {
					continue // another process, which sends, has moved it meanwhile
				}
			}
			switch {
			case errors.As(err, &corrupt):
				it.Last = corrupt.Error()
			case err != nil:
				return nil, err
			default:
				if st := steps[id]; st != nil {
					st.apply(r)
				}
				it.Record = *r
			}
			if p := pauses[it.Account]; p != nil {
				it.PausedUntil, it.Paused = p.Until, p.Reason
			}
			all = append(all, it)
		}
	}
	return all, nil
}

// Flush makes all that was put off due now, and ends pauses.
func (o *Outbox) Flush() error {
	steps, err := loadSteps(o.root.Ledger)
	if err != nil {
		return err
	}
	ids, err := o.spool.list(Deferred)
	if err != nil {
		return err
	}
	pauses, err := loadPauses(o.root.Ledger)
	if err != nil {
		return err
	}
	for _, id := range ids {
		r, err := o.spool.read(Deferred, id)
		if err != nil {
			continue // the next pass deals with it
		}
		steps[id] = stepOf(steps, id, r)
		steps[id].Next = time.Unix(1, 0) // zero would leave the time to the envelope
	}
	return o.root.Ledger.Commit(func(t *ledger.Tx) error {
		for _, id := range ids {
			if s := steps[id]; s != nil {
				if err := saveStep(t, id, s); err != nil {
					return err
				}
			}
		}
		for account := range pauses {
			if err := savePause(t, account, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// Hold keeps an item back until it is released.
func (o *Outbox) Hold(id string) error {
	return o.edit(id, Held, func(state State, r *Record, _ *step) string {
		if state != Active && state != Deferred && state != Held {
			return "is " + string(state) + " and cannot be held"
		}
		r.Hold = heldByUser
		return ""
	})
}

// Release lets a held item go.
func (o *Outbox) Release(id string) error {
	return o.edit(id, Active, func(state State, r *Record, s *step) string {
		if state != Held {
			return "is not held"
		}
		r.Hold, r.Next, s.Next = "", time.Time{}, time.Time{}
		o.renew(r)
		return ""
	})
}

// Retry makes an item due now. One that is uncertain is sent again, with the
// same octets.
func (o *Outbox) Retry(id string) error {
	return o.edit(id, Active, func(_ State, r *Record, s *step) string {
		r.Hold, r.Next, s.Next, s.Dot, s.Cancelled = "", time.Time{}, time.Time{}, nil, false
		o.renew(r)
		return ""
	})
}

// renew gives an item that is sent by hand a new lifetime if its own is over.
func (o *Outbox) renew(r *Record) {
	if now := time.Now(); !now.Before(r.Expires) {
		r.Expires = now.Add(o.rules.RetryFor)
	}
}

// Cancel takes an item out of the queue. The message goes to failed/, so that
// it is not lost by a slip.
func (o *Outbox) Cancel(id string) error {
	state, id, err := o.spool.find(id)
	if err != nil {
		return err
	}
	steps, err := loadSteps(o.root.Ledger)
	if err != nil {
		return err
	}
	r, err := o.spool.read(state, id)
	var corrupt *CorruptError
	if errors.As(err, &corrupt) {
		if err := o.giveBack(state, id, messageName, id+".eml", "", "it was taken out of the queue by hand; its envelope is damaged, and who it was for is not known"); err != nil {
			return err
		}
		return o.removed(state, id)
	}
	if err != nil {
		return err
	}
	m := &sending{id: id, record: r, step: stepOf(steps, id, r), changed: true}
	if state == Active && m.step.unsettled(r) && !m.step.Cancelled {
		return &UnknownItemError{id, "has been sent, and what follows from that is not done yet: see the log"}
	}
	m.step.Cancelled = true
	if state == Corrupt {
		m.step.apply(r)
		if err := o.giveBack(state, id, messageName, r.fileName(id), outcomes(r, m.step.Dot), "it was taken out of the queue by hand; its octets are not those that were queued"); err != nil {
			return err
		}
		return o.removed(state, id)
	}
	if err := o.saveSteps([]*sending{m}); err != nil {
		return err
	}
	if state != Active {
		if err := o.spool.move(id, state, Active); err != nil {
			return err
		}
		if err := o.spool.sync(Active, state); err != nil {
			return err
		}
	}
	return o.settleAll([]*sending{m}, &Report{})
}

// removed forgets an item once its directory is gone from the disk: what is known
// of it must outlast it.
func (o *Outbox) removed(state State, id string) error {
	if err := o.spool.sync(state); err != nil {
		return err
	}
	return o.forget([]string{id})
}

// edit changes an item and moves it. Change says what speaks against it.
func (o *Outbox) edit(id string, to State, change func(State, *Record, *step) string) error {
	from, id, err := o.spool.find(id)
	if err != nil {
		return err
	}
	if from == Corrupt {
		return &UnknownItemError{id, "is damaged; postrider queue cancel puts it into failed/"}
	}
	steps, err := loadSteps(o.root.Ledger)
	if err != nil {
		return err
	}
	r, err := o.spool.read(from, id)
	if err != nil {
		return err
	}
	s := stepOf(steps, id, r)
	if from == Active && s.unsettled(r) {
		return &UnknownItemError{id, "has been sent, and what follows from that is not done yet: see the log"}
	}
	s.apply(r)
	if problem := change(from, r, s); problem != "" {
		return &UnknownItemError{id, problem}
	}
	for i := range r.To {
		r.To[i].Reported = r.To[i].Reported || r.To[i].Outcome == Failed
	}
	// The step last: while it says that the server may have the item, a crash leaves it uncertain.
	if err := o.spool.write(from, id, r); err != nil {
		return err
	}
	if from != to {
		if err := o.spool.move(id, from, to); err != nil {
			return err
		}
		if err := o.spool.sync(to, from); err != nil {
			return err
		}
	}
	return o.saveSteps([]*sending{{id: id, step: s}})
}

// Show opens the message of an item.
func (s *Spool) Show(id string) (Item, string, error) {
	state, id, err := s.find(id)
	if err != nil {
		return Item{}, "", err
	}
	r, err := s.read(state, id)
	if err != nil {
		return Item{}, "", fmt.Errorf("show message %s: %w", id, err)
	}
	return Item{ID: id, State: state, Record: *r}, s.path(state, id, messageName), nil
}
