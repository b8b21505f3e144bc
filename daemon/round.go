package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"postrider/fetch"
	"postrider/remote"
)

// worthConnecting is how many new messages there must be for more sessions than
// one: each costs the server a login.
const worthConnecting = 100

// crew is how many sessions share the work.
func (j *imapJob) crew(tasks []task, groups int) int {
	var added int64
	for _, t := range tasks {
		added += t.found.Added(t.mark)
	}
	if added < worthConnecting {
		return 1
	}
	return max(1, min(j.account.IMAP.Connections, groups))
}

// group divides the tasks into those that may be done beside each other: where a
// message may be in several mailboxes of one rule, these come one after the
// other.
func group(tasks []task) (groups [][]task) {
	byRule := map[int]int{}
	for _, t := range tasks {
		switch at, there := byRule[t.found.Rule]; {
		case t.found.View:
		case t.found.Twins && there:
			groups[at] = append(groups[at], t)
		default:
			byRule[t.found.Rule] = len(groups)
			groups = append(groups, []task{t})
		}
	}
	return groups
}

func views(tasks []task) [][]task {
	only := slices.DeleteFunc(slices.Clone(tasks), func(t task) bool { return !t.found.View })
	if len(only) == 0 {
		return nil
	}
	return [][]task{only}
}

// round is the work of one pass, shared by its workers.
type round struct {
	job *imapJob

	mu     sync.Mutex
	groups [][]task
	total  fetch.Result
	errs   []error
	over   bool // nothing more is begun
}

func (r *round) take() []task {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || len(r.groups) == 0 {
		return nil
	}
	g := r.groups[0]
	r.groups = r.groups[1:]
	return g
}

// putBack returns what a worker could not begin with.
func (r *round) putBack(g []task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.groups = append(r.groups, g)
}

// add notes what became of a mailbox.
func (r *round) add(mailbox string, result fetch.Result, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total.Add(result)
	if err == nil {
		return
	}
	var local *fetch.LocalError
	var login *remote.LoginError
	if errors.As(err, &local) || errors.As(err, &login) || errors.Is(err, context.Canceled) {
		r.over = true
	}
	r.errs = append(r.errs, fmt.Errorf("mailbox %s: %w", mailbox, err))
}

// worker carries one mailbox after the other over one session.
type worker struct {
	job     *imapJob
	session *remote.Session // nil, or ended: the next mailbox needs another
	extra   bool            // others go on without it
}

func (w *worker) leave() {
	if w.session != nil {
		w.session.Leave()
	}
}

func (w *worker) run(ctx context.Context, r *round) {
	for g := r.take(); len(g) > 0; g = r.take() {
		for i, t := range g {
			box, err := w.open(ctx, t.found, t.mark)
			var none *remote.NoSessionError
			if errors.As(err, &none) && w.extra && ctx.Err() == nil {
				// The server may not want so many sessions.
				r.putBack(g[i:])
				w.job.options.Log.Info("no further session", "account", w.job.account.Name, "err", err)
				return
			}
			if err != nil {
				r.add(t.found.Name, fetch.Result{}, err)
				if none != nil {
					r.stop()
					return
				}
				continue
			}
			line := w.job.open(t)
			result, err := w.carry(ctx, t, line, box)
			line.discard()
			r.add(t.found.Name, result, err)
		}
	}
}

// stop has nothing more begun.
func (r *round) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
}

// open opens a mailbox, over the session if there is one. Afterwards there is
// none only if none can be had.
func (w *worker) open(ctx context.Context, found remote.Found, mark fetch.Mark) (box *remote.Mailbox, err error) {
	if w.session != nil && w.session.Alive() {
		box, err = w.session.Open(ctx, found, mark)
		if err == nil || w.session.Alive() || ctx.Err() != nil {
			return box, err
		}
	}
	w.session = nil
	if box, err = w.job.remote.Open(ctx, found, mark); err == nil {
		w.session = box.Session
	}
	return box, err
}

// carry walks the line with one mailbox.
func (w *worker) carry(ctx context.Context, t task, o *opening, box *remote.Mailbox) (fetch.Result, error) {
	line, err := o.take()
	if err != nil {
		return fetch.Result{}, err
	}
	dial := func(ctx context.Context) (fetch.Source, error) {
		if first := box; first != nil {
			box = nil
			return first, nil
		}
		again, err := w.open(ctx, t.found, line.Mark())
		if err != nil {
			return nil, err
		}
		return again, nil
	}
	result, err := line.Pass(ctx, dial)
	var ahead *remote.AheadError
	if errors.As(err, &ahead) && ctx.Err() == nil {
		w.job.options.Log.Info("dialling again, to go one step at a time", "account", w.job.account.Name, "folder", t.found.Name, "err", err)
		again, err := line.Pass(ctx, dial)
		again.Delivered += result.Delivered
		again.Octets += result.Octets
		return again, err
	}
	return result, err
}
