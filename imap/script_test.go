package imap

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
//	C: T text       the server expects a command; T stands for its tag from here on
//	C+ text         the server expects a line that is no command
//	C~ "text"       the server expects the octets of a Go string
//	S: text         the server sends a line; if its first word is T, with that tag
//	S~ "text\n"     the server sends a Go string as it is, with $T for that tag
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
				s := &script{conn: far, in: bufio.NewReader(far), tags: make(map[string]string)}
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
	tags      map[string]string
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

// expect compares a line of the client's.
func (s *script) expect(verb, arg string) (ok bool) {
	line, err := s.in.ReadString('\n')
	if line != "" {
		fmt.Fprintf(&s.log, "C: %s\n", strings.TrimSuffix(line, "\r\n"))
	}
	want := arg
	if verb == "C:" {
		name, rest, _ := strings.Cut(arg, " ")
		tag, _, _ := strings.Cut(line, " ")
		s.tags[name] = tag
		want = tag + " " + rest
	}
	if err != nil || line != want+"\r\n" {
		s.deviation = fmt.Sprintf("the client did not say %q (%v)", arg, err)
		return false
	}
	return true
}

// text makes what the server sends of a step.
func (s *script) text(verb, arg string) (string, error) {
	if verb == "S~" {
		text, err := strconv.Unquote(arg)
		if err != nil {
			return "", err
		}
		for name, tag := range s.tags {
			text = strings.ReplaceAll(text, "$"+name+" ", tag+" ")
		}
		return text, nil
	}
	name, rest, found := strings.Cut(arg, " ")
	if tag, ok := s.tags[name]; ok && found {
		arg = tag + " " + rest
	}
	return arg + "\r\n", nil
}

func (s *script) step(step string) (more bool) {
	verb, arg, _ := strings.Cut(step, " ")
	switch verb {
	case "C:", "C+":
		return s.expect(verb, arg)
	case "C~":
		want, err := strconv.Unquote(arg)
		got := make([]byte, len(want))
		n, _ := io.ReadFull(s.in, got)
		fmt.Fprintf(&s.log, "C: %q\n", got[:n])
		if err != nil || string(got) != want {
			s.deviation = fmt.Sprintf("the client did not say %q", want)
			return false
		}
	case "S:", "S~":
		if s.in.Buffered() > 0 {
			early, _ := s.in.Peek(s.in.Buffered())
			s.deviation = fmt.Sprintf("the client said %q before its turn", early)
			return false
		}
		text, err := s.text(verb, arg)
		if err != nil {
			s.deviation = fmt.Sprintf("bad step %s: %v", step, err)
			return false
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

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}

// refusal asserts a *ResponseError.
func refusal(t *testing.T, err error) *ResponseError {
	t.Helper()
	var e *ResponseError
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want a *ResponseError", err)
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

// box is a Receiver that keeps what it is given.
type box struct {
	got     []received
	missing []string
	begin   func(m *Message) error           // before it begins
	write   func(m *Message, p []byte) error // before each write
	end     func(m *Message, err error) error
}

type received struct {
	uid   uint32 // at its end
	first uint32 // at its begin
	flags string
	text  string
	begun bool
	ended bool
	err   error
}

func (b *box) Begin(m *Message) (io.Writer, error) {
	b.got = append(b.got, received{begun: true, first: m.UID})
	if b.begin != nil {
		if err := b.begin(m); err != nil {
			return nil, err
		}
	}
	return writer(func(p []byte) (int, error) {
		if b.write != nil {
			if err := b.write(m, p); err != nil {
				return 0, err
			}
		}
		b.got[len(b.got)-1].text += string(p)
		return len(p), nil
	}), nil
}

func (b *box) End(m *Message, err error) error {
	if n := len(b.got) - 1; n < 0 || b.got[n].ended {
		b.got = append(b.got, received{})
	}
	last := &b.got[len(b.got)-1]
	last.uid, last.err, last.ended = m.UID, err, true
	last.flags = strings.Join(m.Flags, " ")
	if b.end != nil {
		return b.end(m, err)
	}
	return nil
}

func (b *box) Missing(uids UIDSet, err error) error {
	b.missing = append(b.missing, fmt.Sprintf("%v: %v", uids, err))
	return nil
}

// String sums up what came.
func (b *box) String() string {
	var s strings.Builder
	for _, g := range b.got {
		fmt.Fprintf(&s, "%d %q %v\n", g.uid, g.text, g.err)
	}
	for _, m := range b.missing {
		fmt.Fprintf(&s, "missing %s\n", m)
	}
	return s.String()
}

type writer func(p []byte) (int, error)

func (f writer) Write(p []byte) (int, error) { return f(p) }

// equal compares two texts line by line, for a difference that can be read.
func equal(t *testing.T, what, got, want string) {
	t.Helper()
	got, want = unindent(got), unindent(want)
	if got != want {
		t.Errorf("%s:\n--- got\n%s\n--- want\n%s", what, got, want)
	}
}

func unindent(s string) string {
	var lines []string
	for l := range strings.Lines(s) {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "\n")
}

func quote(s string) string { return strconv.Quote(s) }

func hasPrefix(s, prefix string) bool { return strings.HasPrefix(s, prefix) }
