package smtp

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"

	"postrider/mailtest"
)

// listen serves an mta on a loopback port until the test ends.
func listen(tb testing.TB, m *mta, implicit *tls.Config) (addr string) {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.SetDeadline(time.Now().Add(30 * time.Second))
			if implicit != nil {
				conn = tls.Server(conn, implicit)
			}
			serving.Go(func() { m.serve(conn) })
		}
	})
	tb.Cleanup(func() { listener.Close(); serving.Wait() })
	return listener.Addr().String()
}

// TestServer runs whole sessions over real sockets, with both ways to TLS, and
// compares every line.
func TestServer(t *testing.T) {
	ca, err := mailtest.NewCA()
	noError(t, err)
	config, err := ca.Server("localhost")
	noError(t, err)
	messages := mailtest.Generate(1, 60, 200<<10)
	for _, implicit := range []bool{true, false} {
		for _, pipelining := range []bool{true, false} {
			t.Run(fmt.Sprintf("implicit=%t,pipelining=%t", implicit, pipelining), func(t *testing.T) {
				server := &mta{config: config, capabilities: []string{"AUTH PLAIN", "SIZE 100000000", "8BITMIME"}}
				if pipelining {
					server.capabilities = append(server.capabilities, "PIPELINING")
				}
				var outer *tls.Config
				if implicit {
					outer = config
				} else {
					server.capabilities = append(server.capabilities, "STARTTLS")
				}
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				defer cancel()
				conn, err := net.Dial("tcp", listen(t, server, outer))
				noError(t, err)
				if implicit {
					conn = tls.Client(conn, ca.ClientTLS("localhost"))
				}
				c, err := New(ctx, conn, Options{})
				noError(t, err)
				defer c.Close()
				if !implicit {
					noError(t, c.StartTLS(ctx, ca.ClientTLS("localhost")))
				}
				noError(t, c.Auth(ctx, sasl.NewPlainClient("", "ada", "secret")))
				var mails []*Mail
				var want []string
				for _, m := range messages {
					var measure Measure
					measure.Write(m.Octets)
					if measure.Close() != nil {
						continue // no mail
					}
					wire, _, _ := slowly(string(m.Octets))
					want = append(want, strings.ReplaceAll("\n"+strings.ReplaceAll(wire, "\r\n", "\n"), "\n..", "\n.")[1:])
					mail := letter("", "b@b.example")
					mail.Text, mail.Size, mail.EightBit = bytes.NewReader(m.Octets), measure.Size(), measure.EightBit()
					mails = append(mails, mail)
				}
				box := newOutbox(mails...)
				noError(t, c.Send(ctx, box))
				noError(t, c.Quit())
				got := server.texts()
				if len(got) != len(want) || len(want) < len(messages)/2 {
					t.Fatalf("the server has %d messages of %d", len(got), len(want))
				}
				for i := range got {
					if got[i] != want[i] {
						t.Errorf("message %d is not what was sent", i)
					}
				}
				if len(server.odd) > 0 {
					t.Errorf("the server heard %q", server.odd)
				}
			})
		}
	}
}

// TestT79CutUnderTLS cuts a TLS line, where what is given to the connection is
// not what arrives, at many places.
func TestT79CutUnderTLS(t *testing.T) {
	ca, err := mailtest.NewCA()
	noError(t, err)
	config, err := ca.Server("localhost")
	noError(t, err)
	for _, dir := range []mailtest.Direction{mailtest.Up, mailtest.Down} {
		for after := int64(300); after < 3200; after += 53 {
			server := &mta{capabilities: []string{"PIPELINING"}}
			proxy, err := mailtest.NewProxy(listen(t, server, config), mailtest.ProxyOptions{CutAfter: func(_ int, d mailtest.Direction) int64 {
				if d == dir {
					return after
				}
				return -1
			}})
			noError(t, err)
			conn, err := net.Dial("tcp", proxy.Addr())
			noError(t, err)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			box := newOutbox(letter("0", "b@b.example"), letter("1", "b@b.example"), letter("2", "b@b.example"))
			if c, err := New(ctx, tls.Client(conn, ca.ClientTLS("localhost")), Options{}); err == nil {
				c.Send(ctx, box)
				c.Quit()
			}
			cancel()
			proxy.Close()
			has := strings.Join(server.texts(), "")
			for i, m := range box.mails[:box.given] {
				if o := box.fates[m]; o.Fate != Uncertain && strings.Contains(has, fmt.Sprint(i)) != (o.Fate == Sent) {
					t.Errorf("cut at %d %v: message %d is %v, the server has %q", after, dir, i, o.Fate, has)
				}
			}
		}
	}
}

// endlessQueue gives the same message again and again, for the benchmark.
type endlessQueue struct {
	n    int
	mail Mail
	sent int
}

func (q *endlessQueue) Next(context.Context) *Mail {
	if q.n == 0 {
		return nil
	}
	q.n--
	m := q.mail
	m.Text = bytes.NewReader(benchmarkText)
	return &m
}

func (q *endlessQueue) Dot(context.Context, *Mail, []error) error { return nil }

func (q *endlessQueue) Done(_ *Mail, o Outcome) error {
	if o.Fate == Sent {
		q.sent++
	}
	return nil
}

var benchmarkText = bytes.Repeat([]byte("0123456789012345678901234567890123456789012345678\n"), 200)

// BenchmarkSend sends messages of 10 KB to a server in this process that throws
// them away.
func BenchmarkSend(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	go discard(listener)
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	c, err := New(context.Background(), conn, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	q := &endlessQueue{n: b.N, mail: Mail{From: "me@a.example", To: []Recipient{{Address: "b@b.example"}}}}
	b.ReportAllocs()
	b.SetBytes(int64(len(benchmarkText)))
	for b.Loop() {
		q.n = 1000
		if err := c.Send(context.Background(), q); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(q.sent), "µs/message")
}

// discard is a server that looks for the ends of messages only, and allocates
// nothing.
func discard(listener net.Listener) {
	conn, err := listener.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	io.WriteString(conn, "220 hi\r\n")
	p, n := make([]byte, 64<<10), 0
	for {
		got, err := conn.Read(p[n:])
		if err != nil {
			return
		}
		n += got
		switch have := p[:n]; {
		case bytes.HasPrefix(have, []byte("EHLO")):
			io.WriteString(conn, "250-x\r\n250 PIPELINING\r\n")
		case bytes.HasSuffix(have, []byte(".\r\n")):
			io.WriteString(conn, "250 2.0.0 queued\r\n")
		case bytes.HasSuffix(have, []byte("DATA\r\n")) && bytes.Contains(have, []byte("\r\n.\r\n")):
			io.WriteString(conn, "250 2.0.0 queued\r\n250 ok\r\n250 ok\r\n354 go\r\n")
		case bytes.HasSuffix(have, []byte("DATA\r\n")):
			io.WriteString(conn, "250 ok\r\n250 ok\r\n354 go\r\n")
		default:
			if n > 1<<10 {
				n = copy(p, p[n-64:n])
			}
			continue
		}
		n = 0
	}
}
