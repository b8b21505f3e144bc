package mailtest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// client speaks POP3 in the simplest way: what the tests judge the server by.
type client struct {
	tb   testing.TB
	conn net.Conn
	*textproto.Conn
}

func startPOP3(tb testing.TB, o POP3Options) *POP3 {
	tb.Helper()
	if o.Users == nil {
		o.Users = map[string]string{"ada": "secret"}
	}
	s := NewPOP3(o)
	if err := s.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// dial connects and reads nothing.
func dial(tb testing.TB, s *POP3) *client {
	tb.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		tb.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	tb.Cleanup(func() { _ = conn.Close() })
	return &client{tb: tb, conn: conn, Conn: textproto.NewConn(conn)}
}

// login connects as ada.
func login(tb testing.TB, s *POP3) *client {
	tb.Helper()
	c := dial(tb, s)
	c.expect("+OK")
	c.cmd("+OK", "USER ada")
	c.cmd("+OK", "PASS secret")
	return c
}

func (c *client) expect(prefix string) string {
	c.tb.Helper()
	line, err := c.ReadLine()
	if err != nil {
		c.tb.Fatalf("reply: %v, want %s", err, prefix)
	}
	if !strings.HasPrefix(line, prefix) {
		c.tb.Fatalf("reply %q, want %s", line, prefix)
	}
	return line
}

func (c *client) cmd(prefix, format string, args ...any) string {
	c.tb.Helper()
	if err := c.PrintfLine(format, args...); err != nil {
		c.tb.Fatal(err)
	}
	return c.expect(prefix)
}

func (c *client) lines(format string, args ...any) []string {
	c.tb.Helper()
	c.cmd("+OK", format, args...)
	lines, err := c.ReadDotLines()
	if err != nil {
		c.tb.Fatal(err)
	}
	return lines
}

// rawBody reads a multi-line response to its CRLF.CRLF and undoes the stuffing
// octet by octet, by another way than the server's.
func (c *client) rawBody() []byte {
	c.tb.Helper()
	var message []byte
	for {
		line, err := c.R.ReadBytes('\n')
		for err == nil && !bytes.HasSuffix(line, []byte("\r\n")) {
			var more []byte
			more, err = c.R.ReadBytes('\n')
			line = append(line, more...)
		}
		if err != nil {
			c.tb.Fatalf("read message: %v after %d octets", err, len(message))
		}
		if string(line) == ".\r\n" {
			return message
		}
		message = append(message, bytes.TrimPrefix(line, []byte{'.'})...)
	}
}

func (c *client) retrieve(number int) []byte {
	c.tb.Helper()
	c.cmd("+OK", "RETR %d", number)
	return c.rawBody()
}

// ended checks that the server has closed the line, and returns what came before.
func (c *client) ended() []byte {
	c.tb.Helper()
	rest, err := io.ReadAll(c.R)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		c.tb.Fatalf("the line is still open after %q", rest)
	}
	return rest
}

func TestPOP3Session(t *testing.T) {
	s := startPOP3(t, POP3Options{})
	drop := s.Mailbox("ada")
	drop.Add("one", Wire([]byte("Subject: 1\n\nbody\n")))
	drop.Add("two", Wire([]byte("Subject: 2\n\n.\n..\n.x\nline\nend")))
	drop.Add("three", nil)

	c := login(t, s)
	if got := c.cmd("+OK", "STAT"); got != "+OK 3 56" {
		t.Errorf("STAT: %q", got)
	}
	if got := c.lines("LIST"); !slices.Equal(got, []string{"1 20", "2 36", "3 0"}) {
		t.Errorf("LIST: %q", got)
	}
	if got := c.lines("UIDL"); !slices.Equal(got, []string{"1 one", "2 two", "3 three"}) {
		t.Errorf("UIDL: %q", got)
	}
	if got := c.cmd("+OK", "UIDL 2"); got != "+OK 2 two" {
		t.Errorf("UIDL 2: %q", got)
	}
	for i, want := range drop.Messages() {
		if got := c.retrieve(i + 1); !bytes.Equal(got, want.Octets) {
			t.Errorf("RETR %d: %q, want %q", i+1, got, want.Octets)
		}
	}
	if got := c.lines("TOP 2 1"); !slices.Equal(got, []string{"Subject: 2", "", "."}) {
		t.Errorf("TOP: %q", got)
	}
	c.cmd("+OK", "DELE 1")
	c.cmd("-ERR", "RETR 1")
	c.cmd("-ERR", "DELE 9")
	if got := c.lines("LIST"); len(got) != 2 {
		t.Errorf("LIST after DELE: %q", got)
	}
	if drop.Len() != 3 {
		t.Error("DELE took effect before QUIT")
	}
	c.cmd("+OK", "QUIT")
	if drop.Len() != 2 || drop.Messages()[0].UID != "two" {
		t.Errorf("after QUIT: %v", drop.Messages())
	}
	c.ended()
}

