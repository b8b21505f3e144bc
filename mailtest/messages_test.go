package mailtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// header is what comes before the first empty line.
func header(octets []byte) string {
	text := string(Local(octets))
	if strings.HasPrefix(text, "\n") {
		return ""
	}
	head, _, _ := strings.Cut(text, "\n\n")
	return head + "\n"
}

func longestLine(octets []byte) int {
	longest := 0
	for _, line := range bytes.Split(octets, []byte{'\n'}) {
		longest = max(longest, len(line))
	}
	return longest
}

// features names each oddity and says how one sees it in a message.
func features() map[string]func([]byte) bool {
	match := func(pattern string) func([]byte) bool {
		re := regexp.MustCompile(pattern)
		return func(octets []byte) bool { return re.Match(octets) }
	}
	inHeader := func(pattern string) func([]byte) bool {
		re := regexp.MustCompile(pattern)
		return func(octets []byte) bool { return re.MatchString(header(octets)) }
	}
	without := func(field string) func([]byte) bool {
		re := regexp.MustCompile(`(?im)^` + field + `[ \t]*:`)
		return func(octets []byte) bool { return len(octets) > 1 && !re.MatchString(header(octets)) }
	}
	twice := func(field string) func([]byte) bool {
		re := regexp.MustCompile(`(?im)^` + field + `:`)
		return func(octets []byte) bool { return len(re.FindAllString(header(octets), -1)) > 1 }
	}
	features := map[string]func([]byte) bool{
		"empty file":        func(o []byte) bool { return len(o) == 0 },
		"blank file":        func(o []byte) bool { return string(o) == "\n" },
		"NUL":               match(`\x00`),
		"bare CR":           match(`\r[^\n]`),
		"CR CR LF":          match(`\r\r\n`),
		"CRLF and LF mixed": func(o []byte) bool { return match(`\r\n`)(o) && match(`(?:^|[^\r])\n`)(o) },
		"all CRLF": func(o []byte) bool {
			return len(o) > 2 && bytes.Count(o, []byte("\r\n")) == bytes.Count(o, []byte("\n")) && match(`\r\n`)(o)
		},
		"no final newline":     match(`[^\n]$`),
		"line over 998":        func(o []byte) bool { n := longestLine(o); return n > 998 && n < 8000 },
		"line over 8k":         func(o []byte) bool { return longestLine(o) > 8<<10 },
		"long line of dots":    func(o []byte) bool { return bytes.Contains(o, []byte("\n"+strings.Repeat(".", 9<<10))) },
		"header over 16k":      func(o []byte) bool { return len(header(o)) > 16<<10 },
		"raw 8-bit header":     inHeader(`[\x{80}-\x{10FFFF}]`),
		"encoded words":        inHeader(`=\?[^? ]+\?[QB]\?`),
		"encoded words folded": inHeader(`\?=\n =\?`),
		"no body":              match(`\n\n$`),
		"no empty line": func(o []byte) bool {
			return len(o) > 1 && !bytes.Contains(o, []byte("\n\n")) && !bytes.Contains(o, []byte("\r\n\r\n"))
		},
		"no header":              match(`^\n.`),
		"no From":                without("From"),
		"no Date":                without("Date"),
		"no Message-ID":          without("Message-ID"),
		"From twice":             twice("From"),
		"To twice":               twice("To"),
		"Subject twice":          twice("Subject"),
		"Date twice":             twice("Date"),
		"Message-ID twice":       twice("Message-ID"),
		"Content-Type twice":     twice("Content-Type"),
		"dot lines":              match(`\n\.\n`),
		"lone dot at the end":    match(`\n\.\n$`),
		"line that starts dot":   match(`\n\.[^.\n]`),
		"mbox From_ line":        match(`^From \S+ `),
		"From in the body":       func(o []byte) bool { return match(`(?s)\n\n(.*\n)?From `)(o) },
		"multipart":              inHeader(`(?i)Content-Type: multipart/`),
		"nested message":         match(`(?s)message/rfc822.*message/rfc822`),
		"partial":                inHeader(`message/partial`),
		"digest":                 inHeader(`multipart/digest`),
		"DSN":                    match(`message/delivery-status`),
		"MDN":                    match(`message/disposition-notification`),
		"S/MIME":                 match(`application/pkcs7-signature`),
		"PGP/MIME":               match(`application/pgp-signature`),
		"inline PGP":             match(`\n-----BEGIN PGP MESSAGE-----\n`),
		"spaces at a line's end": match(`   \n`),
		"deep nesting":           match(`(?s)level-29.*level-28.*level-0`),
		"base64 attachment":      match(`(?s)application/pdf.*base64`),
		"inline picture":         match(`Content-ID: <`),
		"calendar":               match(`text/calendar`),
		"quoted-printable":       match(`(?i)quoted-printable`),
		"climbing file name":     match(`\.\./\.\./`),
		"split file name":        match(`filename\*0=`),
		"list":                   inHeader(`List-Id:`),
		"Bcc":                    inHeader(`(?m)^Bcc:`),
		"Resent block":           inHeader(`(?m)^Resent-From:`),
		"address group":          inHeader(`(?m)^To: .*;$`),
		"EAI addresses":          inHeader(`(?m)^From: .*<jürgen@bücher\.example>`),
		"not UTF-8":              match(`charset=utf-8(?s:.*)\x{FFFD}`),
		"escape sequences":       inHeader(`\x1b\[31m`),
		"field without name":     inHeader(`(?m)^: `),
		"line without colon":     inHeader(`(?m)^this line is no field$`),
	}
	for _, charset := range []string{"us-ascii", "iso-8859-1", "ISO-8859-15", "utf-8", "utf-16le", "gb2312", "gb18030", "big5",
		"ISO-2022-JP", "Shift_JIS", "euc-kr", "koi8-r", "x-unknown"} {
		features["charset "+charset] = match(`charset="?` + charset + `\b`)
	}
	return features
}

