package pop3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// guessed is taken for the size of a message that was not announced.
const guessed = 64 << 10

// Request is a message to retrieve.
type Request struct {
	Number int
	Octets int64 // as announced by Listing; used to bound what is under way
}

// Receiver takes messages as they come. The index is that of the request, and
// they come in the order of the requests, one after the other.
type Receiver interface {
	// Begin is called when the server has agreed to send message i. What it
	// returns gets the message: lines end in CRLF as they came, the dots are
	// unstuffed.
	Begin(i int) (io.Writer, error)
	// End is called once for each message that the server agreed to send or
	// refused: with nil when it is complete, which means that the line with the
	// dot has been seen; with a *ReplyError, and no Begin before it, if the server
	// refused it; otherwise with the error, perhaps of Begin or the writer, that
	// cut it short.
	End(i int, err error) error
}

// Retrieve fetches messages with RETR, many in flight where the server offers
// PIPELINING. A refused message is told to the receiver and does not stop the
// rest. ErrSkip from Begin or the writer throws the rest of that message away.
// Any other error of the receiver ends the session, and so does a message
// over Options.MaxMessage: its error is ErrTooLarge.
//
// Retrieve returns nil when every request has had its End. Messages without
// one were not fetched.
func (c *Client) Retrieve(ctx context.Context, want []Request, r Receiver) error {
	return c.messages(ctx, r, batch{
		verb: "RETR",
		n:    len(want),
		line: func(dst []byte, i int) []byte {
			return appendCommand(dst, "RETR", want[i].Number)
		},
		octets: func(i int) int64 { return want[i].Octets },
		number: func(i int) int { return want[i].Number },
	})
}

// Top fetches the headers of messages and so many lines of their bodies, like
// Retrieve. TOP is optional, and not every server counts the lines right.
func (c *Client) Top(ctx context.Context, numbers []int, lines int, r Receiver) error {
	return c.messages(ctx, r, batch{
		verb: "TOP",
		n:    len(numbers),
		line: func(dst []byte, i int) []byte {
			return appendCommand(dst, "TOP", numbers[i], max(lines, 0))
		},
		octets: func(int) int64 { return -1 },
		number: func(i int) int { return numbers[i] },
	})
}

// appendCommand appends a command with its line end.
func appendCommand(dst []byte, verb string, args ...int) []byte {
	dst = append(dst, verb...)
	for _, n := range args {
		dst = strconv.AppendInt(append(dst, ' '), int64(n), 10)
	}
	return append(dst, '\r', '\n')
}

func (c *Client) messages(ctx context.Context, r Receiver, b batch) error {
	b.answer = func(i int) error { return c.message(b.verb, i, b.number(i), r) }
	return c.pipeline(ctx, b)
}

// message reads one reply with its message.
func (c *Client) message(verb string, i, number int, r Receiver) error {
	_, bare, err := c.replyLine(verb)
	if c.failed != nil {
		return c.failed
	}
	if err != nil {
		if err := r.End(i, err); err != nil && !errors.Is(err, ErrSkip) {
			return c.fail(err)
		}
		return nil
	}
	sink := sink{left: c.options.MaxMessage}
	if sink.w, sink.err = r.Begin(i); sink.err == nil || errors.Is(sink.err, ErrSkip) {
		err = c.body(number, bare, &sink)
	}
	if err == nil {
		err = sink.err
	}
	ended := r.End(i, err)
	if errors.Is(err, ErrTooLarge) {
		err = fmt.Errorf("read message %d: %w", number, err)
	}
	switch {
	case err != nil && !errors.Is(err, ErrSkip):
		return c.fail(err)
	case ended != nil && !errors.Is(ended, ErrSkip):
		return c.fail(ended)
	}
	return nil
}

// body reads a message to its end, in pieces as large as they come. The error
// is that of the line; the sink has its own.
func (c *Client) body(number int, bare bool, s *sink) error {
	in, d := c.line.in, dots{bare: bare}
	for need := 1; ; {
		if _, err := in.Peek(need); err != nil {
			return c.line.failure(fmt.Sprintf("read message %d", number), err)
		}
		b, _ := in.Peek(in.Buffered())
		// The piece is changed in place. That is the reader's own buffer, but the
		// octets changed are those discarded next.
		kept, used, end, err := d.undo(b)
		if !s.write(b[:kept]) {
			return nil
		}
		if err != nil {
			return &ProtocolError{Doing: fmt.Sprintf("read message %d", number), Detail: err.Error()}
		}
		in.Discard(used)
		if end {
			return nil
		}
		need = len(b) - used + 1
	}
}

// sink is where a message goes.
type sink struct {
	w    io.Writer
	left int64 // octets until the message is too large
	err  error // of the receiver, or ErrTooLarge; with ErrSkip the rest is thrown away
}

// write reports whether to go on reading.
func (s *sink) write(p []byte) bool {
	if s.left -= int64(len(p)); s.left < 0 {
		s.err = ErrTooLarge
		return false
	}
	if s.err != nil || len(p) == 0 {
		return true
	}
	n, err := s.w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	s.err = err
	return err == nil || errors.Is(err, ErrSkip)
}
