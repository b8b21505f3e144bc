package mailtest

import (
	"fmt"
	"slices"
	"strings"
)

// imapTest says whether a message, whose number is given, is found.
type imapTest func(number uint32, m *imapMessage) bool

// imapSearcher reads the keys of a SEARCH (RFC 9051 section 6.4.4): those on
// numbers, flags, sizes and modification sequences.
type imapSearcher struct {
	*imapParser
	lastUID, lastNumber uint32 // what a star stands for
	modseq              bool   // a key asks for modification sequences
	descending          bool   // a set goes downwards
	depth               int
}

// keys reads keys that must all hold.
func (p *imapSearcher) keys() (imapTest, error) {
	var all []imapTest
	for {
		test, err := p.key()
		if err != nil {
			return nil, err
		}
		all = append(all, test)
		if !p.take(" ") {
			break
		}
	}
	return func(n uint32, m *imapMessage) bool {
		return !slices.ContainsFunc(all, func(test imapTest) bool { return !test(n, m) })
	}, nil
}

func (p *imapSearcher) key() (imapTest, error) {
	if p.depth++; p.depth > 1000 {
		return nil, p.fail("fewer keys")
	}
	if p.take("(") {
		test, err := p.keys()
		if err == nil {
			err = p.want(")")
		}
		return test, err
	}
	if c := p.rest(); c != "" && (isDigit(c[0]) || c[0] == '*') {
		set, err := p.resolved(p.lastNumber)
		return func(n uint32, _ *imapMessage) bool { return set.contains(n) }, err
	}
	word, err := p.word()
	if err != nil {
		return nil, err
	}
	if flag, set, is := searchFlag(word); is {
		return func(_ uint32, m *imapMessage) bool { return hasFlag(m.Flags, flag) == set }, nil
	}
	switch word {
	case "ALL", "OLD":
		return func(uint32, *imapMessage) bool { return true }, nil
	case "NEW", "RECENT":
		return func(uint32, *imapMessage) bool { return false }, nil
	}
	if err := p.space(); err != nil {
		return nil, err
	}
	return p.argued(word)
}

// searchFlag is the flag that a key is about, and whether it must be there.
func searchFlag(word string) (flag string, set, is bool) {
	name, not := strings.CutPrefix(word, "UN")
	switch name {
	case "ANSWERED", "DELETED", "DRAFT", "FLAGGED", "SEEN":
		return `\` + name, !not, true
	}
	return "", false, false
}

func (p *imapSearcher) resolved(star uint32) (imapSet, error) {
	set, err := p.set()
	p.descending = p.descending || set.descending()
	return set.resolve(star), err
}

// argued reads what follows a key that takes arguments.
func (p *imapSearcher) argued(word string) (imapTest, error) {
	switch word {
	case "UID":
		set, err := p.resolved(p.lastUID)
		return func(_ uint32, m *imapMessage) bool { return set.contains(m.UID) }, err
	case "NOT":
		test, err := p.key()
		return func(n uint32, m *imapMessage) bool { return !test(n, m) }, err
	case "OR":
		one, err := p.key()
		if err == nil {
			err = p.space()
		}
		if err != nil {
			return nil, err
		}
		two, err := p.key()
		return func(n uint32, m *imapMessage) bool { return one(n, m) || two(n, m) }, err
	case "KEYWORD", "UNKEYWORD":
		flag, err := p.atom()
		return func(_ uint32, m *imapMessage) bool { return hasFlag(m.Flags, flag) == (word == "KEYWORD") }, err
	case "LARGER", "SMALLER":
		limit, err := p.number64()
		return func(_ uint32, m *imapMessage) bool {
			size := uint64(len(m.Octets))
			return word == "LARGER" && size > limit || word == "SMALLER" && size < limit
		}, err
	case "MODSEQ":
		limit, err := p.number64()
		p.modseq = true
		return func(_ uint32, m *imapMessage) bool { return m.ModSeq >= limit }, err
	}
	return nil, p.fail("a key that is known, not " + word)
}

// search is SEARCH and UID SEARCH, with the results of RFC 4731.
func (s *imapSession) search(e *IMAPEvent, p *imapParser) (imapResponse, error) {
	var results []string
	extended := false
	if p.take("RETURN ") {
		extended = true
		var err error
		if results, err = p.words(); err != nil {
			return imapResponse{}, err
		}
		if err = p.space(); err != nil {
			return imapResponse{}, err
		}
		if len(results) == 0 {
			results = []string{"ALL"}
		}
	}
	if extended && !s.has("ESEARCH") {
		return imapBad("RETURN is not for here"), nil
	}
	if p.take("CHARSET ") {
		if _, err := p.astring(); err != nil {
			return imapResponse{}, err
		}
		if err := p.space(); err != nil {
			return imapResponse{}, err
		}
	}
	defer s.account.lock()()
	byUID := e.Verb == "UID SEARCH"
	found, highest, err := s.find(p, byUID)
	if err != nil {
		return imapResponse{}, err
	}
	r := imapOK("searched")
	if extended {
		r.untagged = extendedSearch(e.Tag, byUID, results, found, highest)
		return r, nil
	}
	r.untagged = []byte("* SEARCH")
	for _, n := range found {
		r.untagged = fmt.Appendf(r.untagged, " %d", n)
	}
	if highest > 0 {
		r.untagged = fmt.Appendf(r.untagged, " (MODSEQ %d)", highest)
	}
	r.untagged = append(r.untagged, "\r\n"...)
	return r, nil
}

// find returns the numbers or UIDs, ascending, and their highest modification
// sequence if a key asked for such.
func (s *imapSession) find(p *imapParser, byUID bool) (found []uint32, highest uint64, err error) {
	rows := s.open.rows
	searcher := &imapSearcher{imapParser: p, lastNumber: uint32(len(rows))}
	if len(rows) > 0 {
		searcher.lastUID = rows[len(rows)-1].UID
	}
	test, err := searcher.keys()
	if err == nil {
		err = p.end()
	}
	if err == nil && searcher.descending && s.server.o.Quirks.NoDescending {
		err = p.fail("a set that goes upwards")
	}
	if err != nil {
		return nil, 0, err
	}
	if searcher.modseq {
		s.enabled["CONDSTORE"] = true
	}
	for i, row := range rows {
		n := uint32(i) + 1
		if row.gone && byUID || !s.server.o.Quirks.SearchAll && !test(n, row.imapMessage) {
			continue
		}
		if byUID {
			n = row.UID
		}
		found = append(found, n)
		if searcher.modseq {
			highest = max(highest, row.ModSeq)
		}
	}
	return found, highest, nil
}

func extendedSearch(tag string, byUID bool, results []string, found []uint32, highest uint64) []byte {
	out := []byte("* ESEARCH (TAG " + quoted(tag) + ")")
	if byUID {
		out = append(out, " UID"...)
	}
	if len(found) > 0 {
		if slices.Contains(results, "MIN") {
			out = fmt.Appendf(out, " MIN %d", found[0])
		}
		if slices.Contains(results, "MAX") {
			out = fmt.Appendf(out, " MAX %d", found[len(found)-1])
		}
		if slices.Contains(results, "ALL") {
			var set imapSet
			for _, n := range found {
				set = set.add(n)
			}
			out = append(out, " ALL "+set.String()...)
		}
	}
	if slices.Contains(results, "COUNT") {
		out = fmt.Appendf(out, " COUNT %d", len(found))
	}
	if highest > 0 {
		out = fmt.Appendf(out, " MODSEQ %d", highest)
	}
	return append(out, "\r\n"...)
}
