package mailtest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// smtpReply is what a command is answered with.
type smtpReply struct {
	code     int
	enhanced string   // enhanced status code (RFC 3463), sent if the server lists them
	lines    []string // at least one
	end      bool     // the session ends behind it
	next     func(*smtpSession) error
}

// smtpSay is a reply of one line, or of several if text has line ends in it.
func smtpSay(code int, enhanced, text string) smtpReply {
	return smtpReply{code: code, enhanced: enhanced, lines: strings.Split(text, "\n")}
}

// good says whether the command was carried out.
func (r *smtpReply) good() bool { return r.code < 400 }

// render is the reply as it is sent (RFC 5321 section 4.2.1, RFC 2034 section 4).
func (s *smtpSession) render(r smtpReply) []byte {
	lines := r.lines
	if s.server.o.Quirks.Multiline && len(lines) == 1 {
		lines = []string{"a reply in several lines", lines[0], "and this is the last one"}
	}
	prefix := ""
	if r.enhanced != "" && s.has("ENHANCEDSTATUSCODES") {
		prefix = r.enhanced + " "
	}
	var out bytes.Buffer
	for i, line := range lines {
		separator := byte('-')
		if i == len(lines)-1 {
			separator = ' '
		}
		fmt.Fprintf(&out, "%03d%c%s%s\r\n", r.code, separator, prefix, line)
	}
	return out.Bytes()
}

// answer sends a reply with all the faults that the hook asked for.
func (s *smtpSession) answer(e *SMTPEvent, r smtpReply) error {
	if s.owes {
		s.owes = false
		if err := s.pause(s.server.o.Latency); err != nil {
			return err
		}
	}
	if err := s.pause(e.delay); err != nil {
		return err
	}
	s.countEarly(e.Verb)
	s.ended = r.end || r.code == 421 || e.Verb == "GREETING" && !r.good()
	if e.mute {
		return nil
	}
	octets := s.render(r)
	if e.replied {
		octets = e.reply
	}
	if e.edit != nil {
		octets = e.edit(octets)
	}
	octets = append(octets[:len(octets):len(octets)], e.extra...)
	for line := range strings.Lines(string(octets)) {
		s.server.log(s.number, "S", strings.TrimRight(line, "\r\n"))
	}
	if err := s.send(e, octets); err != nil {
		return err
	}
	// Replies to commands that were sent in one flight may share a segment.
	if !s.lineWaiting() || r.next != nil || s.ended {
		return s.w.Flush()
	}
	return nil
}

// send writes octets until they are to be cut or held.
func (s *smtpSession) send(e *SMTPEvent, octets []byte) error {
	sent := int64(0)
	for e.spoiled() {
		stalls := e.stall >= 0 && (e.cut < 0 || e.stall <= e.cut)
		place := e.cut
		if stalls {
			place = e.stall
		}
		n := min(int64(len(octets)), max(0, place-sent))
		if _, err := s.w.Write(octets[:n]); err != nil {
			return err
		}
		octets, sent = octets[n:], sent+n
		if err := s.w.Flush(); err != nil {
			return err
		}
		if !stalls {
			s.server.log(s.number, "S", "(cut after "+strconv.FormatInt(sent, 10)+" octets)")
			return e.cutError()
		}
		e.stall = -1
		if err := s.hold(e.stallFor); err != nil {
			return err
		}
	}
	_, err := s.w.Write(octets)
	return err
}
