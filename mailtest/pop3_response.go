package mailtest

import (
	"bytes"
	"io"
	"strconv"
	"strings"
)

// pop3Response is what a command is answered with.
type pop3Response struct {
	line      string
	body      func(w io.Writer) error // what follows the line, its final dot included; nil: nothing
	end       bool                    // the session ends behind it
	handshake bool                    // TLS begins behind it
}

// ok is a response of one line.
func ok(text string) pop3Response {
	return pop3Response{line: strings.TrimSuffix("+OK "+text, " ")}
}

// refuse is a response of one line that says no.
func refuse(text string) pop3Response { return pop3Response{line: "-ERR " + text} }

// rows is a multi-line response; the rows must not begin with a dot.
func rows(text string, rows []byte) pop3Response {
	r := ok(text)
	r.body = func(w io.Writer) error {
		if _, err := w.Write(rows); err != nil {
			return err
		}
		_, err := io.WriteString(w, ".\r\n")
		return err
	}
	return r
}

// answer sends a response with all the faults that the hook asked for.
func (s *pop3Session) answer(e *POP3Event, r pop3Response) error {
	if err := s.pause(e.delay); err != nil {
		return err
	}
	if s.server.o.NoPipelining && e.Verb != "GREETING" {
		s.countEarly()
	}
	if e.mute {
		return nil
	}
	line, follows := e.firstLine(r.line)
	if !follows {
		r.body = nil
	}
	m := &spoiler{s: s, e: e}
	err := s.render(m, e, line, r.body)
	if err == nil {
		err = m.end()
	}
	s.server.count(func(c *POP3Counts) { c.Octets += m.sent })
	s.server.log(s.number, "S", line)
	if rest := m.sent - int64(len(line)) - 2; rest > 0 {
		s.server.log(s.number, "S", "("+strconv.FormatInt(rest, 10)+" octets)")
	}
	if err != nil {
		return err
	}
	// Replies to commands that were sent in one flight may share a segment.
	if !s.lineWaiting() || r.handshake || r.end {
		return s.w.Flush()
	}
	return nil
}

// render writes the response's octets, edited if the hook wants that.
func (s *pop3Session) render(m io.Writer, e *POP3Event, line string, body func(io.Writer) error) error {
	w := m
	var held bytes.Buffer
	if e.edit != nil {
		w = &held
	}
	if _, err := io.WriteString(w, line+"\r\n"); err != nil {
		return err
	}
	if body != nil {
		if err := body(w); err != nil {
			return err
		}
	}
	if e.edit != nil {
		if _, err := m.Write(e.edit(held.Bytes())); err != nil {
			return err
		}
	}
	_, err := m.Write(e.extra)
	return err
}

// spoiler passes a response on until it is to be cut or held.
type spoiler struct {
	s    *pop3Session
	e    *POP3Event
	sent int64
}

func (m *spoiler) Write(p []byte) (int, error) {
	whole := len(p)
	if m.s.server.o.Quirks.BareLF {
		p = bytes.ReplaceAll(p, []byte("\r\n"), []byte("\n"))
	}
	for m.e.spoiled() {
		next := int64(len(p))
		if m.e.stall >= 0 {
			next = min(next, m.e.stall-m.sent)
		}
		if m.e.cut >= 0 {
			next = min(next, m.e.cut-m.sent)
		}
		n, err := m.s.w.Write(p[:next])
		m.sent += int64(n)
		if err != nil {
			return 0, err
		}
		p = p[next:]
		if m.sent != m.e.stall && m.sent != m.e.cut {
			return whole, nil
		}
		if err := m.end(); err != nil {
			return 0, err
		}
	}
	n, err := m.s.w.Write(p)
	m.sent += int64(n)
	if err != nil {
		return 0, err
	}
	return whole, nil
}

// end does the fault whose place has come, or, at the end of the response, the
// one that lies beyond it.
func (m *spoiler) end() error {
	if !m.e.spoiled() {
		return nil
	}
	if err := m.s.w.Flush(); err != nil {
		return err
	}
	if m.e.stall >= 0 && (m.e.cut < 0 || m.e.stall <= m.e.cut) {
		m.e.stall = -1
		return m.s.hold(m.e.stallFor)
	}
	return cutError(m.e)
}

func cutError(e *POP3Event) error {
	if e.reset {
		return errReset
	}
	return errCut
}
