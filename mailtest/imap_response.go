package mailtest

import (
	"bytes"
	"io"
	"strconv"
	"strings"
)

// imapResponse is what a command is answered with.
type imapResponse struct {
	untagged []byte                   // lines with their ends
	body     func(w io.Writer) error  // what follows those; nil: nothing
	news     []byte                   // of the mailbox, behind all that
	line     string                   // behind the tag, or all of it if it begins with "+" or "*"
	end      bool                     // the session ends behind it
	next     func(*imapSession) error // TLS, compression, IDLE: what begins behind it
}

func imapOK(text string) imapResponse { return imapResponse{line: "OK " + text} }

func imapNo(text string) imapResponse { return imapResponse{line: "NO " + text} }

func imapBad(text string) imapResponse { return imapResponse{line: "BAD " + text} }

func imapBye(text string) imapResponse { return imapResponse{line: "* BYE " + text, end: true} }

// answer sends a response with all the faults that the hook asked for.
func (s *imapSession) answer(e *IMAPEvent, r imapResponse) error {
	if err := s.pause(e.delay); err != nil {
		return err
	}
	if e.mute {
		return s.afterwards(e)
	}
	line := r.line
	if !strings.HasPrefix(line, "+") && !strings.HasPrefix(line, "*") {
		line = e.Tag + " " + line
	}
	m := &imapSpoiler{s: s, e: e}
	err := s.render(m, e, line, r)
	if err == nil {
		err = m.end()
	}
	s.server.count(func(c *IMAPCounts) { c.Octets += m.sent })
	s.server.log(s.number, "S", line)
	if err != nil {
		return err
	}
	// Responses to commands that were sent in one flight may share a segment.
	if !s.lineWaiting() || r.next != nil || r.end || e.after != nil {
		if err := s.flush(); err != nil {
			return err
		}
	}
	return s.afterwards(e)
}

func (s *imapSession) afterwards(e *IMAPEvent) error {
	if e.after != nil {
		e.after()
	}
	return nil
}

// render writes the response's octets, edited if the hook wants that.
func (s *imapSession) render(m io.Writer, e *IMAPEvent, line string, r imapResponse) error {
	w := m
	var held bytes.Buffer
	if e.edit != nil {
		w = &held
	}
	if e.replied {
		if _, err := w.Write(e.reply); err != nil {
			return err
		}
	} else if err := s.write(w, line, r); err != nil {
		return err
	}
	if e.edit != nil {
		if _, err := m.Write(e.edit(held.Bytes())); err != nil {
			return err
		}
	}
	_, err := m.Write(e.extra)
	return err
}

func (s *imapSession) write(w io.Writer, line string, r imapResponse) error {
	if _, err := w.Write(r.untagged); err != nil {
		return err
	}
	if r.body != nil {
		if err := r.body(w); err != nil {
			return err
		}
	}
	if _, err := w.Write(r.news); err != nil {
		return err
	}
	if s.server.o.Log != nil {
		for text := range strings.Lines(string(r.untagged) + string(r.news)) {
			s.server.log(s.number, "S", strings.TrimRight(text, "\r\n"))
		}
	}
	_, err := io.WriteString(w, line+"\r\n")
	return err
}

// imapSpoiler passes a response on until it is to be cut or held.
type imapSpoiler struct {
	s    *imapSession
	e    *IMAPEvent
	sent int64
}

func (m *imapSpoiler) Write(p []byte) (int, error) {
	whole := len(p)
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
func (m *imapSpoiler) end() error {
	if !m.e.spoiled() {
		return nil
	}
	if err := m.s.flush(); err != nil {
		return err
	}
	if m.e.stall >= 0 && (m.e.cut < 0 || m.e.stall <= m.e.cut) {
		m.e.stall = -1
		return m.s.hold(m.e.stallFor)
	}
	if m.e.reset {
		return errReset
	}
	return errCut
}

// quoted is a quoted string, or a literal where that cannot be.
func quoted(s string) string {
	if strings.ContainsAny(s, "\r\n\x00") {
		return "{" + strconv.Itoa(len(s)) + "}\r\n" + s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
