package smtp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
)

// pieceSize is how much of a message is in memory, on either side of text.
const pieceSize = 32 << 10

// Send sends messages until the queue has none. Every message that it was given
// has had its Done when it returns, also when it returns an error: that of the
// session, which has ended, and never a permanent one. A message that is refused,
// or found unfit before it is begun, is no such error.
func (c *Client) Send(ctx context.Context, q Queue) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := c.hello(true); err != nil {
		return err
	}
	t, err := c.next(ctx, q)
	for t != nil && err == nil {
		if t.sent == 0 {
			t.reset, c.dirty = c.dirty, false
		}
		var ahead *transaction
		if ahead, err = c.transact(ctx, q, t); err != nil {
			break
		}
		if t = ahead; t == nil {
			t, err = c.next(ctx, q)
		}
	}
	if err != nil {
		return sessionError{err}
	}
	return nil
}

// next asks the queue until it has a message that can be sent, or none. An
// error is that of its Done, and has ended the session.
func (c *Client) next(ctx context.Context, q Queue) (*transaction, error) {
	for m := q.Next(ctx); m != nil; m = q.Next(ctx) {
		t, unfit := c.begin(m)
		if unfit == nil {
			return t, nil
		}
		if err := q.Done(m, t.failed(Unsent, unfit)); err != nil {
			return nil, c.fail(err)
		}
	}
	return nil, nil
}

// transact sends a message, tells its outcome, and returns the next one if its
// commands are on the line already. An error has ended the session.
func (c *Client) transact(ctx context.Context, q Queue, t *transaction) (ahead *transaction, err error) {
	var o Outcome
	switch err = c.envelope(t); {
	case err != nil:
		o = t.failed(Unsent, sessionError{err})
	case !t.invited:
		c.dirty = t.open
		o = t.refusal()
	case t.accepted == 0:
		ahead, o, err = c.withdraw(ctx, q, t)
	default:
		ahead, o, err = c.message(ctx, q, t)
	}
	if told := q.Done(t.mail, o); told != nil && err == nil {
		err = c.fail(told)
	}
	if err != nil && ahead != nil {
		if told := q.Done(ahead.mail, ahead.failed(Unsent, sessionError{err})); told != nil {
			err = errors.Join(err, told)
		}
		ahead = nil
	}
	return ahead, err
}

// message sends the text and the final dot to a server that awaits them.
func (c *Client) message(ctx context.Context, q Queue, t *transaction) (ahead *transaction, o Outcome, err error) {
	if err = c.stream(t.mail); err != nil {
		return nil, t.failed(Unsent, c.blame(err)), err
	}
	if ahead, err = c.peek(ctx, q); err != nil {
		return nil, t.failed(Unsent, sessionError{err}), err
	}
	if err = ctx.Err(); err != nil {
		err = c.fail(&ConnError{Doing: sending(dot), Err: err})
	} else if err = q.Dot(ctx, t.mail, t.to); err != nil {
		c.fail(err)
	} else if c.line.gone() {
		// What is written to a dead line is accepted by nobody, and would leave the message uncertain.
		err = c.fail(&ConnError{Doing: sending(dot), Err: io.ErrUnexpectedEOF})
	}
	if err != nil {
		return ahead, t.failed(Unsent, sessionError{err}), err
	}
	r, given, err := c.dot(ahead)
	var refusal *ReplyError
	switch {
	case err == nil && r.success():
		o = Outcome{Fate: Sent, Reply: r.keep(), To: t.to}
	case err == nil && r.refusal():
		o = t.failed(Unsent, refused(dot, r))
	case err == nil:
		err = c.odd(dot, r)
		o = t.failed(Uncertain, sessionError{err})
	case errors.As(err, &refusal), !given:
		o = t.failed(Unsent, c.blame(err))
	default:
		o = t.failed(Uncertain, sessionError{err})
	}
	if err == nil {
		err = c.failed // the commands behind the dot did not get through
	}
	return ahead, o, err
}

// blame leaves a refusal of the message what it is, although it ended the
// session, and so what is wrong with the text.
func (c *Client) blame(err error) error {
	var refusal *ReplyError
	var unfit *MailError
	if errors.As(err, &refusal) && refusal.Command == dot || errors.As(err, &unfit) {
		return err
	}
	return sessionError{err}
}

// withdraw ends a message that nobody would get, but for which the server has
// invited the text: with the dot alone (RFC 2920 section 3.1).
func (c *Client) withdraw(ctx context.Context, q Queue, t *transaction) (ahead *transaction, o Outcome, err error) {
	if ahead, err = c.peek(ctx, q); err == nil {
		if _, _, err = c.dot(ahead); err == nil {
			err = c.failed
		}
	}
	return ahead, t.refusal(), err
}

// peek returns the next message if its commands may go behind the dot.
func (c *Client) peek(ctx context.Context, q Queue) (*transaction, error) {
	if !c.pipelining() {
		return nil, nil
	}
	return c.next(ctx, q)
}

// stream sends the text of a message, all of it. An error has ended the session,
// since nothing but the end of the connection takes back what was sent.
func (c *Client) stream(m *Mail) error {
	if err := c.quiet(dot); err != nil {
		return err
	}
	if c.text == nil {
		c.text, c.piece = bufio.NewWriterSize(nil, pieceSize), make([]byte, pieceSize)
	}
	w := lineWriter{line: c.line}
	c.text.Reset(&w)
	t := text{out: c.text}
	var err error
	if m.Text != nil {
		// Without the reader's other methods, which would bring their own buffer.
		_, err = io.CopyBuffer(&t, struct{ io.Reader }{m.Text}, c.piece)
	}
	if err == nil {
		err = t.finish()
	}
	if err == nil && m.Size > 0 && t.octets != m.Size {
		err = fmt.Errorf("it has %d octets, and %d were announced", t.octets, m.Size)
	}
	if err == nil {
		err = c.text.Flush()
	}
	var unfit *MailError
	switch {
	case w.err != nil:
		err = c.lastWords(dot, c.line.failure(sending(dot), w.err), 0, reply.refusal)
	case err != nil && !errors.As(err, &unfit):
		err = fmt.Errorf("read message: %w", err)
	}
	if err != nil {
		return c.fail(err)
	}
	return nil
}

// lineWriter remembers whether it was the line that failed.
type lineWriter struct {
	line *line
	err  error
}

func (w *lineWriter) Write(p []byte) (int, error) {
	n, err := w.line.write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

// dot sends the final dot, behind it the commands of the next message, and
// returns the reply to the dot. Given reports whether the connection has taken
// any of it: if not, the server will not see a dot. What went wrong behind the
// dot is not an error of this call, but has ended the session.
func (c *Client) dot(ahead *transaction) (r reply, given bool, err error) {
	out := append(c.command[:0], ".\r\n"...)
	if ahead != nil {
		out = c.fill(out, ahead, c.window()-1)
	}
	c.command = out[:0]
	n, err := c.line.write(out)
	if err == nil {
		r, err = c.reply(dot, c.options.DotTimeout)
		return r, true, err
	}
	err = c.line.failure(sending(dot), err)
	if c.line.cancelled.Load() {
		return reply{}, n > 0, c.fail(err)
	}
	// The server may have answered all the same before it went.
	r, none := c.readReply(dot, parting, nil)
	c.fail(err)
	if none != nil || n == 0 && !r.refusal() {
		return reply{}, n > 0, err
	}
	return r, n > 0, nil
}
