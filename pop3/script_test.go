package pop3

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// dialogue plays a server's part of a transcript on one end of a pipe, in a
// bubble where time is free, while run plays the client's part on the other end.
//
//	S: text         the server sends a line
//	S~ "text\n"     the server sends a Go string as it is
//	C: text         the server expects a line
//	CUT             the server closes the connection
//	STALL           the server does nothing until the client closes it
//
// A client that says something else, or says it before its turn (a C: below an
// S: has not been sent when the S: is), fails the test with both transcripts. At
// the end the client must have closed the connection without another word.
func dialogue(t *testing.T, o Options, transcript string, run func(t *testing.T, c *Client, err error)) {
	t.Helper()
	for _, cut := range []struct {
		name string
		size func() int
	}{
		{"whole", func() int { return 1 << 20 }},
		{"octets", func() int { return 1 }},
		{"pieces", func() int { return 1 + rand.IntN(7) }},
	} {
		t.Run(cut.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				s := &script{conn: far, in: bufio.NewReader(far)}
				done := make(chan struct{})
				go func() { defer close(done); s.play(transcript) }()
				c, err := New(context.Background(), &pieces{Conn: near, size: cut.size}, o)
				run(t, c, err)
				near.Close()
				<-done
				if s.deviation != "" {
					t.Errorf("%s\n--- the transcript so far\n%s--- what it should be\n%s", s.deviation, s.log.String(), transcript)
				}
			})
		})
	}
}

// pieces gives a reader no more than some octets at a time.
type pieces struct {
	net.Conn
	size func() int
}

func (p *pieces) Read(b []byte) (int, error) { return p.Conn.Read(b[:min(len(b), p.size())]) }

// SetReadDeadline leaves it to the next Read to tell that the other end of the
// pipe is closed, as a socket does.
func (p *pieces) SetReadDeadline(at time.Time) error {
	if err := p.Conn.SetReadDeadline(at); !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	return nil
}

type script struct {
	conn      net.Conn
	in        *bufio.Reader
	log       strings.Builder
	deviation string
}

func (s *script) play(transcript string) {
	defer s.conn.Close()
	for step := range strings.Lines(transcript) {
		step = strings.TrimSpace(step)
		if step == "" {
			continue
		}
		if more := s.step(step); !more {
			return
		}
	}
	if extra, _ := io.ReadAll(s.in); len(extra) > 0 {
		fmt.Fprintf(&s.log, "C: %q\n", extra)
		s.deviation = "the client said more"
	}
}

func (s *script) step(step string) (more bool) {
	verb, arg, _ := strings.Cut(step, " ")
	switch verb {
	case "C:":
		line, err := s.in.ReadString('\n')
		if line != "" {
			fmt.Fprintf(&s.log, "C: %s\n", strings.TrimSuffix(line, "\r\n"))
		}
		if err != nil || line != arg+"\r\n" {
			s.deviation = fmt.Sprintf("the client did not say %q (%v)", arg, err)
			return false
		}
	case "S:", "S~":
		if s.in.Buffered() > 0 {
			early, _ := s.in.Peek(s.in.Buffered())
			s.deviation = fmt.Sprintf("the client said %q before its turn", early)
			return false
		}
		text := arg + "\r\n"
		if verb == "S~" {
			var err error
			if text, err = strconv.Unquote(arg); err != nil {
				s.deviation = fmt.Sprintf("bad step %s: %v", step, err)
				return false
			}
		}
		fmt.Fprintf(&s.log, "S: %s\n", strings.TrimSuffix(text, "\r\n"))
		// A client that has hung up is found out at the next C:, if at all.
		io.WriteString(s.conn, text)
	case "CUT":
		return false
	case "STALL":
		if extra, _ := io.ReadAll(s.in); len(extra) > 0 {
			fmt.Fprintf(&s.log, "C: %q\n", extra)
			s.deviation = "the client said more"
		}
		return false
	default:
		s.deviation = "bad step " + step
		return false
	}
	return true
}

// pipelining makes a client believe what an answer to CAPA would have told it.
func pipelining(c *Client) *Client {
	c.pipelining = true
	return c
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}

// refusal asserts a *ReplyError.
func refusal(t *testing.T, err error) *ReplyError {
	t.Helper()
	var e *ReplyError
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want a *ReplyError", err)
	}
	return e
}

// broken asserts an error that ended the session, and that it stays the answer
// to every call.
func broken(t *testing.T, c *Client, err error, is any) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	switch is := is.(type) {
	case **ProtocolError, **ConnError:
		if !errors.As(err, is) {
			t.Fatalf("got error %v (%T), want a %T", err, err, is)
		}
	case error:
		if !errors.Is(err, is) {
			t.Fatalf("got error %v, want %v", err, is)
		}
	}
	if c == nil {
		return
	}
	if again := c.Noop(context.Background()); !errors.Is(err, again) && !errors.Is(again, err) {
		t.Errorf("the next call returned %v, want the first error %v", again, err)
	}
	if again := c.Leave(); again == nil {
		t.Error("Leave on a broken session returned nil")
	}
}

// boxReceiver keeps what it is given.
type boxReceiver struct {
	got    []received
	begin  func(i int) error            // before it begins
	write  func(i int, p []byte) error  // before each write
	end    func(i int, err error) error // at its end
	writes int
}

type received struct {
	i     int
	text  string
	begun bool
	err   error
	ended bool
}

func (b *boxReceiver) Begin(i int) (io.Writer, error) {
	b.got = append(b.got, received{i: i, begun: true})
	if b.begin != nil {
		if err := b.begin(i); err != nil {
			return nil, err
		}
	}
	return writerFunc(func(p []byte) (int, error) {
		b.writes++
		if b.write != nil {
			if err := b.write(i, p); err != nil {
				return 0, err
			}
		}
		b.got[len(b.got)-1].text += string(p)
		return len(p), nil
	}), nil
}

func (b *boxReceiver) End(i int, err error) error {
	if n := len(b.got) - 1; n < 0 || b.got[n].i != i || b.got[n].ended {
		b.got = append(b.got, received{i: i})
	}
	last := &b.got[len(b.got)-1]
	last.err, last.ended = err, true
	if b.end != nil {
		return b.end(i, err)
	}
	return nil
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
