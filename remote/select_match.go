package remote

import "strings"

// pattern is one pattern of LIST (RFC 9051 section 6.3.9): "*" stands for any
// text, "%" for any within a level.
type pattern struct {
	text  string
	index int // in the list of the configuration
}

func (p pattern) exact() bool { return !strings.ContainsAny(p.text, "*%") }

// matches reports whether a name is meant, at once with the server's delimiter
// and with "/" in its place. A first level INBOX has any case, all else its own.
// The time is that of walking through the name once for each octet of the
// pattern, whatever they are.
func (p pattern) matches(name, delimiter string) bool {
	text, n := compared(p.text, name, delimiter)
	if p.exact() {
		return n.is(text)
	}
	// live[j] tells that text[:j] matches what was read so far of the name.
	live := make([]bool, len(text)+1)
	live[0] = true
	skipWildcards(live, text)
	for i := range len(n.name) {
		for j := len(text); j >= 0; j-- {
			stays := j < len(text) && live[j] && (text[j] == '*' || text[j] == '%' && !n.parts(i))
			steps := j > 0 && live[j-1] && !isWildcard(text[j-1]) && n.at(i, text[j-1])
			live[j] = stays || steps
		}
		skipWildcards(live, text)
	}
	return live[len(text)]
}

func isWildcard(c byte) bool { return c == '*' || c == '%' }

// skipWildcards lets each wildcard stand for nothing.
func skipWildcards(live []bool, text string) {
	for j := range len(text) {
		if live[j] && isWildcard(text[j]) {
			live[j+1] = true
		}
	}
}

// sameName reports whether a name that a user wrote is that of a mailbox.
func sameName(text, name, delimiter string) bool {
	text, n := compared(text, name, delimiter)
	return n.is(text)
}

// nameOctets is a name that is compared octet by octet.
type nameOctets struct {
	name      string
	delimiter string // one octet, or none
	anyCase   int    // so many octets at the beginning may have any case
}

// compared prepares a user's text and a server's name to be compared.
func compared(text, name, delimiter string) (string, nameOctets) {
	if len(delimiter) > 1 { // against the grammar, but then at least the same for both
		text, name, delimiter = strings.ReplaceAll(text, delimiter, "/"), strings.ReplaceAll(name, delimiter, "/"), "/"
	}
	n := nameOctets{name: name, delimiter: delimiter}
	first := name
	if delimiter != "" {
		first, _, _ = strings.Cut(name, delimiter)
	}
	if strings.EqualFold(first, "INBOX") {
		n.anyCase = len(first)
	}
	return text, n
}

// is reports whether all of the name is a text without wildcards.
func (n nameOctets) is(text string) bool {
	if len(text) != len(n.name) {
		return false
	}
	for i := range len(text) {
		if !n.at(i, text[i]) {
			return false
		}
	}
	return true
}

// parts reports whether a level ends at this octet.
func (n nameOctets) parts(i int) bool { return n.delimiter != "" && n.name[i] == n.delimiter[0] }

// at reports whether an octet of the name is that of a text.
func (n nameOctets) at(i int, c byte) bool {
	return n.name[i] == c || c == '/' && n.parts(i) || i < n.anyCase && n.name[i]|0x20 == c|0x20
}
