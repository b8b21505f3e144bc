package smtp

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

// maxLine bounds a line of a reply. It is the size of the read buffer. RFC 4954
// section 4 allows challenges of 12,288 octets, and nothing else is as long.
const maxLine = 16 << 10

// parting bounds a farewell, and the search for the reason of a failure.
const parting = time.Second

var errLineTooLong = errors.New("line longer than 16 KiB")

// line is the connection with its deadlines: no read or write on it waits
// longer than it may, nor longer than the context of the call.
type line struct {
	raw     net.Conn // what is cut; never changes, so that cutting needs no lock
	conn    net.Conn // what is read and written: raw, or TLS over it
	in      *bufio.Reader
	timeout time.Duration

	patience time.Duration // of the read or write under way
	until    time.Time     // when reading gives up

	ctx       context.Context // of the call under way
	cancelled atomic.Bool     // ctx is done: set before the deadlines move to the past
}

func newLine(conn net.Conn, timeout time.Duration) *line {
	l := &line{raw: conn, conn: conn, timeout: timeout, patience: timeout, ctx: context.Background()}
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

// wait begins the time in which a reply has to come, all of it: a server that
// sends an octet now and then does not stretch it.
func (l *line) wait(patience time.Duration) {
	l.patience, l.until = patience, time.Now().Add(patience)
}

// deadlineReader reads the line until wait's time is over.
type deadlineReader struct{ *line }

// Read sets the deadline for writing too, since TLS may have to answer the
// server's change of keys with one of its own.
func (r deadlineReader) Read(p []byte) (int, error) {
	if err := r.arm(r.raw.SetDeadline, r.until); err != nil {
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

// write returns how many octets the connection took.
func (l *line) write(p []byte) (int, error) {
	l.patience = l.timeout
	if err := l.arm(l.raw.SetWriteDeadline, time.Now().Add(l.timeout)); err != nil {
		return 0, err
	}
	return l.conn.Write(p)
}

// read returns the next line without its end, valid until the next read. Some
// servers end their lines in a bare LF.
func (l *line) read() ([]byte, error) {
	b, err := l.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, errLineTooLong
	}
	if err != nil {
		return nil, err
	}
	b = b[:len(b)-1]
	if n := len(b) - 1; n >= 0 && b[n] == '\r' {
		b = b[:n]
	}
	return b, nil
}

// failure says what went wrong on the line while doing something.
func (l *line) failure(doing string, err error) error {
	switch {
	case l.cancelled.Load():
		return &ConnError{Doing: doing, Err: l.ctx.Err()}
	case errors.Is(err, errLineTooLong):
		return &ProtocolError{Doing: doing, Detail: err.Error()}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &ConnError{Doing: doing, Err: err, waited: l.patience}
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
