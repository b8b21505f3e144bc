package remote

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/imap"
)

// listed reads mailboxes as one would write them down: delimiter, name and
// attributes, parted by bars.
func listed(lines string) (all []imap.Mailbox) {
	for line := range strings.Lines(lines) {
		f := strings.Split(strings.TrimSpace(line), " | ")
		if len(f) < 2 {
			continue
		}
		m := imap.Mailbox{Wire: imap.Name(f[1]), Name: f[1], Delimiter: strings.Trim(f[0], `"`)}
		if strings.EqualFold(m.Name, "INBOX") {
			m.Name = "INBOX"
		}
		if len(f) > 2 {
			m.Attributes = strings.Fields(f[2])
		}
		all = append(all, m)
	}
	return all
}

func TestChoose(t *testing.T) {
	const gmail = `
		/ | Work
		/ | INBOX
		/ | [Gmail] | \HasChildren \Noselect
		/ | [Gmail]/Alle Nachrichten | \All \HasNoChildren
		/ | [Gmail]/Gesendet | \Sent
		/ | [Gmail]/Markiert | \Flagged
		/ | [Gmail]/Wichtig | \Important`
	for name, tt := range map[string]struct {
		folders []string
		listed  string
		moveTo  string
		want    string // names and rules
		passed  string
	}{
		"inbox in any case": {[]string{"inbox"}, "/ | Inbox\n/ | inboxes\n/ | INBOX/x", "", "INBOX:0", ""},
		"below inbox": {[]string{"inBox.*", "Inbox/%"}, ". | INBOX\n. | INBOX.a\n. | Inbox.B\n. | inbox.c.d\n. | INBOX.A", "",
			"INBOX.a:0, Inbox.B:0, inbox.c.d:0, INBOX.A:0", ""},
		"case counts": {[]string{"lists/*"}, "/ | Lists/a\n/ | lists/b", "", "lists/b:0", ""},
		"first rule":  {[]string{"Lists/*", "*", "Lists/a"}, "/ | Lists/a\n/ | b\n/ | INBOX", "", "INBOX:1, Lists/a:0, b:1", ""},
		"excluded, in any order": {[]string{"!Lists/spam", "*", "!*/old", "!none"}, ". | Lists.spam\n. | a\n. | a.b.old\n. | old", "",
			"a:1, old:1", "Lists.spam: excluded by the configuration, a.b.old: excluded by the configuration"},
		"exclusion in the server's words": {[]string{"*", "!Lists.%"}, ". | Lists.spam\n. | Lists.a.b", "",
			"Lists.a.b:0", "Lists.spam: excluded by the configuration"},
		"not to be selected": {[]string{"*"}, "/ | a | \\noselect\n/ | b | \\NonExistent\n/ | c", "",
			"c:0", "a: holds no messages, only mailboxes, b: does not exist"},
		"named, and not to be selected": {[]string{"a"}, "/ | a | \\Noselect", "",
			"", "a: holds no messages, only mailboxes"},
		"target": {[]string{"*"}, ". | INBOX\n. | Old.Done\n. | Old", "Old/Done",
			"INBOX:0, Old:0", "Old.Done: delivered messages are moved there"},
		"target inbox": {[]string{"*"}, ". | INBOX\n. | a", "inbox", "a:0", "INBOX: delivered messages are moved there"},
		"no delimiter": {[]string{"%"}, "\"\" | a/b\n\"\" | c", "", "a/b:0, c:0", ""},
		"Gmail, all": {[]string{"*"}, gmail, "", "INBOX:0, Work:0, [Gmail]/Gesendet:0",
			"[Gmail]: " + passedNoSelect + ", [Gmail]/Alle Nachrichten: " + passedView +
				", [Gmail]/Markiert: " + passedView + ", [Gmail]/Wichtig: " + passedView},
		"Gmail, views by name": {[]string{"*", "[Gmail]/Alle Nachrichten", "[Gmail]/Wichtig", "!Work", "![Gmail]/G*"}, gmail, "",
			"INBOX:0, [Gmail]/Wichtig:2, [Gmail]/Alle Nachrichten:1",
			"Work: " + passedExcluded + ", [Gmail]: " + passedNoSelect + ", [Gmail]/Gesendet: " + passedExcluded +
				", [Gmail]/Markiert: " + passedView},
		"Gmail, without attributes": {[]string{"*"}, "/ | INBOX\n/ | [Google Mail]/All Mail\n/ | [Gmail]/已加星标\n/ | All Mail\n/ | Important", "",
			"INBOX:0, All Mail:0, Important:0",
			"[Google Mail]/All Mail: " + passedView + ", [Gmail]/已加星标: " + passedView},
		"names are not believed beside attributes": {[]string{"*"}, "/ | Sent | \\Sent\n/ | [Gmail]/All Mail", "",
			"Sent:0, [Gmail]/All Mail:0", ""},
		"twice":             {[]string{"*"}, "/ | a\n/ | inbox\n/ | INBOX", "", "INBOX:0, a:0", "INBOX: has the name of another mailbox"},
		"long delimiter":    {[]string{"a/%"}, "\"::\" | a::b\n\"::\" | a::b::c", "", "a::b:0", ""},
		"mixed spelling":    {[]string{"Lists/a.b/c"}, ". | Lists.a.b.c", "", "Lists.a.b.c:0", ""},
		"slash in a level":  {[]string{"A/B", "A%C"}, ". | A/B\n. | A/C", "", "A/B:0, A/C:1", ""},
		"nothing":           {[]string{"x"}, "", "", "", ""},
		"wildcard in names": {[]string{"a*"}, "/ | a*\n/ | b*", "", "a*:0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			taken, left := newPatterns(tt.folders).choose(listed(tt.listed), tt.moveTo)
			var got, why []string
			for _, c := range taken {
				got = append(got, fmt.Sprintf("%s:%d", c.mailbox.Name, c.rule))
			}
			for _, p := range left {
				why = append(why, p.name+": "+p.why)
			}
			if got := strings.Join(got, ", "); got != tt.want {
				t.Errorf("chosen\n got %s\nwant %s", got, tt.want)
			}
			if why := strings.Join(why, ", "); why != tt.passed {
				t.Errorf("passed\n got %s\nwant %s", why, tt.passed)
			}
		})
	}
}

