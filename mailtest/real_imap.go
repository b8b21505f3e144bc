//go:build linux

package mailtest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// RealSession is a session with the IMAP of a RealServer, over IMAPS, by the
// plainest client there is: it has nothing in common with the client under test,
// sends one command at a time and asks for no extension. Tests make mailboxes with it,
// are the other client of an account, and learn what the server serves.
//
// Its methods fail the test when the server does not do what they ask.
type RealSession struct {
	tb        testing.TB
	conn      net.Conn
	in        *bufio.Reader
	tag       int
	before    string // one's own mailboxes, all but INBOX, begin with it
	delimiter string
}

// RealResponse is one response. Text is all of it but the octets of its
// literals.
type RealResponse struct {
	Text     string
	Literals [][]byte
}

// Session logs in as user. The session ends with the test if not before.
func (s *RealServer) Session(tb testing.TB, user, password string) *RealSession {
	tb.Helper()
	conn, err := s.Dial(s.IMAPS)
	if err != nil {
		tb.Fatalf("begin a session with %s: %v", s.Name, err)
	}
	c := &RealSession{tb: tb, conn: conn, in: bufio.NewReader(conn)}
	tb.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		tb.Fatal(err)
	}
	if _, err := c.response(); err != nil {
		tb.Fatalf("begin a session with %s: %v", s.Name, err)
	}
	c.Do("LOGIN %s %s", quote(user), quote(password))
	c.namespace()
	return c
}

// namespace learns how names of mailboxes are made up: `* NAMESPACE (("INBOX." ".")) ...`.
func (c *RealSession) namespace() {
	personal := regexp.MustCompile(`^\* NAMESPACE \(\("([^"]*)" "([^"]*)"`)
	for _, r := range c.Do("NAMESPACE") {
		if m := personal.FindStringSubmatch(r.Text); m != nil {
			c.before, c.delimiter = m[1], m[2]
		}
	}
	if c.delimiter == "" {
		c.tb.Fatal("the server does not say how names of mailboxes are made up")
	}
}

// Delimiter parts the levels of names.
func (c *RealSession) Delimiter() string { return c.delimiter }

// Text is the whole name of one's own mailbox, from its levels.
func (c *RealSession) Text(levels ...string) string {
	if len(levels) == 1 && levels[0] == "INBOX" {
		return "INBOX"
	}
	return c.before + strings.Join(levels, c.delimiter)
}

// Name is Text as commands have it, quotes included.
func (c *RealSession) Name(levels ...string) string {
	return quote(encodeName(c.Text(levels...)))
}

func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// Do runs a command and returns the untagged responses; the test fails unless
// the answer is OK.
func (c *RealSession) Do(format string, args ...any) []RealResponse {
	c.tb.Helper()
	responses, answer := c.Try(format, args...)
	if !strings.HasPrefix(answer, "OK") {
		c.tb.Fatalf("%s: %s", fmt.Sprintf(format, args...), answer)
	}
	return responses
}

// Try is Do for a command that may be refused; answer is the tagged response
// without its tag.
func (c *RealSession) Try(format string, args ...any) (untagged []RealResponse, answer string) {
	c.tb.Helper()
	c.tag++
	return c.run(fmt.Sprintf("t%d", c.tag), fmt.Sprintf(format, args...), nil)
}

// Append puts a message into a mailbox, by IMAP's own APPEND. Flags are given
// as in `\Seen \Flagged`; a zero date leaves that to the server.
func (c *RealSession) Append(name, flags string, date time.Time, message []byte) {
	c.tb.Helper()
	c.tag++
	when := ""
	if !date.IsZero() {
		when = quote(date.Format("_2-Jan-2006 15:04:05 -0700")) + " "
	}
	command := fmt.Sprintf("APPEND %s (%s) %s{%d}", name, flags, when, len(message))
	if _, answer := c.run(fmt.Sprintf("t%d", c.tag), command, message); !strings.HasPrefix(answer, "OK") {
		c.tb.Fatalf("%s: %s", command, answer)
	}
}

// run sends a command, and what follows it once the server asks for that.
func (c *RealSession) run(tag, command string, literal []byte) (untagged []RealResponse, answer string) {
	c.tb.Helper()
	if _, err := fmt.Fprintf(c.conn, "%s %s\r\n", tag, command); err != nil {
		c.tb.Fatalf("%s: %v", command, err)
	}
	for {
		r, err := c.response()
		if err != nil {
			c.tb.Fatalf("%s: %v", command, err)
		}
		switch text, tagged := strings.CutPrefix(r.Text, tag+" "); {
		case tagged:
			return untagged, text
		case literal != nil && strings.HasPrefix(r.Text, "+"):
			if _, err := fmt.Fprintf(c.conn, "%s\r\n", literal); err != nil {
				c.tb.Fatalf("%s: %v", command, err)
			}
		default:
			untagged = append(untagged, r)
		}
	}
}

// response reads one response with its literals.
func (c *RealSession) response() (r RealResponse, err error) {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return r, err
		}
		line = strings.TrimRight(line, "\r\n")
		r.Text += line
		n, announced := literalAt(line)
		if !announced {
			return r, nil
		}
		octets := make([]byte, n)
		if _, err := io.ReadFull(c.in, octets); err != nil {
			return r, err
		}
		r.Literals = append(r.Literals, octets)
	}
}

// literalAt returns the size of the literal that a line announces at its end.
func literalAt(line string) (n int, ok bool) {
	begin := strings.LastIndexByte(line, '{')
	if begin < 0 || !strings.HasSuffix(line, "}") {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSuffix(line[begin+1:len(line)-1], "+"))
	return n, err == nil
}

// Create makes a mailbox, unless the server refuses its name; then it returns
// what the server said.
func (c *RealSession) Create(levels ...string) (refusal string) {
	c.tb.Helper()
	if _, answer := c.Try("CREATE %s", c.Name(levels...)); !strings.HasPrefix(answer, "OK") {
		return answer
	}
	return ""
}

// Row is what a server tells of one message.
type Row struct {
	UID    uint32
	Flags  string // as in `\Seen \Recent`
	Octets []byte // nil if they were not asked for
}

// Rows lists a mailbox, which is opened for that without changing anything;
// with text, the messages too.
func (c *RealSession) Rows(text bool, levels ...string) (rows []Row) {
	c.tb.Helper()
	items := "(UID FLAGS)"
	if text {
		items = "(UID FLAGS BODY.PEEK[])"
	}
	uid, flags := regexp.MustCompile(`\bUID (\d+)`), regexp.MustCompile(`\bFLAGS \(([^)]*)\)`)
	c.Do("EXAMINE %s", c.Name(levels...))
	for _, r := range c.Do("UID FETCH 1:* %s", items) {
		m := uid.FindStringSubmatch(r.Text)
		if m == nil || !strings.Contains(r.Text, " FETCH (") {
			continue
		}
		number, err := strconv.ParseUint(m[1], 10, 32)
		if err != nil {
			c.tb.Fatal(err)
		}
		row := Row{UID: uint32(number)}
		if m := flags.FindStringSubmatch(r.Text); m != nil {
			row.Flags = m[1]
		}
		if len(r.Literals) > 0 {
			row.Octets = r.Literals[0]
		} else if text {
			row.Octets = []byte{}
		}
		rows = append(rows, row)
	}
	// Courier takes no new mail for a mailbox that is open for reading only. Of
	// such a one this removes nothing.
	c.Do("CLOSE")
	return rows
}

// Logout ends the session.
func (c *RealSession) Logout() {
	c.tb.Helper()
	c.Do("LOGOUT")
	_ = c.conn.Close()
}
