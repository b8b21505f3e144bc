package pop3

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAhead(t *testing.T) {
	ctx := context.Background()
	dialogue(t, Options{}, `
		S: +OK
		C: CAPA
		C: AUTH PLAIN AGFkYQBzZWNyZXQ=
		C: LIST
		C: UIDL
		S: +OK
		S: PIPELINING
		S: SASL PLAIN
		S: .
		S: +OK
		S: +OK
		S: 1 120
		S: .
		S: +OK
		S: 1 a
		S: .
		C: RETR 1
		C: RETR 1
		S~ "+OK\r\n.\r\n+OK\r\n.\r\n"
		C: QUIT
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		noError(t, c.Ahead(ctx, AheadCapabilities(), AheadAuth(plain("ada", "secret")), AheadListing()))
		caps, err := c.Capabilities(ctx)
		if err != nil || !caps.Pipelining {
			t.Errorf("got %+v %v", caps, err)
		}
		noError(t, c.Auth(ctx, plain("ada", "secret")))
		if items, _, err := listed(c); items != "1:a:120" || err != nil {
			t.Errorf("got %s %v", items, err)
		}
		noError(t, c.Retrieve(ctx, []Request{{1, 120}, {1, 120}}, countingReceiver(nil)))
		noError(t, c.Leave())
	})
	dialogue(t, Options{}, `
		S: +OK
		C: UTF8
		C: USER ada
		C: PASS secret
		C: LIST
		C: UIDL
		S: +OK
		S: +OK
		S: +OK
		S: +OK
		S: .
		S: -ERR
		C: NOOP
		S: +OK
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		noError(t, c.Ahead(ctx, AheadUTF8(), AheadLogin("ada", "secret"), AheadListing()))
		noError(t, c.UTF8(ctx))
		noError(t, c.Login(ctx, "ada", "secret"))
		_, sum, err := listed(c)
		if !sum.NoUIDL || err != nil {
			t.Errorf("got %+v %v", sum, err)
		}
		noError(t, c.Noop(ctx))
	})
}

