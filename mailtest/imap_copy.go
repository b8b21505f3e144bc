package mailtest

import (
	"fmt"
	"strings"
	"time"
)

// copy is COPY and MOVE, with and without UID (RFC 9051 section 6.4.7, RFC 6851).
func (s *imapSession) copy(e *IMAPEvent, p *imapParser) (imapResponse, error) {
	set, err := p.set()
	if err == nil {
		err = p.space()
	}
	if err != nil {
		return imapResponse{}, err
	}
	name, err := s.mailboxName(p)
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return imapResponse{}, err
	}
	if s.server.o.Quirks.NoDescending && set.descending() {
		return imapBad("a set goes upwards"), nil
	}
	move := strings.HasSuffix(e.Verb, "MOVE")
	if move && s.open.readOnly {
		return imapNo("[READ-ONLY] the mailbox is open for reading"), nil
	}
	defer s.account.lock()()
	to := s.account.get(name)
	if to == nil || to.unselectable() {
		return imapNo("[TRYCREATE] no such mailbox"), nil
	}
	picked, ok := s.open.pick(set, strings.HasPrefix(e.Verb, "UID "))
	if !ok {
		return imapBad("no such message"), nil
	}
	code := s.transfer(e, picked, to, move)
	if move {
		return s.moved(code), nil
	}
	return imapOK(strings.TrimPrefix(code+" copied", " ")), nil
}

// transfer copies messages and, to move, removes them here. It returns the COPYUID
// code, without brackets if there is nothing to tell.
func (s *imapSession) transfer(e *IMAPEvent, picked []int, to *IMAPMailbox, move bool) string {
	var from, there imapSet
	gone := make(map[*imapMessage]bool)
	next := to.next
	for _, i := range picked {
		message := s.open.rows[i].imapMessage
		if message.gone {
			continue
		}
		from = from.add(message.UID)
		if e.pretended {
			there = there.add(next)
			next++
			continue
		}
		copied := message.IMAPMessage
		copied.UID = 0
		there = there.add(to.put(copied).UID)
		gone[message] = true
	}
	if move {
		s.open.mailbox.expunge(gone)
		s.account.bin(to, gone)
	}
	if len(from) == 0 || !s.has("UIDPLUS") {
		return ""
	}
	return fmt.Sprintf("[COPYUID %d %s %s]", to.validity, from, there)
}

// moved is the response to MOVE; the news behind it tells what went.
func (s *imapSession) moved(code string) imapResponse {
	quirks := s.server.o.Quirks
	r := imapOK("moved")
	switch {
	case code == "":
	case quirks.TaggedCopyUID:
		r.line = "OK " + code + " moved"
	case quirks.BareCode:
		r.untagged = []byte(code + "\r\n")
	default:
		r.untagged = []byte("* OK " + code + " copied\r\n")
	}
	return r
}

// append is RFC 9051 section 6.3.12, one message at a time.
func (s *imapSession) append(e *IMAPEvent, p *imapParser) (imapResponse, error) {
	name, err := s.mailboxName(p)
	if err == nil {
		err = p.space()
	}
	if err != nil {
		return imapResponse{}, err
	}
	message, err := p.appended()
	if err != nil {
		return imapResponse{}, err
	}
	defer s.account.lock()()
	m := s.account.get(name)
	if m == nil || m.unselectable() {
		return imapNo("[TRYCREATE] no such mailbox"), nil
	}
	uid := m.next
	if !e.pretended {
		uid = m.put(message).UID
	}
	if !s.has("UIDPLUS") {
		return imapOK("appended"), nil
	}
	return imapOK(fmt.Sprintf("[APPENDUID %d %d] appended", m.validity, uid)), nil
}

// appended reads the message of an APPEND and what stands before it.
func (p *imapParser) appended() (message IMAPMessage, err error) {
	if strings.HasPrefix(p.rest(), "(") {
		if message.Flags, err = p.flags(); err != nil {
			return message, err
		}
		if err = p.space(); err != nil {
			return message, err
		}
	}
	if strings.HasPrefix(p.rest(), `"`) {
		text, err := p.str()
		if err != nil {
			return message, err
		}
		if message.Date, err = time.Parse("_2-Jan-2006 15:04:05 -0700", text); err != nil {
			return message, p.fail("a date")
		}
		if err := p.space(); err != nil {
			return message, err
		}
	}
	wrapped := p.take("UTF8 (") // RFC 6855 section 4
	text, err := p.str()
	if err != nil {
		return message, err
	}
	message.Octets = []byte(text)
	if wrapped {
		if err := p.want(")"); err != nil {
			return message, err
		}
	}
	return message, p.end()
}
