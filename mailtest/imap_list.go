package mailtest

import (
	"slices"
	"strings"
)

// imapList is what a LIST asks for (RFC 5258).
type imapList struct {
	reference string
	patterns  []string
	chosen    []string // selection options
	extended  bool
	returns   []string // return options
	status    []string // items, if STATUS is among those
}

func (s *imapSession) parseList(p *imapParser) (l imapList, err error) {
	if strings.HasPrefix(p.rest(), "(") {
		l.extended = true
		if l.chosen, err = p.words(); err != nil {
			return l, err
		}
		if err = p.space(); err != nil {
			return l, err
		}
	}
	if l.reference, err = s.listName(p); err != nil {
		return l, err
	}
	if err = p.space(); err != nil {
		return l, err
	}
	one := func() error {
		pattern, err := s.listName(p)
		l.patterns = append(l.patterns, pattern)
		return err
	}
	if strings.HasPrefix(p.rest(), "(") {
		l.extended = true
		err = p.list(one)
	} else {
		err = one()
	}
	if err == nil && p.take(" ") {
		l.extended = true
		err = s.listReturns(p, &l)
	}
	if err != nil {
		return l, err
	}
	return l, p.end()
}

// listReturns reads what is to be told besides the names.
func (s *imapSession) listReturns(p *imapParser, l *imapList) error {
	if err := p.want("RETURN "); err != nil {
		return err
	}
	return p.list(func() error {
		option, err := p.word()
		l.returns = append(l.returns, option)
		if err != nil || option != "STATUS" {
			return err
		}
		if !s.has("LIST-STATUS") {
			return p.fail("an option that is offered, not STATUS")
		}
		if err := p.space(); err != nil {
			return err
		}
		l.status, err = s.statusItems(p)
		return err
	})
}

// listName reads a name with wildcards.
func (s *imapSession) listName(p *imapParser) (string, error) {
	wire := ""
	var err error
	if p.isString() {
		wire, err = p.str()
	} else if wire = p.run(func(c byte) bool { return atomic(c) || c == '%' || c == '*' }); wire == "" {
		err = p.fail("a pattern")
	}
	if err != nil {
		return "", err
	}
	return s.nameFrom(wire)
}

// list is RFC 9051 section 6.3.9.
func (s *imapSession) list(p *imapParser) (imapResponse, error) {
	l, err := s.parseList(p)
	if err != nil {
		return imapResponse{}, err
	}
	quirks := s.server.o.Quirks
	special := slices.Contains(l.chosen, "SPECIAL-USE") || slices.Contains(l.returns, "SPECIAL-USE")
	switch {
	case l.extended && !s.has("LIST-EXTENDED") && !(special && s.has("SPECIAL-USE")):
		return imapBad("no extended LIST here"), nil
	case special && (quirks.BadSpecialUse || !s.has("SPECIAL-USE")):
		return imapBad("no SPECIAL-USE here"), nil
	case len(l.returns) > 0 && quirks.NoListReturn:
		return imapOK("listed"), nil
	case !l.extended && l.patterns[0] == "":
		return imapResponse{untagged: []byte(`* LIST (\Noselect) ` + quoted(s.server.o.Delimiter) + " \"\"\r\n"), line: "OK listed"}, nil
	}
	defer s.account.lock()()
	r := imapOK("listed")
	for _, name := range s.account.withParents() {
		if attributes, shown := s.listed(name, l); shown {
			r.untagged = append(r.untagged, s.listRow("LIST", name, attributes)...)
			if m := s.account.mailboxes[name]; l.status != nil && m != nil && !m.unselectable() {
				r.untagged = append(r.untagged, s.statusOf(m, l.status)...)
			}
		}
	}
	return r, nil
}

// lsub is RFC 3501 section 6.3.9.
func (s *imapSession) lsub(p *imapParser) (imapResponse, error) {
	l, err := s.parseList(p)
	if err != nil || l.extended {
		return imapBad("no such LSUB"), nil
	}
	defer s.account.lock()()
	r := imapOK("listed")
	for _, name := range s.account.names() {
		if s.account.mailboxes[name].subscribed && l.matches(name, s.server.o.Delimiter) {
			r.untagged = append(r.untagged, s.listRow("LSUB", name, nil)...)
		}
	}
	return r, nil
}

