//go:build linux

package mailtest

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Messages is what a client gets to see in user's maildrop, in the server's
// order: read over POP3S by a reader that has nothing in common with the client
// under test, line after line, the dots of RFC 1939 section 3 taken off again.
func (s *RealServer) Messages(tb testing.TB, user, password string) [][]byte {
	tb.Helper()
	conn, err := s.Dial(s.POP3S)
	if err != nil {
		tb.Fatalf("read the maildrop of %s: %v", s.Name, err)
	}
	pop := newRawPOP3(conn)
	defer pop.close()
	messages, err := pop.messages(user, password)
	if err != nil {
		tb.Fatalf("read the maildrop of %s: %v", s.Name, err)
	}
	return messages
}

// tryLogin opens user's maildrop over POP3S and closes it again.
func (s *RealServer) tryLogin(user, password string) error {
	conn, err := s.Dial(s.POP3S)
	if err != nil {
		return err
	}
	pop := newRawPOP3(conn)
	defer pop.close()
	if err := pop.login(user, password); err != nil {
		return err
	}
	return pop.quit()
}

// How many messages are asked for at once, in a few hundred octets that always
// fit into the line's buffers.
const retrieveAhead = 50

// rawPOP3 is the plainest POP3 client there is.
type rawPOP3 struct {
	conn net.Conn
	in   *bufio.Reader
}

func newRawPOP3(conn net.Conn) *rawPOP3 {
	return &rawPOP3{conn: conn, in: bufio.NewReader(conn)}
}

func (p *rawPOP3) close() { _ = p.conn.Close() }

// reply reads one status line and returns what follows +OK.
func (p *rawPOP3) reply() (string, error) {
	if err := p.conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return "", err
	}
	line, err := p.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	text, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "+OK")
	if !ok {
		return "", fmt.Errorf("refused: %q", line)
	}
	return strings.TrimSpace(text), nil
}

func (p *rawPOP3) command(line string) (string, error) {
	if _, err := fmt.Fprintf(p.conn, "%s\r\n", line); err != nil {
		return "", err
	}
	return p.reply()
}

func (p *rawPOP3) login(user, password string) error {
	if _, err := p.reply(); err != nil {
		return err
	}
	// RFC 6856, where the server knows it: Courier alters mail without.
	_, _ = p.command("UTF8")
	if _, err := p.command("USER " + user); err != nil {
		return err
	}
	_, err := p.command("PASS " + password)
	return err
}

func (p *rawPOP3) quit() error {
	_, err := p.command("QUIT")
	return err
}

func (p *rawPOP3) messages(user, password string) ([][]byte, error) {
	if err := p.login(user, password); err != nil {
		return nil, err
	}
	status, err := p.command("STAT")
	if err != nil {
		return nil, err
	}
	number, _, _ := strings.Cut(status, " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		return nil, err
	}
	var messages [][]byte
	for i := range n {
		// Asked for by the dozen: lockstep takes Cyrus 12 ms a message.
		if i%retrieveAhead == 0 {
			var commands []byte
			for k := i + 1; k <= min(i+retrieveAhead, n); k++ {
				commands = fmt.Appendf(commands, "RETR %d\r\n", k)
			}
			if _, err := p.conn.Write(commands); err != nil {
				return nil, err
			}
		}
		if _, err := p.reply(); err != nil {
			return nil, err
		}
		m, err := p.multiline()
		if err != nil {
			return nil, err
		}
		messages = append(messages, m)
	}
	return messages, p.quit()
}

// multiline reads up to the line with the single dot. A line ends with CRLF;
// a lone LF is part of it.
func (p *rawPOP3) multiline() ([]byte, error) {
	var message []byte
	start := true // at the start of a line
	for {
		piece, err := p.in.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		if start && string(piece) == ".\r\n" {
			return message, nil
		}
		if start && piece[0] == '.' {
			piece = piece[1:]
		}
		start = bytes.HasSuffix(piece, []byte("\r\n"))
		message = append(message, piece...)
	}
}
