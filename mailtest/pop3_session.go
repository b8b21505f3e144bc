package mailtest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// How a session may end besides the client's leaving.
var (
	errCut   = errors.New("cut by the hook")
	errReset = errors.New("reset by the hook")
	errDone  = errors.New("the session has ended")
)

// pop3Session is one connection. Its goroutine owns all of it.
type pop3Session struct {
	server *POP3
	number int
	raw    net.Conn // the TCP connection
	conn   net.Conn // raw, or TLS over it
	secure bool
	r      *bufio.Reader
	w      *bufio.Writer
	seen   map[string]int // commands by verb

	consumed int64 // octets of all lines read
	judged   int64 // octets that the pipelining check has looked at

	timestamp string // APOP's, from the greeting
	named     string // by USER
	user      string // logged in
	drop      *Maildrop
	list      []listed
	gone      []bool // by DELE
	read      []bool // by RETR
	recent    bool   // logged in with Quirks.Recent
}

func newPOP3Session(server *POP3, conn net.Conn, number int) *pop3Session {
	s := &pop3Session{server: server, number: number, raw: conn, seen: make(map[string]int)}
	s.attach(conn)
	return s
}

// attach sets the connection to read from and write to.
func (s *pop3Session) attach(conn net.Conn) {
	s.conn = conn
	s.r = bufio.NewReaderSize(conn, 64<<10)
	s.w = bufio.NewWriterSize(conn, 64<<10)
}

// run serves the connection and closes it.
func (s *pop3Session) run() {
	err := s.serve()
	s.unlock()
	switch {
	case errors.Is(err, errReset):
		if tcp, ok := s.raw.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	case errors.Is(err, errCut):
		s.server.log(s.number, "S", "(cut)")
		drain(s.raw)
	case err == nil:
		_ = s.w.Flush()
		if secure, ok := s.conn.(*tls.Conn); ok {
			_ = secure.CloseWrite()
		}
		drain(s.raw)
	}
	_ = s.raw.Close()
}

// drain ends our side of the line and reads the peer's to its end, for at most
// two seconds: a close with unread octets would become a reset, and that could
// destroy what we sent last.
func drain(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	_, _ = io.Copy(io.Discard, conn)
}

func (s *pop3Session) serve() error {
	if s.server.o.Implicit {
		if err := s.handshake(); err != nil {
			return err
		}
	}
	greeting := "+OK mailtest ready"
	if s.server.apop() {
		s.timestamp = fmt.Sprintf("<%d.%d@mailtest.example>", s.number, time.Now().UnixNano())
		greeting += " " + s.timestamp
	}
	e := s.event("GREETING", "")
	if e.refused {
		greeting = "-ERR " + e.refusal
	}
	if err := s.answer(e, pop3Response{line: greeting}); err != nil || e.refused {
		return err
	}
	for {
		line, err := s.readLine()
		if err != nil {
			return err
		}
		verb, arg, _ := strings.Cut(line, " ")
		e := s.event(strings.ToUpper(verb), arg)
		response, err := s.perform(e, len(line)+2)
		if err != nil {
			return err
		}
		if err := s.answer(e, response); err != nil {
			return err
		}
		if response.end {
			return nil
		}
		if response.handshake {
			if err := s.handshake(); err != nil {
				return err
			}
		}
	}
}

// handshake turns the connection into TLS.
func (s *pop3Session) handshake() error {
	e := s.event("TLS", "")
	if err := s.pause(e.delay); err != nil {
		return err
	}
	if e.stall >= 0 {
		if err := s.hold(e.stallFor); err != nil {
			return err
		}
	}
	if e.cut >= 0 {
		return cutError(e)
	}
	// Octets that came behind STLS belong to the handshake, and spoil it.
	secure := tls.Server(&prefixedConn{Conn: s.raw, r: s.r}, s.server.o.TLS)
	if err := secure.Handshake(); err != nil {
		s.server.log(s.number, "S", "(handshake failed: "+err.Error()+")")
		return err
	}
	s.secure = true
	s.attach(secure)
	return nil
}

// prefixedConn reads through the buffer that was in use before it.
type prefixedConn struct {
	net.Conn
	r io.Reader
}

func (c *prefixedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// event counts a command and shows it to the hook.
func (s *pop3Session) event(verb, arg string) *POP3Event {
	s.seen[verb]++
	e := &POP3Event{Session: s.number, Verb: verb, Arg: arg, Nth: s.seen[verb], User: s.user, cut: -1, stall: -1}
	switch verb {
	case "RETR", "TOP", "DELE", "LIST", "UIDL":
		first, _, _ := strings.Cut(arg, " ")
		if n, err := strconv.Atoi(first); err == nil {
			e.Message = n
			if n >= 1 && n <= len(s.list) {
				e.UID = s.list[n-1].uid
			}
		}
	}
	s.server.count(func(c *POP3Counts) {
		if verb != "TLS" && verb != "GREETING" {
			c.Commands[verb]++
		}
		switch verb {
		case "USER", "PASS", "APOP", "AUTH":
			if !s.secure {
				c.Cleartext++
			}
		}
	})
	if s.server.o.Hook != nil {
		s.server.o.Hook(e)
	}
	return e
}

// readLine returns the client's next line without its end, at most 64 KiB. A
// flight that had to be waited for is charged with the server's latency.
func (s *pop3Session) readLine() (string, error) {
	waited := !s.lineWaiting()
	if waited {
		if err := s.w.Flush(); err != nil {
			return "", err
		}
	}
	line, err := s.r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	s.consumed += int64(len(line))
	text := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
	s.server.log(s.number, "C", text)
	if waited {
		if err := s.pause(s.server.o.Latency); err != nil {
			return "", err
		}
	}
	rest, _ := s.r.Peek(s.r.Buffered())
	depth := 1 + bytes.Count(rest, []byte{'\n'})
	s.server.count(func(c *POP3Counts) { c.Depth = max(c.Depth, depth) })
	return text, nil
}

// lineWaiting says whether a whole line has been read from the connection.
func (s *pop3Session) lineWaiting() bool {
	rest, _ := s.r.Peek(s.r.Buffered())
	return bytes.IndexByte(rest, '\n') >= 0
}

// countEarly looks for octets that came before the reply that is about to be
// sent. A client that breaks the rule by two writes is given a moment for the second.
func (s *pop3Session) countEarly() {
	_ = s.conn.SetReadDeadline(time.Now().Add(300 * time.Microsecond))
	_, _ = s.r.Peek(min(s.r.Buffered()+1, s.r.Size()))
	_ = s.conn.SetReadDeadline(time.Time{})
	arrived := s.consumed + int64(s.r.Buffered())
	early := arrived - max(s.consumed, s.judged)
	s.judged = max(s.judged, arrived)
	if early > 0 {
		s.server.count(func(c *POP3Counts) { c.Early += early })
	}
}

// pause waits for d, or until the server is closed.
func (s *pop3Session) pause(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.server.done:
		return errDone
	}
}

// hold keeps silent for d, or, if d is 0, until the client leaves or the
// server is closed.
func (s *pop3Session) hold(d time.Duration) error {
	if d > 0 {
		return s.pause(d)
	}
	for s.r.Buffered() < s.r.Size() {
		if _, err := s.r.Peek(s.r.Buffered() + 1); err != nil {
			return errDone
		}
	}
	<-s.server.done
	return errDone
}

// unlock gives the maildrop back, if this session has it.
func (s *pop3Session) unlock() {
	if s.drop != nil {
		<-s.drop.lock
		s.drop = nil
	}
}
