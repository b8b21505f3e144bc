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

// delivery takes finished files and delivers them in batches, on two
// goroutines that belong to the retrieve that started it and waits for them in
// finish: one puts files on disk, the other walks the rest of the line with
// those that are. Until finish only the second uses the line's known messages,
// the plan's outcome and the result.
type delivery struct {
	line  *Line
	plan  *plan
	total *Result
	belt  *belt

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
	d := &delivery{line: l, plan: p, total: total, belt: newBelt(), stopped: make(chan struct{})}
	go d.run()
	return d
}

// add hands over a finished file, or a message that was not fetched.
func (d *delivery) add(it *item) { d.belt.put(it) }

// finish waits until everything that was added is delivered and recorded.
func (d *delivery) finish() error {
	d.belt.close()
	<-d.stopped
	for _, it := range d.belt.rest() {
		it.discard(d.line) // on the belt when it stopped
	}
	return d.err
}

func (d *delivery) run() {
	defer close(d.stopped)
	var syncing sync.WaitGroup
	defer syncing.Wait()
	defer d.belt.stop()
	syncing.Go(d.syncFiles)
	// Done while the first message is still on its way.
	d.err = d.line.raise()
	for d.err == nil {
		items, over := d.belt.takeSynced(d.published != nil)
		switch {
		case len(items) > 0:
			if d.err = d.deliver(items); d.err != nil && d.published != nil && d.line.shared.Root.Ledger.Err() == nil {
				// What the batch before has achieved is not lost with this one.
				d.err = errors.Join(d.err, d.recordDelivered())
			}
		case d.published != nil:
			// No batch follows whose commit could be shared.
			d.err = d.recordDelivered()
		case over:
			return
		}
	}
}

// syncFiles is the first half of step 3: the octets of every file are put on
// disk, while the batch before walks the rest of the line. A file for which
// that failed is removed, and its message fetched again another time: after a
// failed fsync the kernel may take for written what is lost, so the same file
// is not tried again.
func (d *delivery) syncFiles() {
	for {
		items := d.belt.takeArrived()
		if len(items) == 0 {
			return
		}
		failed := map[*maildir.File]error{}
		d.line.folder.NewBatch(filesOf(items)).SyncFiles(func(f *maildir.File, err error) { failed[f] = err })
		for _, it := range items {
			if it.file != nil && failed[it.file] != nil {
				it.err = &LocalError{failed[it.file]}
			}
		}
		d.belt.putSynced(items)
	}
}

// deliver walks steps 3 to 6 with one batch; step 6 itself is left for the
// commit of the batch that follows.
func (d *delivery) deliver(items []*item) error {
	items, err := d.setAsideRefused(items)
	if err != nil {
		return d.giveUp(items, err)
	}
	if items, err = d.dropKnown(items); err != nil || len(items) == 0 {
		return err
	}
	b := d.line.folder.NewBatch(filesOf(items))
	if err := d.syncTmp(b); err != nil {
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

// syncTmp is the second half of step 3: the entries in tmp/ are put on disk.
func (d *delivery) syncTmp(b *maildir.Batch) error { return b.SyncTmp() }

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

// recordIntents is step 4, in one commit with step 6 of the batch before.
func (d *delivery) recordIntents(items []*item) (ledger.Batch, error) {
	batch := ledger.Batch{Mailbox: d.line.id(), Folder: d.line.job.Folder, Twins: d.line.job.Twins, Time: time.Now()}
	for _, it := range items {
		it.place()
		batch.Intents = append(batch.Intents, ledger.Intent{
			Key: it.key, Tmp: it.file.Tmp, Name: it.file.Name, Cur: it.file.Cur, Date: it.date, Twin: it.twin,
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

// place decides where the file goes: what was read on the server belongs in
// cur/, with its flags.
func (it *item) place() {
	it.file.Name = maildir.Final(it.unique, it.file.Octets(), it.key)
	if it.flags&maildir.Seen != 0 {
		it.file.Cur = true
		it.file.Name += it.flags.Info()
	}
	it.file.Date = atSecond(it.date)
}

// atSecond returns a time, or the zero time for 0.
func atSecond(unix int64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(unix, 0)
}

// publish is step 5: the messages become visible, and that is put on disk.
func (d *delivery) publish(b *maildir.Batch, items []*item) ([]*item, error) {
	var failed []error
	gone := map[*maildir.File]error{}
	b.Publish(func(f *maildir.File, err error) {
		if errors.Is(err, fs.ErrNotExist) {
			gone[f] = err
			return
		}
		failed = append(failed, err)
	})
	if len(failed) > 0 {
		return nil, errors.Join(failed...)
	}
	for _, it := range items {
		if err := gone[it.file]; err != nil {
			// Somebody emptied tmp/. The message is known not to be delivered, so it is fetched again.
			d.plan.leave(it.Octets)
			d.plan.aside = append(d.plan.aside, d.line.setAside(it.want, fmt.Errorf("it is gone from tmp/: %w", err), false))
		}
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
		d.line.noteTwin(it.twin)
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
			slog.String("folder", d.line.job.Folder), slog.String(d.line.job.LogUID, it.uid), slog.String("name", it.file.Name))
	}
}

// deliveredState is what the record of a message says from its delivery on: that
// something is to be done with it on the server, where its absence is then our
// doing.
func (l *Line) deliveredState() ledger.State {
	if l.job.OnServer.Action != Keep && l.job.OnServer.After == 0 {
		return ledger.Disposing
	}
	return ledger.Delivered
}

// setAsideRefused takes the messages out that were not fetched. A file that
// could not be stored is an error of this side, and ends the pass.
func (d *delivery) setAsideRefused(items []*item) ([]*item, error) {
	var failed []error
	kept := items[:0]
	for _, it := range items {
		var local *LocalError
		switch {
		case it.err == nil:
			kept = append(kept, it)
			continue
		case errors.Is(it.err, ErrGone):
			it.gone = true
			d.line.known.ClearAside(it.key)
			d.line.progress.Message()
			continue
		case errors.As(it.err, &local):
			failed = append(failed, it.err)
			<-d.line.shared.Slots // its file is gone
		default:
			d.plan.aside = append(d.plan.aside, d.line.setAside(it.want, it.err, false))
		}
		d.plan.leave(it.Octets)
		d.line.progress.Message()
	}
	if len(failed) > 0 {
		return kept, fmt.Errorf("store message: %w", errors.Join(failed...))
	}
	return kept, nil
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

// filesOf returns the files of the items that have one.
func filesOf(items []*item) []*maildir.File {
	files := make([]*maildir.File, 0, len(items))
	for _, it := range items {
		if it.file != nil {
			files = append(files, it.file)
		}
	}
	return files
}
