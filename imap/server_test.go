package imap

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// server is a small server with one mailbox, for sessions that are more than a
// dialogue.
type server struct {
	messages map[uint32]string
	caps     string
}

func (s *server) serve(conn io.ReadWriter) {
	in := bufio.NewReader(conn)
	if _, err := fmt.Fprintf(conn, "* OK [CAPABILITY %s] ready\r\n", s.caps); err != nil {
		return
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		tag, command, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), " ")
		out := bufio.NewWriter(conn)
		s.answer(out, command)
		fmt.Fprintf(out, "%s OK done\r\n", tag)
		if out.Flush() != nil || command == "LOGOUT" {
			return
		}
	}
}

func (s *server) answer(out io.Writer, command string) {
	words := strings.Fields(command)
	switch words[0] {
	case "LIST":
		fmt.Fprint(out, "* LIST () \"/\" {5}\r\nINBOX\r\n* STATUS INBOX (MESSAGES 3)\r\n")
	case "SELECT":
		fmt.Fprintf(out, "* FLAGS (\\Seen)\r\n* %d EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n", len(s.messages))
	case "LOGOUT":
		fmt.Fprint(out, "* BYE\r\n")
	case "UID":
		uids, err := ParseUIDSet(words[len(words)-1])
		if words[1] != "SEARCH" {
			uids, err = ParseUIDSet(words[2])
		}
		if err != nil {
			return
		}
		for uid := uint32(1); uid <= uint32(len(s.messages)); uid++ {
			text := s.messages[uid]
			switch {
			case !uids.Contains(uid):
			case words[1] == "SEARCH":
				fmt.Fprintf(out, "* SEARCH %d\r\n", uid)
			case strings.Contains(command, "BODY.PEEK[]"):
				fmt.Fprintf(out, "* %d FETCH (UID %d FLAGS (\\Seen) BODY[] {%d}\r\n%s)\r\n", uid, uid, len(text), text)
			}
		}
	}
}

func testMessages(n uint32) map[uint32]string {
	m := make(map[uint32]string)
	for uid := uint32(1); uid <= n; uid++ {
		m[uid] = fmt.Sprintf("Subject: %d\r\n\r\n* %d FETCH (UID 9)\r\n", uid, uid)
	}
	return m
}

// session is all that a receiver does.
func session(ctx context.Context, conn net.Conn, o Options, r Receiver) error {
	c, err := New(ctx, conn, o)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Login(ctx, "ada", "secret"); err != nil {
		return err
	}
	if _, err := c.ID(ctx, map[string]string{"name": "postrider"}); err != nil {
		return err
	}
	if c.offers("COMPRESS=DEFLATE") {
		if err := c.Compress(ctx); err != nil {
			return err
		}
	}
	if _, err := c.List(ctx, ListRequest{Patterns: []string{"*"}, Status: StatusMessages}); err != nil {
		return err
	}
	if _, err := c.Select(ctx, "INBOX", SelectOptions{}); err != nil {
		return err
	}
	uids, err := c.Search(ctx, From(1))
	if err != nil {
		return err
	}
	if _, err := c.FetchAttributes(ctx, AttributesRequest{UIDs: From(1), Items: ItemFlags}, func(*Message) error { return nil }); err != nil {
		return err
	}
	if uids.Count() > 100 {
		uids = UIDs(1, 2, 3)
	}
	if err := c.Fetch(ctx, FetchRequest{UIDs: uids, Items: ItemFlags}, r); err != nil {
		return err
	}
	if err := c.Store(ctx, uids, `\Seen`); err != nil {
		return err
	}
	return c.Logout(ctx)
}

// faulty is a connection whose server side fails when it has sent some octets.
type faulty struct {
	net.Conn
	left int
	fail func() error
}

func (f *faulty) Write(p []byte) (int, error) {
	if len(p) <= f.left {
		f.left -= len(p)
		return f.Conn.Write(p)
	}
	n, _ := f.Conn.Write(p[:f.left])
	f.left = 0
	return n, f.fail()
}

// everyFault runs a session for every octet that the server sends, and has
// that octet and all behind it meet a fault.
func everyFault(t *testing.T, fault func(conn net.Conn, cancel func()) error, check func(t *testing.T, at int, err error)) {
	for at, more := 0, true; more; at++ {
		if at > 5000 {
			t.Fatal("no session goes well")
		}
		synctest.Test(t, func(t *testing.T) {
			m := &server{messages: testMessages(3), caps: "IMAP4rev1 ID"}
			r := &box{}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			near, far := net.Pipe()
			var wg sync.WaitGroup
			wg.Go(func() {
				defer far.Close()
				m.serve(&faulty{Conn: far, left: at, fail: func() error { return fault(far, cancel) }})
			})
			err := session(ctx, near, Options{}, r)
			wg.Wait()
			for _, g := range r.got {
				if !g.ended || g.err == nil && g.text != m.messages[g.uid] {
					t.Errorf("fault at %d: got %+v", at, g)
				}
			}
			if more = err != nil; more {
				check(t, at, err)
			}
			if !more && at < 300 {
				t.Errorf("a session with a fault at octet %d went well", at)
			}
		})
	}
}

