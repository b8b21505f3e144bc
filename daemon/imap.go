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
	t.work.Twins = j.twins(found.Rule)
	if found.View {
		for rule := range j.account.IMAP.Folders {
			t.work.OtherTwins = append(t.work.OtherTwins, j.twins(rule))
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
	quiet := t.mark.Quiet(t.work, time.Now())
	var line *opening
	if !quiet {
		line = j.open(t) // while the server is still being asked
		defer line.discard()
	}
	box, err := j.remote.Open(ctx, t.found, t.mark)
	if err != nil {
		return fetch.Result{}, err
	}
	w := worker{job: j, session: box.Session}
	defer w.leave()
	if quiet {
		unchanged, err := box.Unchanged(ctx, t.mark)
		var ahead *remote.AheadError
		if errors.As(err, &ahead) && ctx.Err() == nil {
			if box, err = w.open(ctx, t.found, t.mark); err == nil {
				unchanged, err = box.Unchanged(ctx, t.mark)
			}
		}
		if err != nil || unchanged {
			return fetch.Result{}, err
		}
		line = j.open(t)
		defer line.discard()
	}
	return w.carry(ctx, t, line, box)
}

// opening is a line that is being opened.
type opening struct {
	done chan struct{}
	line *fetch.Line
	err  error
}

// open opens a line on a goroutine of its own, which discard waits for.
func (j *imapJob) open(t task) *opening {
	t.work.Progress = j.tally.newShare()
	o := &opening{done: make(chan struct{})}
	go func() {
		defer close(o.done)
		o.line, o.err = fetch.Open(j.shared, t.work)
	}()
	return o
}

// take returns the line, which remains the opening's.
func (o *opening) take() (*fetch.Line, error) {
	<-o.done
	return o.line, o.err
}

// discard gives back what was opened.
func (o *opening) discard() {
	if <-o.done; o.line != nil {
		o.line.Close() // its descriptors are for reading
	}
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
	first.run(ctx, r) // what others could not begin with
	// Views come last: what is in them is mostly in other mailboxes too, and would be
	// delivered twice if it was not fetched from those yet.
	if len(r.errs) == 0 {
		r.groups = views(tasks)
		first.run(ctx, r)
	}
	return r.total, errors.Join(r.errs...)
}

// changed returns the mailboxes in which there is something to do.
func (j *imapJob) changed(found []remote.Found) (tasks []task, err error) {
	places, err := j.places.assign(found)
	if err != nil {
		return nil, err
	}
	var gone map[uint32][]former // nil: not looked for yet
	now := time.Now()
	for _, f := range found {
		t, err := j.task(f, places[f.Name])
		if err != nil {
			return nil, err
		}
		if t.mark.Epoch == 0 {
			if gone == nil {
				if gone, err = j.formers(found); err != nil {
					return nil, err
				}
			}
			if err := j.inherit(t, gone); err != nil {
				return nil, err
			}
		}
		if !t.mark.Quiet(t.work, now) || f.Changed(t.mark) {
			tasks = append(tasks, t)
		}
	}
	return tasks, nil
}

// former is a mailbox that was carried once and is not found any more.
type former struct {
	work fetch.Job
	mark fetch.Mark
}

// formers returns the mailboxes that are not found any more, by UIDVALIDITY.
func (j *imapJob) formers(found []remote.Found) (map[uint32][]former, error) {
	there := make(map[string]bool, len(found))
	for _, f := range found {
		there[f.Name] = true
	}
	all := map[uint32][]former{}
	for name := range j.places.given {
		if there[name] {
			continue
		}
		work := j.work(name)
		mark, err := fetch.LoadMark(j.shared.Root.Ledger, work)
		if err != nil {
			return nil, err
		}
		all[mark.Epoch] = append(all[mark.Epoch], former{work, mark})
	}
	return all, nil
}

// inherit finds out whether a mailbox that is new is one that is gone, under
// another name: with its UIDVALIDITY, and at least as many UIDs given out. Then
// what is known of that one is known of this.
func (j *imapJob) inherit(t task, formers map[uint32][]former) error {
	if t.found.Status == nil {
		return nil
	}
	var heirs []fetch.Job
	for _, f := range formers[t.found.Status.UIDValidity] {
		if t.found.MayBe(f.mark) {
			heirs = append(heirs, f.work)
		}
	}
	if len(heirs) != 1 {
		return nil
	}
	j.options.Log.Info("a mailbox seems to have another name now: its messages are compared by content before they are taken for new",
		"account", j.account.Name, "folder", t.found.Name, "formerly", heirs[0].Mailbox)
	return fetch.Inherit(j.shared.Root.Ledger, heirs[0], t.work)
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
			var none *remote.NoSessionError
			if errors.As(err, &none) && w.extra {
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
