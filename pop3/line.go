package pop3

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// maxLine bounds a line that is held in memory. It is the size of the read
// buffer, and so all that a connection holds.
const maxLine = 64 << 10

// parting bounds a farewell.
const parting = time.Second

var errLineTooLong = errors.New("line longer than 64 KiB")

// line is the connection with its deadlines: no read or write on it waits
// longer than the timeout, nor longer than the context of the call.
type line struct {
	raw     net.Conn // what is cut; never changes, so that cutting needs no lock
	conn    net.Conn // what is read and written: raw, or TLS over it
	in      *bufio.Reader
	timeout time.Duration

	ctx       context.Context // of the call under way
	cancelled atomic.Bool     // ctx is done: set before the deadlines move to the past
}

func newLine(conn net.Conn, timeout time.Duration) *line {
	l := &line{raw: conn, conn: conn, timeout: timeout, ctx: context.Background()}
	if t, ok := conn.(*tls.Conn); ok {
		// Closing a tls.Conn waits up to 5 s for the peer to take the alert.
		l.raw = t.NetConn()
	}
	l.in = bufio.NewReaderSize(deadlineReader{l}, maxLine)
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
	if err := r.arm(r.raw.SetReadDeadline, time.Now().Add(r.timeout)); err != nil {
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

func (l *line) write(p []byte) error {
	if err := l.arm(l.raw.SetWriteDeadline, time.Now().Add(l.timeout)); err != nil {
		return err
	}
	_, err := l.conn.Write(p)
	return err
}

// read returns the next line without its end, valid until the next read, and
// whether the end was a bare LF. Some Unix servers end their lines so.
func (l *line) read() (b []byte, bare bool, err error) {
	b, err = l.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, false, errLineTooLong
	}
	if err != nil {
		return nil, false, err
	}
	b = b[:len(b)-1]
	if n := len(b) - 1; n >= 0 && b[n] == '\r' {
		return b[:n], false, nil
	}
	return b, true, nil
}

// failure says what went wrong on the line while doing something.
func (l *line) failure(doing string, err error) error {
	switch {
	case l.cancelled.Load():
		return &ConnError{Doing: doing, Err: l.ctx.Err()}
	case errors.Is(err, errLineTooLong):
		return &ProtocolError{Doing: doing, Detail: err.Error()}
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
