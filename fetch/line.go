package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"postrider/ledger"
	"postrider/maildir"
)

// Shared is what all lines of a process use together.
type Shared struct {
	Root   *ledger.Root
	Names  *maildir.Namer
	Syncer *maildir.Syncer
	// Slots bounds the files that are open in tmp/ at once over all lines.
	Slots chan struct{}
}

// Job describes what one Line does.
type Job struct {
	Protocol string // part of every key: pop3 or imap
	Account  string
	Mailbox  string // the remote one
	Folder   string // below the root
	OnServer Disposal
	MaxSize  int64 // larger messages stay on the server; 0: no limit
	Log      *slog.Logger
	LogUID   string   // key of the server's identifier in log lines: uidl or uid; uid if empty
	Progress Progress // may be nil

	// Numbered: the numbers of a Source's items last and are never given to
	// another message, within an epoch. Its Listing then says of which.
	Numbered bool

	// Twins is the set of messages, by the number that they have in every
	// mailbox of the server, to which what this line delivers is added. What is
	// in it, or in one of OtherTwins, is not delivered again.
	Twins      string
	OtherTwins []string

	maxFresh int // 0: the constant; tests have fewer messages
}

// Action is what happens on the server to a message that was delivered.
type Action uint8

const (
	Keep Action = iota
	Remove
	MarkSeen
	Move // into another mailbox
)

// Disposal says what happens on the server to a message that was delivered, and
// when.
type Disposal struct {
	Action Action
	After  time.Duration // since the delivery
}

// removes tells whether messages are gone from the mailbox afterwards.
func (d Disposal) removes() bool { return d.Action == Remove || d.Action == Move }

// Result counts what a pass did.
type Result struct {
	Listed    int // messages on the server
	Wanted    int
	Delivered int
	Octets    int64 // of the delivered messages, as stored
	Matched   int   // known under another identifier before
	Disposed  int   // removed on the server
	TooLarge  int   // left on the server
	Aside     []Aside
}

// Add adds what was done in another mailbox.
func (r *Result) Add(o Result) {
	r.Listed += o.Listed
	r.Wanted += o.Wanted
	r.Delivered += o.Delivered
	r.Octets += o.Octets
	r.Matched += o.Matched
	r.Disposed += o.Disposed
	r.TooLarge += o.TooLarge
	r.Aside = append(r.Aside, o.Aside...)
}

// Aside is a message that could not be fetched now. It is tried again.
type Aside struct {
	UID   string
	Err   error
	Tries int
}

// Line carries one remote mailbox into one folder. One goroutine uses it.
type Line struct {
	shared   Shared
	job      Job
	log      *slog.Logger
	progress Progress
	folder   *maildir.Folder
	known    *ledger.Mailbox
	origins  *origins
	suspects map[ledger.Key]bool // messages at which a session of this pass broke: tried last

	// The server gave its messages new identifiers, and not every one has been
	// compared by content yet.
	renumbered bool

	littered atomic.Bool // a file stays in tmp/ that could not be removed

	mark        Mark     // of a job that is Numbered
	markChanged bool     // since the last commit
	twins       []uint64 // to be written with the next commit
}

// Open prepares a line: it opens the folder, verifies that messages can be
// moved into it, and finishes what a crash interrupted. Nothing of it needs
// the network.
func Open(s Shared, job Job) (*Line, error) {
	l := &Line{shared: s, job: job, progress: job.Progress, origins: newOrigins(job.Protocol, job.Account, job.Mailbox), suspects: map[ledger.Key]bool{}}
	l.log = job.Log.With("account", job.Account)
	l.job.LogUID = cmp.Or(job.LogUID, "uid")
	if l.job.maxFresh == 0 {
		if l.job.maxFresh = maxFresh; job.Numbered {
			l.job.maxFresh = maxNumbered
		}
	}
	if l.progress == nil {
		l.progress = noProgress{}
	}
	err := l.foldersAreThere()
	if err != nil {
		return nil, &LocalError{err}
	}
	if l.folder, err = maildir.Open(s.Root.Dir, filepath.Join(s.Root.Dir, job.Folder), s.Syncer); err != nil {
		return nil, &LocalError{err}
	}
	if err = l.prepare(); err != nil {
		l.folder.Close()
		return nil, &LocalError{err}
	}
	return l, nil
}

