package mailtest

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxIMAPLine    = 1 << 20 // of a command, literals apart
	maxIMAPLiteral = 1 << 30
)

// imapSession is one connection. Its goroutine owns all of it, save wake.
type imapSession struct {
	server *IMAP
	number int
	raw    net.Conn // the TCP connection
	conn   net.Conn // raw, or TLS over it
	secure bool
	r      *bufio.Reader
	w      *bufio.Writer
	packed *flate.Writer // below w once the line is compressed
	seen   map[string]int
	total  int // commands so far

	user       string
	account    *IMAPAccount
	identified bool            // by ID, after the login
	enabled    map[string]bool // by ENABLE, or by using it
	open       *imapView       // the mailbox that is selected
	notify     *imapNotify
	wake       chan struct{} // holds a token when something may have changed
}

func newIMAPSession(server *IMAP, conn net.Conn, number int) *imapSession {
	s := &imapSession{
		server: server, number: number, raw: conn,
		seen:    make(map[string]int),
		enabled: make(map[string]bool),
		wake:    make(chan struct{}, 1),
	}
	s.attach(conn)
	return s
}

// attach sets the connection to read from and write to.
func (s *imapSession) attach(conn net.Conn) {
	s.conn = conn
	s.r = bufio.NewReaderSize(conn, 64<<10)
	s.w = bufio.NewWriterSize(conn, 64<<10)
}

// compress puts DEFLATE under all that follows (RFC 4978).
func (s *imapSession) compress() error {
	packed, err := flate.NewWriter(s.conn, flate.BestSpeed)
	if err != nil {
		return err
	}
	s.packed = packed
	s.r = bufio.NewReaderSize(flate.NewReader(s.r), 64<<10)
	s.w = bufio.NewWriterSize(packed, 64<<10)
	return nil
}

func (s *imapSession) flush() error {
	pending := s.w.Buffered() > 0
	if err := s.w.Flush(); err != nil {
		return err
	}
	if s.packed != nil && pending {
		return s.packed.Flush()
	}
	return nil
}

// run serves the connection and closes it.
func (s *imapSession) run() {
	err := s.serve()
	s.leave()
	switch {
	case errors.Is(err, errReset):
		if tcp, ok := s.raw.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	case errors.Is(err, errCut):
		s.server.log(s.number, "S", "(cut)")
		drain(s.raw)
	case err == nil:
		_ = s.flush()
		if secure, ok := s.conn.(*tls.Conn); ok {
			_ = secure.CloseWrite()
		}
		drain(s.raw)
	}
	_ = s.raw.Close()
}

func (s *imapSession) serve() error {
	if s.server.o.Implicit {
		if err := s.handshake(); err != nil {
			return err
		}
	}
	if over, err := s.greet(); over || err != nil {
		return err
	}
	for {
		tag, text, err := s.readCommand()
		switch {
		case errors.Is(err, errIMAPSyntax):
			continue // it is answered
		case err != nil:
			return err
		}
		e, p := s.command(tag, text)
		response, err := s.perform(e, p)
		if err != nil {
			return err
		}
		if err := s.answer(e, response); err != nil {
			return err
		}
		if response.end {
			return s.repeatBye()
		}
		if response.next != nil {
			if err := response.next(s); err != nil {
				return err
			}
		}
	}
}

// greet sends the greeting, which may be a refusal.
func (s *imapSession) greet() (over bool, err error) {
	e := s.event("GREETING", "", "")
	greeting := imapResponse{line: "* OK " + s.capabilityCode() + "mailtest ready"}
	if e.status != "" {
		greeting = imapBye(e.text)
	}
	if err := s.answer(e, greeting); err != nil {
		return true, err
	}
	if greeting.end {
		return true, s.repeatBye()
	}
	return false, nil
}

// repeatBye is how some servers answer all that follows a BYE.
func (s *imapSession) repeatBye() error {
	if !s.server.o.Quirks.RepeatBye {
		return nil
	}
	for {
		if _, err := io.WriteString(s.w, "* BYE this session has ended\r\n"); err != nil {
			return err
		}
		if err := s.flush(); err != nil {
			return err
		}
		if err := s.pause(10 * time.Millisecond); err != nil {
			return err
		}
	}
}

// handshake turns the connection into TLS.
func (s *imapSession) handshake() error {
	e := s.event("TLS", "", "")
	if err := s.pause(e.delay); err != nil {
		return err
	}
	if e.stall >= 0 {
		if err := s.hold(e.stallFor); err != nil {
			return err
		}
	}
	if e.cut >= 0 {
		if e.reset {
			return errReset
		}
		return errCut
	}
	// Octets that came behind STARTTLS belong to the handshake, and spoil it.
	secure := tls.Server(&prefixedConn{Conn: s.raw, r: s.r}, s.server.o.TLS)
	if err := secure.Handshake(); err != nil {
		s.server.log(s.number, "S", "(handshake failed: "+err.Error()+")")
		return err
	}
	s.secure = true
	s.attach(secure)
	return nil
}

