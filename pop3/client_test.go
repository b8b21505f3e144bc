package pop3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestGreeting(t *testing.T) {
	for _, tt := range []struct{ greeting, want string }{
		{`S: +OK ready`, ""},
		{`S: +OK`, ""},
		{`S: +ok ready`, ""},
		{`S~ "+OK\n"`, ""},
		{`S: -ERR [SYS/TEMP] not today`, "server refused the session: [SYS/TEMP] not today"},
		{`S: -ERR`, "server refused the session"},
		{`S: * OK IMAP4rev1 ready`, `read the greeting: neither +OK nor -ERR: "* OK IMAP4rev1 ready"`},
		{`S: 220 smtp`, `read the greeting: neither +OK nor -ERR: "220 smtp"`},
		{`S: +OKAY`, `read the greeting: neither +OK nor -ERR: "+OKAY"`},
		{`CUT`, "read the greeting: unexpected EOF"},
		{`STALL`, "read the greeting: timeout after 1m0s of silence"},
	} {
		t.Run(tt.greeting, func(t *testing.T) {
			dialogue(t, Options{}, tt.greeting, func(t *testing.T, c *Client, err error) {
				got := ""
				if err != nil {
					got = err.Error()
				}
				if got != tt.want {
					t.Errorf("got error %q, want %q", got, tt.want)
				}
				if (c == nil) != (err != nil) {
					t.Errorf("client %v with error %v", c, err)
				}
			})
		})
	}
}

// An answer that is none is not made good by an OK behind it.
func TestT55OddGreetingThenOK(t *testing.T) {
	dialogue(t, Options{}, `S~ "hello\r\n+OK ready\r\n"`, func(t *testing.T, c *Client, err error) {
		broken(t, c, err, new(*ProtocolError))
	})
}

func TestT57ReplyBeforeItsCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		go io.WriteString(far, "+OK ready\r\n+OK begin TLS\r\n")
		c, err := New(context.Background(), near, Options{})
		noError(t, err)
		// Nothing is written: the pipe has no reader at its other end.
		err = c.StartTLS(context.Background(), testTLS(t).client)
		broken(t, c, err, new(*ProtocolError))
	})
}

