package outbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Target is a recipient that a program has given.
type Target struct {
	Address
	Notify   string // NOTIFY of RFC 3461
	Original string // ORCPT of the type rfc822
}

// Given is what a program says about a message besides its octets, as
// arguments of the sendmail command.
type Given struct {
	From       *Address // nil: as the header says
	To         []Target // besides those of the header, if that is asked
	FromHeader bool     // recipients are taken from the header too
	FullName   string   // for a From field that is added
	Return     string
	EnvID      string
	Notify     string // for recipients from the header

	// Complete has bare names and a missing From completed by an account: that which
	// sends for From, or else the first.
	Complete bool
}

// Submit makes an item of a message and returns its name when it is on disk. It
// needs no lock: any number of processes may do it at once, beside the one that
// sends. A *Refusal says that the message can never be sent as it is.
func (s *Spool) Submit(ctx context.Context, rules Rules, message io.Reader, g Given) (id string, err error) {
	now := time.Now()
	for tries := 0; ; tries++ {
		id = newID(now)
		err = s.submit(ctx, id, rules, message, g, now)
		if tries < 3 && errors.Is(err, errSwept) {
			continue // before anything was read
		}
		return id, err
	}
}

// errSwept says that the item was taken for one that a dead process left, just
// before it was shown by its lock that it was not.
var errSwept = errors.New("the item was removed")

func (s *Spool) submit(ctx context.Context, id string, rules Rules, message io.Reader, g Given, now time.Time) (err error) {
	if err := os.Mkdir(s.path(Incoming, id), 0o700); err != nil {
		return fmt.Errorf("make item: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove(Incoming, id))
		}
	}()
	f, err := os.OpenFile(s.path(Incoming, id, messageName), os.O_CREATE|os.O_EXCL|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return errSwept
	}
	if err != nil {
		return fmt.Errorf("make item: %w", err)
	}
	defer f.Close()
	// As long as this lock is held, somebody is at work here. Who removes items holds it, too.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return errSwept
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Nlink == 0 {
		return errSwept
	}
	if _, err := io.Copy(f, whileAlive{ctx, message}); err != nil {
		return fmt.Errorf("store message: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	r, err := rules.record(f, id, g, now)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("put message on disk: %w", err)
	}
	if err := s.write(Incoming, id, r); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	to := r.state()
	if err := s.move(id, Incoming, to); err != nil {
		return err
	}
	if err := s.sync(to, Incoming); err != nil {
		// Whether it is queued is not sure, and the caller is going to try again: it must not be sent twice.
		return errors.Join(err, s.move(id, to, Incoming))
	}
	return nil
}

// whileAlive is a reader that ends with its context.
type whileAlive struct {
	ctx context.Context
	r   io.Reader
}

func (w whileAlive) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(p)
}
