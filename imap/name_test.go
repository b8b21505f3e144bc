package imap

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestModifiedUTF7(t *testing.T) {
	for _, tt := range []struct{ text, wire string }{
		{"INBOX", "INBOX"},
		{"", ""},
		{"A & B", "A &- B"},
		{"台北", "&U,BTFw-"},
		{"~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"},
		{"Entwürfe", "Entw&APw-rfe"},
		{"已发送", "&XfJT0ZAB-"},
		{"é&é", "&AOk-&-&AOk-"},
		{"\U0001f4e7", "&2D3c5w-"},
		{"tab\there", "tab&AAk-here"},
		{`back\slash "quoted"`, `back\slash "quoted"`},
	} {
		if got := encodeUTF7(tt.text); got != tt.wire {
			t.Errorf("encode %q: got %q, want %q", tt.text, got, tt.wire)
		}
		if got, ok := decodeUTF7(tt.wire); got != tt.text || !ok {
			t.Errorf("decode %q: got %q %t, want %q", tt.wire, got, ok, tt.text)
		}
	}
}

// Names that break the encoding keep what they are: there is no second
// name for a mailbox, and the wire form is never lost.
func TestT24BadModifiedUTF7(t *testing.T) {
	c := &Client{}
	for _, wire := range []string{
		"&", "a&b", "&AOk", "&AO-", "&A-", "&====-", "&AOl-", // spare bits
		"&AGE-",      // a letter that needs no encoding
		"&2D0-",      // half a surrogate pair
		"&AOk/-",     // not the modified alphabet
		"&AOk-é",     // two encodings
		"&AOk-&AOk-", // two shifts for one run
		"\xff\xfe",
	} {
		if text, ok := decodeUTF7(wire); ok {
			t.Errorf("%q passed as %q", wire, text)
		}
		if got := c.text(Name(wire)); got != wire {
			t.Errorf("%q is called %q", wire, got)
		}
	}
	if got := c.text("Entwürfe"); got != "Entwürfe" {
		t.Errorf("a name in UTF-8 is called %q", got)
	}
	if c.text("iNbOx") != "INBOX" || c.text("inbox/a") != "inbox/a" {
		t.Error("only INBOX is in capitals")
	}
	c.utf8 = true
	if got := c.text("a&b"); got != "a&b" || c.Name("é&") != "é&" {
		t.Errorf("with UTF8=ACCEPT it is called %q", got)
	}
}

func FuzzName(f *testing.F) {
	f.Add("Entwürfe & mehr")
	f.Add("&U,BTFw-/&ZeVnLIqe-")
	f.Add("&2D3c5w-")
	f.Add("&AOk-&-")
	f.Fuzz(func(t *testing.T, s string) {
		if utf8.ValidString(s) {
			wire := encodeUTF7(s)
			if back, ok := decodeUTF7(wire); !ok || back != s {
				t.Errorf("%q became %q and then %q", s, wire, back)
			}
			if strings.ContainsFunc(wire, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%q is not ASCII: %q", s, wire)
			}
		}
		if text, ok := decodeUTF7(s); ok && strings.Contains(s, "&") && encodeUTF7(text) != s {
			t.Errorf("%q has another encoding: %q", s, encodeUTF7(text))
		}
	})
}
