package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"postrider/ledger"
	"postrider/maildir"
)

// maxBatch bounds a batch, and with it the ledger's commit. A batch is what
// has arrived while the one before was on its way, so a lone message is
// delivered at once, and a flood in large batches.
const maxBatch = 256

// delivery takes finished files and delivers them in batches. Its goroutine
// belongs to the retrieve that started it, which waits for it in finish. Until
// then only that goroutine uses the line's known messages, the plan's outcome
// and the result.
type delivery struct {
	line  *Line
	plan  *plan
	total *Result

	mu     sync.Mutex
	queue  []*item // bounded by Shared.Slots
	closed bool
	wake   chan struct{}

	stopped chan struct{} // closed when nothing more is taken
	err     error         // read after stopped is closed

	published *published // in its folder for good, not recorded yet
}

// published is a batch between steps 5 and 6.
type published struct {
	batch ledger.Batch
	items []*item
}

func (l *Line) startDelivery(p *plan, total *Result) *delivery {
	d := &delivery{line: l, plan: p, total: total, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	go d.run()
	return d
}

// add hands over a finished file, or a message that was not fetched.
func (d *delivery) add(it *item) {
	d.mu.Lock()
	d.queue = append(d.queue, it)
	d.mu.Unlock()
	d.signal()
}

func (d *delivery) signal() {
	select {
	case d.wake <- struct{}{}:
	default: // it is awake already
	}
}

// finish waits until everything that was added is delivered and recorded.
func (d *delivery) finish() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.signal()
	<-d.stopped
	for _, it := range d.queue {
		it.discard(d.line) // added after the goroutine had failed
	}
	return d.err
}

func (d *delivery) run() {
	defer close(d.stopped)
	// Done while the first message is still on its way.
	d.err = d.line.raise()
	for d.err == nil {
		items, closed := d.take()
		switch {
		case len(items) > 0:
			if d.err = d.deliver(items); d.err != nil && d.published != nil && d.line.shared.Root.Ledger.Err() == nil {
				// What the batch before has achieved is not lost with this one.
				d.err = errors.Join(d.err, d.recordDelivered())
			}
		case d.published != nil:
			// No batch follows whose commit could be shared.
			d.err = d.recordDelivered()
		case closed:
			return
		default:
			<-d.wake
		}
	}
}

func (d *delivery) take() (items []*item, closed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(len(d.queue), maxBatch)
	items = append(items, d.queue[:n]...)
	d.queue = append(d.queue[:0], d.queue[n:]...)
	return items, d.closed
}

// deliver walks steps 3 to 6 with one batch; step 6 itself is left for the
// commit of the batch that follows.
func (d *delivery) deliver(items []*item) error {
	items = d.setAsideRefused(items)
	items, err := d.dropKnown(items)
	if err != nil || len(items) == 0 {
		return err
	}
	b, items, err := d.syncFiles(items)
	if err != nil {
		return d.giveUp(items, err)
	}
	batch, err := d.recordIntents(items)
	d.release(items)
	if err != nil {
		// The commit may be on disk all the same: the files stay, and recovery settles it.
		return err
	}
	if items, err = d.publish(b, items); err != nil {
		return err // as above
	}
	d.published = &published{batch, items}
	return nil
}

// giveUp removes the files of a batch for which no intent can be on disk.
func (d *delivery) giveUp(items []*item, err error) error {
	for _, it := range items {
		it.discard(d.line)
	}
	return err
}

func (d *delivery) release(items []*item) {
	for range items {
		<-d.line.shared.Slots
	}
}

// syncFiles is step 3: the octets of every file, and their entries in tmp/,
// are put on disk. A file for which that failed is removed, and its message
// fetched again another time: after a failed fsync the kernel may take for
// written what is lost, so the same file is not tried again.
func (d *delivery) syncFiles(items []*item) (*maildir.Batch, []*item, error) {
	b := d.line.folder.NewBatch(filesOf(items))
	var failed []error
	b.SyncFiles(func(f *maildir.File, err error) {
		failed = append(failed, err)
		<-d.line.shared.Slots
	})
	items = d.keep(items, b)
	if len(failed) > 0 {
		return b, items, fmt.Errorf("store message: %w", errors.Join(failed...))
	}
	return b, items, b.SyncTmp()
}

