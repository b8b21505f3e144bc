package smtp

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

// A STARTTLS that does not succeed is an error, after which nothing is sent by
// itself.
func TestT53StartTLSFails(t *testing.T) {
	for transcript, is := range map[string]any{
		greeted("AUTH PLAIN"):                                        ErrNotOffered,
		"S: 220 hi\nC: EHLO me.example\nS: 502 what":                 new(*ReplyError),
		greeted("STARTTLS") + "C: STARTTLS\nS: 454 4.7.0 not today":  new(*ReplyError),
		greeted("starttls") + "C: STARTTLS\nS: 502":                  new(*ReplyError),
		greeted("STARTTLS") + "C: STARTTLS\nS: 250 begin":            new(*ProtocolError),
		greeted("STARTTLS") + "C: STARTTLS\nS: +OK begin":            new(*ProtocolError),
		greeted("STARTTLS") + "C: STARTTLS\nS~ \"220 begin\"\nCUT":   new(*ConnError),
		greeted("STARTTLS") + "C: STARTTLS\nCUT":                     new(*ConnError),
		greeted("STARTTLS") + "C: STARTTLS\nSTALL":                   new(*ConnError),
		greeted("STARTTLS") + "C: STARTTLS\nS: 454-no\nS: 220 begin": new(*ProtocolError),
	} {
		t.Run(transcript, func(t *testing.T) {
			dialogue(t, Options{}, transcript, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				err = c.StartTLS(context.Background(), testTLS(t).client)
				var refused *ReplyError
				if errors.Is(err, ErrNotOffered) && is == ErrNotOffered || errors.As(err, &refused) && c.failed == nil {
					if c.secure {
						t.Error("the connection counts as secure")
					}
					return
				}
				broken(t, c, err, is)
			})
		})
	}
}

func TestT56OctetsBehindStartTLS(t *testing.T) {
	for _, behind := range []string{"250 ok\r\n", "2", "\r\n", "\x16\x03\x01"} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			var said strings.Builder
			var wg sync.WaitGroup
			wg.Go(func() {
				in := bufio.NewReader(io.TeeReader(far, &said))
				io.WriteString(far, "220 hi\r\n")
				in.ReadString('\n')
				io.WriteString(far, "250-x\r\n250 STARTTLS\r\n")
				in.ReadString('\n')
				io.WriteString(far, "220 begin\r\n"+behind)
				io.Copy(io.Discard, in)
			})
			c, err := New(context.Background(), near, Options{Name: "me.example"})
			noError(t, err)
			broken(t, c, c.StartTLS(context.Background(), testTLS(t).client), new(*ProtocolError))
			wg.Wait()
			far.Close()
			if said.String() != "EHLO me.example\r\nSTARTTLS\r\n" {
				t.Errorf("the client said %q", said.String())
			}
		})
	}
}

// secureServer speaks before and after STARTTLS.
func secureServer(t *testing.T, conn net.Conn, before, after func(in *bufio.Reader, out io.Writer)) {
	in := bufio.NewReader(conn)
	io.WriteString(conn, "220 hi\r\n")
	expect(t, in, "EHLO me.example")
	io.WriteString(conn, "250-x\r\n250-STARTTLS\r\n250-PIPELINING\r\n250 AUTH CRAM-MD5\r\n")
	expect(t, in, "STARTTLS")
	io.WriteString(conn, "220 begin\r\n")
	if before != nil {
		before(in, conn)
	}
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
			secureServer(t, far, nil, func(in *bufio.Reader, out io.Writer) {
				expect(t, in, "EHLO me.example")
				io.WriteString(out, "250-x\r\n250 AUTH=PLAIN\r\n")
				expect(t, in, "AUTH PLAIN AAA=")
				io.WriteString(out, "235 in\r\n")
				expect(t, in, "QUIT")
			})
		})
		ctx := context.Background()
		c, err := New(ctx, near, Options{Name: "me.example"})
		noError(t, err)
		caps, err := c.Capabilities(ctx)
		if err != nil || !caps.StartTLS || !caps.Pipelining || strings.Join(caps.SASL(), " ") != "CRAM-MD5" {
			t.Errorf("before TLS: %+v %v", caps, err)
		}
		noError(t, c.StartTLS(ctx, testTLS(t).client))
		if caps, err = c.Capabilities(ctx); err != nil || caps.StartTLS || caps.Pipelining || strings.Join(caps.SASL(), " ") != "PLAIN" {
			t.Errorf("under TLS: %+v %v", caps, err)
		}
		if c.StartTLS(ctx, testTLS(t).client) == nil {
			t.Error("T62: a second StartTLS succeeded")
		}
		noError(t, c.Auth(ctx, &mechanism{name: "PLAIN", initial: []byte{0, 0}}))
		noError(t, c.Quit())
		wg.Wait()
	})
	dialogue(t, Options{Secure: true}, "S: 220 hi", func(t *testing.T, c *Client, err error) {
		noError(t, err)
		if c.StartTLS(context.Background(), testTLS(t).client) == nil {
			t.Error("StartTLS over TLS succeeded")
		}
	})
}

func TestT59HandshakeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			client  func(*tls.Config)
			stall   bool
			cancel  bool
			timeout bool
		}{
			"wrong name":   {client: func(c *tls.Config) { c.ServerName = "other.example.org" }},
			"unknown CA":   {client: func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }},
			"silence":      {stall: true, timeout: true},
			"cancellation": {stall: true, cancel: true},
		} {
			near, far := net.Pipe()
			var wg sync.WaitGroup
			wg.Go(func() {
				secureServer(t, far, func(in *bufio.Reader, _ io.Writer) {
					if tt.stall {
						io.Copy(io.Discard, in)
					}
				}, nil)
			})
			ctx, cancel := context.WithCancel(context.Background())
			c, err := New(ctx, near, Options{Name: "me.example"})
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
