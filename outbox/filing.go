package outbox

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"postrider/ledger"
	"postrider/maildir"
)

// copying is a message that is delivered into a local folder: a copy of what was
// sent, or a report.
type copying struct {
	id    string // of the item that it is for
	kind  string // with id, what it is: the same one is never delivered twice
	write func(io.Writer) error
	seen  bool
	date  time.Time
}

// filed is the mailbox under which the ledger has the intents of this package.
const filed = "outbox"

func (c *copying) key() ledger.Key { return keyOf(c.id, c.kind) }

// keyOf says which message it is, also in the name of its file.
func keyOf(id, kind string) ledger.Key {
	sum := sha256.Sum256([]byte(filed + "\x00" + kind + "\x00" + id))
	return ledger.Key(sum[:16])
}

// file delivers messages into a folder by the steps that fetched mail takes:
// octets and names in tmp/ on disk, intents, rename, names on disk, and one
// commit that it was done, in which note may write as well.
func (o *Outbox) file(folder string, messages []*copying, note func(*ledger.Tx) error) error {
	if len(messages) == 0 {
		return nil
	}
	if err := o.root.Raise(); err != nil {
		return err
	}
	dir, err := maildir.Open(o.root.Dir, filepath.Join(o.root.Dir, folder), o.syncer)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Probe(); err != nil {
		return err
	}
	b := ledger.Batch{Mailbox: filed, Folder: folder, Time: time.Now()}
	files, err := o.fill(dir, messages, &b)
	if err != nil {
		return err
	}
	batch := dir.NewBatch(files)
	var failed []error
	batch.SyncFiles(func(_ *maildir.File, err error) { failed = append(failed, err) })
	if err := errors.Join(failed...); err != nil {
		return discard(batch.Files(), err)
	}
	if err := batch.SyncTmp(); err != nil {
		return discard(batch.Files(), err)
	}
	// From here on files stay where they are, whatever fails: recovery settles what the intents name.
	err = o.root.Ledger.Commit(func(t *ledger.Tx) (err error) {
		b, err = t.Intend(o.root.Ledger, b)
		return err
	})
	if err != nil {
		return err
	}
	batch.Publish(func(_ *maildir.File, err error) { failed = append(failed, err) })
	if err := errors.Join(append(failed, batch.SyncNew())...); err != nil {
		return err
	}
	return o.root.Ledger.Commit(func(t *ledger.Tx) error {
		return errors.Join(t.Settle(o.root.Ledger, b), note(t))
	})
}

// fill writes the messages into tmp/.
func (o *Outbox) fill(dir *maildir.Folder, messages []*copying, b *ledger.Batch) ([]*maildir.File, error) {
	var files []*maildir.File
	for _, m := range messages {
		unique := o.names.Unique(time.Now())
		f, err := dir.Create(maildir.Temporary(unique, m.key()))
		if err != nil {
			return nil, discard(files, err)
		}
		files = append(files, f)
		if err = m.write(f); err == nil {
			err = f.Finish()
		}
		if err != nil {
			return nil, discard(files, fmt.Errorf("write message for %s: %w", dir.Dir(), err))
		}
		f.Name, f.Date = maildir.Final(unique, f.Octets(), m.key()), m.date
		if m.seen {
			f.Cur = true
			f.Name += maildir.Seen.Info()
		}
		in := ledger.Intent{Key: m.key(), Tmp: f.Tmp, Name: f.Name, Cur: f.Cur, Octets: f.Octets(), Sum: f.Sum(), Listed: -1}
		if !m.date.IsZero() {
			in.Date = m.date.Unix()
		}
		b.Intents = append(b.Intents, in)
	}
	return files, nil
}

func discard(files []*maildir.File, err error) error {
	errs := []error{err}
	for _, f := range files {
		errs = append(errs, f.Abort())
	}
	return errors.Join(errs...)
}
