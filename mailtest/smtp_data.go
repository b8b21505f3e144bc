package mailtest

import (
	"bytes"
	"slices"
	"strings"
)

// data answers DATA (RFC 5321 section 4.1.1.4). Behind a 354 the text follows.
func (s *smtpSession) data(e *SMTPEvent) smtpReply {
	switch {
	case !s.open:
		if !s.tried {
			s.fault("DATA before MAIL")
		}
		return smtpSay(503, "5.5.1", "MAIL first")
	case e.Arg != "":
		s.fault("DATA with %q", e.Arg)
		return smtpSay(501, "5.5.4", "DATA has no parameters")
	case len(s.mail.To) == 0 && !s.server.o.Quirks.EmptyData:
		return smtpSay(554, "5.5.1", "no valid recipients")
	}
	r := smtpSay(354, "", "end with a dot on a line of its own")
	r.next = (*smtpSession).text
	return r
}

// text reads a message and says what becomes of it.
func (s *smtpSession) text() error {
	text := &smtpText{keep: s.server.o.Size}
	if err := s.readText(s.event("TEXT", ""), text); err != nil {
		return err
	}
	for _, fault := range text.faults {
		s.fault("%s in the text", fault)
	}
	s.server.count(func(c *SMTPCounts) {
		c.Octets += text.came
		c.LongLines += text.long
	})
	s.mail.Octets, s.mail.Longest = text.octets, text.longest
	e := s.event("DOT", "")
	if s.server.o.Quirks.Lost250 {
		e.Cut(0)
	}
	r := s.unlessRefused(e, func() smtpReply {
		switch {
		case len(s.mail.To) == 0:
			return smtpSay(554, "5.5.1", "no valid recipients")
		case text.size > s.server.o.Size:
			return smtpSay(552, "5.3.4", "message is too large")
		case text.eight && !s.has("8BITMIME") && s.server.o.Quirks.No8Bit:
			return smtpSay(554, "5.6.1", "octets above 127 are not taken")
		}
		if !e.pretended {
			s.server.keep(s.mail)
		}
		return smtpSay(250, "2.0.0", "kept")
	})
	s.reset()
	return s.answer(e, r)
}

// readText reads a text to its final dot.
func (s *smtpSession) readText(e *SMTPEvent, text *smtpText) error {
	for ended := false; ; {
		if e.stall >= 0 && text.came >= e.stall {
			e.stall = -1
			if err := s.hold(e.stallFor); err != nil {
				return err
			}
		}
		if e.cut >= 0 && text.came >= e.cut {
			s.server.log(s.number, "S", "(cut in the text)")
			return e.cutError()
		}
		if ended {
			return nil
		}
		if s.r.Buffered() == 0 {
			if _, err := s.r.Peek(1); err != nil {
				return err
			}
			s.owe()
		}
		p, _ := s.r.Peek(s.r.Buffered())
		for _, place := range []int64{e.cut, e.stall} {
			if place >= 0 {
				p = p[:min(int64(len(p)), place-text.came)]
			}
		}
		var used int
		used, ended = text.feed(p)
		_, _ = s.r.Discard(used)
		s.consumed += int64(used)
	}
}

// smtpText undoes the dot-stuffing of a text as it comes (RFC 5321 section
// 4.5.2) and looks at it closely. Only CRLF ends a line: a dot after a bare LF is
// text.
type smtpText struct {
	keep    int64 // octets kept at most
	octets  []byte
	size    int64 // of the whole text, whether kept or not
	came    int64 // octets fed, stuffing and final dot included
	longest int
	long    int // lines of more than 998 octets
	eight   bool
	faults  []string // one of each kind

	state textState
	line  int64 // where the present line begins, counted as size
}

type textState int

const (
	atLine  textState = iota // at the beginning of a line
	atDot                    // behind a dot there
	atDotCR                  // behind a dot and CR
	inLine
	atCR // behind a CR in the line
)

// feed takes octets as far as the text goes: ended says that the final dot's
// line was among them.
func (t *smtpText) feed(p []byte) (used int, ended bool) {
	defer func() { t.came += int64(used) }()
	for used < len(p) {
		if t.state == inLine {
			run := bytes.IndexAny(p[used:], "\r\n")
			if run < 0 {
				run = len(p) - used
			}
			t.put(p[used : used+run]...)
			if used += run; used == len(p) {
				break
			}
		}
		used++
		if t.step(p[used-1]) {
			return used, true
		}
	}
	return used, false
}

// step takes one octet.
func (t *smtpText) step(c byte) (ended bool) {
	switch t.state {
	case atLine:
		t.state = inLine
		if c == '.' {
			t.state = atDot
			return false
		}
	case atDot:
		if c == '\r' {
			t.state = atDotCR
			return false
		}
		t.state = inLine
		if c != '.' {
			t.fault("dot that was not doubled")
		}
	case atDotCR:
		if c == '\n' {
			return true
		}
		t.fault("bare CR")
		t.put('\r')
		t.state = inLine
	case atCR:
		if c == '\n' {
			t.endLine()
			return false
		}
		t.fault("bare CR")
		t.put('\r')
		t.state = inLine
	}
	switch c {
	case '\r':
		t.state = atCR
		return false
	case '\n':
		t.fault("bare LF")
	}
	t.put(c)
	return false
}

func (t *smtpText) put(octets ...byte) {
	t.eight = t.eight || !isASCII(string(octets))
	t.octets = append(t.octets, octets[:min(int64(len(octets)), t.keep-min(t.size, t.keep))]...)
	t.size += int64(len(octets))
}

func (t *smtpText) endLine() {
	length := int(t.size - t.line)
	t.longest = max(t.longest, length)
	if length > 998 {
		t.long++
	}
	if t.size <= t.keep {
		t.command(string(t.octets[t.line:min(t.size, t.line+12)]))
	}
	t.put('\r', '\n')
	t.line, t.state = t.size, atLine
}

// command notes a line that begins like the envelope of another message.
func (t *smtpText) command(line string) {
	for _, prefix := range []string{"MAIL FROM:<", "RCPT TO:<"} {
		if strings.HasPrefix(line, prefix) {
			t.fault(prefix + " at the beginning of a line")
		}
	}
}

func (t *smtpText) fault(kind string) {
	if !slices.Contains(t.faults, kind) {
		t.faults = append(t.faults, kind)
	}
}
