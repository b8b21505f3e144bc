package mailtest

import (
	"fmt"
	"strings"
)

// imapSelect are the parameters of SELECT (RFC 7162 sections 3.1.8 and 3.2.5).
type imapSelect struct {
	condstore, qresync bool
	validity           uint32
	modseq             uint64
	known              imapSet
}

func (p *imapParser) selectParameters() (o imapSelect, err error) {
	if !p.take(" ") {
		return o, p.end()
	}
	err = p.list(func() error {
		name, err := p.word()
		switch {
		case err != nil:
			return err
		case name == "CONDSTORE":
			o.condstore = true
			return nil
		case name != "QRESYNC":
			return p.fail("CONDSTORE or QRESYNC")
		}
		o.qresync = true
		return p.qresync(&o)
	})
	if err != nil {
		return o, err
	}
	return o, p.end()
}

func (p *imapParser) qresync(o *imapSelect) (err error) {
	if err = p.want(" ("); err != nil {
		return err
	}
	if o.validity, err = p.number(); err != nil {
		return err
	}
	if err = p.space(); err != nil {
		return err
	}
	if o.modseq, err = p.number64(); err != nil {
		return err
	}
	if p.take(" ") && !strings.HasPrefix(p.rest(), "(") {
		if o.known, err = p.set(); err != nil {
			return err
		}
		p.take(" ")
	}
	if p.take("(") { // numbers and UIDs that belong together: a hint that needs no use
		if _, err = p.set(); err != nil {
			return err
		}
		if err = p.space(); err != nil {
			return err
		}
		if _, err = p.set(); err != nil {
			return err
		}
		if err = p.want(")"); err != nil {
			return err
		}
	}
	return p.want(")")
}

// selectMailbox is SELECT and EXAMINE (RFC 9051 section 6.3.2).
func (s *imapSession) selectMailbox(e *IMAPEvent, p *imapParser) (imapResponse, error) {
	name, err := s.mailboxName(p)
	if err != nil {
		return imapResponse{}, err
	}
	o, err := p.selectParameters()
	switch {
	case err != nil:
		return imapResponse{}, err
	case o.condstore && !s.has("CONDSTORE"), o.qresync && !s.enabled["QRESYNC"]:
		return imapBad("this parameter is not for here"), nil
	}
	var r imapResponse
	if s.open != nil && s.enabled["QRESYNC"] {
		r.untagged = []byte("* OK [CLOSED] what follows is of the other mailbox\r\n")
	}
	s.open = nil
	defer s.account.lock()()
	m := s.account.get(name)
	if m == nil || m.unselectable() {
		r.line = "NO [NONEXISTENT] no such mailbox"
		return r, nil
	}
	s.enabled["CONDSTORE"] = s.enabled["CONDSTORE"] || o.condstore
	readOnly := e.Verb == "EXAMINE"
	s.open = newIMAPView(m, readOnly, s.server.o.Quirks.Window)
	r.untagged = append(r.untagged, s.selected(s.open)...)
	if o.qresync && o.validity == m.validity {
		r.untagged = append(r.untagged, s.resynced(s.open, o)...)
	}
	r.line = "OK [READ-WRITE] it is open"
	if readOnly {
		r.line = "OK [READ-ONLY] it is open"
	}
	return r, nil
}

func (m *IMAPMailbox) unselectable() bool {
	return hasFlag(m.attributes, `\Noselect`) || hasFlag(m.attributes, `\NonExistent`)
}

// selected is what SELECT tells of a mailbox.
func (s *imapSession) selected(v *imapView) (out []byte) {
	quirks, m := s.server.o.Quirks, v.mailbox
	flags := []string{`\Answered`, `\Flagged`, `\Deleted`, `\Seen`, `\Draft`}
	unseen := 0
	for i, row := range v.rows {
		for _, f := range row.Flags {
			if !hasFlag(flags, f) {
				flags = append(flags, f)
			}
		}
		if unseen == 0 && !hasFlag(row.Flags, `\Seen`) {
			unseen = i + 1
		}
	}
	all := strings.Join(flags, " ")
	if quirks.Flags != "" {
		out = fmt.Appendf(out, "* %s\r\n", quirks.Flags)
	} else {
		out = fmt.Appendf(out, "* FLAGS (%s)\r\n", all)
	}
	if v.readOnly {
		out = append(out, "* OK [PERMANENTFLAGS ()] none can be changed\r\n"...)
	} else {
		out = fmt.Appendf(out, "* OK [PERMANENTFLAGS (%s \\*)] these last\r\n", all)
	}
	out = fmt.Appendf(out, "* %d EXISTS\r\n* 0 RECENT\r\n", len(v.rows))
	if unseen > 0 {
		out = fmt.Appendf(out, "* OK [UNSEEN %d] is the first\r\n", unseen)
	}
	out = fmt.Appendf(out, "* OK [UIDVALIDITY %d] UIDs are valid\r\n", m.validity)
	if !quirks.NoUIDNext {
		out = fmt.Appendf(out, "* OK [UIDNEXT %d] is the next UID\r\n", m.next)
	}
	if s.has("CONDSTORE") {
		text := " is the highest"
		if quirks.BareModSeq {
			text = ""
		}
		out = fmt.Appendf(out, "* OK [HIGHESTMODSEQ %d]%s\r\n", m.modseq, text)
	}
	return out
}

// resynced is what changed since the client's last visit.
func (s *imapSession) resynced(v *imapView, o imapSelect) (out []byte) {
	known := o.known
	if known != nil {
		known = known.resolve(v.mailbox.next - 1)
	}
	if set := v.mailbox.vanished(o.modseq, known); len(set) > 0 {
		out = fmt.Appendf(out, "* VANISHED (EARLIER) %s\r\n", set)
	}
	for i, row := range v.rows {
		if row.ModSeq > o.modseq && (known == nil || known.contains(row.UID)) {
			out = fmt.Appendf(out, "* %d FETCH (UID %d FLAGS (%s) MODSEQ (%d))\r\n",
				i+1, row.UID, strings.Join(row.Flags, " "), row.ModSeq)
		}
	}
	return out
}