func TestMaildropCommands(t *testing.T) {
	dialogue(t, Options{}, `
		S: +OK ready
		C: UTF8
		S: +OK
		C: STAT
		S: +OK 3 12345 and a comment
		C: NOOP
		S: +OK
		C: RSET
		S: -ERR [SYS/TEMP] later
		C: STAT
		S: +OK three messages
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		ctx := context.Background()
		noError(t, c.UTF8(ctx))
		n, octets, err := c.Stat(ctx)
		if n != 3 || octets != 12345 || err != nil {
			t.Errorf("Stat: %d %d %v", n, octets, err)
		}
		noError(t, c.Noop(ctx))
		if e := refusal(t, c.Reset(ctx)); e.Command != "RSET" || e.Code != "SYS/TEMP" || e.Text != "later" {
			t.Errorf("Reset: %+v", e)
		}
		_, _, err = c.Stat(ctx)
		broken(t, c, err, new(*ProtocolError))
	})
}

// faulty is a connection whose server side fails when it has sent some octets.
type faulty struct {
	net.Conn
	left int
	fail func(p []byte) (int, error)
}

func (f *faulty) Write(p []byte) (int, error) {
	if len(p) <= f.left {
		f.left -= len(p)
		return f.Conn.Write(p)
	}
	n, _ := f.Conn.Write(p[:f.left])
	f.left = 0
	m, err := f.fail(p[n:])
	return n + m, err
}

// everyFault runs a session for every octet that the server sends, and has
// that octet and all behind it meet a fault.
func everyFault(t *testing.T, fault func(conn net.Conn, cancel func()) func([]byte) (int, error), check func(t *testing.T, at int, err error)) {
	for _, lockstep := range []bool{false, true} {
		for at, more := 0, true; more; at++ {
			if at > 5000 {
				t.Fatal("no session goes well")
			}
			synctest.Test(t, func(t *testing.T) {
				m := &maildrop{messages: testMessages(3), lockstep: lockstep}
				r := &boxReceiver{}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				near, far := net.Pipe()
				var wg sync.WaitGroup
				wg.Go(func() {
					defer far.Close()
					m.serve(&faulty{Conn: far, left: at, fail: fault(far, cancel)})
				})
				err := session(ctx, near, Options{}, r)
				wg.Wait()
				for _, g := range r.got {
					if g.ended && g.err == nil && g.text != m.messages[g.i] {
						t.Errorf("cut at %d: message %d ended well with %q", at, g.i, g.text)
					}
					if g.begun && !g.ended {
						t.Errorf("cut at %d: message %d has no end", at, g.i)
					}
				}
				if more = err != nil; more {
					check(t, at, err)
				}
				if !more && at < 300 {
					t.Errorf("a session cut at octet %d went well", at)
				}
			})
		}
	}
}

func TestT35CutAtEveryOctet(t *testing.T) {
	fault := func(conn net.Conn, _ func()) func([]byte) (int, error) {
		return func([]byte) (int, error) {
			conn.Close()
			return 0, io.ErrClosedPipe
		}
	}
	everyFault(t, fault, func(t *testing.T, at int, err error) {
		if e := new(*ConnError); !errors.As(err, e) {
			t.Errorf("cut at %d: got %v (%T)", at, err, err)
		}
	})
}

func TestT36StallAtEveryOctet(t *testing.T) {
	fault := func(conn net.Conn, _ func()) func([]byte) (int, error) {
		return func([]byte) (int, error) {
			_, err := io.Copy(io.Discard, conn) // until the client hangs up
			return 0, errors.Join(io.ErrClosedPipe, err)
		}
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
	fault := func(conn net.Conn, cancel func()) func([]byte) (int, error) {
		return func([]byte) (int, error) {
			cancel()
			_, err := io.Copy(io.Discard, conn)
			return 0, errors.Join(io.ErrClosedPipe, err)
		}
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
	calls := map[string]func(ctx context.Context, c *Client) error{
		"a command": func(ctx context.Context, c *Client) error { return c.Noop(ctx) },
		"a login":   func(ctx context.Context, c *Client) error { return c.Login(ctx, "ada", "secret") },
		"many": func(ctx context.Context, c *Client) error {
			return pipelining(c).Retrieve(ctx, make([]Request, 1000), &boxReceiver{})
		},
		"ahead": func(ctx context.Context, c *Client) error { return c.Ahead(ctx, AheadListing()) },
	}
	for name, call := range calls {
		for _, cancelled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,cancelled=%t", name, cancelled), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					near, far := net.Pipe()
					defer far.Close()
					go io.WriteString(far, "+OK\r\n")
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

func TestLeaveIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		go io.WriteString(far, "+OK\r\n")
		c, err := New(context.Background(), near, Options{})
		noError(t, err)
		start := time.Now()
		if err := c.Leave(); err == nil {
			t.Error("QUIT was sent to nobody")
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("Leave took %v", d)
		}
	})
}

// The timeout is one of silence: a line that is slow and steady is not cut.
func TestSlowIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		go func() {
			defer far.Close()
			io.WriteString(far, "+OK\r\n")
			far.Read(make([]byte, 100))
			for _, r := range "+OK\r\n" + strings.Repeat("slow\r\n", 100) + ".\r\n" {
				time.Sleep(9 * time.Second)
				io.WriteString(far, string(r))
			}
		}()
		c, err := New(context.Background(), near, Options{Timeout: 10 * time.Second})
		noError(t, err)
		r := &boxReceiver{}
		noError(t, c.Retrieve(context.Background(), []Request{{Number: 1}}, r))
		if r.got[0].text != strings.Repeat("slow\r\n", 100) {
			t.Errorf("got %q", r.got[0].text)
		}
	})
}

// A context that ended too late to matter leaves no trace on the line.
func TestCancelAfterCall(t *testing.T) {
	dialogue(t, Options{}, `
		S: +OK
		C: NOOP
		S: +OK
		C: NOOP
		S: +OK
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		noError(t, c.Noop(ctx))
		cancel()
		if err := c.Noop(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a call with an ended context returned %v", err)
		}
		noError(t, c.Noop(context.Background()))
	})
}

func TestCloseFromElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		go io.WriteString(far, "+OK\r\n")
		c, err := New(context.Background(), near, Options{})
		noError(t, err)
		pipelining(c)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				time.Sleep(time.Second)
				noError(t, c.Close())
			})
		}
		err = c.Retrieve(context.Background(), make([]Request, 10), &boxReceiver{})
		wg.Wait()
		broken(t, c, err, new(*ConnError))
	})
}