// readCommand reads one command whole, its literals included.
func (s *imapSession) readCommand() (tag, text string, err error) {
	line, err := s.readLine()
	if err != nil {
		return "", "", err
	}
	tag, rest, _ := strings.Cut(line, " ")
	command := []byte(rest)
	for {
		n, waits, is := literalAhead(line)
		if !is {
			return tag, string(command), nil
		}
		waited := "LITERAL-"
		if n > 4096 {
			waited = "LITERAL+" // RFC 7888 section 5
		}
		e := &IMAPEvent{Tag: tag, cut: -1, stall: -1}
		switch {
		case !waits && !s.has("LITERAL+") && !s.has(waited), n > maxIMAPLiteral:
			if err := s.answer(e, imapBad("this literal is not for here")); err != nil {
				return "", "", err
			}
			if !waits { // what comes is text, not commands
				_, err = io.CopyN(io.Discard, s.r, n)
				if err == nil {
					_, err = s.readLine()
				}
			}
			return "", "", errors.Join(errIMAPSyntax, err)
		case waits:
			e = s.event("+", tag, line)
			response := imapResponse{line: "+ go on"}
			if e.status != "" {
				response = imapResponse{line: e.status + " " + e.text}
			}
			if err := s.answer(e, response); err != nil {
				return "", "", err
			}
			if e.status != "" {
				return "", "", errIMAPSyntax
			}
		}
		literal := bytes.NewBuffer(append(command, "\r\n"...))
		if _, err := io.CopyN(literal, s.r, n); err != nil {
			return "", "", err
		}
		if line, err = s.readLine(); err != nil {
			return "", "", err
		}
		command = append(literal.Bytes(), line...)
	}
}

// literalAhead says whether a line ends with the length of a literal, and
// whether the client waits to be asked for it.
func literalAhead(line string) (n int64, waits, is bool) {
	open := strings.LastIndexByte(line, '{')
	if open < 0 || !strings.HasSuffix(line, "}") {
		return 0, false, false
	}
	digits, unwaited := strings.CutSuffix(line[open+1:len(line)-1], "+")
	n, err := strconv.ParseInt(digits, 10, 63)
	if err != nil || digits[0] == '+' || digits[0] == '-' {
		return 0, false, false
	}
	return n, !unwaited, true
}

// readLine returns the client's next line without its end. A flight that had to
// be waited for is charged with the server's latency.
func (s *imapSession) readLine() (string, error) {
	waited := !s.lineWaiting()
	if waited {
		if err := s.flush(); err != nil {
			return "", err
		}
	}
	var line []byte
	for {
		part, err := s.r.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) || len(line) > maxIMAPLine {
			return "", err
		}
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
	s.server.log(s.number, "C", text)
	rest, _ := s.r.Peek(s.r.Buffered())
	depth := 1 + bytes.Count(rest, []byte{'\n'})
	s.server.count(func(c *IMAPCounts) {
		c.Depth = max(c.Depth, depth)
		if waited {
			c.Flights++
		}
	})
	if waited {
		if err := s.pause(s.server.o.Latency); err != nil {
			return "", err
		}
	}
	return text, nil
}

// lineWaiting says whether a whole line has been read from the connection.
func (s *imapSession) lineWaiting() bool {
	rest, _ := s.r.Peek(s.r.Buffered())
	return bytes.IndexByte(rest, '\n') >= 0
}

// command shows a command to the hook.
func (s *imapSession) command(tag, text string) (*IMAPEvent, *imapParser) {
	verb, arg, _ := strings.Cut(text, " ")
	verb = strings.ToUpper(verb)
	if verb == "UID" {
		second, rest, _ := strings.Cut(arg, " ")
		verb, arg = verb+" "+strings.ToUpper(second), rest
	}
	s.total++
	return s.event(verb, tag, arg), &imapParser{text: arg}
}

// event counts a command and shows it to the hook.
func (s *imapSession) event(verb, tag, arg string) *IMAPEvent {
	s.seen[verb]++
	e := &IMAPEvent{Session: s.number, Verb: verb, Arg: arg, Tag: tag, Nth: s.seen[verb], User: s.user, cut: -1, stall: -1}
	if s.open != nil {
		e.Mailbox = s.open.name()
	}
	if slices.Contains([]string{"SELECT", "EXAMINE", "STATUS", "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE", "APPEND"}, verb) {
		if name, err := s.mailboxName(&imapParser{text: arg}); err == nil {
			e.Mailbox = name
		}
	}
	s.server.count(func(c *IMAPCounts) {
		if verb != "TLS" && verb != "GREETING" {
			c.Commands[verb]++
		}
		if (verb == "LOGIN" || verb == "AUTHENTICATE") && !s.secure {
			c.Cleartext++
		}
	})
	if s.server.o.Hook != nil {
		s.server.o.Hook(e)
	}
	return e
}

// pause waits for d, or until the server is closed.
func (s *imapSession) pause(d time.Duration) error {
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
func (s *imapSession) hold(d time.Duration) error {
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
