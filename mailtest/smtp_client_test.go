package mailtest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// startSMTP runs a server until the end of the test.
func startSMTP(t *testing.T, o SMTPOptions) *SMTP {
	t.Helper()
	s := NewSMTP(o)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// smtpClient plays the client's side of transcripts.
type smtpClient struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dialSMTP(t *testing.T, s *SMTP) *smtpClient {
	t.Helper()
	conn, err := net.DialTimeout("tcp", s.Addr(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &smtpClient{t: t}
	c.use(conn)
	return c
}

func (c *smtpClient) use(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	c.conn, c.in = conn, bufio.NewReader(conn)
}

// secure makes TLS on the line.
func (c *smtpClient) secure(config *tls.Config) {
	c.t.Helper()
	conn := tls.Client(c.conn, config)
	c.use(conn)
	if err := conn.Handshake(); err != nil {
		c.t.Fatal(err)
	}
}

// say plays a transcript: "C: " lines in a row are sent in one piece, and each
// "S: " line is what the server must say, or its beginning if it ends with "*";
// "S: (end)" is the end of the line.
func (c *smtpClient) say(transcript string) {
	c.t.Helper()
	var flight, played strings.Builder
	for line := range strings.Lines(strings.TrimSpace(transcript)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if text, ok := strings.CutPrefix(line, "C:"); ok {
			flight.WriteString(strings.TrimPrefix(text, " ") + "\r\n")
			fmt.Fprintln(&played, line)
			continue
		}
		c.write(flight.String())
		flight.Reset()
		want := strings.TrimPrefix(strings.TrimPrefix(line, "S:"), " ")
		got, err := c.in.ReadString('\n')
		got = strings.TrimSuffix(got, "\r\n")
		if err == io.EOF && got == "" {
			got = "(end)"
		} else if err != nil {
			c.t.Fatalf("after\n%swant %q, got %q, %v", played.String(), want, got, err)
		}
		head, open := strings.CutSuffix(want, "*")
		if got != want && !(open && strings.HasPrefix(got, head)) {
			c.t.Fatalf("after\n%swant S: %s\n got S: %s", played.String(), want, got)
		}
		fmt.Fprintln(&played, line)
	}
	c.write(flight.String())
}

func (c *smtpClient) write(octets string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, octets); err != nil {
		c.t.Fatal(err)
	}
}

// rest is all that comes until the line ends.
func (c *smtpClient) rest() string {
	octets, _ := io.ReadAll(c.in)
	return string(octets)
}

// greet reads the greeting and says EHLO.
func (c *smtpClient) greet() {
	c.t.Helper()
	c.say("S: 220 *\nC: EHLO client.example")
	c.reply()
}

// reply reads one reply, of however many lines.
func (c *smtpClient) reply() (lines []string) {
	c.t.Helper()
	for {
		line, err := c.in.ReadString('\n')
		if err != nil || len(line) < 4 {
			c.t.Fatalf("reply %q, %v", line, err)
		}
		lines = append(lines, strings.TrimSuffix(line, "\r\n"))
		if line[3] == ' ' {
			return lines
		}
	}
}

// faultless fails the test if the server has a complaint.
func faultless(t *testing.T, s *SMTP) {
	t.Helper()
	if faults := s.Faults(); len(faults) > 0 {
		t.Errorf("faults of the client: %q", faults)
	}
}