// foldersAreThere refuses to go on if a folder has vanished into which messages
// were on their way. Made anew it would look as if the reader had taken them.
func (l *Line) foldersAreThere() error {
	for _, b := range l.shared.Root.Ledger.Open(l.id()) {
		dir := filepath.Join(l.shared.Root.Dir, b.Folder)
		if _, err := os.Stat(filepath.Join(dir, "tmp")); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("folder %s is gone, with %d messages on their way into it. Is its disk mounted? If it was removed on purpose, make it again, with tmp, new and cur in it", dir, len(b.Intents))
		}
	}
	return nil
}

func (l *Line) prepare() (err error) {
	if err := l.folder.Probe(); err != nil {
		return err
	}
	if l.known, err = l.shared.Root.Ledger.Mailbox(l.id()); err != nil {
		return err
	}
	if err := l.recover(time.Now()); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	if l.job.Numbered {
		l.mark, err = LoadMark(l.shared.Root.Ledger, l.job)
		l.renumbered = l.mark.Comparing
		return err
	}
	note, err := l.shared.Root.Ledger.Memory(l.renumberedName())
	l.renumbered = len(note) > 0
	return err
}

func (l *Line) renumberedName() string { return "renumbered\x00" + l.id() }

// setRenumbered keeps durably whether messages are being compared by content.
func (l *Line) setRenumbered(now bool) error {
	if l.job.Numbered {
		m := l.mark
		m.Comparing, l.renumbered = now, now
		l.setMark(m)
		return nil
	}
	var note []byte
	if now {
		note = []byte{1}
	}
	err := l.commit(func(t *ledger.Tx) error {
		if err := l.known.Save(t); err != nil {
			return err
		}
		return t.Remember(l.renumberedName(), note)
	})
	if err != nil {
		return err
	}
	l.renumbered = now
	return nil
}

func (l *Line) id() string { return l.job.id() }

func (j Job) id() string { return j.Protocol + "\x00" + j.Account + "\x00" + j.Mailbox }

// Mark is how far the mailbox was carried.
func (l *Line) Mark() Mark { return l.mark }

// Close gives the folder back.
func (l *Line) Close() error { return l.folder.Close() }

// maxSessions bounds how often one pass dials again after a session that broke
// while messages were on their way.
const maxSessions = 5

// Pass fetches what is new. If a session breaks at a message, the next one
// asks for it last; if it breaks there again, the message is set aside and
// gets a session of its own, so that it does not keep others from coming.
func (l *Line) Pass(ctx context.Context, dial func(context.Context) (Source, error)) (Result, error) {
	var total Result
	var broken bool
	later := math.MaxInt
	clear(l.suspects)
	for n := 1; ; n++ {
		p, err := l.dialled(ctx, dial, &total, false)
		var at *brokenError
		switch {
		case err == nil && p.later > 0 && p.later < later && ctx.Err() == nil:
			later, n = p.later, 0 // as long as it becomes less
			l.log.Info("there are more new messages than one session asks for, dialling again", "messages", later)
			continue
		case err == nil && p.breaking && ctx.Err() == nil:
			return total, l.retryBreaking(ctx, dial, &total)
		case err == nil:
			return total, nil
		case !errors.As(err, &at):
			return total, err
		}
		// It is kept even if this pass ends here: the next asks for it last too,
		// and so gets past any number of such messages.
		if aside, err := l.suspect(at); err != nil {
			return total, err
		} else if !aside && broken && total.Delivered+total.Matched == 0 || n == maxSessions {
			return total, at // not one message: it is the line, not the messages
		}
		broken = true
		l.log.Info("session broke, dialling again", l.job.LogUID, at.want.uid, "err", at.err)
	}
}

