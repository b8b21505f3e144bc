package outbox

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postrider/maildir"
)

// errBusy says that a file has a writer after all.
var errBusy = errors.New("somebody is writing to it")

// complete makes an item of a file that was claimed, and moves it on: to Active or
// Held, or, with a Refusal, out of the spool. What it did is on disk after a
// sync of the states and of the outbox.
func (o *Outbox) complete(id, name string, now time.Time) (state State, err error) {
	f, err := os.OpenFile(o.spool.path(Incoming, id, claimedPrefix+name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", fmt.Errorf("read message: %w", err)
	}
	defer f.Close()
	// Under its new name nobody finds it: a writer that there is not now, there never will be.
	if closed, known := lease(int(f.Fd())); known && !closed {
		return "", errBusy
	}
	rec, err := o.rules.record(f, id, fromFile(), now)
	if err == nil {
		if err := o.settleOctets(f, id, name, rec); err != nil {
			return "", fmt.Errorf("put message on disk: %w", err)
		}
		rec.Name = name
		return o.spool.enter(id, claimedPrefix+name, rec)
	}
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		return "", err
	}
	o.log.Warn("a file in the outbox cannot be sent", "name", name, "err", refusal)
	return "", o.giveBack(Incoming, id, claimedPrefix+name, name, "", refusal.Error())
}

// settleOctets puts a claimed file on disk. An fsync that failed is not tried
// again on the same file, as the kernel may by then call the lost pages clean:
// what is still there to read is written anew.
func (o *Outbox) settleOctets(f *os.File, id, name string, rec *Record) error {
	failed := f.Sync()
	if failed == nil {
		return nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return errors.Join(failed, err)
	}
	path := o.spool.path(Incoming, id, messageName+".new")
	anew, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return errors.Join(failed, err)
	}
	sum := sha256.New()
	if _, err = io.Copy(io.MultiWriter(anew, sum), f); err == nil {
		err = anew.Sync()
	}
	if err = errors.Join(err, anew.Close()); err == nil && [32]byte(sum.Sum(nil)) != rec.Sum {
		err = errors.New("its octets have changed")
	}
	if err == nil {
		err = os.Rename(path, o.spool.path(Incoming, id, claimedPrefix+name))
	}
	if err != nil {
		return errors.Join(failed, err, os.Remove(path))
	}
	return nil
}

// enter makes a complete item of one whose message is on disk under another
// name, and queues it.
func (s *Spool) enter(id, file string, r *Record) (State, error) {
	// Durable before the name goes: a message without an envelope is taken for one that was never accepted.
	if err := s.write(Incoming, id, r); err != nil {
		return "", err
	}
	if err := os.Rename(s.path(Incoming, id, file), s.path(Incoming, id, messageName)); err != nil {
		return "", fmt.Errorf("make item: %w", err)
	}
	if err := maildir.SyncDir(s.path(Incoming, id)); err != nil {
		return "", fmt.Errorf("make item: %w", err)
	}
	to := r.state()
	return to, s.move(id, Incoming, to)
}

// claimed returns the name that the file of an item had in the outbox; empty if
// the item was not made of one, or has got all it needs.
func (s *Spool) claimed(id string) (string, error) {
	entries, err := os.ReadDir(s.path(Incoming, id))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // it has just been queued
	}
	if err != nil {
		return "", fmt.Errorf("read spool: %w", err)
	}
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), claimedPrefix); ok {
			return name, nil
		}
	}
	return "", nil
}

// unclaim puts a claimed file back into the outbox under its name, if nothing
// else has that by now; if not, a later pickup goes on with it.
func (o *Outbox) unclaim(id, name string) error {
	err := maildir.RenameNoReplace(unix.AT_FDCWD, o.spool.path(Incoming, id, claimedPrefix+name), int(o.files.Fd()), name)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = maildir.SyncDir(o.dir)
	}
	if err != nil {
		return fmt.Errorf("put %s back into the outbox: %w", filepath.Join(o.dir, name), err)
	}
	return o.spool.remove(Incoming, id)
}

// unfinished goes on with the items that a crash or a failure left while they
// were being made. What a sendmail command is still writing is left to it; what
// one left behind was never accepted.
func (o *Outbox) unfinished() (claimed []claim, err error) {
	ids, err := o.spool.list(Incoming)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, id := range ids {
		name, err := o.spool.claimed(id)
		switch {
		case err != nil:
		case name != "":
			claimed = append(claimed, claim{id, name})
		default:
			err = o.finishIncoming(id)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("message %s: %w", id, err))
		}
	}
	return claimed, errors.Join(errs...)
}

// finishIncoming queues an item of which only the last rename is missing, and
// removes one that nobody works on.
func (o *Outbox) finishIncoming(id string) error {
	f, err := os.OpenFile(o.spool.path(Incoming, id, messageName), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return o.spool.removeEmpty(id)
	}
	if err != nil {
		return fmt.Errorf("read spool: %w", err)
	}
	defer f.Close()
	// A sendmail command holds a lock on what it writes until it is done. Held here, it keeps
	// one that is just beginning from writing into what is being removed.
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read spool: %w", err)
	}
	r, err := o.spool.read(Incoming, id)
	var corrupt *CorruptError
	switch {
	case errors.As(err, &corrupt), err == nil && r.Name == "":
		if _, err := os.Lstat(o.spool.path(Incoming, id)); errors.Is(err, fs.ErrNotExist) {
			return nil // it has been queued meanwhile
		}
		return o.spool.remove(Incoming, id)
	case err != nil:
		return err
	}
	to := r.state()
	if err := o.spool.move(id, Incoming, to); err != nil {
		return err
	}
	return o.spool.sync(to, Incoming)
}

// removeEmpty removes an item that has no message, unless it gets one just now:
// that is the first thing that an item gets.
func (s *Spool) removeEmpty(id string) error {
	err := os.Remove(s.path(Incoming, id))
	if errors.Is(err, unix.ENOTEMPTY) {
		if _, err := os.Lstat(s.path(Incoming, id, messageName)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return s.remove(Incoming, id)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove from spool: %w", err)
	}
	return nil
}
