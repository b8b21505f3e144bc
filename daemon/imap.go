package daemon

import (
	"context"
	"errors"
	"fmt"
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
	fresh := t.mark.Epoch == 0 && len(j.places.given) > 1 // perhaps another one under a new name
	var line *opening
	if !quiet && !fresh {
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
		if err != nil {
			return fetch.Result{}, err
		}
		if unchanged {
			return fetch.Result{}, j.keepUp(t, box.ModSeq())
		}
	}
	if fresh {
		t.found.Status = box.Status()
		if err := j.inheritAlone(t); err != nil {
			return fetch.Result{}, &fetch.LocalError{Err: err}
		}
	}
	if line == nil {
		line = j.open(t)
		defer line.discard()
	}
	return w.carry(ctx, t, line, box)
}

// keepUp notes that a mailbox with nothing new has changed otherwise.
func (j *imapJob) keepUp(t task, seq uint64) error {
	if seq <= t.mark.ModSeq {
		return nil
	}
	if err := fetch.SaveModSeq(j.shared.Root.Ledger, t.work, t.mark, seq); err != nil {
		return &fetch.LocalError{Err: err}
	}
	return nil
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
	switch last := views(tasks); {
	case len(last) == 0 || r.over:
	case len(r.errs) > 0 && session.Twins():
		// What is in them is mostly in other mailboxes too, and would be delivered
		// twice if it was not fetched from those yet.
		j.options.Log.Info("mailboxes that show messages of others are left to a run in which all others go well", "account", j.account.Name)
	default:
		r.groups = last
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
		if f.Another(t.mark) {
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
