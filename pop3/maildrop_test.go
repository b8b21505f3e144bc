package pop3

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// maildrop is a small server for sessions that no transcript would be short
// enough for.
type maildrop struct {
	messages []string // as stored, lines ended by CRLF
	lockstep bool     // no PIPELINING
	narrow   bool     // reads no command before it has answered the last one
	deleted  int
}

func (m *maildrop) serve(conn io.ReadWriter) {
	in := bufio.NewReader(conn)
	if m.narrow {
		in = bufio.NewReaderSize(conn, 16) // the least that there is
	}
	say := func(format string, args ...any) bool {
		_, err := fmt.Fprintf(conn, format+"\r\n", args...)
		return err == nil
	}
	for ok := say("+OK ready <1.2@example.org>"); ok; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.Fields(line)
		n := 0
		if len(words) > 1 {
			n, _ = strconv.Atoi(words[1])
		}
		switch words[0] {
		case "CAPA":
			ok = say("+OK") && say("UIDL") && say("USER") && (m.lockstep || say("PIPELINING")) && say(".")
		case "LIST":
			ok = m.list(say, func(i int) string { return strconv.Itoa(len(m.messages[i])) })
		case "UIDL":
			ok = m.list(say, func(i int) string { return "uid" + strconv.Itoa(i+1) })
		case "RETR":
			ok = say("+OK %d octets", len(m.messages[n-1])) && m.send(conn, m.messages[n-1])
		case "DELE":
			m.deleted++
			ok = say("+OK marked")
		case "QUIT":
			say("+OK bye")
			return
		default:
			ok = say("+OK %s", strings.ToLower(words[0]))
		}
	}
}

func (m *maildrop) list(say func(string, ...any) bool, fact func(i int) string) bool {
	ok := say("+OK")
	for i := range m.messages {
		ok = ok && say("%d %s", i+1, fact(i))
	}
	return ok && say(".")
}

func (m *maildrop) send(w io.Writer, message string) bool {
	_, err := io.WriteString(w, stuff(message)+".\r\n")
	return err == nil
}

// stuff is the plain form of dot-stuffing.
func stuff(message string) string {
	if strings.HasPrefix(message, ".") {
		message = "." + message
	}
	return strings.ReplaceAll(message, "\r\n.", "\r\n..")
}

func testMessages(n int) []string {
	messages := make([]string, n)
	for i := range messages {
		messages[i] = fmt.Sprintf("Subject: %d\r\n\r\n.\r\n..\r\n%s.end\r\n", i, strings.Repeat("line\r\n", i%50))
	}
	return messages
}

// session does all that a fetch does, and returns the first error.
func session(ctx context.Context, conn net.Conn, o Options, r Receiver) error {
	c, err := New(ctx, conn, o)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Capabilities(ctx); err != nil {
		return err
	}
	if err := c.Login(ctx, "ada", "secret"); err != nil {
		return err
	}
	var want []Request
	var numbers []int
	listed, err := c.Listing(ctx, func(i Item) error {
		want = append(want, Request{Number: i.Number, Octets: i.Octets})
		numbers = append(numbers, i.Number)
		return nil
	})
	if err != nil {
		return err
	}
	if listed.Messages != len(want) || listed.Malformed > 0 || listed.NoUIDL {
		return fmt.Errorf("listing was %+v", listed)
	}
	if err := c.Retrieve(ctx, want, r); err != nil {
		return err
	}
	marked := 0
	err = c.Delete(ctx, numbers, func(_ int, err error) {
		if err == nil {
			marked++
		}
	})
	if err != nil {
		return err
	}
	if marked != len(want) {
		return fmt.Errorf("%d of %d marked", marked, len(want))
	}
	return c.Quit(ctx)
}

// delayed returns the ends of a line with a round-trip time and any bandwidth.
func delayed(t *testing.T, rtt time.Duration) (near, far net.Conn) {
	near, a := net.Pipe()
	far, b := net.Pipe()
	var wg sync.WaitGroup
	carry := func(dst, src net.Conn) {
		type packet struct {
			due  time.Time
			text []byte
		}
		packets := make(chan packet, 1<<16)
		wg.Go(func() {
			defer close(packets)
			for {
				buf := make([]byte, 1<<16)
				n, err := src.Read(buf)
				if err != nil {
					return
				}
				packets <- packet{time.Now().Add(rtt / 2), buf[:n]}
			}
		})
		wg.Go(func() {
			defer dst.Close()
			for p := range packets {
				time.Sleep(time.Until(p.due))
				if _, err := dst.Write(p.text); err != nil {
					src.Close()
				}
			}
		})
	}
	carry(a, b)
	carry(b, a)
	t.Cleanup(func() {
		near.Close()
		far.Close()
		wg.Wait()
	})
	return near, far
}