func TestT35CutAtEveryOctet(t *testing.T) {
	fault := func(conn net.Conn, _ func()) error {
		conn.Close()
		return io.ErrClosedPipe
	}
	everyFault(t, fault, func(t *testing.T, at int, err error) {
		if e := new(*ConnError); !errors.As(err, e) {
			t.Errorf("cut at %d: got %v (%T)", at, err, err)
		}
	})
}

func TestT36StallAtEveryOctet(t *testing.T) {
	fault := func(conn net.Conn, _ func()) error {
		_, err := io.Copy(io.Discard, conn) // until the client hangs up
		return errors.Join(io.ErrClosedPipe, err)
	}
	everyFault(t, fault, func(t *testing.T, at int, err error) {
		var e *ConnError
		if !errors.As(err, &e) || !e.Timeout() {
			t.Errorf("stalled at %d: got %v", at, err)
		}
		if spent := time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); spent != time.Minute {
			t.Errorf("stalled at %d: it took %v", at, spent)
		}
	})
}

func TestCancelAtEveryOctet(t *testing.T) {
	fault := func(conn net.Conn, cancel func()) error {
		cancel()
		_, err := io.Copy(io.Discard, conn)
		return errors.Join(io.ErrClosedPipe, err)
	}
	everyFault(t, fault, func(t *testing.T, at int, err error) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled at %d: got %v", at, err)
		}
		if spent := time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); spent != 0 {
			t.Errorf("cancelled at %d: it took %v", at, spent)
		}
	})
}

// A server that stops reading must not hold us either, whatever we write.
func TestT36ServerStopsReading(t *testing.T) {
	many := UIDSet{}
	for u := uint32(1); u < 9000; u += 2 {
		many.Add(u)
	}
	calls := map[string]func(ctx context.Context, c *Client) error{
		"a command": func(ctx context.Context, c *Client) error { return c.Noop(ctx) },
		"a login":   func(ctx context.Context, c *Client) error { return c.Login(ctx, "ada", "secret") },
		"many":      func(ctx context.Context, c *Client) error { return c.Fetch(ctx, FetchRequest{UIDs: many}, &box{}) },
		"append": func(ctx context.Context, c *Client) error {
			_, err := c.Append(ctx, "Sent", nil, time.Time{}, 1<<20, strings.NewReader(strings.Repeat("x", 1<<20)))
			return err
		},
	}
	for name, call := range calls {
		for _, cancelled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,cancelled=%t", name, cancelled), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					near, far := net.Pipe()
					defer far.Close()
					go io.WriteString(far, "* OK [CAPABILITY LITERAL+] x\r\n")
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					c, err := New(ctx, near, Options{Timeout: 20 * time.Second})
					noError(t, err)
					want := 20 * time.Second
					if cancelled {
						want = time.Second
						time.AfterFunc(want, cancel)
					}
					start := time.Now()
					var e *ConnError
					if err := call(ctx, c); !errors.As(err, &e) || errors.Is(err, context.Canceled) != cancelled {
						t.Errorf("got %v", err)
					}
					if d := time.Since(start); d != want {
						t.Errorf("it took %v, want %v", d, want)
					}
					if again := c.Noop(context.Background()); !errors.Is(again, e) {
						t.Errorf("the next call returned %v, want %v", again, e)
					}
				})
			})
		}
	}
}

// The timeout is one of silence: a line that is slow and steady is not cut.
func TestSlowIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		go func() {
			defer far.Close()
			io.WriteString(far, "* OK\r\n")
			b := make([]byte, 100)
			n, _ := far.Read(b)
			tag, _, _ := strings.Cut(string(b[:n]), " ")
			text := strings.Repeat("slow\r\n", 50)
			for _, r := range "* 1 FETCH (UID 1 BODY[] {" + strconv.Itoa(len(text)) + "}\r\n" + text + ")\r\n" + tag + " OK\r\n" {
				time.Sleep(9 * time.Second)
				io.WriteString(far, string(r))
			}
		}()
		c, err := New(context.Background(), near, Options{Timeout: 10 * time.Second})
		noError(t, err)
		b := &box{}
		noError(t, c.Fetch(context.Background(), FetchRequest{UIDs: UIDs(1)}, b))
		if len(b.got) != 1 || b.got[0].text != strings.Repeat("slow\r\n", 50) {
			t.Errorf("got %v", b)
		}
	})
}