func TestPOP3DeletesOnlyAtQuit(t *testing.T) {
	s := startPOP3(t, POP3Options{LockWait: 5 * time.Second})
	drop := s.Mailbox("ada")
	drop.Add("one", []byte("a\r\n"))
	c := login(t, s)
	c.cmd("+OK", "DELE 1")
	_ = c.Close()
	c = login(t, s)
	if got := c.cmd("+OK", "STAT"); got != "+OK 1 3" {
		t.Errorf("a broken session has deleted: %q", got)
	}
	c.cmd("+OK", "DELE 1")
	drop.Remove("one")                        // by another client
	drop.Add("one", []byte("other mail\r\n")) // with a unique-id that is used again
	c.cmd("+OK", "QUIT")
	if drop.Len() != 1 {
		t.Error("the session deleted a message that it had not seen")
	}
}

func TestPOP3InUse(t *testing.T) {
	s := startPOP3(t, POP3Options{})
	first := login(t, s)
	second := dial(t, s)
	second.expect("+OK")
	second.cmd("+OK", "USER ada")
	second.cmd("-ERR [IN-USE]", "PASS secret")
	first.cmd("+OK", "QUIT")
	second.cmd("+OK", "USER ada")
	second.cmd("+OK", "PASS secret")
	if c := s.Counts(); c.Logins != 2 || c.Refused != 0 {
		t.Errorf("counts: %+v", c)
	}
}

func TestPOP3Capabilities(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		o    POP3Options
		want string
	}{
		"all":     {POP3Options{TLS: config, Mechanisms: []string{"PLAIN", "APOP"}}, "RESP-CODES AUTH-RESP-CODE TOP UIDL PIPELINING USER SASL_PLAIN STLS"},
		"nothing": {POP3Options{NoUSER: true, NoPipelining: true, NoUIDL: true, NoTOP: true, ExtraCAPA: []string{"UTF8"}}, "RESP-CODES AUTH-RESP-CODE UTF8"},
		"gmail":   {ProfileGmailPOP(), "USER RESP-CODES EXPIRE_0 LOGIN-DELAY_300 TOP UIDL SASL_PLAIN_XOAUTH2_OAUTHBEARER"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := dial(t, startPOP3(t, test.o))
			c.expect("+OK")
			got := strings.ReplaceAll(strings.Join(c.lines("CAPA"), "/"), " ", "_")
			if got = strings.ReplaceAll(got, "/", " "); got != test.want {
				t.Errorf("CAPA %q, want %q", got, test.want)
			}
		})
	}
	c := dial(t, startPOP3(t, POP3Options{NoCAPA: true}))
	c.expect("+OK")
	c.cmd("-ERR", "CAPA")
}

func TestPOP3TLS(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("implicit", func(t *testing.T) {
		s := startPOP3(t, POP3Options{TLS: config, Implicit: true})
		c := dial(t, s)
		c.Conn = textproto.NewConn(tls.Client(c.conn, ca.ClientTLS("127.0.0.1")))
		c.expect("+OK")
		c.cmd("+OK", "USER ada")
		c.cmd("+OK", "PASS secret")
		c.cmd("+OK", "QUIT")
		if n := s.Counts().Cleartext; n != 0 {
			t.Errorf("%d logins counted as cleartext", n)
		}
	})
	t.Run("STLS", func(t *testing.T) {
		s := startPOP3(t, POP3Options{TLS: config})
		c := dial(t, s)
		c.expect("+OK")
		c.cmd("+OK", "USER ada")
		c.cmd("+OK", "STLS")
		c.Conn = textproto.NewConn(tls.Client(c.conn, ca.ClientTLS("localhost")))
		c.cmd("-ERR", "PASS secret") // the name from before TLS is forgotten
		c.cmd("-ERR", "STLS")
		if slices.Contains(c.lines("CAPA"), "STLS") {
			t.Error("STLS is offered twice")
		}
		c.cmd("+OK", "USER ada")
		c.cmd("+OK", "PASS secret")
		if n := s.Counts().Cleartext; n != 1 {
			t.Errorf("%d logins counted as cleartext, want 1", n)
		}
	})
	t.Run("injection", func(t *testing.T) {
		s := startPOP3(t, POP3Options{TLS: config, Hook: func(e *POP3Event) {
			if e.Verb == "STLS" {
				e.Append([]byte("+OK injected\r\n"))
			}
		}})
		c := dial(t, s)
		c.expect("+OK")
		c.cmd("+OK", "STLS")
		c.expect("+OK injected")
	})
}