// What the server said now counts more than what it said another time.
func TestAheadWithoutPipelining(t *testing.T) {
	ctx := context.Background()
	dialogue(t, Options{}, `
		S: +OK
		C: CAPA
		C: USER ada
		C: PASS secret
		S: +OK
		S: UIDL
		S: .
		S: +OK
		S: +OK
		C: LIST
		S: +OK
		S: .
		C: UIDL
		S: +OK
		S: .
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		noError(t, c.Ahead(ctx, AheadCapabilities(), AheadLogin("ada", "secret")))
		_, err = c.Capabilities(ctx)
		noError(t, err)
		noError(t, c.Login(ctx, "ada", "secret"))
		_, _, err = listed(c)
		noError(t, err)
	})
}

func TestAheadDoesNotFit(t *testing.T) {
	ctx := context.Background()
	for name, call := range map[string]func(c *Client) error{
		"another command":  func(c *Client) error { return c.Noop(ctx) },
		"another order":    func(c *Client) error { _, err := c.Listing(ctx, nil); return err },
		"another password": func(c *Client) error { return c.Login(ctx, "ada", "Secret") },
		"another login":    func(c *Client) error { return c.Auth(ctx, plain("ada", "secret")) },
		"RETR":             func(c *Client) error { return c.Retrieve(ctx, []Request{{1, 1}}, nil) },
		"DELE":             func(c *Client) error { return c.Delete(ctx, []int{1}, nil) },
		"QUIT":             func(c *Client) error { return c.Quit(ctx) },
		"STLS":             func(c *Client) error { return c.StartTLS(ctx, testTLS(t).client) },
	} {
		t.Run(name, func(t *testing.T) {
			dialogue(t, Options{}, "S: +OK\nC: USER ada\nC: PASS secret\nC: LIST\nC: UIDL\nSTALL", func(t *testing.T, c *Client, err error) {
				noError(t, err)
				noError(t, c.Ahead(ctx, AheadLogin("ada", "secret"), AheadListing()))
				broken(t, c, call(c), ErrAhead)
			})
		})
	}
	dialogue(t, Options{}, "S: +OK\nC: AUTH PLAIN AGFkYQBzZWNyZXQ=\nC: LIST\nC: UIDL\nS: + \nSTALL", func(t *testing.T, c *Client, err error) {
		noError(t, err)
		noError(t, c.Ahead(ctx, AheadAuth(plain("ada", "secret")), AheadListing()))
		broken(t, c, c.Auth(ctx, plain("ada", "secret")), ErrAhead)
	})
}

// What cannot be sent ahead is not, and the session is as it was.
func TestNotAhead(t *testing.T) {
	ctx := context.Background()
	dialogue(t, Options{}, "S: +OK\nC: NOOP\nS: +OK", func(t *testing.T, c *Client, err error) {
		noError(t, err)
		for name, step := range map[string]Ahead{
			"two lines":    AheadAuth(&mechanism{name: "XOAUTH2", initial: []byte("token")}),
			"server first": AheadAuth(&mechanism{name: "LOGIN"}),
			"long":         AheadAuth(&mechanism{name: "PLAIN", initial: make([]byte, 300)}),
			"too long":     AheadLogin("ada", strings.Repeat("x", maxAhead)),
			"two commands": AheadLogin("ada", "x\r\nDELE 1"),
			"bad name":     AheadAuth(&mechanism{name: "A B", initial: []byte{}}),
		} {
			if err := c.Ahead(ctx, AheadCapabilities(), step); err == nil {
				t.Errorf("%s was sent", name)
			}
			if s := fmt.Sprintf("%v %+v %#v", step, step, step); strings.Contains(s, "ada") {
				t.Errorf("printed as %s", s)
			}
		}
		noError(t, c.Ahead(ctx))
		noError(t, c.Noop(ctx))
	})
}

// A login refused ahead is told as one, and what is behind it does no harm.
func TestAheadLoginRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := delayed(t, time.Second)
		said := make(chan string)
		go func() {
			io.WriteString(far, "+OK\r\n")
			buf := make([]byte, 1000)
			n, _ := far.Read(buf)
			io.WriteString(far, "+OK\r\n-ERR [AUTH] no\r\n-ERR log in first\r\n-ERR log in first\r\n")
			rest, _ := io.ReadAll(far)
			said <- string(buf[:n]) + string(rest)
		}()
		ctx := context.Background()
		c, err := New(ctx, near, Options{})
		noError(t, err)
		noError(t, c.Ahead(ctx, AheadLogin("ada", "secret"), AheadListing()))
		if e := refusal(t, c.Login(ctx, "ada", "secret")); !e.LoginRefused() {
			t.Errorf("got %+v", e)
		}
		noError(t, c.Leave())
		if got := <-said; got != "USER ada\r\nPASS secret\r\nLIST\r\nUIDL\r\nQUIT\r\n" {
			t.Errorf("the client said %q", got)
		}
	})
}

// Asking for news takes the greeting and one round trip.
func TestAheadRoundTrips(t *testing.T) {
	const rtt = 100 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		near, far := delayed(t, rtt)
		go func(far net.Conn) {
			defer far.Close()
			(&maildrop{messages: testMessages(1000)}).serve(far)
		}(far)
		ctx := context.Background()
		start := time.Now()
		c, err := New(ctx, near, Options{})
		noError(t, err)
		noError(t, c.Ahead(ctx, AheadCapabilities(), AheadLogin("ada", "secret"), AheadListing()))
		_, err = c.Capabilities(ctx)
		noError(t, err)
		noError(t, c.Login(ctx, "ada", "secret"))
		_, sum, err := listed(c)
		if sum.Messages != 1000 || err != nil {
			t.Errorf("got %+v %v", sum, err)
		}
		noError(t, c.Leave())
		if d := time.Since(start); d != rtt/2+rtt {
			t.Errorf("it took %v", d)
		}
	})
}
