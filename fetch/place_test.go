package fetch

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPlace(t *testing.T) {
	for _, tt := range []struct{ name, delimiter, want string }{
		{"INBOX", "/", "INBOX"},
		{"INBOX", "", "INBOX"},
		{"INBOX.Sent", ".", "INBOX/Sent"},
		{"Lists.a/b", ".", "Lists/a%2Fb"},
		{"Lists.a/b", "", "Lists.a%2Fb"},
		{"Lists/a.b", "/", "Lists/a.b"},
		{"Lists::a", "::", "Lists/a"},
		{`a\b`, `\`, "a/b"},
		{"100%", "/", "100%25"},
		{"[Gmail]/All Mail", "/", "[Gmail]/All Mail"},
		{"Entwürfe/Übersicht & Rückblick", "/", "Entwürfe/Übersicht & Rückblick"},
		{"已发送", "/", "已发送"},
		{"Bob's (old); #1?", "/", "Bob's (old); #1?"},
		{"$(reboot)`x`\"", "/", "%24(reboot)%60x%60%22"},
		{"-rf/~root/ a b ", "/", "%2Drf/%7Eroot/%20a b%20"},
		{" ", "/", "%20"},
		{"می\u200cخواهم", "/", "می\u200cخواهم"},
		{"\u200dx\u200d", "/", "%E2%80%8Dx\u200d"},
		{"safe\u202efdp", "/", "safe%E2%80%AEfdp"},
		{"\ufffd", "/", "\ufffd"},
		// Not T24's, but near it.
		{"lost+found/lost+found", "/", "%6Cost+found/lost+found"},
		{"Lost+Found", "/", "%4Cost+Found"},
		{".postrider", "/", "%2Epostrider"},
		{"Inbox", "/", "%49nbox"},
		{"in\u200dbox", "/", "%69n\u200dbox"},
		{"Inbox/x", "/", "Inbox/x"},
		{"x/inbox", "/", "x/inbox"},
	} {
		if got := Place(tt.name, tt.delimiter); got != tt.want {
			t.Errorf("Place(%q, %q) = %q, want %q", tt.name, tt.delimiter, got, tt.want)
		}
	}
}

// What a hostile server may call a mailbox.
func TestT24MailboxNames(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	const digestOfLong = "e4ee97ec252749d2096447e849628d0d"
	for what, tt := range map[string]struct{ name, delimiter, want string }{
		"up":                   {"../../etc/passwd", "/", "%2E./%2E./etc/passwd"},
		"up, other delimiter":  {"../x", ".", "%_/%_/%2Fx"},
		"up, no delimiter":     {"../x", "", "%2E.%2Fx"},
		"here":                 {"./a/.", "/", "%2E/a/%2E"},
		"leading slash":        {"/etc", "/", "%_/etc"},
		"trailing slash":       {"a/", "/", "a/%_"},
		"doubled":              {"a//b", "/", "a/%_/b"},
		"nothing":              {"", "/", "%_"},
		"nothing at all":       {"", "", "%_"},
		"NUL":                  {"a\x00b", "/", "a%00b"},
		"CR and LF":            {"a\r\nb\n", "/", "a%0D%0Ab%0A"},
		"other controls":       {"\x1b[31m\x7f\u0085", "/", "%1B[31m%7F%C2%85"},
		"backslash":            {`..\..\a`, "/", `%2E.%5C..%5Ca`},
		"backslash, no escape": {`..\a`, `\`, `%2E./a`},
		"no UTF-8":             {"a\xff\xc3(\xed\xa0\x80", "/", "a%FF%C3(%ED%A0%80"},
		"no modified UTF-7":    {"&Jjo!-&", "/", "&Jjo!-&"},
		"of a Maildir":         {"tmp/x/NEW/Cur/cur.", "/", "%74mp/x/%4EEW/%43ur/cur."},
		"of a Maildir, unseen": {"a/t\u200bmp", "/", "a/%74\u200bmp"},
		"leading dots":         {".a/...b", "/", "%2Ea/%2E..b"},
		"10 kB":                {long, "/", long[:150] + "%-" + digestOfLong},
		"escaped":              {"%2E%2E/%_", "/", "%252E%252E/%25_"},
	} {
		t.Run(what, func(t *testing.T) {
			got := Place(tt.name, tt.delimiter)
			if got != tt.want {
				t.Errorf("Place(%q, %q)\n got %q\nwant %q", tt.name, tt.delimiter, got, tt.want)
			}
			checkPlace(t, tt.name, got)
		})
	}
}

func TestT24LongMailboxNames(t *testing.T) {
	seen := make(map[string]string)
	for _, name := range []string{
		strings.Repeat("x", 200), strings.Repeat("x", 201), strings.Repeat("x", 202),
		strings.Repeat("ü", 100), strings.Repeat("ü", 101), "x" + strings.Repeat("ü", 100),
		strings.Repeat("\x01", 66), strings.Repeat("\x01", 67), "x" + strings.Repeat("\x01", 67), "xx" + strings.Repeat("\x01", 67),
		strings.Repeat("/", 333), strings.Repeat("/", 334), strings.Repeat("/", 5000),
		strings.Repeat("abcd/", 199) + "abcde", strings.Repeat("abcd/", 199) + "abcdef", strings.Repeat("abcd/", 200) + "abcd",
		strings.Repeat("a/", 5000), strings.Repeat("a/", 5000) + "b", strings.Repeat("a/", 5001),
		strings.Repeat(strings.Repeat("y", 300)+"/", 20), strings.Repeat(strings.Repeat("y", 301)+"/", 20),
		strings.Repeat(strings.Repeat("z", 150)+"/", 20), strings.Repeat("tmp/", 3000), strings.Repeat("../", 3000),
	} {
		got := Place(name, "/")
		checkPlace(t, name, got)
		if other, twice := seen[got]; twice {
			t.Errorf("%.20q of %d and %.20q of %d octets have one place, %q", name, len(name), other, len(other), got)
		}
		seen[got] = name
	}
	// As long as can be, nothing is lost.
	if whole := strings.Repeat("abcd/", 199) + "abcde"; Place(whole, "/") != whole {
		t.Errorf("%d octets are cut", len(whole))
	}
	if got := Place(strings.Repeat("ü", 101), "/"); !strings.HasPrefix(got, strings.Repeat("ü", 75)+"%-") {
		t.Errorf("got %q: not what the cut part began with", got)
	}
}

// checkPlace says what is true of the place of any name.
func checkPlace(t *testing.T, name, place string) {
	t.Helper()
	switch {
	case place == "" || path.IsAbs(place) || path.Clean("/r/"+place) != "/r/"+place:
		t.Errorf("%.50q: place %q is no clean path below the root", name, place)
	case len(place) > maxPlace:
		t.Errorf("%.50q: place has %d octets", name, len(place))
	case !utf8.ValidString(place) || strings.ContainsFunc(place, unprintable):
		t.Errorf("%.50q: place %q cannot be shown", name, place)
	case brokenEscape(place):
		t.Errorf("%.50q: place %q has half an escape", name, place)
	case strings.ContainsAny(place, "\\\"$`"):
		t.Errorf("%.50q: place %q is no word for a shell", name, place)
	case strings.EqualFold(place, "INBOX") && name != "INBOX":
		t.Errorf("%.50q: place %q is INBOX's", name, place)
	}
	for part := range strings.SplitSeq(place, "/") {
		switch {
		case part == "" || len(part) > maxPart:
			t.Errorf("%.50q: a part of %q has %d octets", name, place, len(part))
		case strings.ContainsAny(part[:1], ".-~ ") || strings.HasSuffix(part, " "):
			t.Errorf("%.50q: a part of %q begins or ends badly", name, place)
		case slices.Contains([]string{"TMP", "NEW", "CUR"}, strings.ToUpper(part)):
			t.Errorf("%.50q: a part of %q is a Maildir's own", name, place)
		}
	}
}

// brokenEscape reports a per cent sign that begins none of the forms there are.
func brokenEscape(place string) bool {
	return strings.Contains(regexp.MustCompile("%([0-9A-F]{2}|_|-[0-9a-f]{32})").ReplaceAllString(place, ""), "%")
}

func FuzzPlace(f *testing.F) {
	for _, s := range []string{"INBOX", "a.b/c", "../x", "%2E", "%_", "", "tmp", "a\x00\xff", strings.Repeat("a.", 600), strings.Repeat("ä", 120)} {
		f.Add(s, s+"x", ".")
		f.Add(s, "%25", "/")
	}
	f.Add("a/b", "a.b", "")
	f.Fuzz(func(t *testing.T, a, b, delimiter string) {
		inA, inB := Place(a, delimiter), Place(b, delimiter)
		checkPlace(t, a, inA)
		checkPlace(t, b, inB)
		if a != b && inA == inB {
			t.Errorf("%q and %q, with the delimiter %q, have one place: %q", a, b, delimiter, inA)
		}
		if back, ok := nameAt(inA, delimiter); ok && back != a {
			t.Errorf("%q has the place %q, which reads as %q", a, inA, back)
		}

		given := Places(map[string]string{a: inA}, []Named{{b, delimiter}, {a, delimiter}, {a + "/" + b, delimiter}})
		unlike := make(map[string]string)
		for name, place := range given {
			checkPlace(t, name, place)
			if other, twice := unlike[caseless(place)]; twice {
				t.Errorf("%q and %q have places that are one without case: %q and %q", name, other, place, given[other])
			}
			unlike[caseless(place)] = name
		}
		if given[a] != inA {
			t.Errorf("%q had %q, and has %q now", a, inA, given[a])
		}
	})
}

// nameAt undoes the escapes of a place, unless it was cut.
func nameAt(place, delimiter string) (string, bool) {
	if strings.Contains(place, "%-") {
		return "", false
	}
	parts := strings.Split(place, "/")
	for i, part := range parts {
		var b strings.Builder
		for part != emptyPart && part != "" {
			if part[0] != '%' {
				b.WriteByte(part[0])
				part = part[1:]
				continue
			}
			const digits = "0123456789ABCDEF"
			b.WriteByte(byte(strings.IndexByte(digits, part[1])<<4 | strings.IndexByte(digits, part[2])))
			part = part[3:]
		}
		parts[i] = b.String()
	}
	return strings.Join(parts, delimiter), true
}

func TestT24NamesThatDifferInCase(t *testing.T) {
	slash := func(names ...string) (list []Named) {
		for _, name := range names {
			list = append(list, Named{name, "/"})
		}
		return list
	}
	for what, tt := range map[string]struct {
		taken     map[string]string
		mailboxes []Named
		want      map[string]string
	}{
		"none":     {nil, nil, map[string]string{}},
		"unlike":   {nil, slash("b", "a/b", "INBOX"), map[string]string{"b": "b", "a/b": "a/b", "INBOX": "INBOX"}},
		"by name":  {nil, slash("foo", "Foo", "FOO"), map[string]string{"FOO": "FOO", "Foo": "%46%6F%6F", "foo": "%66%6F%6F"}},
		"one more": {map[string]string{"foo": "foo"}, slash("Foo", "foo"), map[string]string{"foo": "foo", "Foo": "%46%6F%6F"}},
		"of one that is gone": {map[string]string{"foo": "foo"}, slash("Foo"),
			map[string]string{"Foo": "%46%6F%6F"}},
		"kept though odd": {map[string]string{"Foo": "%46%6F%6F"}, slash("Foo", "foo"),
			map[string]string{"Foo": "%46%6F%6F", "foo": "foo"}},
		"last part that differs": {nil, slash("Lists/A 1/x", "Lists/a 1/x"),
			map[string]string{"Lists/A 1/x": "Lists/A 1/x", "Lists/a 1/x": "Lists/%61 1/x"}},
		"several parts": {map[string]string{"lists/a": "lists/a"}, slash("Lists/A", "lists/A"),
			map[string]string{"Lists/A": "Lists/%41", "lists/A": "%6C%69%73%74%73/%41"}},
		"children are apart already": {nil, slash("Foo", "foo", "foo/x", "Foo/y"),
			map[string]string{"Foo": "Foo", "foo": "%66%6F%6F", "foo/x": "foo/x", "Foo/y": "Foo/y"}},
		"composed": {nil, slash("\u00e9", "e\u0301", "E\u0301"),
			map[string]string{"E\u0301": "E\u0301", "e\u0301": "%65%CC%81", "\u00e9": "%C3%A9"}},
		"composed in one case only": {nil, slash("\u01f0", "J\u030c"),
			map[string]string{"J\u030c": "J\u030c", "\u01f0": "%C7%B0"}},
		"sharp s":       {nil, slash("Straße", "Strasse"), map[string]string{"Strasse": "Strasse", "Straße": "%53%74%72%61%C3%9F%65"}},
		"kelvin":        {nil, slash("\u212a", "k"), map[string]string{"k": "k", "\u212a": "%E2%84%AA"}},
		"joined unseen": {nil, slash("a\u200db", "ab"), map[string]string{"ab": "ab", "a\u200db": "%61%E2%80%8D%62"}},
		"inbox":         {map[string]string{"x": "x"}, slash("inbox", "Inbox", "INBOX"), map[string]string{"INBOX": "INBOX", "Inbox": "%49nbox", "inbox": "%69nbox"}},
		"two delimiters": {nil, []Named{{"a/b", "/"}, {"a.b", "."}, {"a^b", "^"}},
			map[string]string{"a.b": "a/b", "a/b": "%61/%62", "a^b": "%-361740d1927f400fce4ae41fefdfd6e6"}},
		"twice": {nil, slash("a", "a"), map[string]string{"a": "a"}},
	} {
		t.Run(what, func(t *testing.T) {
			before := maps.Clone(tt.taken)
			got := Places(tt.taken, tt.mailboxes)
			if !maps.Equal(got, tt.want) {
				t.Errorf("\n got %q\nwant %q", got, tt.want)
			}
			slices.Reverse(tt.mailboxes)
			if again := Places(tt.taken, tt.mailboxes); !maps.Equal(again, got) {
				t.Errorf("in another order: %q", again)
			}
			if !maps.Equal(tt.taken, before) {
				t.Errorf("taken is now %q", tt.taken)
			}
		})
	}
}

// Long names that differ only in case are apart by their digests.
func TestT24LongNamesThatDifferInCase(t *testing.T) {
	var list []Named
	for _, s := range []string{"a", "A"} {
		list = append(list,
			Named{strings.Repeat(s, 300), "/"}, Named{strings.Repeat(s+"/", 600), "/"},
			Named{"x/" + strings.Repeat(s, 150), "/"}, Named{s + "/" + strings.Repeat("b", 300), "/"})
	}
	seen := make(map[string]bool)
	for name, place := range Places(nil, list) {
		checkPlace(t, name, place)
		if seen[caseless(place)] {
			t.Errorf("%.30q: another one has %q as well", name, place)
		}
		seen[caseless(place)] = true
	}
}
