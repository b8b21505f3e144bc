package pop3

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A STLS that does not succeed is an error, after which nothing is sent by
// itself.
func TestT53StartTLSFails(t *testing.T) {
	for reply, is := range map[string]any{
		`S: -ERR not today`:    nil,
		`S: -ERR`:              nil,
		`S: OK begin`:          new(*ProtocolError),
		`S: + begin`:           new(*ProtocolError),
		`S~ "\r\n"`:            new(*ProtocolError),
		`S~ "+OK"` + "\n CUT":  new(*ConnError),
		`CUT`:                  new(*ConnError),
		`STALL`:                new(*ConnError),
		`S~ "-ERR no\r\nmore"`: nil,
	} {
		t.Run(reply, func(t *testing.T) {
			dialogue(t, Options{}, "S: +OK\nC: STLS\n"+reply, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				err = c.StartTLS(context.Background(), testTLS(t).client)
				if is == nil {
					refusal(t, err)
				} else {
					broken(t, c, err, is)
				}
				if c.secure {
					t.Error("the connection counts as secure")
				}
			})
		})
	}
}

func TestT56OctetsBehindSTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var said strings.Builder
		var wg sync.WaitGroup
		wg.Go(func() {
			in := bufio.NewReader(io.TeeReader(far, &said))
			io.WriteString(far, "+OK\r\n")
			in.ReadString('\n')
			io.WriteString(far, "+OK begin\r\n+OK logged in\r\n")
			io.Copy(io.Discard, in)
		})
		c, err := New(context.Background(), near, Options{})
		noError(t, err)
		err = c.StartTLS(context.Background(), testTLS(t).client)
		broken(t, c, err, new(*ProtocolError))
		wg.Wait()
		far.Close()
		if said.String() != "STLS\r\n" {
			t.Errorf("the client said %q", said.String())
		}
	})
}

// secureServer speaks before and after STLS.
func secureServer(t *testing.T, conn net.Conn, before, after func(in *bufio.Reader, out io.Writer)) {
	before(bufio.NewReader(conn), conn)
	secure := tls.Server(conn, testTLS(t).server)
	if secure.Handshake() == nil && after != nil {
		after(bufio.NewReader(secure), secure)
	}
	io.Copy(io.Discard, secure)
	conn.Close()
}

func expect(t *testing.T, in *bufio.Reader, want string) {
	if line, _ := in.ReadString('\n'); line != want+"\r\n" {
		t.Errorf("the client said %q, want %q", line, want)
	}
}

func TestT58CapabilitiesForgottenByTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() {
			secureServer(t, far, func(in *bufio.Reader, out io.Writer) {
				io.WriteString(out, "+OK\r\n")
				expect(t, in, "CAPA")
				io.WriteString(out, "+OK\r\nSTLS\r\nPIPELINING\r\nSASL CRAM-MD5\r\n.\r\n")
				expect(t, in, "STLS")
				io.WriteString(out, "+OK\r\n")
			}, func(in *bufio.Reader, out io.Writer) {
				expect(t, in, "CAPA")
				io.WriteString(out, "+OK\r\nSASL PLAIN\r\n.\r\n")
				expect(t, in, "USER ada")
				io.WriteString(out, "+OK\r\n")
				expect(t, in, "PASS secret")
				io.WriteString(out, "+OK\r\n")
				expect(t, in, "QUIT")
				io.WriteString(out, "+OK\r\n")
			})
		})
		defer wg.Wait()
		defer near.Close()
		ctx := context.Background()
		c, err := New(ctx, near, Options{})
		noError(t, err)
		caps, err := c.Capabilities(ctx)
		if err != nil || !caps.STLS || !caps.Pipelining || strings.Join(caps.SASL(), " ") != "CRAM-MD5" {
			t.Errorf("before TLS: %+v %v", caps, err)
		}
		noError(t, c.StartTLS(ctx, testTLS(t).client))
		if c.pipelining || c.capabilities != nil {
			t.Error("what was said in the clear is still believed")
		}
		caps, err = c.Capabilities(ctx)
		if err != nil || caps.STLS || strings.Join(caps.SASL(), " ") != "PLAIN" {
			t.Errorf("under TLS: %+v %v", caps, err)
		}
		noError(t, c.Login(ctx, "ada", "secret"))
		noError(t, c.Quit(ctx))
		wg.Wait()
	})
}

func TestT62StartTLSTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() {
			secureServer(t, far, func(in *bufio.Reader, out io.Writer) {
				io.WriteString(out, "+OK\r\n")
				expect(t, in, "STLS")
				io.WriteString(out, "+OK\r\n")
			}, func(in *bufio.Reader, out io.Writer) {
				expect(t, in, "NOOP")
				io.WriteString(out, "+OK\r\n")
			})
		})
		defer wg.Wait()
		defer near.Close()
		ctx := context.Background()
		c, err := New(ctx, near, Options{})
		noError(t, err)
		noError(t, c.StartTLS(ctx, testTLS(t).client))
		if err := c.StartTLS(ctx, testTLS(t).client); err == nil {
			t.Error("a second StartTLS succeeded")
		}
		noError(t, c.Noop(ctx))
		c.Close()
		wg.Wait()
	})
	dialogue(t, Options{Secure: true}, "S: +OK", func(t *testing.T, c *Client, err error) {
		noError(t, err)
		if err := c.StartTLS(context.Background(), testTLS(t).client); err == nil {
			t.Error("StartTLS over TLS succeeded")
		}
	})
}

func TestHandshakeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			client  func(*tls.Config)
			stall   bool
			cancel  bool
			timeout bool
		}{
			"wrong name":   {client: func(c *tls.Config) { c.ServerName = "other.example.org" }},
			"unknown CA":   {client: func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }},
			"T36 silence":  {stall: true, timeout: true},
			"cancellation": {stall: true, cancel: true},
		} {
			near, far := net.Pipe()
			var wg sync.WaitGroup
			wg.Go(func() {
				secureServer(t, far, func(in *bufio.Reader, out io.Writer) {
					io.WriteString(out, "+OK\r\n")
					expect(t, in, "STLS")
					io.WriteString(out, "+OK\r\n")
					if tt.stall {
						io.Copy(io.Discard, in)
					}
				}, nil)
			})
			ctx, cancel := context.WithCancel(context.Background())
			c, err := New(ctx, near, Options{})
			noError(t, err)
			config := testTLS(t).client.Clone()
			if tt.client != nil {
				tt.client(config)
			}
			if tt.cancel {
				time.AfterFunc(time.Second, cancel)
			}
			err = c.StartTLS(ctx, config)
			cancel()
			wg.Wait()
			var e *ConnError
			if !errors.As(err, &e) || e.Timeout() != tt.timeout || errors.Is(err, context.Canceled) != tt.cancel {
				t.Errorf("%s: got %v", name, err)
			}
			if !tt.stall && !errors.As(err, new(*tls.CertificateVerificationError)) {
				t.Errorf("%s: got %v (%T), want a certificate error", name, err, err)
			}
			broken(t, c, err, nil)
		}
	})
}