// The order of the server must not decide which of two mailboxes of one name it is.
func TestChooseOneOfTwoOfAName(t *testing.T) {
	two := []imap.Mailbox{{Wire: "&bad", Name: "&bad"}, {Wire: "&-bad", Name: "&bad"}}
	for range 2 {
		taken, left := newPatterns([]string{"*"}).choose(two, "")
		if len(taken) != 1 || len(left) != 1 || taken[0].mailbox.Wire != "&-bad" || left[0].why != passedSameName {
			t.Errorf("got %v and %v", taken, left)
		}
		slices.Reverse(two)
	}
}

func TestSimple(t *testing.T) {
	for _, tt := range []struct {
		folders []string
		want    string // empty: not simple
	}{
		{[]string{"INBOX"}, "INBOX"},
		{[]string{"inbox"}, "INBOX"},
		{[]string{"Alte Entwürfe-2_b"}, "Alte Entwürfe-2_b"},
		{[]string{"INBOX", "!Spam", "!IN%X/y"}, "INBOX"},
		{[]string{"INBOX", "!in*"}, ""},
		{[]string{"INBOX", "Sent"}, ""},
		{[]string{"INBOX*"}, ""},
		{[]string{"a%"}, ""},
		{[]string{"Lists/a"}, ""},
		{[]string{"Lists.a"}, ""}, // two levels on some servers, and then two of its place
		{[]string{`a\b`}, ""},
		{[]string{"!x"}, ""},
		{nil, ""},
	} {
		got, ok := newPatterns(tt.folders).simple()
		if got != tt.want || ok != (tt.want != "") {
			t.Errorf("%q: got %q, %v, want %q", tt.folders, got, ok, tt.want)
		}
	}
}