func TestPOP3Pipelining(t *testing.T) {
	const n = 200
	for name, strict := range map[string]bool{"offered": false, "strict": true} {
		t.Run(name, func(t *testing.T) {
			s := startPOP3(t, POP3Options{NoPipelining: strict})
			for i := range n {
				s.Mailbox("ada").Add(fmt.Sprint(i), Wire([]byte(fmt.Sprint("message ", i))))
			}
			c := login(t, s)
			if c := s.Counts(); c.Depth != 1 || c.Early != 0 {
				t.Fatalf("before the flight: %+v", c)
			}
			var flight strings.Builder
			for i := range n {
				fmt.Fprintf(&flight, "RETR %d\r\n", i+1)
			}
			if _, err := io.WriteString(c.conn, flight.String()); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				c.expect("+OK")
				if got, want := string(c.rawBody()), fmt.Sprintf("message %d\r\n", i); got != want {
					t.Fatalf("message %d: %q", i, got)
				}
			}
			counts := s.Counts()
			if counts.Depth != n || counts.Commands["RETR"] != n {
				t.Errorf("counts: %+v, want depth %d", counts, n)
			}
			if want := int64(flight.Len() - len("RETR 1\r\n")); strict && counts.Early != want {
				t.Errorf("%d octets early, want %d", counts.Early, want)
			}
		})
	}
}

func TestPOP3StrictSeesSecondWrite(t *testing.T) {
	s := startPOP3(t, POP3Options{NoPipelining: true, Latency: 50 * time.Millisecond})
	c := dial(t, s)
	c.expect("+OK")
	for range 2 {
		if _, err := io.WriteString(c.conn, "NOOP\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	c.expect("-ERR")
	c.expect("-ERR")
	if n := s.Counts().Early; n != 6 {
		t.Errorf("%d octets early, want 6", n)
	}
}

func TestPOP3LatencyOncePerFlight(t *testing.T) {
	const latency = 60 * time.Millisecond
	s := startPOP3(t, POP3Options{Latency: latency})
	c := login(t, s)
	start := time.Now()
	if _, err := io.WriteString(c.conn, strings.Repeat("NOOP\r\n", 20)); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		c.expect("+OK")
	}
	if took := time.Since(start); took < latency || took > 10*latency {
		t.Errorf("a flight of 20 took %v, want about %v", took, latency)
	}
}

func TestPOP3CloseEndsEverything(t *testing.T) {
	s := NewPOP3(POP3Options{Users: map[string]string{"ada": "secret"}, Hook: func(e *POP3Event) {
		if e.Verb == "NOOP" {
			e.Stall(0, 0)
		}
	}})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	idle, stalled := dial(t, s), login(t, s)
	idle.expect("+OK")
	if err := stalled.PrintfLine("NOOP"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { _ = s.Close() })
	}
	wg.Wait()
	idle.ended()
	stalled.ended()
	if c := s.Counts(); c.Open != 0 || c.Sessions != 2 {
		t.Errorf("counts after Close: %+v", c)
	}
}

func TestPOP3Log(t *testing.T) {
	var log bytes.Buffer
	s := startPOP3(t, POP3Options{Log: &log})
	s.Mailbox("ada").Add("u", []byte("x\r\n"))
	c := login(t, s)
	c.retrieve(1)
	c.cmd("+OK", "QUIT")
	_ = s.Close()
	want := `1 S: +OK mailtest ready
1 C: USER ada
1 S: +OK now PASS
1 C: PASS secret
1 S: +OK welcome
1 C: RETR 1
1 S: +OK 3 octets
1 S: (6 octets)
1 C: QUIT
1 S: +OK bye
`
	if log.String() != want {
		t.Errorf("transcript:\n%swant:\n%s", log.String(), want)
	}
}

// Whatever a client sends, the session ends when the client does.
func FuzzPOP3Session(f *testing.F) {
	f.Add([]byte("USER ada\r\nPASS secret\r\nSTAT\r\nLIST\r\nUIDL 1\r\nRETR 1\r\nTOP 1 1\r\nDELE 1\r\nRSET\r\nQUIT\r\n"))
	f.Add([]byte("APOP ada x\nAUTH SCRAM-SHA-256 biwsbj1hZGEscj14\r\n*\r\nAUTH LOGIN\r\nYWRh\r\nc2VjcmV0\r\nLIST -1\r\nRETR 99999999999999999999\r\n"))
	f.Add([]byte("CAPA\r\nAUTH XOAUTH2 =\r\n\r\nAUTH OAUTHBEARER\r\n!\r\nUTF8\r\n\x00\r\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		s := NewPOP3(POP3Options{Users: map[string]string{"ada": "secret"}, ExtraCAPA: []string{"UTF8"},
			Mechanisms: []string{"APOP", "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER", "EXTERNAL"}})
		s.Mailbox("ada").Add("u", []byte("A: b\r\n\r\n.c"))
		near, far := net.Pipe()
		_ = near.SetDeadline(time.Now().Add(10 * time.Second))
		var running sync.WaitGroup
		running.Go(func() { newPOP3Session(s, far, 1).run() })
		running.Go(func() { _, _ = io.Copy(io.Discard, near) })
		_, _ = near.Write(input)
		_ = near.Close()
		running.Wait()
		if n := len(s.Mailbox("ada").lock); n != 0 {
			t.Error("the session has kept the maildrop's lock")
		}
	})
}
