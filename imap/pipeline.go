package imap

import (
	"sync"
	"time"
)

// maxFlight bounds the commands that are unanswered.
const maxFlight = 32

// batch is many commands of one kind, that may be answered in any order.
type batch struct {
	verb string
	next func() *command           // the next one, nil after the last
	low  func(unanswered int) bool // whether to send another; nil: while there are few
	take taker
	done func(i int, r reply) error // command i has been answered
}

// sent is a command that is unanswered.
type sent struct {
	tag string
	i   int
}

// pipeline sends the commands of a batch and reads their answers.
func (c *Client) pipeline(b batch) error {
	if b.low == nil {
		b.low = func(unanswered int) bool { return unanswered < maxFlight }
	}
	s := newSender(c.line)
	f := flight{batch: b, client: c, send: s.send}
	err := f.fly()
	if unsent := s.stop(); err == nil && unsent != nil {
		err = c.fail(c.line.failure("send "+b.verb, unsent))
	}
	return err
}

// flight is what of a batch is under way.
type flight struct {
	batch
	client     *Client
	send       func([]byte) error
	unanswered []sent
	waiting    *command // has to wait until the line is quiet
	count      int      // of commands, those that wait included
	over       bool     // there are no more
}

// fly sends and reads, until all is answered or the session has failed.
func (f *flight) fly() error {
	for {
		if err := f.fill(); err != nil {
			return err
		}
		if len(f.unanswered) == 0 {
			return nil
		}
		r, err := f.client.next(f.verb, f.take)
		if err != nil {
			return err
		}
		if r.kind == continuation {
			continue
		}
		if err := f.answered(r); err != nil {
			return err
		}
	}
}

// fill sends commands while there is room.
func (f *flight) fill() error {
	for !f.over && len(f.unanswered) < maxFlight && (len(f.unanswered) == 0 || f.low(len(f.unanswered))) {
		m := f.waiting
		if f.waiting = nil; m == nil {
			if m = f.next(); m == nil {
				f.over = true
				return nil
			}
			f.count++
		}
		if len(m.waits) > 0 && len(f.unanswered) > 0 {
			f.waiting = m
			return nil
		}
		tag, refused, err := f.client.transmit(m, f.take, f.send)
		if err != nil {
			return err
		}
		f.unanswered = append(f.unanswered, sent{tag, f.count - 1})
		if refused != nil {
			if err := f.answered(*refused); err != nil {
				return err
			}
		}
	}
	return nil
}

// answered assigns an answer to its command.
func (f *flight) answered(r response) error {
	for k, s := range f.unanswered {
		if s.tag != r.tag {
			continue
		}
		f.unanswered = append(f.unanswered[:k], f.unanswered[k+1:]...)
		if err := f.done(s.i, r.reply); err != nil {
			return f.client.fail(err)
		}
		return nil
	}
	return f.client.stray(f.verb, r.tag)
}

// sender writes commands from a goroutine of its own, so that reading never
// waits for writing: a server that is itself waiting for us to read takes no
// commands meanwhile. It writes without a deadline, since a server may be busy
// sending; the reader's deadline watches over both.
type sender struct {
	line *line
	wake chan struct{} // there is something to write
	done chan struct{}
	err  error // of writing; run's until done

	mu      sync.Mutex
	pending []byte // at most a flight of commands
}

func newSender(l *line) *sender {
	s := &sender{line: l, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go s.run()
	return s
}

func (s *sender) send(p []byte) error {
	s.mu.Lock()
	s.pending = append(s.pending, p...)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// run writes until stop. A failure to write does not stop the reader, which has
// answers to read that are still under way; those that never come will.
func (s *sender) run() {
	defer close(s.done)
	var writing []byte
	s.err = s.line.arm(s.line.raw.SetWriteDeadline, time.Time{})
	for range s.wake {
		s.mu.Lock()
		writing, s.pending = s.pending, writing[:0]
		s.mu.Unlock()
		if s.err == nil && len(writing) > 0 {
			s.err = s.line.put(writing)
		}
	}
}

// stop waits for the goroutine and returns what went wrong. When all is
// answered there is nothing left to write, and when the line has been cut
// writing fails; the deadline is for a server that answered what it has not read.
func (s *sender) stop() error {
	close(s.wake)
	s.line.arm(s.line.raw.SetWriteDeadline, time.Now().Add(s.line.timeout))
	<-s.done
	return s.err
}
