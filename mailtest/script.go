package mailtest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ScriptOptions are how a script is served.
type ScriptOptions struct {
	TLS      *tls.Config   // for STARTTLS
	Implicit bool          // TLS from the first octet
	Timeout  time.Duration // how long to wait for the client at one step; 0: 10 s
}

// ScriptServer plays a script to whoever connects to its loopback port.
type ScriptServer struct {
	tb       testing.TB
	o        ScriptOptions
	listener net.Listener
	sessions [][]scriptStep
	finished chan struct{}
}

// scriptStep is one line of a script.
type scriptStep struct {
	line    int    // in the script, from 1
	kind    string // "S", "C", "C~", "RAW", "CRAW", or a word of its own
	text    string
	pattern *regexp.Regexp
}

// Script serves a transcript over loopback TCP, for any protocol of lines, and
// fails the test with a readable difference when the client deviates from it
// or does not play it to its end. Each step is a line, indented at will:
//
//	S: +OK ready          the server sends this line and CRLF
//	C: USER ada           the client must send exactly this line
//	C~: AUTH PLAIN \S+    the client's whole line must match
//	RAW: "+OK\r\n+OK"     the server sends these octets (a Go string)
//	CRAW: "x\r\n"         the client must send exactly these octets
//	STARTTLS              both start TLS
//	STALL                 the server is silent until the client leaves
//	CUT                   the server ends the line; what the client still sends is ignored
//	EOF                   the client must end the line
//	NEXT                  as CUT; the client must connect again
//	# text                nothing
//
// A script that ends otherwise goes on as CUT, but there the client must not
// send anything more. Each connection but the first needs a NEXT.
func Script(tb testing.TB, steps string) *ScriptServer {
	tb.Helper()
	return ScriptWith(tb, ScriptOptions{}, steps)
}

// ScriptWith is [Script] with options.
func ScriptWith(tb testing.TB, o ScriptOptions, steps string) *ScriptServer {
	tb.Helper()
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	sessions, err := parseScript(steps)
	if err != nil {
		tb.Fatalf("read script: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("serve script: %v", err)
	}
	s := &ScriptServer{tb: tb, o: o, listener: listener, sessions: sessions, finished: make(chan struct{})}
	go s.serve()
	tb.Cleanup(s.Wait)
	return s
}

// Addr is the server's address, host and port.
func (s *ScriptServer) Addr() string { return s.listener.Addr().String() }

// Port is the server's port.
func (s *ScriptServer) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// Wait returns when the script has been played, or has failed. The test's
// cleanup waits as well.
func (s *ScriptServer) Wait() { <-s.finished }

func parseScript(text string) ([][]scriptStep, error) {
	var sessions [][]scriptStep
	var steps []scriptStep
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimLeft(line, " \t")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		step := scriptStep{line: i + 1}
		kind, rest, colon := strings.Cut(line, ":")
		step.kind, step.text = kind, strings.TrimPrefix(rest, " ")
		var err error
		switch {
		case !colon:
			step.kind = strings.TrimSpace(kind)
			switch step.kind {
			case "STARTTLS", "STALL", "CUT", "EOF", "NEXT":
			default:
				err = errors.New("no such step")
			}
		case kind == "C~":
			step.pattern, err = regexp.Compile("^(?:" + step.text + ")$")
		case kind == "RAW", kind == "CRAW":
			step.text, err = strconv.Unquote(strings.TrimSpace(step.text))
		case kind != "S" && kind != "C":
			err = errors.New("no such step")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %q: %w", i+1, line, err)
		}
		steps = append(steps, step)
		if step.kind == "NEXT" {
			sessions = append(sessions, steps)
			steps = nil
		}
	}
	if len(steps) == 0 && len(sessions) > 0 {
		return nil, errors.New("nothing comes after the last NEXT")
	}
	return append(sessions, steps), nil
}

// serve plays one session after another and closes the port.
func (s *ScriptServer) serve() {
	defer close(s.finished)
	defer func() { _ = s.listener.Close() }()
	for i, steps := range s.sessions {
		if tcp, ok := s.listener.(*net.TCPListener); ok {
			_ = tcp.SetDeadline(time.Now().Add(s.o.Timeout))
		}
		conn, err := s.listener.Accept()
		if err != nil {
			s.tb.Errorf("script: no client came for connection %d within %v", i+1, s.o.Timeout)
			return
		}
		p := &scriptPlayer{s: s, raw: conn}
		if !p.play(steps) {
			return
		}
	}
}

// scriptPlayer plays one connection's steps.
type scriptPlayer struct {
	s    *ScriptServer
	raw  net.Conn
	conn net.Conn
	r    *bufio.Reader
	past []string // the transcript so far, for the difference
}

