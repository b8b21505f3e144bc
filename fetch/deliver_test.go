package fetch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"postrider/ledger"
	"postrider/maildir"
)

// step is how far a delivery goes before the process ends.
type step int

const (
	retrieved step = iota + 2 // the numbers of the steps in doc.go
	synced
	intended
	visible
	delivered
	asked // the server was, to remove them, and did not hear QUIT
)

func (s step) String() string {
	return []string{"", "", "retrieved", "synced", "intended", "visible", "delivered", "asked"}[s]
}

// walkTo takes all messages of the server to a step, on this goroutine, and
// returns their intents.
func (w *world) walkTo(s *server, last step) []ledger.Intent {
	w.t.Helper()
	check := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	src, _ := s.dial(w.t.Context())
	p, err := w.line.choose(w.t.Context(), src, false)
	check(err)
	check(w.line.raise())
	d := &delivery{line: w.line, plan: p, total: &Result{}, belt: newBelt(), stopped: make(chan struct{})}
	requests := make([]Request, len(p.want))
	for i := range p.want {
		requests[i] = p.want[i].Request
	}
	check(src.Retrieve(w.t.Context(), requests, newReceiver(w.t.Context(), w.line, p, d)))
	d.belt.close()
	if last == retrieved {
		return nil
	}
	d.syncFiles()
	items, _ := d.belt.takeSynced(false)
	items, err = d.dropKnown(items)
	check(err)
	b := w.line.folder.NewBatch(filesOf(items))
	check(d.syncTmp(b))
	if last == synced {
		return nil
	}
	batch, err := d.recordIntents(items)
	check(err)
	if last == intended {
		return batch.Intents
	}
	items, err = d.publish(b, items)
	check(err)
	if last == visible {
		return batch.Intents
	}
	d.published = &published{batch, items}
	check(d.recordDelivered())
	if last == delivered {
		return batch.Intents
	}
	var numbers []int
	for _, d := range w.line.due(p, batch.Time) {
		numbers = append(numbers, d.number)
	}
	check(w.line.save())
	check(src.Dispose(w.t.Context(), numbers, func(int, error) {}))
	return batch.Intents
}

// TestT01EndAtEachStep ends the process after each step and begins anew.
func TestT01EndAtEachStep(t *testing.T) {
	t.Parallel()
	for _, policy := range []Disposal{{}, {Action: Remove}} {
		for last := retrieved; last <= asked; last++ {
			w, s := newWorld(t, func(j *Job) { j.OnServer = policy }), &server{}
			s.add(uids("m", 5)...)
			w.walkTo(s, last)
			if len(s.messages) != 5 {
				t.Fatal("the server has removed something")
			}
			w.again()
			r := w.pass(s)
			if again := last < intended; (r.Delivered == 5) != again {
				t.Errorf("ended when %v, delete %v: %+v", last, policy.removes(), r)
			}
			if gone := len(s.messages) == 0; gone != policy.removes() {
				t.Errorf("ended when %v, delete %v: %d left on the server", last, policy.removes(), len(s.messages))
			}
			w.once(uids("m", 5)...)
		}
	}
}

// TestT10TmpEmptied: what is lost between intent and rename, with the process
// alive or dead, is fetched again once.
func TestT10TmpEmptied(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{}
	s.add(uids("m", 3)...)
	w.job.Progress = nil
	empty := func() {
		tmp := filepath.Join(w.mail(), w.job.Folder, "tmp")
		entries, _ := os.ReadDir(tmp)
		for _, e := range entries {
			os.Remove(filepath.Join(tmp, e.Name()))
		}
	}
	src := &hooked{beforeEnd: empty}
	r, err := w.line.Pass(t.Context(), func(ctx context.Context) (Source, error) {
		src.Source, _ = s.dial(ctx)
		return src, nil
	})
	if err != nil || r.Delivered != 2 || len(r.Aside) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	w.idle()
	if r := w.pass(s); r.Delivered != 1 || len(r.Aside) != 0 {
		t.Errorf("second pass: %+v", r)
	}
	w.once(uids("m", 3)...)
}

// hooked does something when the first message is complete, before the line
// learns it.
type hooked struct {
	Source
	beforeEnd func()
}

func (h *hooked) Retrieve(ctx context.Context, want []Request, r Receiver) error {
	return h.Source.Retrieve(ctx, want, &hookedReceiver{r, h})
}

type hookedReceiver struct {
	Receiver
	hooked *hooked
}

func (r *hookedReceiver) End(i int, err error) error {
	if f := r.hooked.beforeEnd; f != nil {
		r.hooked.beforeEnd = nil
		f()
	}
	return r.Receiver.End(i, err)
}

var errDisk = errors.New("input/output error, says the test")

// breakLedger makes every later commit fail, as after a disk error.
func (w *world) breakLedger() {
	_ = w.root.Ledger.Commit(func(*ledger.Tx) error { return errDisk })
}

