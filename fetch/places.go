package fetch

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Named is a mailbox as the server calls it.
type Named struct {
	Name      string // UTF-8, with the server's delimiters; INBOX in capitals
	Delimiter string // empty if it has none
}

// Places returns the place of each mailbox, by its name. Those that have one
// already, which taken tells, keep it for ever, whatever comes beside them.
// The others get the one of Place, unless a file system that does not mind case
// or the composition of letters would take it for one that was given out before:
// then all letters of the last part that differs are escaped. New mailboxes are
// served in the order of their names, so that the server's order decides nothing.
//
// The caller keeps the new places durably before it uses them. taken should have
// all that were ever given out, also of mailboxes that are gone: their mail is
// still there. It is not changed.
func Places(taken map[string]string, mailboxes []Named) map[string]string {
	places := make(map[string]string, len(mailboxes))
	var fresh []Named
	for _, m := range mailboxes {
		if place, ok := taken[m.Name]; ok {
			places[m.Name] = place
		} else {
			fresh = append(fresh, m)
		}
	}
	if len(fresh) == 0 {
		return places
	}
	given := make(map[string]string, len(taken)+len(fresh))
	for _, place := range taken {
		given[caseless(place)] = place
	}
	slices.SortFunc(fresh, func(a, b Named) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Delimiter, b.Delimiter))
	})
	for _, m := range fresh {
		if _, twice := places[m.Name]; twice {
			continue
		}
		place := newPlacing(m.Name, m.Delimiter).apart(given)
		places[m.Name] = place
		given[caseless(place)] = place
	}
	return places
}

// apart returns a place that is none of those given out, which are there by
// their caseless form.
func (p *placing) apart(given map[string]string) string {
	for {
		place := p.path()
		other, ok := given[caseless(place)]
		if !ok {
			return place
		}
		if !p.spell(place, other) {
			// Nothing is left to be escaped: the names differ in their delimiters only.
			return "%-" + fingerprint(p.name)
		}
	}
}

// spell marks the last part that differs from the other place to be escaped
// throughout, or else all parts. It reports false if all are marked already.
func (p *placing) spell(place, other string) bool {
	mine, its := strings.Split(place, "/"), strings.Split(other, "/")
	for i := min(len(mine), len(its)) - 1; i >= 0; i-- {
		if mine[i] != its[i] && !p.spelled[i] {
			p.spelled[i] = true
			return true
		}
	}
	if !slices.Contains(p.spelled, false) {
		return false
	}
	for i := range p.spelled {
		p.spelled[i] = true
	}
	return true
}

// caseless returns what two places have in common that are one for a file system
// that minds neither case nor composition, nor what cannot be seen.
func caseless(place string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(place) {
		switch {
		case ignorable(r):
		case r == 'ß', r == 'ẞ':
			b.WriteString("SS")
		default:
			b.WriteRune(capital(r))
		}
	}
	return norm.NFC.String(b.String())
}

// capital returns the first of all characters that differ only in case.
func capital(r rune) rune {
	first := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		first = min(first, other)
	}
	return first
}
