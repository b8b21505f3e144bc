package mailtest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"time"
)

// Lines of commands may be so long: RFC 5321 section 4.5.3.1.4 has 512, and
// extensions add to that; RFC 4954 section 4 has more for AUTH.
const (
	smtpLineLimit = 2048
	smtpAuthLimit = 12288
)

// smtpSession is one connection. Its goroutine owns all of it.
type smtpSession struct {
	server *SMTP
	number int
	raw    net.Conn // the TCP connection
	conn   net.Conn // raw, or TLS over it
	secure bool
	r      *bufio.Reader
	w      *bufio.Writer
	seen   map[string]int // commands by verb

	consumed int64 // octets of all lines and texts read
	judged   int64 // octets that countEarly has looked at
	ended    bool  // by QUIT, or a reply that ends it
	owes     bool  // the latency of a flight, to be waited before its first reply

	hello    bool // EHLO or HELO has been said, on this connection as it is
	extended bool // it was EHLO
	user     string
	loggedIn bool

	tried bool // MAIL was said in this transaction, accepted or not
	open  bool // and accepted
	mail  SMTPMessage
	utf8  bool
}

func newSMTPSession(server *SMTP, conn net.Conn, number int) *smtpSession {
	s := &smtpSession{server: server, number: number, raw: conn, seen: make(map[string]int)}
	s.attach(conn)
	return s
}

// attach sets the connection to read from and write to.
func (s *smtpSession) attach(conn net.Conn) {
	s.conn = conn
	s.r = bufio.NewReaderSize(conn, 64<<10)
	s.w = bufio.NewWriterSize(conn, 16<<10)
}