func (s *imapSession) listRow(verb, name string, attributes []string) string {
	return "* " + verb + " (" + strings.Join(attributes, " ") + ") " + quoted(s.server.o.Delimiter) + " " + s.wireName(name) + "\r\n"
}

// listed says whether a LIST shows a name, and with which attributes.
func (s *imapSession) listed(name string, l imapList) (attributes []string, shown bool) {
	if !l.matches(name, s.server.o.Delimiter) {
		return nil, false
	}
	m := s.account.mailboxes[name]
	subscribed := m != nil && m.subscribed
	switch {
	case slices.Contains(l.chosen, "SUBSCRIBED") && !subscribed:
		return nil, false
	case slices.Contains(l.chosen, "SPECIAL-USE") && (m == nil || len(m.attributes) == 0):
		return nil, false
	}
	attributes = []string{`\HasNoChildren`}
	if s.account.hasChildren(name) {
		attributes[0] = `\HasChildren`
	}
	if m == nil {
		attributes = append(attributes, `\Noselect`)
		if l.extended {
			attributes = append(attributes, `\NonExistent`)
		}
		return attributes, true
	}
	if subscribed && (slices.Contains(l.chosen, "SUBSCRIBED") || slices.Contains(l.returns, "SUBSCRIBED")) {
		attributes = append(attributes, `\Subscribed`)
	}
	return append(attributes, m.attributes...), true
}

func (l *imapList) matches(name, delimiter string) bool {
	return slices.ContainsFunc(l.patterns, func(pattern string) bool {
		return wild(canonical(l.reference+pattern), name, delimiter)
	})
}

// wild matches a name against a pattern in which "*" stands for anything, and
// "%" for anything without a delimiter.
func wild(pattern, name, delimiter string) bool {
	// reached[i] says that the pattern so far can end at name[:i].
	reached := make([]bool, len(name)+1)
	reached[0] = true
	for p := range len(pattern) {
		next := make([]bool, len(name)+1)
		for i := range reached {
			switch c := pattern[p]; {
			case c != '*' && c != '%':
				next[i] = i > 0 && reached[i-1] && name[i-1] == c
			default:
				grows := i > 0 && next[i-1] && (c == '*' || name[i-1:i] != delimiter)
				next[i] = reached[i] || grows
			}
		}
		reached = next
	}
	return reached[len(name)]
}

func (a *IMAPAccount) hasChildren(name string) bool {
	for other := range a.mailboxes {
		if strings.HasPrefix(other, name+a.delimiter) {
			return true
		}
	}
	return false
}

// withParents is all names, with the levels above them that are no mailboxes.
func (a *IMAPAccount) withParents() []string {
	names := a.names()
	known := make(map[string]bool, len(names))
	for _, name := range names {
		known[name] = true
	}
	for _, name := range names {
		for i := range name {
			parent := name[:i]
			if i > 0 && strings.HasPrefix(name[i:], a.delimiter) && !known[parent] {
				known[parent] = true
				names = append(names, parent)
			}
		}
	}
	slices.Sort(names[1:])
	return names
}

// manage is CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE.
func (s *imapSession) manage(e *IMAPEvent, p *imapParser) (imapResponse, error) {
	name, err := s.mailboxName(p)
	if err != nil {
		return imapResponse{}, err
	}
	other := ""
	if e.Verb == "RENAME" {
		if err := p.space(); err != nil {
			return imapResponse{}, err
		}
		if other, err = s.mailboxName(p); err != nil {
			return imapResponse{}, err
		}
	}
	if err := p.end(); err != nil {
		return imapResponse{}, err
	}
	if e.pretended {
		return imapOK("done"), nil
	}
	defer s.account.lock()()
	a := s.account
	m := a.get(name)
	name = strings.TrimSuffix(name, a.delimiter)
	done := false
	switch e.Verb {
	case "CREATE":
		if m != nil {
			return imapNo("[ALREADYEXISTS] there is one by that name"), nil
		}
		done = name != "" && a.create(name) != nil
	case "DELETE":
		done = a.delete(name)
	case "RENAME":
		done = a.rename(name, other)
	default:
		if done = m != nil; done {
			m.subscribed = e.Verb == "SUBSCRIBE"
		}
	}
	if !done {
		return imapNo("[CANNOT] that cannot be done with this mailbox"), nil
	}
	return imapOK("done"), nil
}