func TestRequest(t *testing.T) {
	for _, tt := range []struct {
		folders   []string
		delimiter string
		want      []string
	}{
		{[]string{"INBOX", "Lists/*", "!Lists/spam"}, "/", []string{"INBOX", "Lists/*"}},
		{[]string{"Lists/*", "Lists.*", "a%/b"}, ".", []string{"Lists.*", "a%.b"}},
		{[]string{"Lists/*", "a", "Lists.*"}, "", []string{"Lists/*", "Lists.*", "a"}},
		{[]string{"inbox", "Inbox/a", "inbox*", "Inbox%", "inboxes", "inb*"}, "/",
			[]string{"INBOX", "INBOX/a", "INBOX*", "INBOX%", "inboxes", "inb*"}},
		{[]string{"inbox/a", "inbox.a"}, ".", []string{"INBOX.a"}},
		{[]string{"inbox/a"}, "", []string{"INBOX/a", "INBOX.a"}},
	} {
		if got := newPatterns(tt.folders).request(tt.delimiter); !slices.Equal(got, tt.want) {
			t.Errorf("%q with %q: got %q, want %q", tt.folders, tt.delimiter, got, tt.want)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, name, delimiter string
		want                     bool
	}{
		{"*", "", "/", true}, {"%", "", "/", true}, {"", "", "/", true}, {"", "a", "/", false},
		{"*", "a/b", "/", true}, {"%", "a/b", "/", false}, {"%/%", "a/b", "/", true}, {"%/%", "a.b", ".", true},
		{"a%", "ab", "/", true}, {"a%", "a/b", "/", false}, {"a*b*c", "a/b/xbc", "/", true}, {"a*b*c", "acb", "/", false},
		{"%b", "aab", "/", true}, {"*%x", "a/bx", "/", true}, {"*/%x", "bx", "/", false}, {"**", "a", "", true}, {"%%", "/", "/", false},
		{"IN*", "INBOX/a", "/", true}, {"in*", "INBOX/a", "/", true}, {"inbox/A", "INBOX/a", "/", false},
		{"*box", "INBOX", "", true}, {"*BOX", "xbox", "", false}, {"inboxa", "INBOXa", "/", false},
		{"é%", "éé", "/", true}, {"a/b", "a/b", ".", true}, {"a.b", "a/b", "/", false},
	} {
		if got := (pattern{text: tt.pattern}).matches(tt.name, tt.delimiter); got != tt.want {
			t.Errorf("%q on %q with %q: got %v", tt.pattern, tt.name, tt.delimiter, got)
		}
	}
}

// A pattern that would make a matcher that goes back try for ever.
func TestMatchIsLinear(t *testing.T) {
	p := pattern{text: strings.Repeat("*a", 20) + "*b"}
	name := strings.Repeat("a", 10_000)
	start := time.Now()
	if p.matches(name, "/") || !p.matches(name+"b", "/") {
		t.Error("wrong answer")
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("took %v", d)
	}
}

// FuzzMatch compares with what goes back and is short.
func FuzzMatch(f *testing.F) {
	for _, s := range []string{"*", "a%b", "in*/%", "INBOX/x", "*a*a*b", "%.%"} {
		f.Add(s, "inbox/aab", byte('/'))
		f.Add(s, "INBOX.aab", byte('.'))
	}
	f.Fuzz(func(t *testing.T, text, name string, delimiter byte) {
		d := ""
		if delimiter != 0 {
			d = string(rune(delimiter % 128))
		}
		got := pattern{text: text}.matches(name, d)
		if len(text) > 12 || len(name) > 24 {
			return // the other one would take too long
		}
		first := name
		if d != "" {
			first, _, _ = strings.Cut(name, d)
		}
		inbox := 0
		if strings.EqualFold(first, "inbox") {
			inbox = 5
		}
		if want := slowMatch(text, name, d, inbox); got != want {
			t.Errorf("%q on %q with %q: got %v", text, name, d, got)
		}
	})
}

func slowMatch(text, name, delimiter string, inbox int) bool {
	if text == "" {
		return name == ""
	}
	if text[0] == '*' || text[0] == '%' {
		if slowMatch(text[1:], name, delimiter, inbox) {
			return true
		}
		return name != "" && (text[0] == '*' || name[:1] != delimiter) && slowMatch(text, name[1:], delimiter, inbox-1)
	}
	if name == "" {
		return false
	}
	same := text[0] == name[0] || text[0] == '/' && name[:1] == delimiter ||
		inbox > 0 && strings.EqualFold(text[:1], name[:1])
	return same && slowMatch(text[1:], name[1:], delimiter, inbox-1)
}
