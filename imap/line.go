package imap

import (
	"bufio"
	"compress/flate"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// bufferSize is that of the read buffer. Message text is passed on in pieces of
// this size at most.
const bufferSize = 64 << 10

// parting bounds a farewell.
const parting = time.Second

// line is the connection with its deadlines: no read or write on it waits
// longer than the timeout, nor longer than the context of the call.
type line struct {
	raw     net.Conn // what is cut; never changes, so that cutting needs no lock
	conn    net.Conn // what is read and written: raw, or TLS over it
	in      *bufio.Reader
	timeout time.Duration
	packed  *packing // after COMPRESS

	ctx       context.Context // of the call under way
	cancelled atomic.Bool     // ctx is done: set before the deadlines move to the past
	until     time.Time       // while awaiting: the deadline instead of the timeout
}

func newLine(conn net.Conn, timeout time.Duration) *line {
	l := &line{raw: conn, conn: conn, timeout: timeout, ctx: context.Background()}
	if t, ok := conn.(*tls.Conn); ok {
		// Closing a tls.Conn waits up to 5 s for the peer to take the alert.
		l.raw = t.NetConn()
	}
	l.in = bufio.NewReaderSize(deadlineReader{l}, bufferSize)
	return l
}

func isTLS(conn net.Conn) bool {
	_, ok := conn.(*tls.Conn)
	return ok
}

// watch makes the end of ctx end any read or write on the line, until unwatch
// is called, which waits for what it started.
func (l *line) watch(ctx context.Context) (unwatch func()) {
	l.ctx = ctx
	l.cancelled.Store(false)
	if ctx.Done() == nil {
		return func() {}
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		l.cancelled.Store(true)
		l.raw.SetDeadline(past())
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}

// deadlineReader reads the line with a new deadline for each read.
type deadlineReader struct{ *line }

func (r deadlineReader) Read(p []byte) (int, error) {
	deadline := r.until
	if deadline.IsZero() {
		deadline = time.Now().Add(r.timeout)
	}
	if err := r.arm(r.raw.SetReadDeadline, deadline); err != nil {
		return 0, err
	}
	return r.conn.Read(p)
}

// arm sets a deadline. If the context ended meanwhile, its deadline in the past
// may just have been overwritten; but the flag was set before that one was.
func (l *line) arm(set func(time.Time) error, t time.Time) error {
	if err := set(t); err != nil {
		return err
	}
	if l.cancelled.Load() {
		set(past())
		return l.ctx.Err()
	}
	return nil
}

func past() time.Time { return time.Unix(1, 0) }

// await waits until there is something to read, the time has come or ctx has
// ended, and says whether it is the first. Nothing is lost or half read
// when it is not, so that the session can go on.
func (l *line) await(ctx context.Context, until time.Time) (ready bool, err error) {
	source := l.in
	if l.in.Buffered() > 0 {
		return true, nil
	}
	if l.packed != nil {
		// The inflater does not survive an error of what it reads from. So it is the
		// packed octets that are awaited, unless it has more at hand.
		if l.packed.more {
			return true, nil
		}
		source = l.packed.in
	}
	unwatch := l.watch(ctx)
	l.until = until
	_, err = source.Peek(1)
	unwatch()
	l.until = time.Time{}
	stopped := l.cancelled.Load()
	l.ctx = context.Background()
	l.cancelled.Store(false)
	if err == nil {
		return true, nil
	}
	if stopped || errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	return false, err
}

// write writes all of p within the timeout.
func (l *line) write(p []byte) error {
	if err := l.arm(l.raw.SetWriteDeadline, time.Now().Add(l.timeout)); err != nil {
		return err
	}
	return l.put(p)
}

// put writes without a deadline of its own, and compresses if that was agreed.
func (l *line) put(p []byte) error {
	if l.packed == nil {
		_, err := l.conn.Write(p)
		return err
	}
	return l.packed.write(p)
}

// failure says what went wrong on the line while doing something.
func (l *line) failure(doing string, err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case l.cancelled.Load():
		return &ConnError{Doing: doing, Err: l.ctx.Err()}
	case errors.As(err, &corrupt):
		return &ProtocolError{Doing: doing, Detail: "the compressed stream is damaged"}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &ConnError{Doing: doing, Err: err, silence: l.timeout}
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return &ConnError{Doing: doing, Err: err}
}

func (l *line) cut() { l.raw.Close() }

// hangUp ends the connection in order, after the last octets were written:
// the TLS alert, then a FIN behind all that was sent, so that no reset
// overtakes it.
func (l *line) hangUp() {
	if t, ok := l.conn.(*tls.Conn); ok {
		t.CloseWrite()
	}
	if w, ok := l.raw.(interface{ CloseWrite() error }); ok {
		w.CloseWrite()
	}
	l.cut()
}
