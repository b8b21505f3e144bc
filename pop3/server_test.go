package pop3_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/emersion/go-sasl"

	"postrider/mailtest"
	"postrider/pop3"
)

// box keeps whole messages.
type box struct {
	messages [][]byte
	ended    int
}

func (b *box) Begin(int) (io.Writer, error) {
	b.messages = append(b.messages, nil)
	return b, nil
}

func (b *box) Write(p []byte) (int, error) {
	last := &b.messages[len(b.messages)-1]
	*last = append(*last, p...)
	return len(p), nil
}

func (b *box) End(_ int, err error) error {
	b.ended++
	return err
}

// TestServer runs whole sessions over real sockets, with every way to TLS and
// to log in, and compares every octet.
func TestServer(t *testing.T) {
	ca, err := mailtest.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.Server("localhost")
	if err != nil {
		t.Fatal(err)
	}
	messages := mailtest.Generate(1, 200, 200<<10)
	for _, implicit := range []bool{true, false} {
		for _, lockstep := range []bool{true, false} {
			for _, ahead := range []bool{true, false} {
				if ahead && (lockstep || !implicit) {
					continue
				}
				t.Run(fmt.Sprintf("implicit=%t,lockstep=%t,ahead=%t", implicit, lockstep, ahead), func(t *testing.T) {
					server := mailtest.NewPOP3(mailtest.POP3Options{
						TLS: config, Implicit: implicit, NoPipelining: lockstep,
						Users: map[string]string{"ada": "secret"}, Mechanisms: []string{"PLAIN"},
					})
					if err := server.Start(); err != nil {
						t.Fatal(err)
					}
					defer server.Close()
					drop := server.Mailbox("ada")
					for i, m := range messages {
						drop.Add(fmt.Sprint("uid", i), mailtest.Wire(m.Octets))
					}
					ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
					defer cancel()
					for range 2 { // the second time it is empty
						if err := fetchAll(ctx, server.Addr(), ca.ClientTLS("localhost"), implicit, ahead, drop); err != nil {
							t.Fatal(err)
						}
					}
					if n := drop.Len(); n > 0 {
						t.Errorf("%d messages are still there", n)
					}
					if early := server.Counts().Early; lockstep && early > 0 {
						t.Errorf("%d octets came before their turn", early)
					}
				})
			}
		}
	}
}

func fetchAll(ctx context.Context, addr string, config *tls.Config, implicit, ahead bool, drop *mailtest.Maildrop) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	if implicit {
		conn = tls.Client(conn, config)
	}
	c, err := pop3.New(ctx, conn, pop3.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	if ahead {
		login := pop3.AheadAuth(sasl.NewPlainClient("", "ada", "secret"))
		if err := c.Ahead(ctx, pop3.AheadCapabilities(), login, pop3.AheadListing()); err != nil {
			return err
		}
	}
	if !implicit {
		if err := c.StartTLS(ctx, config); err != nil {
			return err
		}
	}
	if _, err := c.Capabilities(ctx); err != nil {
		return err
	}
	if err := c.Auth(ctx, sasl.NewPlainClient("", "ada", "secret")); err != nil {
		return err
	}
	var want []pop3.Request
	var numbers []int
	if _, err := c.Listing(ctx, func(i pop3.Item) error {
		want = append(want, pop3.Request{Number: i.Number, Octets: i.Octets})
		numbers = append(numbers, i.Number)
		return nil
	}); err != nil {
		return err
	}
	if len(want) == 0 {
		return c.Leave()
	}
	var b box
	if err := c.Retrieve(ctx, want, &b); err != nil {
		return err
	}
	for i, m := range drop.Messages() {
		if i >= len(b.messages) || !bytes.Equal(b.messages[i], m.Octets) {
			return fmt.Errorf("message %d is not what the server has", i)
		}
	}
	var refused error
	if err := c.Delete(ctx, numbers, func(_ int, err error) { refused = errors.Join(refused, err) }); err != nil {
		return err
	}
	return errors.Join(refused, c.Quit(ctx))
}
