package pop3

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// batch is many commands of one kind.
type batch struct {
	verb   string
	n      int
	line   func(dst []byte, i int) []byte // appends command i with its CRLF
	octets func(i int) int64              // to be expected in answer, negative if not known
	number func(i int) int                // of the message
	answer func(i int) error              // reads the answer to command i
}

// pipeline sends the commands of a batch and reads their answers. Where the server
// offers PIPELINING (RFC 2449 section 6.6), commands are sent while there is room
// in the window, which is filled up again when half of it has been answered: so
// there is always something under way, and commands go in few packets.
func (c *Client) pipeline(ctx context.Context, b batch) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if b.n == 0 {
		return nil
	}
	if len(c.ahead) > 0 {
		return c.fail(fmt.Errorf("send %s: %w", b.verb, ErrAhead))
	}
	if err := c.quiet(b.verb); err != nil {
		return err
	}
	f := flight{batch: b, window: 1, limit: c.options.WindowOctets}
	if !c.pipelining || b.n == 1 {
		return c.fly(&f, func(p []byte) error { return c.write(b.verb, p) })
	}
	f.window = c.options.Window
	s := newSender(c.line)
	err = c.fly(&f, s.send)
	if unsent := s.stop(); err == nil && unsent != nil {
		err = c.fail(c.line.failure("send "+b.verb, unsent))
	}
	return err
}

// fly sends and reads, until all is answered or the session has failed.
func (c *Client) fly(w *flight, send func([]byte) error) error {
	for done := range w.n {
		if w.low(done) {
			c.command = w.fill(c.command[:0], done)
			if err := send(c.command); err != nil {
				return err
			}
		}
		if err := w.answer(done); err != nil {
			return err
		}
		w.octets -= w.expected(done)
	}
	return nil
}

// flight is what of a batch is under way.
type flight struct {
	batch
	window int
	limit  int64
	sent   int   // commands
	octets int64 // expected in answer to those that are unanswered
}

// low reports that the window should be filled, done commands being answered.
func (f *flight) low(done int) bool {
	return f.sent == done || f.sent-done <= f.window/2 && f.octets <= f.limit/2
}

// fill appends the commands for which there is room, and always one if
// nothing is under way.
func (f *flight) fill(dst []byte, done int) []byte {
	for f.sent < f.n {
		more := f.expected(f.sent)
		if f.sent > done && (f.sent-done >= f.window || f.octets+more > f.limit) {
			break
		}
		dst = f.line(dst, f.sent)
		f.octets += more
		f.sent++
	}
	return dst
}

// expected returns the octets that count for a command. A server may announce
// any size; more than the limit is the same as the limit.
func (f *flight) expected(i int) int64 {
	n := f.batch.octets(i)
	if n < 0 {
		n = guessed
	}
	return min(n, f.limit)
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
	pending []byte // at most a window of commands
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
			_, s.err = s.line.conn.Write(writing)
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