// run serves the connection and closes it.
func (s *smtpSession) run() {
	err := s.serve()
	switch {
	case errors.Is(err, errReset):
		if tcp, ok := s.raw.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	case errors.Is(err, errCut):
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

func (s *smtpSession) serve() error {
	if s.server.o.Implicit {
		if err := s.handshake(); err != nil {
			return err
		}
	}
	e := s.event("GREETING", "")
	if err := s.finish(e, s.unlessRefused(e, func() smtpReply {
		return smtpSay(220, "", "mailtest.example ESMTP ready")
	})); err != nil {
		return err
	}
	for !s.ended {
		line, err := s.readLine(smtpAuthLimit)
		if err != nil {
			return err
		}
		verb, arg, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		if len(line) > smtpLineLimit && verb != "AUTH" {
			s.fault("line of %d octets", len(line))
		}
		e = s.event(verb, arg)
		r, err := s.perform(e)
		if err != nil {
			return err
		}
		if err := s.finish(e, r); err != nil {
			return err
		}
	}
	return nil
}

// finish answers a command and does what follows the answer.
func (s *smtpSession) finish(e *SMTPEvent, r smtpReply) error {
	if err := s.answer(e, r); err != nil {
		return err
	}
	if r.next == nil {
		return nil
	}
	return r.next(s)
}

// unlessRefused carries a command out if neither the hook nor the limit of
// sessions is against it.
func (s *smtpSession) unlessRefused(e *SMTPEvent, carryOut func() smtpReply) smtpReply {
	if o := s.server.o; e.code == 0 && e.Verb == o.LimitVerb && s.server.crowded(s.number) {
		e.Refuse(o.LimitCode, o.LimitText)
	}
	if e.code != 0 {
		return smtpSay(e.code, "", e.text)
	}
	return carryOut()
}

// handshake turns the connection into TLS.
func (s *smtpSession) handshake() error {
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
		return e.cutError()
	}
	// Octets that came behind STARTTLS belong to the handshake, and spoil it.
	secure := tls.Server(&prefixedConn{Conn: s.raw, r: s.r}, s.server.o.TLS)
	if err := secure.Handshake(); err != nil {
		s.server.log(s.number, "S", "(handshake failed: "+err.Error()+")")
		return err
	}
	s.secure = true
	s.attach(secure)
	s.consumed, s.judged = 0, 0
	// RFC 3207 section 4.2: nothing from before counts.
	s.hello, s.extended = false, false
	s.reset()
	return nil
}

// event counts a command and shows it to the hook.
func (s *smtpSession) event(verb, arg string) *SMTPEvent {
	s.seen[verb]++
	e := &SMTPEvent{Session: s.number, Verb: verb, Arg: arg, Nth: s.seen[verb], User: s.user,
		From: s.mail.From, To: slices.Clone(s.mail.To), cut: -1, stall: -1}
	switch verb {
	case "MAIL":
		if p, err := parseSMTPPath(arg, "FROM:"); err == nil {
			e.From = p.address
		}
	case "RCPT":
		if p, err := parseSMTPPath(arg, "TO:"); err == nil {
			e.To = append(e.To, p.address)
		}
	case "DOT":
		e.Octets = s.mail.Octets
	}
	s.server.count(func(c *SMTPCounts) {
		if verb != "TLS" && verb != "GREETING" && verb != "TEXT" {
			c.Commands[verb]++
		}
		if verb == "AUTH" && !s.secure {
			c.Cleartext++
		}
	})
	if s.server.o.Hook != nil {
		s.server.o.Hook(e)
	}
	return e
}

// has says whether the client has been told of a capability.
func (s *smtpSession) has(keyword string) bool {
	return s.extended && s.server.lists(keyword)
}

func (s *smtpSession) fault(format string, args ...any) {
	s.server.fault(s.number, format, args...)
}

// readLine returns the client's next line without its end.
func (s *smtpSession) readLine(limit int) (string, error) {
	waited := !s.lineWaiting()
	if waited {
		if err := s.w.Flush(); err != nil {
			return "", err
		}
	}
	line, err := s.r.ReadSlice('\n')
	if err != nil {
		return "", err // a line that fills the buffer ends the session, too
	}
	if waited {
		s.owe()
	}
	s.consumed += int64(len(line))
	text, whole := strings.CutSuffix(string(line), "\r\n")
	if !whole {
		text = strings.TrimSuffix(text, "\n")
		s.fault("bare LF at the end of a command")
	}
	if strings.ContainsAny(text, "\r\x00") {
		s.fault("bare CR or NUL in a command")
	}
	if len(line) > limit {
		s.fault("line of %d octets", len(line))
	}
	s.server.log(s.number, "C", text)
	rest, _ := s.r.Peek(s.r.Buffered())
	depth := 1 + bytes.Count(rest, []byte{'\n'})
	s.server.count(func(c *SMTPCounts) { c.Depth = max(c.Depth, depth) })
	return text, nil
}

// owe notes that a flight was waited for.
func (s *smtpSession) owe() {
	if !s.owes {
		s.owes = true
		s.server.count(func(c *SMTPCounts) { c.Flights++ })
	}
}

// lineWaiting says whether a whole line has been read from the connection.
func (s *smtpSession) lineWaiting() bool {
	rest, _ := s.r.Peek(s.r.Buffered())
	return bytes.IndexByte(rest, '\n') >= 0
}

// countEarly looks for octets that came before the reply that is about to be
// sent, where they may not: everywhere without PIPELINING, and with it behind
// the commands that must be the last of their group (RFC 2920 section 3.1).
func (s *smtpSession) countEarly(verb string) {
	strict := s.server.o.NoPipelining
	if !strict && s.server.lists("PIPELINING") {
		switch verb {
		case "EHLO", "HELO", "STARTTLS", "AUTH", "+", "DATA", "VRFY", "EXPN", "NOOP", "QUIT", "GREETING":
		default:
			return
		}
	}
	if strict && verb != "GREETING" {
		// One that breaks the rule by two writes is given a moment for the second.
		_ = s.conn.SetReadDeadline(time.Now().Add(300 * time.Microsecond))
		_, _ = s.r.Peek(min(s.r.Buffered()+1, s.r.Size()))
		_ = s.conn.SetReadDeadline(time.Time{})
	}
	arrived := s.consumed + int64(s.r.Buffered())
	early := arrived - max(s.consumed, s.judged)
	s.judged = max(s.judged, arrived)
	if early > 0 {
		s.server.count(func(c *SMTPCounts) { c.Early += early })
		s.fault("%d octets before the reply to %s", early, verb)
	}
}

// pause waits for d, or until the server is closed.
func (s *smtpSession) pause(d time.Duration) error {
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
func (s *smtpSession) hold(d time.Duration) error {
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