// suspect notes the message at which a session broke. It is set aside when
// that happens for the second time in one pass.
func (l *Line) suspect(at *brokenError) (aside bool, err error) {
	key := at.want.key
	if aside = l.suspects[key]; aside {
		l.setAside(at.want, at.err, true)
	} else {
		a, _ := l.known.Aside(key)
		l.known.SetAside(key, at.want.uid, at.err.Error(), a.Breaks, time.Now())
	}
	l.suspects[key] = true
	return aside, l.commit(l.known.Save)
}

// retryBreaking asks, in a session of their own, for messages at which
// sessions broke. What that session cannot do is no failure of the pass, as
// long as it is not ours.
func (l *Line) retryBreaking(ctx context.Context, dial func(context.Context) (Source, error), total *Result) error {
	_, err := l.dialled(ctx, dial, total, true)
	var at *brokenError
	if errors.As(err, &at) {
		l.setAside(at.want, at.err, true)
		err = l.commit(l.known.Save)
	}
	var local *LocalError
	if errors.As(err, &local) {
		return err
	}
	if err != nil {
		l.log.Warn("messages set aside could not be tried again", "err", err)
	}
	total.Aside = nil
	l.known.EachAside(func(_ ledger.Key, a ledger.Aside) {
		total.Aside = append(total.Aside, Aside{UID: a.UID, Err: errors.New(a.Reason), Tries: a.Tries})
	})
	return nil
}

// dialled runs one session. Without an error it returns what the session had
// to do.
func (l *Line) dialled(ctx context.Context, dial func(context.Context) (Source, error), total *Result, breaking bool) (*plan, error) {
	if len(l.shared.Root.Ledger.Open(l.id())) > 0 {
		if err := l.recover(time.Now()); err != nil {
			return nil, &LocalError{fmt.Errorf("recover: %w", err)}
		}
	}
	src, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	p, err := l.session(ctx, src, total, breaking)
	if err != nil {
		src.Abort()
	}
	return p, err
}

// brokenError is the end of a session while a message was on its way.
type brokenError struct {
	err  error
	want *want
}

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// session walks the line once.
func (l *Line) session(ctx context.Context, src Source, total *Result, breaking bool) (*plan, error) {
	p, err := l.choose(ctx, src, breaking)
	if err != nil {
		return nil, err
	}
	total.Listed, total.Wanted, total.TooLarge = p.listed, max(total.Wanted, len(p.want)+p.later), p.tooLarge
	total.Aside = nil
	if err := l.retrieve(ctx, src, p, total); err != nil {
		return nil, err
	}
	total.Aside = p.aside
	if compared := l.forget(p, time.Now()); l.renumbered && compared {
		if err := l.setRenumbered(false); err != nil {
			return nil, err
		}
	}
	return p, l.dispose(ctx, src, p, total)
}

// save makes durable what has changed.
func (l *Line) save() error {
	if !l.known.Changed() && !l.markChanged && len(l.twins) == 0 {
		return nil
	}
	return l.commit(l.known.Save)
}

// setAside notes that a message could not be fetched.
func (l *Line) setAside(w *want, err error, breaks bool) Aside {
	a := l.known.SetAside(w.key, w.uid, err.Error(), breaks, time.Now())
	l.log.Warn("message set aside, it is tried again later", l.job.LogUID, w.uid, "number", w.Number, "tries", a.Tries, "err", err)
	return Aside{UID: w.uid, Err: err, Tries: a.Tries}
}

// raise is called before the first delivery.
func (l *Line) raise() error {
	if err := l.shared.Root.Raise(); err != nil {
		return &LocalError{err}
	}
	return nil
}

func (l *Line) commit(change func(*ledger.Tx) error) error {
	err := l.shared.Root.Ledger.Commit(func(t *ledger.Tx) error {
		if err := l.saveMark(t); err != nil {
			return err
		}
		if len(l.twins) > 0 {
			if err := t.AddTwins(l.job.Twins, l.twins...); err != nil {
				return err
			}
		}
		return change(t)
	})
	if err != nil {
		return &LocalError{err}
	}
	l.markChanged, l.twins = false, l.twins[:0]
	return nil
}
