package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// settleAll does what follows from outcomes that are in the ledger: copies into
// the sent folder, reports, and the item's next place. Done again after a crash
// it comes to the same end. An item for which that fails stays where it is, to
// be settled later; it holds up no other.
func (o *Outbox) settleAll(done []*sending, r *Report) error {
	var errs []error
	for some := range slices.Chunk(done, together) {
		if err := o.settleSome(some, r); err != nil {
			errs = append(errs, err)
		}
		if err := o.root.Ledger.Err(); err != nil {
			return err
		}
	}
	return few(errs)
}

func (o *Outbox) settleSome(done []*sending, r *Report) error {
	var changed []*sending
	now := time.Now()
	for _, m := range done {
		m.step.apply(m.record)
		if m.expire(now) || m.changed {
			changed = append(changed, m)
		}
	}
	if err := o.saveSteps(changed); err != nil {
		return err
	}
	blocked, err := o.fileAll(done)
	errs := []error{err}
	var gone []string
	touched := map[State]bool{}
	for _, m := range done {
		if blocked[m] {
			continue
		}
		to, err := o.place(m, r)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("message %s: %w", m.id, err))
		case to == "":
			gone = append(gone, m.id)
		default:
			touched[to] = true
		}
	}
	var states []State
	for state := range touched {
		states = append(states, state)
	}
	if err := o.spool.sync(append(states, Active)...); err != nil {
		return errors.Join(append(errs, err)...)
	}
	return few(append(errs, o.forget(gone)))
}

// place moves an item to where its outcomes lead; empty if it is done with.
func (o *Outbox) place(m *sending, r *Report) (State, error) {
	rec := m.record
	sent, failed := 0, 0
	for _, to := range rec.To {
		sent += boolean(to.Outcome == Sent)
		failed += boolean(to.Outcome == Failed)
	}
	switch {
	case m.step.Cancelled:
		o.tell(slog.LevelInfo, "taken out of the queue", m)
		return "", o.giveBack(Active, m.id, messageName, rec.fileName(m.id), outcomes(rec, m.step.Dot), "it was taken out of the queue by hand")
	case len(m.step.Dot) > 0:
		r.Uncertain++
		o.tell(slog.LevelWarn, "the line broke after the final dot: the server may have the message or not. Look there, then say: postrider queue retry, or cancel", m)
		return Uncertain, o.putOff(m, sent+failed > 0, Uncertain)
	case len(rec.waiting()) > 0:
		r.Deferred++
		o.tell(slog.LevelInfo, "deferred", m)
		return Deferred, o.putOff(m, sent+failed > 0, Deferred)
	case sent == 0:
		r.Failed++
		o.tell(slog.LevelWarn, "failed", m)
		return "", o.giveBack(Active, m.id, messageName, rec.fileName(m.id), outcomes(rec, nil), rec.Last)
	}
	r.Sent++
	r.Partly += boolean(failed > 0)
	o.tell(slog.LevelInfo, "sent", m)
	return "", o.spool.remove(Active, m.id)
}

// putOff moves an item of which some recipients still wait. If others do not,
// that goes into its envelope: whatever becomes of the ledger, nobody gets it
// twice.
func (o *Outbox) putOff(m *sending, partial bool, to State) error {
	if partial {
		m.record.Filed = m.step.Filed
		for i := range m.record.To {
			rec := &m.record.To[i]
			rec.Reported = rec.Reported || rec.Outcome == Failed
		}
		if err := o.spool.write(Active, m.id, m.record); err != nil {
			return err
		}
	}
	return o.spool.move(m.id, Active, to)
}

// fileName is the name that a message gets in failed/.
func (r *Record) fileName(id string) string {
	if r.Name == "" {
		return id + ".eml"
	}
	return r.Name
}

// tell writes the line about a decision.
func (o *Outbox) tell(level slog.Level, what string, m *sending) {
	attributes := []slog.Attr{slog.String("account", m.record.Account), slog.String("queue_id", m.id), slog.Int("recipients", len(m.record.To))}
	if m.record.Name != "" {
		attributes = append(attributes, slog.String("name", m.record.Name))
	}
	if m.result != nil && m.result.Reply != "" {
		attributes = append(attributes, slog.String("reply", m.result.Reply))
	}
	if m.step.Last != "" {
		attributes = append(attributes, slog.String("err", m.step.Last))
	}
	if wait := time.Until(m.step.Next); len(m.record.waiting()) > 0 && wait > 0 {
		attributes = append(attributes, slog.Duration("delay", wait.Round(time.Second)))
	}
	o.log.LogAttrs(context.Background(), level, what, attributes...)
}

// expire gives up on recipients for whom it was tried for long enough. It
// reports whether there were any.
func (m *sending) expire(now time.Time) (expired bool) {
	rec := m.record
	if len(m.step.Dot) > 0 || m.step.Cancelled || now.Before(rec.Expires) {
		return false
	}
	reply := "it could not be sent in " + rec.Expires.Sub(rec.Received).Round(time.Minute).String()
	if m.step.Last != "" {
		reply += ", in the end because: " + m.step.Last
	}
	for _, i := range rec.waiting() {
		m.step.learn(i, told{Failed, reply})
		expired = true
	}
	if expired {
		m.step.Last = reply
		m.step.apply(rec)
	}
	return expired
}

// wasSent tells whether a recipient got the message.
func (m *sending) wasSent() bool {
	for _, to := range m.record.To {
		if to.Outcome == Sent {
			return true
		}
	}
	return false
}

// writeSent writes the octets that were sent.
func (o *Outbox) writeSent(w io.Writer, m *sending) error {
	f, err := os.OpenFile(o.spool.path(Active, m.id, messageName), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	h, body, err := ReadHeader(f)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, io.MultiReader(bytes.NewReader(h.rewritten(m.record.Add)), body))
	return err
}

// named returns the account of a name, or nil: it may have been taken out of
// the configuration since.
func (r Rules) named(name string) *Account {
	for i := range r.Accounts {
		if r.Accounts[i].Name == name {
			return &r.Accounts[i]
		}
	}
	return nil
}

// setCorrupt puts an item aside that is not what it was. One of which nothing is
// left was being removed.
func (o *Outbox) setCorrupt(state State, id string, cause error) error {
	if err := os.Remove(o.spool.path(state, id)); err == nil || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	o.log.Error("a message in the spool is damaged; it is kept in corrupt", "queue_id", id, "err", cause)
	if err := o.spool.move(id, state, Corrupt); err != nil {
		return err
	}
	return o.spool.sync(Corrupt, state)
}
