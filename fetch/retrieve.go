package fetch

import (
	"context"
	"errors"
	"io"
	"time"

	"postrider/ledger"
	"postrider/maildir"
)

// item is a message on its way from the server to the folder.
type item struct {
	*want
	file   *maildir.File
	unique string
	got    int64 // octets that arrived
	large  bool  // more than the account allows: the rest is thrown away
	err    error // why it was not fetched; then there is no file
}

// receiver puts what arrives into files in tmp/ and hands finished ones to the
// delivery. It runs on the goroutine of the session.
type receiver struct {
	line     *Line
	ctx      context.Context
	plan     *plan
	delivery *delivery
	now      *item // between Begin and End
	ended    []bool
	next     int  // index of the first message of which the end was not seen
	torn     int  // one more than the index of the message that broke off; 0: none has
	failed   bool // Begin has
}

func newReceiver(ctx context.Context, l *Line, p *plan, d *delivery) *receiver {
	return &receiver{line: l, ctx: ctx, plan: p, delivery: d, ended: make([]bool, len(p.want))}
}

// retrieve streams the wanted messages and returns when all that arrived whole
// is delivered, also after an error.
func (l *Line) retrieve(ctx context.Context, src Source, p *plan, total *Result) error {
	if len(p.want) == 0 {
		return nil
	}
	requests := make([]Request, len(p.want))
	for i := range p.want {
		requests[i] = p.want[i].Request
	}
	r := newReceiver(ctx, l, p, l.startDelivery(p, total))
	err := src.Retrieve(ctx, requests, r)
	if r.now != nil {
		r.drop(r.now)
	}
	local := r.delivery.finish()
	for i, ended := range r.ended {
		if !ended {
			p.leave(p.want[i].Octets)
		}
	}
	var broken *LocalError
	switch {
	case local != nil:
		return &LocalError{local}
	case errors.As(err, &broken):
		return err
	case err != nil && ctx.Err() == nil && r.at() < len(p.want):
		return &brokenError{err, &p.want[r.at()]}
	}
	return err
}

// at returns the index of the message at which the session was.
func (r *receiver) at() int {
	if r.torn > 0 {
		return r.torn - 1
	}
	return r.next
}

// pass notes that the end of a message was seen.
func (r *receiver) pass(i int) {
	r.ended[i] = true
	for r.next < len(r.ended) && r.ended[r.next] {
		r.next++
	}
}

// Begin implements Receiver.
func (r *receiver) Begin(i int) (io.Writer, error) {
	w := &want{}
	if i >= 0 {
		w = &r.plan.want[i]
	}
	if err := r.begin(w); err != nil {
		r.failed = true
		return nil, err
	}
	return r, nil
}

func (r *receiver) begin(w *want) error {
	select {
	case r.line.shared.Slots <- struct{}{}:
	case <-r.ctx.Done():
		return r.ctx.Err()
	case <-r.delivery.stopped:
		return &LocalError{errors.New("delivery has stopped")}
	}
	it := &item{want: w, unique: r.line.shared.Names.Unique(time.Now())}
	file, err := r.line.folder.Create(maildir.Temporary(it.unique, w.key))
	if err != nil {
		<-r.line.shared.Slots
		return &LocalError{err}
	}
	it.file = file
	r.now = it
	return nil
}

// Write implements io.Writer for the message that is arriving.
func (r *receiver) Write(p []byte) (int, error) {
	it := r.now
	it.got += int64(len(p))
	r.line.progress.Octets(int64(len(p)))
	if max := r.line.job.MaxSize; max > 0 && it.got > max {
		it.large = true
	}
	if it.large {
		return len(p), nil
	}
	if _, err := it.file.Write(p); err != nil {
		return 0, &LocalError{err}
	}
	return len(p), nil
}

// End implements Receiver.
func (r *receiver) End(i int, err error) error {
	it := r.now
	r.now = nil
	if i < 0 || r.ended[i] {
		if it != nil {
			r.drop(it)
		}
		return nil
	}
	w := &r.plan.want[i]
	if it != nil {
		it.want = w
	}
	switch {
	case err == nil && it == nil:
		err = ErrEmpty
	case err == nil && it.large:
		err, w.tooLarge = ErrTooLarge, true
	case err == nil && it.got == 0 && w.Octets != 0:
		err = ErrEmpty
	}
	if err != nil && it != nil {
		r.drop(it)
		switch {
		case errors.Is(err, ErrEmpty) && r.line.job.Numbered:
		case errors.Is(err, ErrEmpty):
			// Some POP3 servers end a message at its first line if that is a lone dot, and send the rest
			// of it after the end. What follows can then not be assigned to any message.
			r.torn = i + 1
			return err
		case !it.large:
			r.torn = i + 1
			return nil // it broke off in the middle: Retrieve is going to say so
		}
	}
	if r.failed {
		r.torn = i + 1
		return nil // it is the error of Begin, and Retrieve is going to say so
	}
	r.pass(i)
	if err != nil {
		r.delivery.add(&item{want: w, err: err})
		return nil
	}
	if err := it.file.Finish(); err != nil {
		r.drop(it)
		return &LocalError{err}
	}
	r.delivery.add(it)
	return nil
}

func (r *receiver) drop(it *item) {
	it.discard(r.line)
	r.now = nil
}

// discard removes the file of a message that is not delivered.
func (it *item) discard(l *Line) {
	if it.file == nil {
		return
	}
	if err := it.file.Abort(); err != nil {
		l.littered.Store(true)
		l.log.Warn("unfinished message stays in tmp/", "name", it.file.Tmp, "err", err)
	}
	<-l.shared.Slots
}

func digest(f *maildir.File) ledger.Digest {
	sum := f.Sum()
	return ledger.Digest(sum[:16])
}
