package mailtest

import (
	"slices"
)

// imapNotify is what a client wants to be told of besides the open mailbox (RFC
// 5465). News are told at the end of each command and during IDLE.
type imapNotify struct {
	personal bool
	names    []string // mailboxes, in UTF-8
	below    []string // subtrees
	known    map[*IMAPMailbox]imapNoticed
}

// imapNoticed is what was told of a mailbox.
type imapNoticed struct {
	name    string
	changes uint64
}

// setNotify is the NOTIFY command. The events are read and not told apart:
// whoever is told of any is told of new and expunged messages, flags and names.
func (s *imapSession) setNotify(p *imapParser) (imapResponse, error) {
	if p.take("NONE") {
		s.notify = nil
		return imapOK("no notices"), p.end()
	}
	if err := p.want("SET "); err != nil {
		return imapResponse{}, err
	}
	n := &imapNotify{}
	status := p.take("STATUS ")
	for {
		if err := s.notifyGroup(p, n); err != nil {
			return imapResponse{}, err
		}
		if !p.take(" ") {
			break
		}
	}
	if err := p.end(); err != nil {
		return imapResponse{}, err
	}
	defer s.account.lock()()
	s.notify = n
	n.known = s.watched()
	r := imapOK("notices from here")
	if status {
		for _, name := range s.account.names() {
			if m := s.account.mailboxes[name]; s.watches(m) && !m.unselectable() && !s.hasOpen(m) {
				r.untagged = append(r.untagged, s.statusOf(m, s.noticeItems())...)
			}
		}
	}
	return r, nil
}

// notifyGroup reads mailboxes and their events.
func (s *imapSession) notifyGroup(p *imapParser, n *imapNotify) error {
	if err := p.want("("); err != nil {
		return err
	}
	word, err := p.word()
	if err != nil {
		return err
	}
	switch word {
	case "SELECTED", "SELECTED-DELAYED":
	case "PERSONAL", "INBOXES", "SUBSCRIBED":
		n.personal = true
	case "MAILBOXES", "SUBTREE":
		if err := p.space(); err != nil {
			return err
		}
		one := func() error {
			name, err := s.mailboxName(p)
			if word == "SUBTREE" {
				n.below = append(n.below, name)
			} else {
				n.names = append(n.names, name)
			}
			return err
		}
		if p.isList() {
			err = p.list(one)
		} else {
			err = one()
		}
		if err != nil {
			return err
		}
	default:
		return p.fail("mailboxes to be told of")
	}
	if err := p.space(); err != nil {
		return err
	}
	if !p.take("NONE") {
		if err := p.list(func() error { _, err := p.atom(); return err }); err != nil {
			return err
		}
	}
	return p.want(")")
}

func (p *imapParser) isList() bool { return !p.ended() && p.text[p.at] == '(' }

func (s *imapSession) watches(m *IMAPMailbox) bool {
	n := s.notify
	return n.personal || slices.Contains(n.names, m.name) ||
		slices.ContainsFunc(n.below, func(top string) bool { return wild(top+s.account.delimiter+"*", m.name, "") || top == m.name })
}

// hasOpen says whether a mailbox is the open one, whose news are told another way.
func (s *imapSession) hasOpen(m *IMAPMailbox) bool { return s.open != nil && s.open.mailbox == m }

func (s *imapSession) watched() map[*IMAPMailbox]imapNoticed {
	known := make(map[*IMAPMailbox]imapNoticed)
	for _, m := range s.account.mailboxes {
		if s.watches(m) {
			known[m] = imapNoticed{m.name, m.changes}
		}
	}
	return known
}

func (s *imapSession) noticeItems() []string {
	items := []string{"MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN"}
	if s.enabled["CONDSTORE"] {
		items = append(items, "HIGHESTMODSEQ")
	}
	return items
}

// notices tells what changed in the mailboxes that are watched; the account is
// locked.
func (s *imapSession) notices() (out []byte) {
	before, now := s.notify.known, s.watched()
	s.notify.known = now
	for m, was := range before {
		if m.deleted {
			out = append(out, s.listRow("LIST", was.name, []string{`\NonExistent`})...)
		}
	}
	for _, name := range s.account.names() {
		m := s.account.mailboxes[name]
		is, watched := now[m]
		was, known := before[m]
		switch {
		case !watched:
		case !known:
			out = append(out, s.listRow("LIST", name, nil)...)
		case was.name != name:
			row := s.listRow("LIST", name, nil)
			out = append(out, row[:len(row)-2]+` ("OLDNAME" (`+s.wireName(was.name)+"))\r\n"...)
		}
		if watched && known && was.changes != is.changes && !m.unselectable() && !s.hasOpen(m) {
			out = append(out, s.statusOf(m, s.noticeItems())...)
		}
	}
	return out
}
