package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"postrider/configs"
	"postrider/fetch"
	"postrider/remote"
)

// imapJob fetches the mailboxes of one account.
type imapJob struct {
	account configs.Account
	options Options
	shared  fetch.Shared
	remote  *remote.IMAP
	tally   *tally
	places  *places
}

func (e *Engine) newIMAPJob(a configs.Account) (*imapJob, error) {
	memory := ledgerMemory{e.shared.Root.Ledger, strings.Join([]string{"imap", a.Name, a.User, a.IMAP.Host, fmt.Sprint(a.IMAP.Port)}, "\x00")}
	account, err := remote.NewIMAP(a, e.options.Environ, memory, e.options.Log)
	if err != nil {
		return nil, err
	}
	j := &imapJob{account: a, options: e.options, shared: e.shared, remote: account, tally: &tally{}}
	if e.options.Progress != nil {
		j.tally.whole = e.options.Progress(a.Name)
	}
	if j.places, err = loadPlaces(e.shared.Root.Ledger, a.Name); err != nil {
		return nil, err
	}
	return j, j.recover()
}

// recover finishes what a crash interrupted in the mailboxes of the account.
func (j *imapJob) recover() error {
	done := map[string]bool{}
	for _, b := range j.shared.Root.Ledger.Open("") {
		mailbox, mine := strings.CutPrefix(b.Mailbox, "imap\x00"+j.account.Name+"\x00")
		if !mine || done[mailbox] {
			continue
		}
		done[mailbox] = true
		work := j.work(mailbox)
		work.Folder, work.Twins = b.Folder, b.Twins
		line, err := fetch.Open(j.shared, work)
		if err != nil {
			return err
		}
		if err := line.Close(); err != nil {
			return err
		}
	}
	return nil
}

// work is what every line of the account does.
func (j *imapJob) work(mailbox string) fetch.Job {
	box := j.account.IMAP
	return fetch.Job{
		Protocol: "imap", Account: j.account.Name, Mailbox: mailbox, Numbered: true,
		OnServer: disposal(box.OnServer), MaxSize: box.MaxSize, Log: j.options.Log, LogUID: "uid",
	}
}

// task is a mailbox in which there is something to do.
type task struct {
	found remote.Found
	work  fetch.Job
	mark  fetch.Mark
}

func (j *imapJob) task(found remote.Found, place string) (t task, err error) {
	t = task{found: found, work: j.work(found.Name)}
	t.work.Folder = deliverTo(j.account.IMAP.DeliverTo, j.account.Name, place)
	if found.Twins {
		t.work.Twins = j.twins(found.Rule)
		if found.View {
			for rule := range j.account.IMAP.Folders {
				t.work.OtherTwins = append(t.work.OtherTwins, j.twins(rule))
			}
		}
	}
	t.mark, err = fetch.LoadMark(j.shared.Root.Ledger, t.work)
	return t, err
}

// twins names the set of messages that an entry of folders has brought.
func (j *imapJob) twins(rule int) string {
	return j.account.Name + "\x00" + j.account.IMAP.Folders[rule]
}

// close has nothing to give back: lines live no longer than a pass.
func (j *imapJob) close() error { return nil }

func (j *imapJob) pass(ctx context.Context) Report {
	start := time.Now()
	r := Report{Account: j.account.Name}
	if found, ok := j.remote.Single(); ok {
		r.Result, r.Err = j.single(ctx, found)
	} else {
		r.Result, r.Err = j.several(ctx)
	}
	r.Took = time.Since(start)
	return r
}

// single fetches one mailbox. No list of mailboxes is needed, and if nothing is
// new, not even what is known of it.
func (j *imapJob) single(ctx context.Context, found remote.Found) (fetch.Result, error) {
	places, err := j.places.assign([]remote.Found{found})
	if err != nil {
		return fetch.Result{}, &fetch.LocalError{Err: err}
	}
	t, err := j.task(found, places[found.Name])
	if err != nil {
		return fetch.Result{}, &fetch.LocalError{Err: err}
	}
	box, err := j.remote.Open(ctx, t.found, t.mark)
	if err != nil {
		return fetch.Result{}, err
	}
	w := worker{job: j, session: box.Session}
	defer w.leave()
	if t.mark.Quiet(t.work, time.Now()) {
		if unchanged, err := box.Unchanged(ctx, t.mark); err != nil || unchanged {
			return fetch.Result{}, err
		}
	}
	t.found.Twins = box.Twins()
	if t.found.Twins {
		t.work.Twins = j.twins(0)
	}
	return w.carry(ctx, t, box)
}

// several fetches all mailboxes in which something has changed.
func (j *imapJob) several(ctx context.Context) (fetch.Result, error) {
	session, found, err := j.remote.Survey(ctx)
	if err != nil {
		return fetch.Result{}, err
	}
	first := &worker{job: j, session: session}
	defer first.leave()
	tasks, err := j.changed(found)
	if err != nil {
		return fetch.Result{}, &fetch.LocalError{Err: err}
	}
	r := &round{job: j, groups: group(tasks)}
	var crew sync.WaitGroup
	for range j.crew(tasks, len(r.groups)) - 1 {
		crew.Go(func() {
			w := &worker{job: j, extra: true}
			defer w.leave()
			w.run(ctx, r)
		})
	}
	first.run(ctx, r)
	crew.Wait()
	// Views come last: what is in them is mostly in other mailboxes too.
	r.groups = views(tasks)
	first.run(ctx, r)
	return r.total, errors.Join(r.errs...)
}

// changed returns the mailboxes in which there is something to do.
func (j *imapJob) changed(found []remote.Found) (tasks []task, err error) {
	places, err := j.places.assign(found)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	for _, f := range found {
		t, err := j.task(f, places[f.Name])
		if err != nil {
			return nil, err
		}
		if !t.mark.Quiet(t.work, now) || f.Changed(t.mark) {
			tasks = append(tasks, t)
		}
	}
	return tasks, nil
}

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
			if err != nil && w.session == nil && w.extra {
				// The server may not want so many sessions.
				r.putBack(g[i:])
				w.job.options.Log.Info("no further session", "account", w.job.account.Name, "err", err)
				return
			}
			if err != nil {
				r.add(t.found.Name, fetch.Result{}, err)
				if w.session == nil {
					r.stop()
					return
				}
				continue
			}
			result, err := w.carry(ctx, t, box)
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
func (w *worker) carry(ctx context.Context, t task, box *remote.Mailbox) (fetch.Result, error) {
	t.work.Progress = w.job.tally.newShare()
	line, err := fetch.Open(w.job.shared, t.work)
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
	return result, errors.Join(err, line.Close())
}
