package outbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// quietFor is how long a file must not have been written to before it counts as
// complete, where nothing else says so.
const quietFor = 2 * time.Second

// ignored tells whether a name says that the file is not, or not yet, a message.
func ignored(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".tmp") || strings.HasSuffix(name, ".part") ||
		strings.HasSuffix(name, "~") || strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#") || name == failedName || name == "lost+found"
}

// maxPickup bounds the files that are taken at once.
const maxPickup = 128

// makers is how many items are made beside each other: their fsyncs then share
// the file system's journal.
const makers = 16

// Picked is what became of the files in the outbox.
type Picked struct {
	Queued  int
	Refused int           // moved to failed/
	Wait    time.Duration // until the next file may be complete; 0: none is waited for
}

// later notes that a file may be complete in a while.
func (p *Picked) later(wait time.Duration) {
	if p.Wait == 0 || wait < p.Wait {
		p.Wait = wait
	}
}

// Pickup makes items of the files in the outbox that are complete. With
// patience, only of those that have been quiet for a while. A file of which no
// item can be made now stays in the outbox; what keeps it from that is in the
// error, and keeps no other from being taken.
func (o *Outbox) Pickup(ctx context.Context, patience bool) (p Picked, err error) {
	claimed, err := o.unfinished()
	errs := []error{err}
	skip := map[string]bool{}
	_, err = o.makeItems(claimed, &p, skip)
	errs = append(errs, err)
	dir, err := o.openDir()
	if err != nil {
		return p, errors.Join(append(errs, err)...)
	}
	defer dir.Close()
	for more := true; more && ctx.Err() == nil; {
		claimed, more, err = o.claimSome(ctx, dir, patience, &p, skip)
		errs = append(errs, err)
		made, err := o.makeItems(claimed, &p, skip)
		errs = append(errs, err)
		// A round of which nothing can be made says that it is not about the files.
		more = more && made > 0
	}
	return p, errors.Join(errs...)
}

// maxErrors bounds the failures that are told of in one go.
const maxErrors = 8

// few joins errors, the first ones at length.
func few(errs []error) error {
	if len(errs) > maxErrors {
		errs = append(errs[:maxErrors:maxErrors], fmt.Errorf("and %d failures more", len(errs)-maxErrors))
	}
	return errors.Join(errs...)
}

// openDir opens the outbox to be read, which has to be the directory that it
// was: in another one there is no spool of ours.
func (o *Outbox) openDir() (*os.File, error) {
	dir, err := os.Open(o.dir)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	now, err := dir.Stat()
	var before os.FileInfo
	if err == nil {
		before, err = o.files.Stat()
	}
	if err == nil && !os.SameFile(now, before) {
		err = errors.New("it is another directory than when it was opened: stop postrider before you move or replace it")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read outbox %s: %w", o.dir, err), dir.Close())
	}
	return dir, nil
}

// claim is a file that was taken out of the outbox.
type claim struct{ id, name string }

// claimSome claims complete files, at most maxPickup, from where the directory
// was read to. more says that there may be others.
func (o *Outbox) claimSome(ctx context.Context, dir *os.File, patience bool, p *Picked, skip map[string]bool) (claimed []claim, more bool, err error) {
	var errs []error
	now := time.Now()
	for len(claimed) < maxPickup && len(errs) < maxErrors {
		// Few names at a time, as those read are not read again.
		names, err := dir.Readdirnames(maxPickup - len(claimed))
		if errors.Is(err, io.EOF) || err == nil && len(names) == 0 {
			return claimed, false, few(errs)
		}
		if err != nil {
			return claimed, false, errors.Join(few(errs), fmt.Errorf("read outbox: %w", err))
		}
		for _, name := range names {
			if ctx.Err() != nil {
				return claimed, false, few(errs) // what is claimed is made into items all the same
			}
			if ignored(name) || skip[name] {
				continue
			}
			c, wait, err := o.take(name, patience, now)
			switch {
			case err != nil:
				errs = append(errs, err)
			case wait > 0:
				p.later(wait)
			case c.id != "":
				claimed = append(claimed, c)
			}
		}
	}
	return claimed, len(errs) < maxErrors, few(errs)
}

// take claims a file if it is one to send and complete.
func (o *Outbox) take(name string, patience bool, now time.Time) (c claim, wait time.Duration, err error) {
	d, ok, err := look(o.files, name, patience, now)
	unreadable := errors.Is(err, fs.ErrPermission)
	if err == nil && ok && d.wait == 0 {
		c, err = o.spool.claim(o.files, d, now)
		unreadable = errors.Is(err, unix.EPERM) // as is one that must not be changed
	}
	if !unreadable {
		return c, d.wait, err
	}
	// It stays as it is until its owner does something: that is worth a line, and no failure.
	if !o.told[name] && len(o.told) < maxTold {
		o.told[name] = true
		o.log.Warn("a file in the outbox cannot be taken", "name", name, "err", err)
	}
	return c, 0, nil
}

// maxTold bounds the names of files that were complained of.
const maxTold = 1000

// makeItems makes items of claimed files and puts them on disk. Files of which
// none could be made go back to where they were, and their names into skip.
func (o *Outbox) makeItems(claimed []claim, p *Picked, skip map[string]bool) (made int, err error) {
	if len(claimed) == 0 {
		return 0, nil
	}
	now := time.Now()
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	next := make(chan claim)
	to := map[State]bool{}
	for range min(makers, len(claimed)) {
		wg.Go(func() {
			for c := range next {
				state, err := o.complete(c.id, c.name, now)
				mu.Lock()
				switch {
				case errors.Is(err, errBusy):
					p.later(quietFor)
					made++
					fallthrough
				case err != nil:
					skip[c.name] = true
					back := o.unclaim(c.id, c.name)
					if !errors.Is(err, errBusy) {
						back = errors.Join(fmt.Errorf("take %s from the outbox: %w", c.name, err), back)
					}
					if back != nil {
						errs = append(errs, back)
					}
				case state == "":
					p.Refused++
					made++
				default:
					to[state] = true
					p.Queued++
					made++
				}
				mu.Unlock()
			}
		})
	}
	for _, c := range claimed {
		next <- c
	}
	close(next)
	wg.Wait()
	// Where they are now comes first: nothing may be gone from both.
	states := slices.Collect(maps.Keys(to))
	err = o.spool.sync(append(states, Incoming)...)
	if err == nil {
		err = syncDirs(o.dir)
	}
	if err != nil {
		errs = append(errs, err)
	}
	return made, few(errs)
}
