package imap

import (
	"bufio"
	"compress/flate"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// deflated is the server's end of a line that is compressed from the OK to
// COMPRESS on.
type deflated struct {
	net.Conn
	in     io.Reader
	out    *flate.Writer
	packed bool
}

func (d *deflated) Read(p []byte) (int, error) {
	if d.packed {
		return d.in.Read(p)
	}
	return d.Conn.Read(p[:1]) // not an octet too many
}

func (d *deflated) Write(p []byte) (int, error) {
	if !d.packed {
		n, err := d.Conn.Write(p)
		if strings.Contains(string(p), "DEFLATED") {
			d.packed, d.in = true, flate.NewReader(bufio.NewReader(d.Conn))
			d.out, _ = flate.NewWriter(d.Conn, 6)
		}
		return n, err
	}
	if _, err := d.out.Write(p); err != nil {
		return 0, err
	}
	return len(p), d.out.Flush()
}

// compressing answers COMPRESS, and leaves the rest to the server.
type compressing struct {
	server
	idles int
}

func (s *compressing) serve(conn net.Conn) {
	d := &deflated{Conn: conn}
	io.WriteString(d, "* OK [CAPABILITY COMPRESS=DEFLATE IDLE] x\r\n")
	in := bufio.NewReaderSize(d, 16)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		tag, command, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), " ")
		var out strings.Builder
		switch command {
		case "COMPRESS DEFLATE":
			out.WriteString(tag + " OK DEFLATED\r\n")
		case "IDLE":
			io.WriteString(d, "+ idling\r\n")
			if s.idles++; s.idles == 1 {
				time.Sleep(time.Minute)
				io.WriteString(d, "* 7 EXISTS\r\n")
			}
			in.ReadString('\n') // DONE
			out.WriteString(tag + " OK\r\n")
		case "LOGIN \"ada\" \"secret\"":
			out.WriteString(tag + " OK [CAPABILITY COMPRESS=DEFLATE IDLE] x\r\n")
		default:
			s.answer(&out, command)
			out.WriteString(tag + " OK\r\n")
		}
		if _, err := io.WriteString(d, out.String()); err != nil || command == "LOGOUT" {
			return
		}
	}
}

func TestCompress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &compressing{server: server{messages: testMessages(400)}}
		s.messages[7] = strings.Repeat("again and again\r\n", 40_000)
		near, far := net.Pipe()
		done := make(chan struct{})
		go func() { defer close(done); defer far.Close(); s.serve(far) }()
		ctx := context.Background()
		c, err := New(ctx, near, Options{})
		noError(t, err)
		if err := c.Compress(ctx); err == nil || c.failed != nil {
			t.Errorf("compressed before the login: %v", err)
		}
		noError(t, c.Login(ctx, "ada", "secret"))
		noError(t, c.Compress(ctx))
		if err := c.Compress(ctx); err == nil || c.failed != nil { // T62
			t.Errorf("compressed twice: %v", err)
		}
		uids, err := c.Search(ctx, From(1))
		noError(t, err)
		b := &box{}
		noError(t, c.Fetch(ctx, FetchRequest{UIDs: uids, Octets: func(uint32) int64 { return 1 << 10 }}, b))
		if len(b.got) != 400 {
			t.Fatalf("%d messages", len(b.got))
		}
		for _, g := range b.got {
			if g.err != nil || g.text != s.messages[g.uid] {
				t.Errorf("message %d is not what the server has", g.uid)
			}
		}
		// The wait of IDLE ends without harm to the stream, by event and by context.
		noError(t, c.Idle(ctx, 0, func(e Event) bool { return e.Number != 7 }))
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		noError(t, c.Idle(short, 0, func(Event) bool { return true }))
		noError(t, c.Noop(ctx))
		noError(t, c.Logout(ctx))
		<-done
	})
}

func TestCompressRefused(t *testing.T) {
	dialogue(t, Options{Secure: true}, `
		S: * PREAUTH [CAPABILITY COMPRESS=DEFLATE] x
		C: A COMPRESS DEFLATE
		S: A NO [COMPRESSIONACTIVE] x
		C: B NOOP
		S: B OK
		C: C COMPRESS DEFLATE
		S: C OK
		S: * this is not compressed
		STALL
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		ctx := context.Background()
		refusal(t, c.Compress(ctx))
		noError(t, c.Noop(ctx))
		noError(t, c.Compress(ctx))
		ready, err := c.line.await(ctx, time.Now().Add(time.Second))
		if !ready || err != nil {
			t.Fatalf("got %t, %v", ready, err)
		}
		_, err = c.one("NOOP", nil)
		err = c.fatal("NOOP", err)
		var odd *ProtocolError
		if !errors.As(err, &odd) {
			t.Errorf("got %v (%T)", err, err)
		}
	})
}
