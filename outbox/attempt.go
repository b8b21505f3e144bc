package outbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// together is how many messages are sent before their items are settled.
const together = 64

// fruitless is how many sessions in a row may end before a message was decided
// on, until the account is left alone for a while.
const fruitless = 3

// sending is one message on its way.
type sending struct {
	id      string
	record  *Record
	step    *step
	changed bool  // the step is not in the ledger yet
	to      []int // the recipients that it is for
	file    *os.File
	hash    hash.Hash
	read    counter
	mail    *Mail
	result  *Result // nil until it is known
}

// run sends messages of one account over one session after the other. It is
// their Queue.
type run struct {
	outbox  *Outbox
	waiting []*sending
	given   map[*Mail]*sending // that have no Done yet
	taken   int                // since the last finish
	done    []*sending         // not in the ledger yet
	settle  []*sending         // in the ledger
	corrupt []*sending         // damaged, or not to be read
	unread  []*sending
	decided int   // messages of which it is known what becomes of them, since the session began
	err     error // of this side
}

// prepare loads an item and opens its message.
func (o *Outbox) prepare(id string, s *step) (*sending, error) {
	r, err := o.spool.read(Active, id)
	if err != nil {
		return nil, err
	}
	s.apply(r)
	f, err := os.OpenFile(o.spool.path(Active, id, messageName), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &CorruptError{id, errors.New("it has no message")}
	}
	if err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	st, err := f.Stat()
	if err == nil && st.Size() != r.Octets {
		err = &CorruptError{id, fmt.Errorf("it has %d octets and had %d", st.Size(), r.Octets)}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	m := &sending{id: id, record: r, step: s, to: r.waiting(), file: f, hash: sha256.New()}
	h, body, err := ReadHeader(io.TeeReader(f, io.MultiWriter(m.hash, &m.read)))
	if err != nil {
		f.Close()
		var refusal *Refusal
		if errors.As(err, &refusal) {
			err = &CorruptError{id, err}
		}
		return nil, err
	}
	m.mail = &Mail{
		From: r.From, Size: r.Wire, EightBit: r.Eight, UTF8: r.UTF8, Return: r.Return, EnvelopeID: r.EnvID,
		Text: io.MultiReader(bytes.NewReader(h.rewritten(r.Add)), body),
	}
	for _, i := range m.to {
		m.mail.To = append(m.mail.To, r.To[i])
	}
	return m, nil
}

// intact tells whether the octets of the message, all of which must have been
// read, are those that were queued.
func (m *sending) intact() bool { return [32]byte(m.hash.Sum(nil)) == m.record.Sum }

// Next implements Queue. A message that cannot be read is left for another time:
// it holds up no other.
func (q *run) Next(ctx context.Context) *Mail {
	for len(q.waiting) > 0 && q.taken < together && q.err == nil && ctx.Err() == nil {
		w := q.waiting[0]
		q.waiting = q.waiting[1:]
		m, err := q.outbox.prepare(w.id, w.step)
		if err != nil {
			w.result = &Result{Err: err}
			q.corrupt = append(q.corrupt, w)
			continue
		}
		q.taken++
		q.given[m.mail] = m
		return m.mail
	}
	return nil
}

// Dot implements Queue: that the server may have the message from now on is
// made durable, in one commit with what became of the one before.
func (q *run) Dot(_ context.Context, mail *Mail, to []error) error {
	m := q.given[mail]
	if !m.intact() {
		return &CorruptError{m.id, errors.New("its octets have changed")}
	}
	m.step.Dot = nil
	for k, err := range to {
		if err == nil {
			m.step.Dot = append(m.step.Dot, m.to[k])
		}
	}
	return q.commit(m)
}

// commit writes what became of messages, and the step of one that is on its way.
func (q *run) commit(also ...*sending) error {
	done := q.done
	if err := q.outbox.saveSteps(append(also, done...)); err != nil {
		q.err = err
		return err
	}
	q.done = nil
	q.settle = append(q.settle, done...)
	return nil
}

// Done implements Queue.
func (q *run) Done(mail *Mail, r Result) error {
	m := q.given[mail]
	delete(q.given, mail)
	m.file.Close()
	m.mail = nil // with its header
	m.result = &r
	if r.Fate == Unsent && m.read.n == m.record.Octets && !m.intact() {
		m.result = &Result{Err: &CorruptError{m.id, errors.New("its octets have changed")}}
		q.corrupt = append(q.corrupt, m)
		q.decided++
		return nil
	}
	before := len(m.step.Told)
	m.learn(r, q.outbox.resend)
	q.decided += boolean(len(m.step.Told) > before)
	q.done = append(q.done, m)
	return q.err
}

// learn notes the outcome of each recipient in the step.
func (m *sending) learn(r Result, resend bool) {
	s := m.step
	var refused, put error // for good, and for now
	for k, i := range m.to {
		err := r.Err
		if k < len(r.To) {
			err = r.To[k]
		}
		switch {
		case r.Fate == Unknown && slices.Contains(s.Dot, i):
		case r.Fate == Accepted && err == nil:
			s.learn(i, told{Sent, r.Reply})
		case isPermanent(err):
			s.learn(i, told{Failed, err.Error()})
			refused = err
		default:
			put = err
		}
	}
	for _, err := range []error{refused, put} {
		if err != nil {
			s.Last = err.Error()
		}
	}
	if r.Err != nil && (r.Fate == Unknown || refused == nil && put == nil) {
		s.Last = r.Err.Error()
	}
	if r.Fate != Unknown || resend {
		s.Dot = nil
	}
}

// isPermanent tells whether trying again is of no use.
func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// isLogin tells whether the server refused the login.
func isLogin(err error) bool {
	var l interface{ LoginRefused() bool }
	return errors.As(err, &l) && l.LoginRefused()
}

// Report is what became of the due messages of one account.
type Report struct {
	Account   string
	Sent      int // messages that are done with
	Deferred  int
	Failed    int
	Partly    int // of those that are sent: not to all recipients
	Uncertain int
	Waiting   int   // due, and not tried: the account is paused or the line broke
	Err       error // why the account cannot send now
}

// add adds the numbers of another report.
func (r *Report) add(o Report) {
	r.Sent += o.Sent
	r.Deferred += o.Deferred
	r.Failed += o.Failed
	r.Partly += o.Partly
	r.Uncertain += o.Uncertain
	r.Waiting += o.Waiting
}

// Attempt tries to send the given items of an account, which are Active. Should
// a session end with messages left, another one goes on with them as long as
// sessions get anywhere: some servers take only so many messages in one.
func (o *Outbox) Attempt(ctx context.Context, account string, ids []string, steps map[string]*step, dial Dialer) (r Report) {
	r.Account = account
	q := &run{outbox: o, given: map[*Mail]*sending{}}
	now := time.Now()
	for _, id := range ids {
		s := steps[id]
		if s == nil {
			s = &step{}
		}
		s.Attempts++
		s.Doubted = false
		s.Next = now.Add(delay(s.Attempts))
		q.waiting = append(q.waiting, &sending{id: id, step: s})
	}
	// Should each attempt end in a crash, the server is not tried without end.
	if r.Err = o.saveSteps(q.waiting); r.Err != nil {
		return r
	}
	var line error
	for tries := 0; len(q.waiting) > 0 && tries < fruitless && q.err == nil && ctx.Err() == nil; {
		session, err := dial(ctx, account)
		if line = err; err != nil {
			break
		}
		q.err = o.endPause(account, true)
		q.decided = 0
		if q.err == nil {
			line = o.serve(ctx, q, session, &r)
		}
		session.Close()
		if tries++; q.err == nil && (q.decided > 0 || line == nil) {
			tries, q.err = 0, o.endPause(account, false)
		}
		if line != nil && isLogin(line) {
			break
		}
	}
	return o.leave(ctx, account, q, line, r)
}

// serve sends messages over one session. Its error is that of the session.
func (o *Outbox) serve(ctx context.Context, q *run, session Session, r *Report) error {
	for len(q.waiting) > 0 && ctx.Err() == nil {
		before := len(q.waiting)
		err := session.Send(ctx, q)
		q.err = errors.Join(q.err, o.finish(q, r))
		if err != nil || q.err != nil {
			return err
		}
		if len(q.waiting) == before {
			break
		}
	}
	return nil
}

// finish writes what is not in the ledger yet, and settles the items.
func (o *Outbox) finish(q *run, r *Report) error {
	if len(q.done) > 0 {
		if err := q.commit(); err != nil {
			return err
		}
	}
	settle, unfit := q.settle, q.corrupt
	q.settle, q.corrupt, q.taken = nil, nil, 0
	var errs []error
	for _, m := range unfit {
		var corrupt *CorruptError
		if !errors.As(m.result.Err, &corrupt) {
			errs = append(errs, fmt.Errorf("message %s: %w", m.id, m.result.Err))
			q.unread = append(q.unread, m)
			continue
		}
		r.Failed++
		if err := o.setCorrupt(Active, m.id, m.result.Err); err != nil {
			errs = append(errs, err)
		}
	}
	r.Err = errors.Join(append(errs, r.Err, o.settleAll(settle, r))...)
	return o.root.Ledger.Err()
}

// leave gives the attempt of messages back that were not tried, and puts them
// off if the account cannot send now; not if it is this side that ends.
func (o *Outbox) leave(ctx context.Context, account string, q *run, line error, r Report) Report {
	r.Err = errors.Join(q.err, r.Err)
	left := append(q.waiting, q.unread...)
	if len(left) == 0 {
		return r
	}
	r.Waiting += len(left)
	for _, m := range left {
		m.step.Attempts-- // nothing was sent
		m.step.Next = time.Time{}
		if line != nil && ctx.Err() == nil {
			m.step.Last = line.Error()
		}
	}
	if err := o.saveSteps(left); err != nil {
		r.Err = errors.Join(r.Err, err)
		return r
	}
	switch {
	case ctx.Err() != nil:
		r.Err = errors.Join(r.Err, ctx.Err())
		return r
	case line == nil || len(q.waiting) == 0:
		return r
	case isLogin(line):
		r.Err = errors.Join(r.Err, line, o.pauseAccount(account, line, len(q.waiting)))
	default:
		r.Err = errors.Join(r.Err, line, o.delayAccount(account, line, q.waiting))
	}
	return r
}
