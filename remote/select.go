package remote

import (
	"cmp"
	"slices"
	"strings"

	"postrider/imap"
)

// patterns say which mailboxes of an account are fetched.
type patterns struct{ wanted, excluded []pattern }

// newPatterns takes the list of the configuration: patterns of LIST, those that
// exclude with a "!" before them. "/" in them stands for the server's delimiter,
// whatever that is.
func newPatterns(folders []string) patterns {
	var p patterns
	for i, text := range folders {
		if text, ok := strings.CutPrefix(text, "!"); ok {
			p.excluded = append(p.excluded, pattern{text, i})
		} else {
			p.wanted = append(p.wanted, pattern{text, i})
		}
	}
	return p
}

// simple returns the one mailbox that can be meant, if that is known without a
// LIST: a single name, without wildcards and anything that could part levels,
// which is not excluded.
func (p patterns) simple() (name string, ok bool) {
	if len(p.wanted) != 1 {
		return "", false
	}
	name = capitalInbox(p.wanted[0].text, "")
	if strings.ContainsFunc(name, mayPartLevels) || p.excludes(name, "") {
		return "", false
	}
	return name, true
}

// mayPartLevels reports the signs that are wildcards, or that a server might
// have for its delimiter.
func mayPartLevels(r rune) bool {
	return r > ' ' && r <= '~' && r != '-' && r != '_' &&
		(r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// request returns what to ask LIST for, each once: the server's delimiter for "/".
// Where it is not known, both that and the other common one, ".", are asked for.
func (p patterns) request(delimiter string) []string {
	var list []string
	add := func(text, delimiter string) {
		if text = capitalInbox(text, delimiter); !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	for _, w := range p.wanted {
		if delimiter != "" {
			add(strings.ReplaceAll(w.text, "/", delimiter), delimiter)
			continue
		}
		add(w.text, "/")
		add(strings.ReplaceAll(w.text, "/", "."), ".")
	}
	return list
}

// capitalInbox writes a first level INBOX in capitals: servers take only the
// whole name in any case (RFC 9051 section 5.1).
func capitalInbox(text, delimiter string) string {
	const inbox = "INBOX"
	if len(text) < len(inbox) || !strings.EqualFold(text[:len(inbox)], inbox) {
		return text
	}
	rest := text[len(inbox):]
	if rest == "" || rest[0] == '*' || rest[0] == '%' || delimiter != "" && strings.HasPrefix(rest, delimiter) {
		return inbox + rest
	}
	return text
}

// chosen is a mailbox that is fetched.
type chosen struct {
	mailbox imap.Mailbox
	rule    int // place in the list of the configuration of the first pattern that chooses it
	use     use
	view    bool // on messages of other mailboxes
}

// passed is a mailbox that a pattern matches and that is not fetched.
type passed struct{ name, why string }

// Why mailboxes are passed over.
const (
	passedExcluded = "excluded by the configuration"
	passedNoSelect = "holds no messages, only mailboxes"
	passedGone     = "does not exist"
	passedTarget   = "delivered messages are moved there"
	passedView     = "shows messages of other mailboxes; name it without wildcards to fetch it"
	passedSameName = "has the name of another mailbox"
)

// choose returns the mailboxes to fetch: INBOX first, then in the server's order,
// but the views on the messages of other mailboxes after those, and that of
// all messages last. A view needs to be named, without wildcards. moveTo is where
// delivered messages are moved to, if not empty; fetched from there, they would
// come again and again.
func (p patterns) choose(listed []imap.Mailbox, moveTo string) ([]chosen, []passed) {
	var taken []chosen
	var left []passed
	index := make(map[string]int) // in taken, by name
	uses := newSpecials(listed)
	for i := range listed {
		m := &listed[i]
		rule, byName := p.rule(m)
		if rule < 0 {
			continue
		}
		use := uses.of(m)
		why := p.refuses(m, moveTo)
		if why == "" && use.view() && byName < 0 {
			why = passedView
		}
		if why != "" {
			left = append(left, passed{m.Name, why})
			continue
		}
		if use.view() {
			rule = byName
		}
		at, twice := index[m.Name]
		if !twice {
			index[m.Name] = len(taken)
			taken = append(taken, chosen{*m, rule, use, use.view()})
			continue
		}
		// One folder cannot take both. It is the same one in any order: the text
		// of a name that breaks its encoding can be another's, and INBOX can be
		// written in several ways.
		other := chosen{*m, rule, use, use.view()}
		if m.Wire < taken[at].mailbox.Wire {
			other, taken[at] = taken[at], other
		}
		left = append(left, passed{other.mailbox.Name, passedSameName})
	}
	slices.SortStableFunc(taken, func(a, b chosen) int { return cmp.Compare(a.rank(), b.rank()) })
	return taken, left
}

// refuses tells why a mailbox that is wanted cannot be fetched; empty if it can.
func (p patterns) refuses(m *imap.Mailbox, moveTo string) string {
	switch {
	case p.excludes(m.Name, m.Delimiter):
		return passedExcluded
	case m.Is(`\NonExistent`):
		return passedGone
	case !m.Selectable():
		return passedNoSelect
	case moveTo != "" && sameName(moveTo, m.Name, m.Delimiter):
		return passedTarget
	}
	return ""
}

// rank orders what is fetched.
func (c *chosen) rank() int {
	switch {
	case c.mailbox.Name == "INBOX":
		return 0
	case c.use == useAll:
		return 3
	case c.view:
		return 2
	}
	return 1
}

// rule returns the places in the configuration of the first pattern that matches
// a mailbox, and of the first one that names it; -1 if there is none.
func (p patterns) rule(m *imap.Mailbox) (first, byName int) {
	first, byName = -1, -1
	for _, w := range p.wanted {
		if !w.matches(m.Name, m.Delimiter) {
			continue
		}
		if first < 0 {
			first = w.index
		}
		if w.exact() {
			return first, w.index
		}
	}
	return first, byName
}

// absent returns the names without wildcards that no mailbox has.
func (p patterns) absent(listed []imap.Mailbox) (names []string) {
	for _, w := range p.wanted {
		is := func(m imap.Mailbox) bool { return w.matches(m.Name, m.Delimiter) }
		if w.exact() && !slices.ContainsFunc(listed, is) {
			names = append(names, w.text)
		}
	}
	return names
}

func (p patterns) excludes(name, delimiter string) bool {
	return slices.ContainsFunc(p.excluded, func(x pattern) bool { return x.matches(name, delimiter) })
}
