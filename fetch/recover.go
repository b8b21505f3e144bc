package fetch

import (
	"fmt"
	"path/filepath"
	"time"

	"postrider/ledger"
	"postrider/maildir"
)

// inferenceAge is how old an intent may be for the absence of its file to mean
// that the reader has moved or removed the message. Later a cleaner of tmp/
// may have been there, and the server is asked again.
const inferenceAge = 24 * time.Hour

// recover settles the intents of this mailbox that are open, and removes
// files in tmp/ that belong to none. Killed at any point and run again it
// comes to the same end.
func (l *Line) recover(now time.Time) error {
	open := l.shared.Root.Ledger.Open(l.id())
	keep := map[string]bool{}
	for _, b := range open {
		if err := l.settleBatch(b, now); err != nil {
			return err
		}
	}
	// Another line may deliver into the same folder: its open intents are not orphans.
	for _, b := range l.shared.Root.Ledger.Open("") {
		if b.Folder == l.job.Folder {
			for _, in := range b.Intents {
				keep[in.Tmp] = true
			}
		}
	}
	n, err := l.folder.Sweep(keep, l.shared.Names)
	if err != nil {
		return fmt.Errorf("clear tmp/: %w", err)
	}
	if n > 0 || len(open) > 0 {
		l.log.Info("recovered", "folder", l.job.Folder, "batches", len(open), "unfinished", n)
	}
	return nil
}

// settleBatch finds out what became of every message of a batch, does what is
// left to do, and records it.
func (l *Line) settleBatch(b ledger.Batch, now time.Time) error {
	folder := l.folder
	if b.Folder != l.job.Folder {
		// deliver_to was changed since; the messages belong where they were going.
		other, err := maildir.Open(l.shared.Root.Dir, filepath.Join(l.shared.Root.Dir, b.Folder), l.shared.Syncer)
		if err != nil {
			return err
		}
		defer other.Close()
		folder = other
	}
	names, err := maildir.Scan(folder.Dir())
	if err != nil {
		return err
	}
	var twins []uint64
	for _, in := range b.Intents {
		state, known, err := l.settleIntent(folder, names, in, now.Sub(b.Time))
		if err != nil {
			return fmt.Errorf("message %s: %w", in.Name, err)
		}
		if known {
			l.known.Add(ledger.Record{Key: in.Key, Octets: in.Listed, Time: b.Time, State: state, Content: ledger.Digest(in.Sum[:16])})
			l.known.ClearAside(in.Key)
			if in.Twin != 0 {
				twins = append(twins, in.Twin)
			}
		}
	}
	if err := folder.SyncAll(); err != nil {
		return err
	}
	return l.commit(func(t *ledger.Tx) error {
		if err := l.known.Save(t); err != nil {
			return err
		}
		if b.Twins != "" && len(twins) > 0 {
			if err := t.AddTwins(b.Twins, twins...); err != nil {
				return err
			}
		}
		return t.Settle(l.shared.Root.Ledger, b)
	})
}

// settleIntent returns what to record of a message, or that nothing is to be:
// then it is fetched again. A file that is not intact stays until that is
// recorded, since without file and record it would count as delivered; the
// sweep removes it afterwards.
func (l *Line) settleIntent(folder *maildir.Folder, names *maildir.Names, in ledger.Intent, age time.Duration) (ledger.State, bool, error) {
	if !names.Tmp[in.Tmp] {
		if names.Delivered[maildir.Base(in.Name)] {
			if in.Date != 0 {
				// It gets its date after it is moved, and the crash may have come between the two. There is
				// nothing to move any more, so that an error costs a date at most; a reader may have it by now.
				_ = folder.Resume(in.Tmp, in.Name, in.Cur, atSecond(in.Date))
			}
			return in.State, true, nil
		}
		return ledger.Inferred, age < inferenceAge, nil
	}
	if names.Delivered[maildir.Base(in.Name)] {
		// In both places: a link whose removal was cut off, or a repaired file
		// system. It is ours unless somebody else's file has the name.
		same, err := folder.SameContent(in.Name, in.Octets, in.Sum)
		if err != nil || same {
			return in.State, same, err
		}
		in.Name = maildir.Final(l.shared.Names.Unique(time.Now()), in.Octets, in.Key)
		in.Cur = false
	}
	intact, err := folder.Intact(in.Tmp, in.Octets, in.Sum)
	if err != nil || !intact {
		return 0, false, err
	}
	return in.State, true, folder.Resume(in.Tmp, in.Name, in.Cur, atSecond(in.Date))
}