// recordIntents is step 4, in one commit with step 6 of the batch before.
func (d *delivery) recordIntents(items []*item) (ledger.Batch, error) {
	batch := ledger.Batch{Mailbox: d.line.id(), Folder: d.line.job.Folder, Time: time.Now()}
	for _, it := range items {
		it.file.Name = maildir.Final(it.unique, it.file.Octets(), it.key)
		batch.Intents = append(batch.Intents, ledger.Intent{
			Key: it.key, Tmp: it.file.Tmp, Name: it.file.Name, Cur: it.file.Cur,
			Octets: it.file.Octets(), Sum: it.file.Sum(), Listed: it.Octets, State: d.line.deliveredState(),
		})
	}
	before := d.published
	d.enter(before)
	err := d.line.commit(func(t *ledger.Tx) (err error) {
		if before != nil {
			if err := d.settle(t, before); err != nil {
				return err
			}
		}
		batch, err = t.Intend(d.line.shared.Root.Ledger, batch)
		return err
	})
	if err == nil {
		d.published = nil
		d.report(before)
	}
	return batch, err
}

// publish is step 5: the messages become visible, and that is put on disk.
func (d *delivery) publish(b *maildir.Batch, items []*item) ([]*item, error) {
	var failed []error
	b.Publish(func(f *maildir.File, err error) {
		if errors.Is(err, fs.ErrNotExist) {
			// Somebody emptied tmp/. The message is known not to be delivered, so it is fetched again.
			d.plan.failed = true
			d.line.log.Error("message is gone from tmp/, it is fetched again", "name", f.Name, "err", err)
			return
		}
		failed = append(failed, err)
	})
	if len(failed) > 0 {
		return nil, errors.Join(failed...)
	}
	return d.keep(items, b), b.SyncNew()
}

// recordDelivered is step 6.
func (d *delivery) recordDelivered() error {
	p := d.published
	d.enter(p)
	err := d.line.commit(func(t *ledger.Tx) error { return d.settle(t, p) })
	if err == nil {
		d.published = nil
		d.report(p)
	}
	return err
}

// enter puts the messages among those known; the commit that follows makes it
// durable.
func (d *delivery) enter(p *published) {
	if p == nil {
		return
	}
	for _, it := range p.items {
		place := d.line.known.Add(ledger.Record{
			Key: it.key, Octets: it.Octets, Time: p.batch.Time, State: d.line.deliveredState(), Content: digest(it.file),
		})
		d.plan.see(place, it.Number)
		d.line.known.ClearAside(it.key)
	}
}

func (d *delivery) settle(t *ledger.Tx, p *published) error {
	if err := d.line.known.Save(t); err != nil {
		return err
	}
	return t.Settle(d.line.shared.Root.Ledger, p.batch)
}

func (d *delivery) report(p *published) {
	if p == nil {
		return
	}
	for _, it := range p.items {
		d.total.Delivered++
		d.total.Octets += it.file.Octets()
		d.line.progress.Message()
		d.line.log.LogAttrs(context.Background(), slog.LevelDebug, "delivered",
			slog.String("folder", d.line.job.Folder), slog.String("uid", it.uid), slog.String("name", it.file.Name))
	}
}

// deliveredState is what the record of a message says from its delivery on:
// with the policy to delete, that its absence on the server is our doing.
func (l *Line) deliveredState() ledger.State {
	if l.job.OnServer.Delete && l.job.OnServer.After == 0 {
		return ledger.Disposing
	}
	return ledger.Delivered
}

// setAsideRefused takes the messages out that were not fetched.
func (d *delivery) setAsideRefused(items []*item) []*item {
	kept := items[:0]
	for _, it := range items {
		if it.err == nil {
			kept = append(kept, it)
			continue
		}
		d.plan.failed = true
		d.line.progress.Message()
		d.plan.aside = append(d.plan.aside, d.line.setAside(it.want, it.err, false))
	}
	return kept
}

// keep returns the items whose files are still in the batch.
func (d *delivery) keep(items []*item, b *maildir.Batch) []*item {
	if len(b.Files()) == len(items) {
		return items
	}
	files := map[*maildir.File]bool{}
	for _, f := range b.Files() {
		files[f] = true
	}
	kept := items[:0]
	for _, it := range items {
		if files[it.file] {
			kept = append(kept, it)
			continue
		}
		d.line.progress.Message()
	}
	return kept
}

func filesOf(items []*item) []*maildir.File {
	files := make([]*maildir.File, len(items))
	for i, it := range items {
		files[i] = it.file
	}
	return files
}