func TestEmbeddedHasEveryOddity(t *testing.T) {
	messages := Embedded()
	for name, has := range features() {
		n := 0
		for _, m := range messages {
			if has(m.Octets) {
				n++
			}
		}
		if n == 0 {
			t.Errorf("no message with: %s", name)
		}
	}
}

// raw octets of other character sets, which no editor may have "mended".
func TestEmbeddedRawCharsets(t *testing.T) {
	for name, want := range map[string]string{
		"chinese-gb18030":      "Subject: \xbb\xe1\xd2\xe9",
		"chinese-big5":         "\xb3\x5c\xa5\x69", // the second octet is a backslash
		"japanese-iso2022jp":   "\n\x1b$B",
		"japanese-shiftjis":    "Subject: \x97\x5c\x92\xe8\x95\x5c",
		"korean-euckr":         "Subject: \xbe\xc8\xb3\xe7",
		"russian-koi8r":        "Subject: \xf0\xc9\xd3\xd8\xcd\xcf",
		"german-latin1":        "3 \xa4",
		"odd-invalid-utf8":     "\xed\xa0\x80",
		"odd-utf16":            "Z\x00e\x00i\x00l\x00e\x00",
		"chinese-utf8":         "charset=UTF-8",
		"odd-no-final-newline": "has no end",
	} {
		found := false
		for _, m := range Embedded() {
			if m.Name == name {
				found = bytes.Contains(m.Octets, []byte(want))
			}
		}
		if !found {
			t.Errorf("%s does not hold %q", name, want)
		}
	}
}

func TestEmbeddedTwins(t *testing.T) {
	count := map[string]int{}
	for _, m := range Embedded() {
		count[string(m.Octets)]++
	}
	twins := 0
	for _, n := range count {
		if n == 2 {
			twins++
		}
	}
	if twins != 1 {
		t.Errorf("%d pairs with the same octets, want 1", twins)
	}
}

func TestEmbeddedIsListed(t *testing.T) {
	readme, err := os.ReadFile("testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	messages := Embedded()
	for _, m := range messages {
		if !strings.Contains(string(readme), fmt.Sprintf("\n| %s | %d |", m.Name, len(m.Octets))) {
			t.Errorf("README.md does not list %s with %d octets", m.Name, len(m.Octets))
		}
	}
	if rows := strings.Count(string(readme), "\n| ") - 1; rows != len(messages) {
		t.Errorf("README.md lists %d messages, there are %d", rows, len(messages))
	}
}

func TestCorpusFolder(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"b.eml": "2", "a.eml": "1\r\n", "c.txt": "3"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("POSTRIDER_CORPUS", dir)
	got := Corpus(t)
	if len(got) != 2 || got[0].Name != "a" || string(got[0].Octets) != "1\r\n" || got[1].Name != "b" {
		t.Errorf("%q", got)
	}
	t.Setenv("POSTRIDER_CORPUS", "")
	t.Chdir(t.TempDir()) // no go.mod above
	if got := Corpus(t); len(got) != len(Embedded()) {
		t.Errorf("%d messages without a corpus, want the embedded %d", len(got), len(Embedded()))
	}
}

// The server gives every message as Wire says, and Local turns it back into
// the file, where the file has only LF at its line ends.
func TestCorpusOverPOP3(t *testing.T) {
	s := startPOP3(t, POP3Options{})
	messages := append(Corpus(t), Generate(5, 50, 20000)...)
	for i, m := range messages {
		s.Mailbox("ada").Add(fmt.Sprint("c", i), Wire(m.Octets))
	}
	c := login(t, s)
	for i, m := range messages {
		got := c.retrieve(i + 1)
		if !bytes.Equal(got, Wire(m.Octets)) {
			t.Fatalf("%s has changed on the way", m.Name)
		}
		plain := bytes.HasSuffix(m.Octets, []byte{'\n'}) && !bytes.Contains(m.Octets, []byte("\r\n"))
		if plain && !bytes.Equal(Local(got), m.Octets) {
			t.Fatalf("%s does not come back to its file", m.Name)
		}
	}
}
