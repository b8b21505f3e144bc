package fetch

import (
	"sync"
	"time"
)

// A batch is what has arrived while the one before was on its way. While more
// is arriving it waits a little to grow: each batch costs the disk some writes
// whatever its size, and those would hold up the files that are being made.
// The last one of a session never waits, nor a lone message.
const (
	maxBatch    = 256 // bounds the ledger's commit
	enoughBatch = 192
	linger      = 100 * time.Millisecond
)

// belt carries items between the goroutines of a delivery: from the session,
// which puts them on, to the one that syncs files, to the one that records and
// publishes. Shared.Slots bounds what lies on it.
type belt struct {
	mu      sync.Mutex
	moved   sync.Cond
	arrived []*item // not on disk yet
	ripe    bool    // arrived has waited long enough
	syncing int
	synced  []*item
	closed  bool // nothing more arrives
	stopped bool // nothing more is taken
}

func newBelt() *belt {
	b := &belt{}
	b.moved.L = &b.mu
	return b
}

// change makes a change that somebody may be waiting for.
func (b *belt) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	b.moved.Broadcast()
}

func (b *belt) put(it *item) { b.change(func() { b.arrived = append(b.arrived, it) }) }
func (b *belt) close()       { b.change(func() { b.closed = true }) }
func (b *belt) stop()        { b.change(func() { b.stopped = true }) }

// takeArrived waits for items to sync; none means that it is over.
func (b *belt) takeArrived() []*item {
	b.mu.Lock()
	defer b.mu.Unlock()
	var growing *time.Timer
	// ripe may come late, when those it was meant for are gone: it never means that there is something.
	for !b.closed && !b.stopped && (len(b.arrived) == 0 || len(b.arrived) < enoughBatch && !b.ripe) {
		if len(b.arrived) > 0 && growing == nil {
			growing = time.AfterFunc(linger, func() { b.change(func() { b.ripe = true }) })
			defer growing.Stop()
		}
		b.moved.Wait()
	}
	b.ripe = false
	if b.stopped {
		return nil
	}
	var items []*item
	items, b.arrived = split(b.arrived)
	b.syncing = len(items)
	return items
}

// putSynced hands on what takeArrived gave.
func (b *belt) putSynced(items []*item) {
	b.change(func() {
		b.synced = append(b.synced, items...)
		b.syncing = 0
	})
}

// takeSynced waits for items to deliver. With none, over says that no more
// will come; otherwise nothing is on its way at the moment, which is only
// returned if the caller has something else to do.
func (b *belt) takeSynced(busy bool) (items []*item, over bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.stopped {
		quiet := len(b.arrived) == 0 && b.syncing == 0
		switch {
		case len(b.synced) > 0:
			items, b.synced = split(b.synced)
			return items, false
		case quiet && b.closed:
			return nil, true
		case quiet && busy:
			return nil, false
		}
		b.moved.Wait()
	}
	return nil, true
}

// rest empties the belt when nobody uses it any more.
func (b *belt) rest() []*item { return append(b.arrived, b.synced...) }

// split takes a batch from the front. What remains is copied, so that the two
// share no memory.
func split(items []*item) (batch, rest []*item) {
	n := min(len(items), maxBatch)
	return items[:n:n], append([]*item(nil), items[n:]...)
}
