package smtp

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// mta is a submission server for tests: strict about line ends, patient with
// pipelining. It answers to what is there before it reads on.
type mta struct {
	capabilities []string
	config       *tls.Config                        // for STARTTLS
	answer       func(verb, argument string) string // an answer of its own to MAIL, RCPT, DATA or "."

	mu       sync.Mutex
	accepted []accepted
	odd      []string // what the client should not have said
}

type accepted struct {
	from string
	to   []string
	text string // dots undone
}

func (m *mta) texts() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var texts []string
	for _, a := range m.accepted {
		texts = append(texts, a.text)
	}
	return texts
}

// serve plays one session until the line ends.
func (m *mta) serve(conn net.Conn) {
	defer conn.Close()
	s := &mtaSession{mta: m, conn: conn, in: bufio.NewReader(conn), out: bufio.NewWriter(conn)}
	s.reply("220 mx.example")
	for {
		line, err := s.line()
		if err != nil || !s.command(line) {
			s.out.Flush()
			return
		}
	}
}

type mtaSession struct {
	*mta
	conn net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
	accepted
	open bool
}

// line flushes the replies before it waits.
func (s *mtaSession) line() (string, error) {
	if s.in.Buffered() == 0 {
		s.out.Flush()
	}
	line, err := s.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	text, whole := strings.CutSuffix(line, "\r\n")
	if !whole || strings.ContainsAny(text, "\r\n") {
		s.note(line)
	}
	return text, nil
}

func (s *mtaSession) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.odd = append(s.odd, what)
}

func (s *mtaSession) reply(format string, args ...any) {
	fmt.Fprintf(s.out, format+"\r\n", args...)
}

func (s *mtaSession) own(verb, argument string) string {
	if s.answer == nil {
		return ""
	}
	return s.answer(verb, argument)
}

func (s *mtaSession) command(line string) (more bool) {
	verb, argument, _ := strings.Cut(line, " ")
	own := s.own(verb, argument)
	switch {
	case own != "":
		s.reply("%s", own)
	case verb == "EHLO":
		s.reply("250-mx.example")
		for _, c := range s.capabilities {
			s.reply("250-%s", c)
		}
		s.reply("250 OK")
	case verb == "STARTTLS":
		s.reply("220 begin")
		s.out.Flush()
		s.conn = tls.Server(s.conn, s.config)
		s.in, s.out = bufio.NewReader(s.conn), bufio.NewWriter(s.conn)
	case verb == "AUTH":
		s.reply("235 in")
	case verb == "MAIL" && !s.open:
		s.open, s.accepted = true, accepted{from: argument}
		s.reply("250 2.1.0 sender")
	case verb == "RCPT" && s.open:
		s.to = append(s.to, argument)
		s.reply("250 2.1.5 recipient")
	case verb == "DATA" && len(s.to) > 0:
		s.reply("354 go")
		return s.data()
	case verb == "RSET":
		s.open, s.accepted = false, accepted{}
		s.reply("250 reset")
	case verb == "NOOP":
		s.reply("250 ok")
	case verb == "QUIT":
		s.reply("221 bye")
		return false
	default:
		s.reply("503 what")
		if s.answer == nil {
			s.note(line)
		}
	}
	return true
}

// data accepts a message before it says so.
func (s *mtaSession) data() (more bool) {
	var text strings.Builder
	for {
		line, err := s.line()
		if err != nil {
			return false
		}
		if line == "." {
			break
		}
		text.WriteString(strings.TrimPrefix(line, ".") + "\n")
	}
	s.text = text.String()
	if own := s.own(".", s.text); own != "" {
		s.reply("%s", own)
	} else {
		s.mu.Lock()
		s.mta.accepted = append(s.mta.accepted, s.accepted)
		s.mu.Unlock()
		s.reply("250 2.0.0 queued")
	}
	s.open = false
	return true
}

// wire is a line in memory between two ends, for a bubble.
type wire struct {
	ends    [2]net.Conn // the client's and the server's
	passing sync.WaitGroup
}

// newWire makes a line on which octets are so long on their way. Limit returns how
// many of some octets pass; after less than all of them the line is cut.
func newWire(latency time.Duration, limit func(up bool, n int) int) *wire {
	near, nearest := net.Pipe()
	farthest, far := net.Pipe()
	w := &wire{ends: [2]net.Conn{near, far}}
	type chunk struct {
		octets []byte
		due    time.Time
	}
	pass := func(dst, src net.Conn, up bool) {
		way := make(chan chunk, 1<<12)
		w.passing.Go(func() {
			defer close(way)
			for {
				p := make([]byte, 4<<10)
				n, err := src.Read(p)
				if err != nil {
					return
				}
				way <- chunk{p[:n], time.Now().Add(latency)}
			}
		})
		w.passing.Go(func() {
			for c := range way {
				time.Sleep(time.Until(c.due))
				n := limit(up, len(c.octets))
				if _, err := dst.Write(c.octets[:n]); err != nil || n < len(c.octets) {
					break
				}
			}
			nearest.Close()
			farthest.Close()
			for range way { // until its reader has seen the end
			}
		})
	}
	pass(farthest, nearest, true)
	pass(nearest, farthest, false)
	return w
}

// newDelay makes a line that is never cut.
func newDelay(latency time.Duration) *wire {
	return newWire(latency, func(_ bool, n int) int { return n })
}

// close ends what is left of the line and waits for its goroutines.
func (w *wire) close() {
	for _, end := range w.ends {
		end.Close()
	}
	w.passing.Wait()
}
