package outbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"postrider/ledger"
)

// Kinds of what is delivered locally for an item. Each is delivered once: its
// flag in the step says so.
const sentKind = "sent"

// reportKind is that of the next report on what failed.
func (s *step) reportKind() string { return fmt.Sprint("dsn", s.Reports) }

// doubtKind is that of the letter about an attempt that may have succeeded.
func (s *step) doubtKind() string { return fmt.Sprint("doubt", s.Attempts) }

// letters returns the kinds that may be on their way, with their flags.
func (s *step) letters() map[string]*bool {
	return map[string]*bool{sentKind: &s.Filed, s.reportKind(): &s.Reported, s.doubtKind(): &s.Doubted}
}

// letter is a copy or a report that is due for an item.
type letter struct {
	of     *sending
	folder string
	copying
}

// lettersOf returns what is to be delivered locally after what became of a
// message: nothing for an account that was taken out of the configuration.
func (o *Outbox) lettersOf(m *sending, now time.Time) (due []letter) {
	account := o.rules.named(m.record.Account)
	if account == nil {
		return nil
	}
	add := func(folder, kind string, seen bool, date time.Time, write func(io.Writer) error) {
		due = append(due, letter{m, folder, copying{id: m.id, kind: kind, seen: seen, date: date, write: write}})
	}
	if account.Sent != "" && !m.step.Filed && m.wasSent() {
		add(account.Sent, sentKind, true, time.Time{}, func(w io.Writer) error { return o.writeSent(w, m) })
	}
	if account.Inbox == "" || m.step.Cancelled {
		return due
	}
	// There is none for a message from the null sender, which may be a report itself (RFC 5321 section 6.1).
	if !m.step.Reported && m.record.From != "" && len(m.newlyFailed()) > 0 {
		add(account.Inbox, m.step.reportKind(), false, now, func(w io.Writer) error { return o.writeReport(w, account, m, now) })
	}
	if !m.step.Doubted && len(m.step.Dot) > 0 {
		add(account.Inbox, m.step.doubtKind(), false, now, func(w io.Writer) error { return o.writeDoubt(w, account, m, now) })
	}
	return due
}

// fileAll delivers what is due for messages, in one batch a folder. It returns
// the messages for which that failed: they must stay as they are, to be settled
// later.
func (o *Outbox) fileAll(done []*sending) (blocked map[*sending]bool, err error) {
	blocked = map[*sending]bool{}
	byFolder := map[string][]letter{}
	now := time.Now()
	for _, m := range done {
		due := o.lettersOf(m, now)
		if len(due) == 0 {
			continue
		}
		// Nothing can be said of a message that is gone from the disk; what became of it is in the log.
		if _, err := os.Lstat(o.spool.path(Active, m.id, messageName)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for _, l := range due {
			byFolder[l.folder] = append(byFolder[l.folder], l)
		}
	}
	var errs []error
	for folder, all := range byFolder {
		if err := o.fileLetters(folder, all); err != nil {
			errs = append(errs, fmt.Errorf("deliver into the folder %s: %w", folder, err))
			for _, l := range all {
				blocked[l.of] = true
			}
		}
	}
	return blocked, errors.Join(errs...)
}

// fileLetters delivers into one folder, and notes it in the steps.
func (o *Outbox) fileLetters(folder string, all []letter) error {
	var copies []*copying
	for i := range all {
		copies = append(copies, &all[i].copying)
	}
	steps := map[*sending]*step{}
	for _, l := range all {
		if steps[l.of] == nil {
			after := *l.of.step
			steps[l.of] = &after
		}
		*steps[l.of].letters()[l.kind] = true
	}
	err := o.file(folder, copies, func(t *ledger.Tx) error {
		for m, s := range steps {
			if err := saveStep(t, m.id, s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for m, s := range steps {
		*m.step = *s
	}
	return nil
}
