package outbox

import (
	"slices"
	"strings"
)

const addressRemedy = "write it like ada@example.org or Ada Lovelace <ada@example.org>"

// Bounds of a list in memory, far from what anybody sends.
const (
	itemMost      = 10_000 // words without a comma between them
	addressesMost = 50_000
)

// addressList reads an address list (RFC 5322 section 3.4, RFC 6854), tolerant
// wherever only one meaning is possible: nothing between commas, semicolons for
// commas, commas forgotten between addresses, names with an @ in them, routes,
// groups that are not closed or closed too often.
type addressList struct {
	what  string // how a refusal begins: "the To: field holds"
	in    tokens
	item  []token // what stands since the last separator
	bare  bool    // the item before was a bare local name, and a comma followed
	since int     // where the item before began
	group bool
	found []Address
}

// parseAddresses reads an address list in the order of its addresses. Those that
// come twice come twice. Time is linear in the length of the text.
func parseAddresses(what, text string) ([]Address, error) {
	l := addressList{what: what, in: tokens{text: text}}
	for i := range len(text) {
		// A fold is the only line end that a field can have inside (RFC 5322 section 2.2.3).
		c := text[i]
		if fold := c == '\n' || c == '\r' && i+1 < len(text) && text[i+1] == '\n'; c < ' ' && c != '\t' && !fold || c == 0x7f {
			return nil, l.refuse(0, len(text), "a control character", "write the addresses without it")
		}
	}
	for angle := false; ; {
		t, problem := l.in.next()
		if problem != "" {
			return nil, refuse(l.what+" "+show(strings.TrimSpace(text))+", which "+problem, "close it, or take it out")
		}
		switch {
		case t.kind == endToken || !angle && (t.kind == ',' || t.kind == ';'):
			if err := l.endItem(t); err != nil {
				return nil, err
			}
			if t.kind == endToken {
				return l.found, nil
			}
			continue
		case !angle && t.kind == ':':
			if err := l.beginGroup(t); err != nil {
				return nil, err
			}
			continue
		}
		angle = t.kind == '<' || angle && t.kind != '>'
		if l.item = append(l.item, t); len(l.item) > itemMost {
			return nil, l.refuse(l.item[0].from, t.to, "more than 10000 words and no comma", "put a comma between two addresses")
		}
	}
}

// refuse says what stands between two octets of the text and is no address.
func (l *addressList) refuse(from, to int, reason, remedy string) error {
	text := show(strings.TrimSpace(strings.NewReplacer("\r\n", "", "\n", "").Replace(l.in.text[from:to])))
	if reason != "" {
		return refuse(l.what+" "+text+", which has "+reason, remedy)
	}
	return refuse(l.what+" "+text+", which is no mail address", remedy)
}

// beginGroup takes a group's name.
func (l *addressList) beginGroup(colon token) error {
	named := len(l.item) > 0
	for _, t := range l.item {
		named = named && t.kind != '@' && t.kind != '<' && t.kind != '>'
	}
	if !named || l.group {
		from := colon.from
		if len(l.item) > 0 {
			from = l.item[0].from
		}
		return l.refuse(from, len(l.in.text), "", addressRemedy)
	}
	l.item, l.bare, l.group = l.item[:0], false, true
	return nil
}

// endItem takes what stands before a separator.
func (l *addressList) endItem(separator token) error {
	bare := false
	if len(l.item) > 0 {
		before := len(l.found)
		if err := l.mailboxes(); err != nil {
			return err
		}
		bare = len(l.found) == before+1 && l.found[before].IsBare() && separator.kind == ',' && l.item[0].kind == atomToken
		l.since = l.item[0].from
	}
	if len(l.found) > addressesMost {
		return l.refuse(0, len(l.in.text), "more than 50000 addresses", "send to fewer at a time")
	}
	if separator.kind == ';' {
		l.group = false
	}
	l.bare = bare
	l.item = l.item[:0]
	return nil
}