// play returns false when the client has deviated.
func (p *scriptPlayer) play(steps []scriptStep) bool {
	defer func() { _ = p.raw.Close() }()
	p.attach(p.raw)
	if p.s.o.Implicit && !p.handshake() {
		return false
	}
	for _, step := range steps {
		_ = p.raw.SetDeadline(time.Now().Add(p.s.o.Timeout))
		switch step.kind {
		case "S":
			p.send(step.text + "\r\n")
		case "RAW":
			p.send(step.text)
		case "C", "C~", "CRAW":
			if !p.receive(step) {
				return false
			}
		case "STARTTLS":
			if !p.handshake() {
				return false
			}
		case "STALL":
			_, _ = io.Copy(io.Discard, p.r)
			return true
		case "CUT", "NEXT":
			drain(p.raw)
			return true
		case "EOF":
			return p.silence(step.line, "the end of the line")
		}
		p.past = append(p.past, p.show(step))
	}
	if tcp, ok := p.raw.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	last := 0
	if len(steps) > 0 {
		last = steps[len(steps)-1].line
	}
	return p.silence(last, "nothing more")
}

func (p *scriptPlayer) attach(conn net.Conn) {
	p.conn, p.r = conn, bufio.NewReader(conn)
}

// send writes to a client that may have gone: what it should have read shows
// in the test, not here.
func (p *scriptPlayer) send(text string) { _, _ = io.WriteString(p.conn, text) }

func (p *scriptPlayer) handshake() bool {
	if p.s.o.TLS == nil {
		p.s.tb.Errorf("script: TLS without a configuration")
		return false
	}
	conn := tls.Server(&prefixedConn{Conn: p.raw, r: p.r}, p.s.o.TLS)
	_ = p.raw.SetDeadline(time.Now().Add(p.s.o.Timeout))
	if err := conn.Handshake(); err != nil {
		p.s.tb.Errorf("script: TLS handshake: %v\n%s", err, p.transcript())
		return false
	}
	p.attach(conn)
	return true
}

// receive reads what the step expects from the client, and compares.
func (p *scriptPlayer) receive(step scriptStep) bool {
	var got string
	var err error
	if step.kind == "CRAW" {
		octets := make([]byte, len(step.text))
		var n int
		n, err = io.ReadFull(p.r, octets)
		got = string(octets[:n])
	} else {
		got, err = p.r.ReadString('\n')
	}
	if err != nil {
		why := "the client left"
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			why = fmt.Sprintf("the client was silent for %v", p.s.o.Timeout)
		}
		if got != "" {
			why += fmt.Sprintf(" after %q", got)
		}
		p.differ(step.line, p.show(step), "("+why+")")
		return false
	}
	same := false
	line, whole := strings.CutSuffix(got, "\r\n")
	switch step.kind {
	case "CRAW":
		same = got == step.text
	case "C~":
		same = whole && step.pattern.MatchString(line)
	default:
		same = whole && line == step.text
	}
	if same {
		return true
	}
	shown := "C: " + line
	if !whole || step.kind == "CRAW" || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' }) {
		shown = "C (raw): " + strconv.Quote(got)
	}
	p.differ(step.line, p.show(step), shown)
	return false
}

// silence checks that the client ends the line without sending more.
func (p *scriptPlayer) silence(line int, expected string) bool {
	_ = p.raw.SetReadDeadline(time.Now().Add(p.s.o.Timeout))
	got, err := p.r.ReadString('\n')
	var timeout net.Error
	switch {
	case got != "":
		p.differ(line, "("+expected+")", "C: "+strings.TrimRight(got, "\r\n"))
	case errors.As(err, &timeout) && timeout.Timeout():
		p.differ(line, "("+expected+")", fmt.Sprintf("(the line is open after %v)", p.s.o.Timeout))
	default:
		return true
	}
	return false
}

func (p *scriptPlayer) show(step scriptStep) string {
	switch step.kind {
	case "S", "C", "C~":
		return step.kind + ": " + step.text
	case "RAW", "CRAW":
		return step.kind + ": " + strconv.Quote(step.text)
	}
	return step.kind
}

// differ reports a deviation as a difference against the script.
func (p *scriptPlayer) differ(line int, want, got string) {
	p.s.tb.Errorf("script: the client deviates at line %d:\n%s- %s\n+ %s", line, p.transcript(), want, got)
}

// transcript is what was said so far, shortened to its last steps.
func (p *scriptPlayer) transcript() string {
	const shown = 12
	var b strings.Builder
	if skip := len(p.past) - shown; skip > 0 {
		fmt.Fprintf(&b, "  (%d steps)\n", skip)
	}
	for _, line := range p.past[max(0, len(p.past)-shown):] {
		b.WriteString("  " + line + "\n")
	}
	return b.String()
}
