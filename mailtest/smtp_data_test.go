package mailtest

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// feedSMTP gives a text in pieces, each of so many octets.
func feedSMTP(wire []byte, piece int) (text *smtpText, used int, ended bool) {
	text = &smtpText{keep: 1 << 20}
	for used < len(wire) && !ended {
		var n int
		n, ended = text.feed(wire[used:min(len(wire), used+piece)])
		used += n
	}
	return text, used, ended
}

func TestSMTPText(t *testing.T) {
	for _, test := range []struct{ wire, want, fault string }{
		{".\r\n", "", ""},
		{"a\r\n.\r\n", "a\r\n", ""},
		{"..\r\n..a\r\n.\r\n", ".\r\n.a\r\n", ""},
		{"\r\n\r\n.\r\n", "\r\n\r\n", ""},
		{".a\r\n.\r\n", "a\r\n", "dot that was not doubled"},
		{"a\n.\r\n\r\n.\r\n", "a\n.\r\n\r\n", "bare LF"},
		{"a\n.\n\r\n.\r\n", "a\n.\n\r\n", "bare LF"},
		{"a\rb\r\n.\r\n", "a\rb\r\n", "bare CR"},
		{"a\r\r\n.\r\n", "a\r\r\n", "bare CR"},
		{"a\r.\r\n.\r\n", "a\r.\r\n", "bare CR"},
		{".\rb\r\n.\r\n", "\rb\r\n", "bare CR"},
		{"MAIL FROM:<a@b>\r\n.\r\n", "MAIL FROM:<a@b>\r\n", "MAIL FROM:< at the beginning of a line"},
		{"a MAIL FROM:<a@b>\r\n.\r\n", "a MAIL FROM:<a@b>\r\n", ""},
	} {
		for piece := range 4 {
			text, used, ended := feedSMTP([]byte(test.wire+"QUIT"), piece+1)
			if string(text.octets) != test.want || used != len(test.wire) || !ended || text.came != int64(used) ||
				strings.Join(text.faults, ", ") != test.fault || text.size != int64(len(test.want)) {
				t.Errorf("%q by %d: %q, %d octets used, ended %t, faults %q", test.wire, piece+1, text.octets, used, ended, text.faults)
			}
		}
	}
	long := strings.Repeat("0123456789", 100)
	text, _, _ := feedSMTP([]byte(long+"\r\n"+long[:998]+"\r\n.\r\n"), 100)
	if text.longest != 1000 || text.long != 1 || text.eight {
		t.Errorf("longest line %d, long lines %d", text.longest, text.long)
	}
	text = &smtpText{keep: 3}
	if _, ended := text.feed([]byte("0123456789\r\nab\xff\r\n.\r\n")); !ended || string(text.octets) != "012" || text.size != 17 || !text.eight {
		t.Errorf("kept %q of %d octets", text.octets, text.size)
	}
}

// FuzzSMTPText compares with what regular expressions make of a text.
func FuzzSMTPText(f *testing.F) {
	for _, s := range []string{"", "a\r\n.\r\n", "..\r\n.\r\n", "\n.\r\n.\r\n", ".\r.\r\n.\r\n"} {
		f.Add([]byte(s), byte(3))
	}
	end := regexp.MustCompile(`(?s)\A(.*?\r\n)??\.\r\n`)
	dots := regexp.MustCompile(`(\A|\r\n)\.`)
	f.Fuzz(func(t *testing.T, wire []byte, piece byte) {
		text, used, ended := feedSMTP(wire, 1+int(piece))
		found := end.FindSubmatch(wire)
		if ended != (found != nil) {
			t.Fatalf("%q: ended %t", wire, ended)
		}
		if !ended {
			return
		}
		if used != len(found[0]) {
			t.Fatalf("%q: %d octets used, want %d", wire, used, len(found[0]))
		}
		if want := dots.ReplaceAll(found[1], []byte("$1")); !bytes.Equal(text.octets, want) {
			t.Fatalf("%q: text %q, want %q", wire, text.octets, want)
		}
		rest := bytes.ReplaceAll(found[1], []byte("\r\n"), nil)
		for kind, there := range map[string]bool{
			"bare CR": bytes.Contains(rest, []byte("\r")), "bare LF": bytes.Contains(rest, []byte("\n")),
		} {
			if has := strings.Contains(strings.Join(text.faults, ","), kind); has != there {
				t.Fatalf("%q: faults %q", wire, text.faults)
			}
		}
	})
}

func TestSMTPPath(t *testing.T) {
	for arg, want := range map[string]string{
		"FROM:<>": "", "from:<a@b.example>": "a@b.example", `FROM:<"a>b"@c>`: `"a>b"@c`, "FROM:<a@[IPv6:::1]>": "a@[IPv6:::1]",
		"FROM:<ä@ö.example>": "ä@ö.example", "FROM:<Postmaster>": "Postmaster",
	} {
		if p, err := parseSMTPPath(arg, "FROM:"); err != nil || p.address != want {
			t.Errorf("%s is %q, %v", arg, p.address, err)
		}
	}
	for _, arg := range []string{"", "FROM", "FROM:", "FROM: <a@b>", "FROM:a@b", "FROM:<a@b", "FROM:<a@b>x", "FROM:<a>", "FROM:<@b>",
		"FROM:<a b@c>", "FROM:<a@b c>", "FROM:<a@-b>", "FROM:<a@b..c>", "FROM:<a..b@c>", "FROM:<.a@c>", "FROM:<a@[>", "FROM:<@r:a@b>",
		"FROM:<a\x01@b>", `FROM:<"a@b>`, "FROM:<a,b@c>", "TO:<a@b>"} {
		if p, err := parseSMTPPath(arg, "FROM:"); err == nil {
			t.Errorf("%s is %q", arg, p.address)
		}
	}
}

func FuzzSMTPPath(f *testing.F) {
	f.Add("FROM:<a@b.example> SIZE=1")
	f.Add(`FROM:<"a\">"@b> X`)
	f.Fuzz(func(t *testing.T, arg string) {
		p, err := parseSMTPPath(arg, "FROM:")
		if err != nil {
			return
		}
		if strings.ContainsAny(p.address, "\r\n\x00") {
			t.Fatalf("%q has the address %q", arg, p.address)
		}
		again, err := parseSMTPPath("FROM:<"+p.address+"> "+strings.Join(p.params, " "), "FROM:")
		if err != nil || again.address != p.address {
			t.Fatalf("%q: %q becomes %q, %v", arg, p.address, again.address, err)
		}
	})
}