// mailboxes takes the addresses of an item. There is more than one where a comma
// was forgotten.
func (l *addressList) mailboxes() error {
	whole := l.item
	wrong := func() error {
		return l.refuse(whole[0].from, whole[len(whole)-1].to, "", addressRemedy)
	}
	rest, angles := whole, false
	for {
		open := slices.IndexFunc(rest, func(t token) bool { return t.kind == '<' })
		if open < 0 {
			break
		}
		length := slices.IndexFunc(rest[open:], func(t token) bool { return t.kind == '>' })
		if length < 0 || slices.ContainsFunc(rest[:open], func(t token) bool { return t.kind == '>' }) {
			return wrong()
		}
		if !isPhrase(rest[:open]) {
			return l.refuse(whole[0].from, whole[len(whole)-1].to, "an address inside a name, or a comma too few", `put a comma between two addresses, and a name like that in quotation marks`)
		}
		if l.bare && !angles && isPlain(rest[:open]) {
			return l.refuse(l.since, whole[len(whole)-1].to, "a comma in what looks like one name", `put the name in quotation marks, as in "Smith, John" <john@example.org>`)
		}
		a, ok := parseAngle(rest[open+1 : open+length])
		if !ok {
			return wrong()
		}
		l.found, rest, angles = append(l.found, a), rest[open+length+1:], true
	}
	if len(rest) == 1 && !angles && (rest[0].kind == atomToken || rest[0].kind == quotedToken) {
		a, ok := newBare(rest[0].text)
		if !ok {
			return wrong()
		}
		l.found = append(l.found, a)
		return nil
	}
	for len(rest) > 0 {
		a, n, ok := parseSpec(rest)
		if !ok {
			return wrong()
		}
		l.found, rest = append(l.found, a), rest[n:]
	}
	return nil
}

// isPhrase reports whether tokens can be somebody's name. An address in front of
// another is a name to those who write it so; an address among other words may
// be a recipient with a comma forgotten.
func isPhrase(name []token) bool {
	if _, n, ok := parseSpec(name); ok && n == len(name) {
		return true
	}
	for i, t := range name {
		if t.kind != '@' || i == 0 {
			continue
		}
		if _, _, ok := parseSpec(name[i-1:]); ok {
			return false
		}
	}
	return true
}

// isPlain reports whether a name has neither quotes nor encoded words, in which a
// comma could have been.
func isPlain(name []token) bool {
	return len(name) > 0 && !slices.ContainsFunc(name, func(t token) bool { return t.kind == quotedToken || t.kind == encodedToken })
}

// parseAngle reads what stands in angle brackets: an address, perhaps behind a
// route, which RFC 5321 appendix C says to ignore, or a bare local name.
func parseAngle(in []token) (Address, bool) {
	if len(in) > 0 && in[0].kind == '@' {
		colon := slices.IndexFunc(in, func(t token) bool { return t.kind == ':' })
		if colon < 0 {
			return Address{}, false
		}
		for hops := in[:colon]; len(hops) > 0; {
			// Each hop is @DOMAIN; commas stand between, and more may (RFC 5322 section 4.4).
			if hops[0].kind == ',' {
				hops = hops[1:]
				continue
			}
			if hops[0].kind != '@' {
				return Address{}, false
			}
			_, n := parseDomain(hops[1:])
			if n == 0 {
				return Address{}, false
			}
			hops = hops[1+n:]
		}
		in = in[colon+1:]
	}
	if len(in) == 1 && (in[0].kind == atomToken || in[0].kind == quotedToken) {
		return newBare(in[0].text)
	}
	a, n, ok := parseSpec(in)
	return a, ok && n == len(in)
}

// parseSpec reads LOCAL@DOMAIN from the front and returns how many tokens it
// took. Space and comments may stand around its dots (RFC 5322 section 4.4).
func parseSpec(in []token) (Address, int, bool) {
	var local strings.Builder
	i := 0
	for ; i < len(in) && in[i].kind != '@'; i++ {
		t := in[i]
		if t.kind != quotedToken && !isAtom(t) || i > 0 && !joined(in[i-1], t) {
			return Address{}, 0, false
		}
		local.WriteString(t.text)
	}
	if i == 0 || i == len(in) {
		return Address{}, 0, false
	}
	domain, n := parseDomain(in[i+1:])
	if n == 0 {
		return Address{}, 0, false
	}
	a, ok := newAddress(local.String(), domain)
	return a, i + 1 + n, ok
}

// parseDomain takes a domain or a literal from the front; 0 tokens are none.
func parseDomain(in []token) (string, int) {
	if len(in) == 0 || in[0].kind != atomToken && in[0].kind != literalToken {
		return "", 0
	}
	n := 1
	for n < len(in) && in[n].kind == atomToken && in[n-1].kind == atomToken && joined(in[n-1], in[n]) {
		n++
	}
	var domain strings.Builder
	for _, t := range in[:n] {
		domain.WriteString(t.text)
	}
	return domain.String(), n
}

// joined reports whether a dot stands between two words, which makes them one.
func joined(a, b token) bool {
	return a.kind == atomToken && strings.HasSuffix(a.text, ".") || b.kind == atomToken && strings.HasPrefix(b.text, ".")
}

// isAtom reports whether a token can stand in a local part without quotes.
func isAtom(t token) bool {
	if t.kind != atomToken {
		return false
	}
	for _, r := range t.text {
		if r != '.' && !isAtomRune(r) {
			return false
		}
	}
	return true
}
