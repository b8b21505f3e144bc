package smtp

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
//	WAIT 1m         the server thinks for so long
//	CUT             the server closes the connection
//	STALL           the server does nothing until the client closes it
//	DEAF            the same, but it does not even read
//
// A client that says something else, or says it before its turn (a C: below an
// S: has not been sent when the S: is), fails the test with both transcripts. At
// the end the client must have closed the connection without another word.
func dialogue(t *testing.T, o Options, transcript string, run func(t *testing.T, c *Client, err error)) {
	t.Helper()
	if o.Name == "" {
		o.Name = "me.example"
	}
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
				s := &script{conn: far, in: bufio.NewReader(far), gone: make(chan struct{})}
				done := make(chan struct{})
				go func() { defer close(done); s.play(transcript) }()
				c, err := New(context.Background(), &pieces{Conn: near, size: cut.size}, o)
				run(t, c, err)
				near.Close()
				close(s.gone)
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

// The deadlines leave it to the next Read or Write to tell that the other end of
// the pipe is closed, as a socket does.
func (p *pieces) SetDeadline(at time.Time) error      { return mild(p.Conn.SetDeadline(at)) }
func (p *pieces) SetReadDeadline(at time.Time) error  { return mild(p.Conn.SetReadDeadline(at)) }
func (p *pieces) SetWriteDeadline(at time.Time) error { return mild(p.Conn.SetWriteDeadline(at)) }

func mild(err error) error {
	if errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

type script struct {
	conn      net.Conn
	in        *bufio.Reader
	gone      chan struct{}
	log       strings.Builder
	deviation string
}

func (s *script) play(transcript string) {
	defer s.conn.Close()
	for step := range strings.Lines(transcript) {
		step = strings.TrimLeft(strings.TrimRight(step, "\n"), " \t")
		if step == "" {
			continue
		}
		if more := s.step(step); !more {
			return
		}
	}
	s.nothingMore()
}

func (s *script) nothingMore() {
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
	case "WAIT":
		d, err := time.ParseDuration(arg)
		if err != nil {
			s.deviation = "bad step " + step
			return false
		}
		time.Sleep(d)
	case "CUT":
		return false
	case "STALL":
		s.nothingMore()
		return false
	case "DEAF":
		<-s.gone
		return false
	default:
		s.deviation = "bad step " + step
		return false
	}
	return true
}

// greeted is the beginning of most transcripts.
func greeted(capabilities ...string) string {
	lines := "S: 220 hi\nC: EHLO me.example\n"
	for _, l := range append([]string{"mx.example"}, capabilities...) {
		lines += "S: 250-" + l + "\n"
	}
	i := strings.LastIndex(lines, "250-")
	return lines[:i] + "250 " + lines[i+4:]
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
	case **ProtocolError, **ConnError, **ReplyError:
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
	if c.Quit() == nil {
		t.Error("Quit on a broken session returned nil")
	}
}

// outbox is a queue for tests, which writes down what it is told.
type outbox struct {
	mails []*Mail
	given int
	log   []string
	fates map[*Mail]Outcome
	twice bool // a message had two outcomes

	next func() // before each Next
	dot  func(ctx context.Context, i int) error
	done func(i int) error
}

func newOutbox(mails ...*Mail) *outbox {
	return &outbox{mails: mails, fates: make(map[*Mail]Outcome)}
}

func (o *outbox) index(m *Mail) int {
	for i, other := range o.mails {
		if other == m {
			return i
		}
	}
	return -1
}

func (o *outbox) Next(context.Context) *Mail {
	if o.next != nil {
		o.next()
	}
	if o.given == len(o.mails) {
		return nil
	}
	o.given++
	return o.mails[o.given-1]
}

func (o *outbox) Dot(ctx context.Context, m *Mail, to []error) error {
	o.log = append(o.log, fmt.Sprintf("dot %d %s", o.index(m), codes(to)))
	if o.dot != nil {
		return o.dot(ctx, o.index(m))
	}
	return nil
}

func (o *outbox) Done(m *Mail, out Outcome) error {
	_, o.twice = o.fates[m]
	o.fates[m] = out
	o.log = append(o.log, fmt.Sprintf("done %d %v %s", o.index(m), out.Fate, codes(out.To)))
	if o.done != nil {
		return o.done(o.index(m))
	}
	return nil
}

// codes shows errors in short: the code of a refusal, or "ok", "unfit", "none" (no
// recipients), "session".
func codes(errs []error) string {
	var words []string
	for _, err := range errs {
		var r *ReplyError
		var m *MailError
		_, ended := err.(sessionError)
		switch {
		case err == nil:
			words = append(words, "ok")
		case ended:
			words = append(words, "session")
		case errors.As(err, &r):
			words = append(words, strconv.Itoa(r.Code))
		case errors.As(err, &m):
			words = append(words, "unfit")
		case errors.Is(err, ErrNoRecipients):
			words = append(words, "none")
		default:
			words = append(words, err.Error())
		}
	}
	return strings.Join(words, ",")
}

// told asserts what the queue was told, in order.
func (o *outbox) told(t *testing.T, want string) {
	t.Helper()
	if got := strings.Join(o.log, "; "); got != want {
		t.Errorf("the queue was told\n  %s\nwant\n  %s", got, want)
	}
	for i, m := range o.mails[:o.given] {
		if _, ok := o.fates[m]; !ok {
			t.Errorf("message %d has no outcome", i)
		}
	}
	if o.twice {
		t.Error("a message has two outcomes")
	}
}

// letter makes a message of a line to recipients.
func letter(line string, to ...string) *Mail {
	m := &Mail{From: "me@a.example", Text: strings.NewReader(line + "\n")}
	for _, a := range to {
		m.To = append(m.To, Recipient{Address: a})
	}
	return m
}