// TestT04LedgerFails: the ledger fails before the pass, or after each number
// of deliveries; nothing is removed on the server that is not on record.
func TestT04LedgerFails(t *testing.T) {
	t.Parallel()
	for n := range 6 {
		w, s := newWorld(t, deleting), &server{}
		s.add(uids("m", 6)...)
		done := make(chan struct{}, 6)
		s.pace = func(i int) {
			if i > 0 && i <= n {
				<-done // the one before is on record: each is a batch of its own
			}
			if i == n {
				w.breakLedger()
			}
		}
		w.line.progress = signals{done: done}
		r, err := w.line.Pass(t.Context(), s.dial)
		var local *LocalError
		if !errors.As(err, &local) || !errors.Is(err, errDisk) {
			t.Errorf("after %d: %+v, %v", n, r, err)
		}
		if len(s.disposed) > 0 {
			t.Errorf("after %d: asked to remove %v", n, s.disposed)
		}
		w.idle()
		if got := len(w.folder(w.job.Folder)); got < n {
			t.Errorf("after %d: only %d delivered", n, got)
		}
		s.pace = nil
		w.again()
		w.pass(s)
		w.once(uids("m", 6)...)
		if len(s.messages) > 0 {
			t.Errorf("after %d: left on the server: %v", n, s.messages)
		}
	}
}

// signals says when a message is done with.
type signals struct {
	noProgress
	done chan struct{}
}

func (s signals) Message() { s.done <- struct{}{} }

func TestT04FileCannotBeMade(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, deleting), &server{}
	s.add(uids("m", 3)...)
	tmp := filepath.Join(w.mail(), w.job.Folder, "tmp")
	if err := os.Remove(tmp); err != nil {
		t.Fatal(err)
	}
	_, err := w.line.Pass(t.Context(), s.dial)
	var local *LocalError
	if !errors.As(err, &local) {
		t.Errorf("error %v", err)
	}
	w.idle()
	w.again()
	w.pass(s)
	w.once(uids("m", 3)...)
}

// TestBatchesOfManyMessages: more than fit into a batch, and into the slots.
func TestBatchesOfManyMessages(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, deleting), &server{refused: map[string]int{"m50": -1}}
	s.add(uids("m", 600)...)
	w.line.shared.Slots = make(chan struct{}, 512)
	if r := w.pass(s); r.Delivered != 599 || r.Disposed != 599 || len(r.Aside) != 1 {
		t.Errorf("%d delivered, %d removed, %d aside", r.Delivered, r.Disposed, len(r.Aside))
	}
	w.once(slices.Delete(uids("m", 600), 49, 50)...)
}

// TestBeltDoesNotEndEarly: the timer that ripens a batch may be late, when the
// batch is gone. That must not look like the end.
func TestBeltDoesNotEndEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBelt()
		b.change(func() { b.ripe = true })
		taken := make(chan int, 1)
		go func() { taken <- len(b.takeArrived()) }()
		synctest.Wait()
		select {
		case n := <-taken:
			t.Errorf("%d taken of nothing", n)
		default:
			b.put(&item{})
			if n := <-taken; n != 1 {
				t.Errorf("%d taken, want 1", n)
			}
		}
	})
}

// TestCancelledWhileWaitingForASlot: no message is to blame for that.
func TestCancelledWhileWaitingForASlot(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{}
	s.add("m1")
	ctx, cancel := context.WithCancel(t.Context())
	for range cap(w.line.shared.Slots) {
		w.line.shared.Slots <- struct{}{}
	}
	s.pace = func(int) { cancel() }
	if _, err := w.line.Pass(ctx, s.dial); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	for range cap(w.line.shared.Slots) {
		<-w.line.shared.Slots
	}
	if n := asides(w); n != 0 {
		t.Errorf("%d messages are set aside", n)
	}
	s.pace = nil
	w.pass(s)
	w.once("m1")
}

func TestKeyDependsOnAllItsParts(t *testing.T) {
	t.Parallel()
	seen := map[ledger.Key]bool{}
	for _, o := range []*origins{newOrigins("pop3", "a", "INBOX"), newOrigins("imap", "a", "INBOX"), newOrigins("pop3", "b", "INBOX"), newOrigins("pop3", "a", "Sent"), newOrigins("pop3", "", "aINBOX")} {
		for _, k := range []ledger.Key{o.byUID([]byte("1"), 0), o.byUID([]byte("1"), 1), o.byUID([]byte("10"), 0), o.byUID(nil, 1), o.byContent(ledger.Digest{'1'}, 0), o.byContent(ledger.Digest{'1'}, 1)} {
			if seen[k] {
				t.Error("two messages with one key")
			}
			seen[k] = true
		}
	}
	if k := newOrigins("pop3", "a", "INBOX").byUID([]byte("1"), 0); maildir.Temporary("x", k) != "x,K=47b511c3f80667ccb2793b62d38712b0" {
		t.Errorf("keys are in the names of delivered messages and must never change: %s", maildir.Temporary("x", k))
	}
}

// TestT04BeginFails: the error of Begin comes back through End, as package
// pop3 tells of every message that the server agreed to send. No slot is taken
// for it, and none may be given back.
func TestT04BeginFails(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{}
	s.add(uids("m", 3)...)
	s.pace = func(i int) {
		if i == 1 {
			must(t, os.RemoveAll(filepath.Join(w.mail(), w.job.Folder, "tmp")))
		}
	}
	_, err := w.line.Pass(t.Context(), s.dial)
	var local *LocalError
	if !errors.As(err, &local) {
		t.Errorf("error %v", err)
	}
	w.idle()
	s.pace = nil
	w.again()
	w.pass(s)
	w.once(uids("m", 3)...)
}
