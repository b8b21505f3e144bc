package outbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"postrider/ledger"
	"postrider/maildir"
)

// recover finishes what a crash interrupted: items that were being made, local
// deliveries, and messages that were being sent. Killed at any point and run
// again it comes to the same end. Its error is that of the ledger or the spool
// as a whole.
func (o *Outbox) recover(now time.Time) error {
	if claimed, err := o.unfinished(); err != nil {
		o.log.Error("what was being queued cannot be finished yet", "err", err)
	} else if _, err := o.makeItems(claimed, &Picked{}, map[string]bool{}); err != nil {
		o.log.Error("what was being queued cannot be finished yet", "err", err)
	}
	g, err := o.begin(now)
	if err != nil {
		return err
	}
	if err := o.sweep(); err != nil {
		o.log.Error("unfinished copies and reports cannot be removed yet", "err", err)
	}
	g.crashed = true
	err = g.gather(Active)
	if err == nil {
		err = g.settle()
	}
	if fatal := o.root.Ledger.Err(); fatal != nil {
		return fatal
	}
	if err := errors.Join(err, errors.Join(g.errs...)); err != nil {
		o.log.Error("what was being sent cannot be settled yet", "err", err)
	}
	return o.forgetGone(g.steps)
}

// forgetGone removes the steps of items that are gone.
func (o *Outbox) forgetGone(steps map[string]*step) error {
	there := map[string]bool{}
	for _, state := range states()[1:] {
		ids, err := o.spool.list(state)
		if err != nil {
			return err
		}
		for _, id := range ids {
			there[id] = true
		}
	}
	var gone []string
	for id := range steps {
		if !there[id] {
			gone = append(gone, id)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	// What is not there any more must be gone from the disk, too.
	if err := o.spool.sync(states()[1:]...); err != nil {
		return err
	}
	return o.forget(gone)
}

// settleBatches finds out what became of copies and reports that were being
// delivered. It returns the keys of those of which that cannot be found out
// now: nothing may be done again of them.
func (o *Outbox) settleBatches() (stuck map[ledger.Key]bool, err error) {
	stuck = map[ledger.Key]bool{}
	var errs []error
	for _, b := range o.root.Ledger.Open(filed) {
		if err := o.settleBatch(b); err != nil {
			errs = append(errs, err)
			for _, in := range b.Intents {
				stuck[in.Key] = true
			}
		}
	}
	return stuck, few(errs)
}

// settleBatch finds out what became of the messages of one batch. One of which
// there is nothing left has been taken by the reader, as its file was on disk
// before the intent.
func (o *Outbox) settleBatch(b ledger.Batch) error {
	path := filepath.Join(o.root.Dir, b.Folder)
	if _, err := os.Stat(filepath.Join(path, "tmp")); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("folder %s is gone, with %d messages on their way into it. Is its disk mounted? If it was removed on purpose, make it again, with tmp, new and cur in it", path, len(b.Intents))
	}
	dir, err := maildir.Open(o.root.Dir, path, o.syncer)
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := maildir.Scan(path)
	if err != nil {
		return err
	}
	delivered := map[ledger.Key]bool{}
	for _, in := range b.Intents {
		if delivered[in.Key], err = settleIntent(dir, names, in); err != nil {
			return err
		}
	}
	if err := dir.SyncAll(); err != nil {
		return err
	}
	note, err := o.noteFiled(delivered)
	if err != nil {
		return err
	}
	return o.root.Ledger.Commit(func(t *ledger.Tx) error { return errors.Join(note(t), t.Settle(o.root.Ledger, b)) })
}

// settleIntent finishes a delivery. It is not delivered if its file is damaged:
// then it is made again.
func settleIntent(dir *maildir.Folder, names *maildir.Names, in ledger.Intent) (delivered bool, err error) {
	if !names.Tmp[in.Tmp] {
		return true, nil
	}
	if names.Delivered[maildir.Base(in.Name)] {
		return true, dir.Remove(in.Tmp)
	}
	intact, err := dir.Intact(in.Tmp, in.Octets, in.Sum)
	if err != nil {
		return false, err
	}
	if !intact {
		return false, dir.Remove(in.Tmp)
	}
	date := time.Time{}
	if in.Date != 0 {
		date = time.Unix(in.Date, 0)
	}
	return true, dir.Resume(in.Tmp, in.Name, in.Cur, date)
}

// noteFiled returns the change that notes in steps and pauses what was
// delivered, by the keys.
func (o *Outbox) noteFiled(keys map[ledger.Key]bool) (func(*ledger.Tx) error, error) {
	steps, err := loadSteps(o.root.Ledger)
	if err != nil {
		return nil, err
	}
	for id, s := range steps {
		changed := false
		for kind, flag := range s.letters() {
			if keys[keyOf(id, kind)] {
				*flag, changed = true, true
			}
		}
		if !changed {
			delete(steps, id)
		}
	}
	pauses, err := loadPauses(o.root.Ledger)
	if err != nil {
		return nil, err
	}
	for account, p := range pauses {
		if p.Told = keys[p.key(account)]; !p.Told {
			delete(pauses, account)
		}
	}
	return func(t *ledger.Tx) error {
		for id, s := range steps {
			if err := saveStep(t, id, s); err != nil {
				return err
			}
		}
		for account, p := range pauses {
			if err := savePause(t, account, p); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// sweep removes what a crash left of copies and reports before they were
// intended. Nothing else of this process writes into these folders under
// another namer.
func (o *Outbox) sweep() error {
	keep := map[string]bool{}
	for _, b := range o.root.Ledger.Open("") {
		for _, in := range b.Intents {
			keep[in.Tmp] = true
		}
	}
	seen := map[string]bool{}
	for _, a := range o.rules.Accounts {
		for _, folder := range []string{a.Sent, a.Inbox} {
			path := filepath.Join(o.root.Dir, folder)
			if _, err := os.Stat(filepath.Join(path, "tmp")); folder == "" || seen[folder] || err != nil {
				continue // one that is not there has nothing in it
			}
			seen[folder] = true
			dir, err := maildir.Open(o.root.Dir, path, o.syncer)
			if err != nil {
				return err
			}
			_, err = dir.Sweep(keep, o.names)
			if err := errors.Join(err, dir.Close()); err != nil {
				return err
			}
		}
	}
	return nil
}
