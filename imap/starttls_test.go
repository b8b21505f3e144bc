package imap

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// A STARTTLS that does not succeed is an error, after which nothing is sent by
// itself.
func TestT53StartTLSFails(t *testing.T) {
	for reply, is := range map[string]any{
		`S: A NO not today`:        nil,
		`S: A BAD`:                 nil,
		`S: B OK begin`:            new(*ProtocolError),
		`S: A begin`:               new(*ProtocolError),
		`S: * PREAUTH` + "\nSTALL": new(*ConnError),
		`S: * BYE`:                 new(*ResponseError),
		`S~ "$A OK"` + "\nCUT":     new(*ConnError),
		`CUT`:                      new(*ConnError),
		`STALL`:                    new(*ConnError),
	} {
		t.Run(reply, func(t *testing.T) {
			dialogue(t, Options{}, "S: * OK\nC: A STARTTLS\n"+reply, func(t *testing.T, c *Client, err error) {
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

func TestT56OctetsBehindSTARTTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var said strings.Builder
		var wg sync.WaitGroup
		wg.Go(func() {
			in := bufio.NewReader(io.TeeReader(far, &said))
			io.WriteString(far, "* OK\r\n")
			line, _ := in.ReadString('\n')
			tag, _, _ := strings.Cut(line, " ")
			io.WriteString(far, tag+" OK begin\r\n* CAPABILITY AUTH=PLAIN\r\n")
			io.Copy(io.Discard, in)
		})
		c, err := New(context.Background(), near, Options{})
		noError(t, err)
		err = c.StartTLS(context.Background(), testTLS(t).client)
		broken(t, c, err, new(*ProtocolError))
		wg.Wait()
		far.Close()
		if !strings.HasSuffix(said.String(), " STARTTLS\r\n") || strings.Count(said.String(), "\n") != 1 {
			t.Errorf("the client said %q", said.String())
		}
	})
}

// An answer from before the command is none. Its tag could not be known either.
func TestT57ReplyBeforeItsCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		go io.WriteString(far, "* OK ready\r\na1 OK begin TLS\r\n")
		c, err := New(context.Background(), near, Options{})
		noError(t, err)
		// Nothing is written: the pipe has no reader at its other end.
		err = c.StartTLS(context.Background(), testTLS(t).client)
		broken(t, c, err, new(*ProtocolError))
	})
}

// Capabilities from before TLS, even those in the answer to STARTTLS, are forgotten.
func TestT58CapabilitiesForgottenByTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() {
			defer far.Close()
			io.WriteString(far, "* OK [CAPABILITY STARTTLS AUTH=CRAM-MD5] x\r\n")
			line, _ := bufio.NewReader(far).ReadString('\n')
			tag, _, _ := strings.Cut(line, " ")
			io.WriteString(far, tag+" OK [CAPABILITY AUTH=FAKE] x\r\n")
			secure := tls.Server(far, testTLS(t).server)
			in := bufio.NewReader(secure)
			for _, answer := range []string{"* CAPABILITY AUTH=PLAIN\r\n", ""} {
				line, _ := in.ReadString('\n')
				tag, _, _ := strings.Cut(line, " ")
				io.WriteString(secure, answer+tag+" OK\r\n")
			}
			io.Copy(io.Discard, secure)
		})
		ctx := context.Background()
		c, err := New(ctx, near, Options{})
		noError(t, err)
		noError(t, c.StartTLS(ctx, testTLS(t).client))
		caps, err := c.Capabilities(ctx)
		if err != nil || strings.Join(caps.SASL(), " ") != "PLAIN" {
			t.Errorf("got %v, %v", caps.Names(), err)
		}
		if err := c.StartTLS(ctx, testTLS(t).client); err == nil || c.failed != nil { // T62
			t.Errorf("TLS twice: %v", err)
		}
		noError(t, c.Noop(ctx))
		c.Close()
		wg.Wait()
	})
}

func TestT61OldTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() {
			defer far.Close()
			config := testTLS(t).server.Clone()
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			secure := tls.Server(far, config)
			io.WriteString(secure, "* OK\r\n")
		})
		config := testTLS(t).client.Clone()
		config.MinVersion = tls.VersionTLS12
		_, err := New(context.Background(), tls.Client(near, config), Options{})
		if err == nil {
			t.Error("TLS 1.1 was spoken")
		}
		wg.Wait()
	})
}
