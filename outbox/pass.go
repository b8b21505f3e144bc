package outbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"postrider/ledger"
)

// Pass takes what is in the outbox, and tries to send all that is due; accounts
// beside each other. It calls each with the report of every account for which
// something was due, from one goroutine at a time. What cannot be taken or
// settled is in the error and keeps nothing else from being sent.
func (o *Outbox) Pass(ctx context.Context, patience bool, dial Dialer, each func(Report)) (Picked, error) {
	picked, unpicked := o.Pickup(ctx, patience)
	g, err := o.gatherDue(time.Now())
	if err != nil {
		return picked, errors.Join(unpicked, err)
	}
	for account := range g.reports {
		if len(g.due[account]) == 0 {
			each(*g.reports[account])
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for account, ids := range g.due {
		mine := map[string]*step{}
		for _, id := range ids {
			mine[id] = g.steps[id]
		}
		settled := g.report(account)
		wg.Go(func() {
			r := o.Attempt(ctx, account, ids, mine, dial)
			r.add(*settled)
			mu.Lock()
			defer mu.Unlock()
			each(r)
		})
	}
	wg.Wait()
	return picked, errors.Join(unpicked, few(g.errs))
}

// gathering is a walk through the queue.
type gathering struct {
	outbox *Outbox
	now    time.Time
	steps  map[string]*step
	pauses map[string]*pause
	stuck  map[ledger.Key]bool // letters of which it is not known whether they are delivered

	crashed  bool // the process that sent is dead
	due      map[string][]string
	reports  map[string]*Report // what came of items without an attempt, and what waits, by account
	toSettle map[string][]*sending
	moved    bool
	errs     []error // of single items
}

// begin begins a walk. Local deliveries that were interrupted come first.
func (o *Outbox) begin(now time.Time) (*gathering, error) {
	stuck, unsettled := o.settleBatches()
	g := &gathering{outbox: o, now: now, stuck: stuck, due: map[string][]string{}, reports: map[string]*Report{}, toSettle: map[string][]*sending{}}
	if unsettled != nil {
		g.errs = append(g.errs, unsettled)
	}
	var err error
	if g.steps, err = loadSteps(o.root.Ledger); err != nil {
		return nil, err
	}
	if g.pauses, err = loadPauses(o.root.Ledger); err != nil {
		return nil, err
	}
	return g, nil
}

// gatherDue settles what is to be settled and finds what is due.
func (o *Outbox) gatherDue(now time.Time) (*gathering, error) {
	g, err := o.begin(now)
	if err != nil {
		return nil, err
	}
	for _, state := range []State{Active, Deferred, Held} {
		if err := g.gather(state); err != nil {
			return nil, err
		}
	}
	if g.moved {
		if err := o.spool.sync(Active, Deferred, Held); err != nil {
			return nil, err
		}
	}
	return g, g.settle()
}

// gather walks through the items in a state.
func (g *gathering) gather(state State) error {
	ids, err := g.outbox.spool.list(state)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := g.item(state, id); err != nil {
			g.errs = append(g.errs, err)
		}
	}
	return nil
}

// item decides about one item.
func (g *gathering) item(state State, id string) error {
	o := g.outbox
	r, err := o.spool.read(state, id)
	var corrupt *CorruptError
	if errors.As(err, &corrupt) {
		return o.setCorrupt(state, id, err)
	}
	if err != nil {
		return err
	}
	s := stepOf(g.steps, id, r)
	g.steps[id] = s
	m := &sending{id: id, record: r, step: s}
	settle := state == Active && (s.unsettled(r) || g.interrupted(s, r)) || s.Cancelled
	s.apply(r)
	dead := state != Held && !g.now.Before(r.Expires)
	if g.crashed && !settle {
		return nil
	}
	if !settle && !dead {
		if state != Active && g.now.Before(r.Next) || state == Held && r.Hold == heldByUser {
			return nil
		}
		if p := g.pauses[r.Account]; p != nil && g.now.Before(p.Until) {
			g.report(r.Account).Waiting++
			return nil
		}
	}
	if state != Active {
		if err := o.spool.move(id, state, Active); err != nil {
			return err
		}
		g.moved = true
	}
	if !settle && !dead {
		g.due[r.Account] = append(g.due[r.Account], id)
		return nil
	}
	for kind := range s.letters() {
		if g.stuck[keyOf(id, kind)] {
			return nil // why is among the errors already
		}
	}
	if settle && len(s.Dot) > 0 && !s.Cancelled {
		m.changed = true
		if g.crashed {
			s.Last = "the process ended after the final dot went out"
		}
		if o.resend {
			s.Dot = nil
		}
	}
	g.toSettle[r.Account] = append(g.toSettle[r.Account], m)
	return nil
}

// interrupted tells whether the process ended in an attempt before anything was
// known. It counts.
func (g *gathering) interrupted(s *step, r *Record) bool {
	return g.crashed && s.Attempts > r.Attempts && !s.Next.IsZero() && s.Next.After(g.now)
}

// settle settles what was found to be settled.
func (g *gathering) settle() error {
	for account, all := range g.toSettle {
		if err := g.outbox.settleAll(all, g.report(account)); err != nil {
			g.errs = append(g.errs, err)
		}
	}
	return g.outbox.root.Ledger.Err()
}

func (g *gathering) report(account string) *Report {
	if g.reports[account] == nil {
		g.reports[account] = &Report{Account: account}
	}
	return g.reports[account]
}

// Wake is when the next item becomes due, zero if none does; now for one that
// has become so since the last Pass.
func (o *Outbox) Wake(now time.Time) (wake time.Time, err error) {
	items, err := o.List()
	if err != nil {
		return wake, err
	}
	for _, it := range items {
		at := it.Next
		if it.PausedUntil.After(at) {
			at = it.PausedUntil
		}
		switch it.State {
		case Uncertain, Corrupt:
			continue
		case Held:
			if it.Hold == heldByUser {
				continue
			}
		case Deferred, Active:
			if at.IsZero() {
				continue // due already: the last Pass had it
			}
			if it.Expires.Before(at) {
				at = it.Expires
			}
		}
		if at.Before(now) {
			at = now
		}
		if wake.IsZero() || at.Before(wake) {
			wake = at
		}
	}
	return wake, nil
}
