package outbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// spellEnvelope writes an envelope as FROM -> TO TO.
func spellEnvelope(e Envelope) string {
	var b strings.Builder
	b.WriteString("<" + e.From + "> ->")
	for _, r := range e.To {
		b.WriteString(" <" + r.Address + ">")
	}
	if e.UTF8 {
		b.WriteString(" UTF8")
	}
	return b.String()
}

// TestT74Envelope takes the recipients from the right fields, each once.
func TestT74Envelope(t *testing.T) {
	for _, c := range []struct{ name, header, want string }{
		{"To, Cc, Bcc", "From: a@b\nTo: c@d\nCC: e@f\nbcc: g@h", "<a@b> -> <c@d> <e@f> <g@h>"},
		{"all occurrences", "From: a@b\nTo: c@d\nTo: e@f\nBcc: g@h\nBcc: i@j", "<a@b> -> <c@d> <e@f> <g@h> <i@j>"},
		{"each once", "From: a@b\nTo: c@D, c@d, C@d\nCc: \"c\"@d", "<a@b> -> <c@d> <C@d>"},
		{"folded", "From:\n a@b\nTo: c@d,\r\n\te@f", "<a@b> -> <c@d> <e@f>"},
		{"bare names", "From: root (Cron Daemon)\nTo: ada, c@d", "<root@example.org> -> <ada@example.org> <c@d>"},
		{"UTF-8 recipient", "From: a@b\nTo: 用户@例子.cn", "<a@b> -> <用户@xn--fsqu00a.cn> UTF8"},
		{"UTF-8 sender", "From: 用户@b\nTo: a@b", "<用户@b> -> <a@b> UTF8"},
		{"an IDN needs no SMTPUTF8", "From: 张三 <a@例子.cn>\nTo: c@d", "<a@xn--fsqu00a.cn> -> <c@d>"},
		{"a group of nobody and Bcc", "From: a@b\nTo: undisclosed-recipients:;\nBcc: c@d", "<a@b> -> <c@d>"},
		{"one author and a Sender", "Sender: s@t\nFrom: a@b\nTo: c@d", "<a@b> -> <c@d>"},
		{"two authors and a Sender", "Sender: s@t\nFrom: a@b, x@y\nTo: c@d", "<s@t> -> <c@d>"},
		{"two authors and no Sender", "From: a@b, x@y\nTo: c@d", "<a@b> -> <c@d>"},
		{"no author and a Sender (RFC 6854)", "Sender: s@t\nFrom: Nobody:;\nTo: c@d", "<s@t> -> <c@d>"},
		{"Reply-To and others are not asked", "From: a@b\nTo: c@d\nReply-To: x@y\nReturn-Path: <x@y>\nApparently-To: x@y\nX-To: x@y", "<a@b> -> <c@d>"},
		{"text without a blank line is not asked", "From: a@b\nTo: c@d\nhello", "<a@b> -> <c@d>"},
		{"body is not asked", "From: a@b\nTo: c@d\n\nBcc: x@y", "<a@b> -> <c@d>"},

		{"resent", "Resent-From: r@s\nResent-To: t@u\nFrom: a@b\nTo: c@d\nBcc: e@f", "<r@s> -> <t@u>"},
		{"resent, all three", "Resent-From: r@s\nResent-To: t@u\nResent-Cc: v@w\nResent-Bcc: x@y\nFrom: a@b\nTo: c@d", "<r@s> -> <t@u> <v@w> <x@y>"},
		{"resent twice", "Resent-From: r@s\nResent-To: t@u\nReceived: x\nResent-From: o@p\nResent-To: q@q\nFrom: a@b\nTo: c@d", "<r@s> -> <t@u>"},
		{"resent twice, nothing between", "Resent-From: r@s\nResent-To: t@u\nResent-From: o@p\nResent-To: q@q\nResent-Cc: w@w\nFrom: a@b", "<r@s> -> <t@u>"},
		{"resent twice, the older at the end", "Resent-From: r@s\nResent-To: t@u\nFrom: a@b\nTo: c@d\nResent-From: o@p\nResent-To: q@q\nResent-Cc: w@w", "<r@s> -> <t@u>"},
		{"resent, under way before", "Received: x\nReceived: y\nResent-From: r@s\nResent-To: t@u\nReceived: z\nResent-Cc: q@q\nFrom: a@b", "<r@s> -> <t@u>"},
		{"resent, a list in two fields", "Resent-From: r@s\nResent-To: t@u\nResent-To: v@w\nFrom: a@b", "<r@s> -> <t@u> <v@w>"},
		{"resent, in pieces", "Resent-From: r@s\nX-Loop: 1\nResent-To: t@u\nFrom: a@b\nResent-Bcc: v@w", "<r@s> -> <t@u> <v@w>"},
		{"resent by a Sender", "Resent-Sender: r@s\nResent-To: t@u\nFrom: a@b", "<r@s> -> <t@u>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, _ := read(t, c.header+"\n\nbody")
			e, err := h.Envelope("example.org")
			if got := spellEnvelope(e); err != nil || got != c.want {
				t.Errorf("envelope %s, want %s (%v)", got, c.want, err)
			}
		})
	}
}

// TestEnvelopeRefused reads headers that have no certain envelope. The user sees
// what is wrong and what to do.
func TestEnvelopeRefused(t *testing.T) {
	for _, c := range []struct{ header, want string }{
		{"To: c@d", "the message does not say who sends it (write a From: field with the address of an account)"},
		{"From:\nTo: c@d", "the message does not say who sends it"},
		{"From: <>\nTo: c@d", `the From: field holds "<>", which is no mail address`},
		{"From: Big Bug bb@bug.com\nTo: c@d", `the From: field holds "Big Bug bb@bug.com"`},
		{"From: a@b", "the message has no recipient (write a To:, Cc: or Bcc: field with an address in it)"},
		{"From: a@b\nTo: nobody:;", "the message has no recipient"},
		{"From: a@b\nTo: c@d\nbCC: John Smith", `the bCC: field holds "John Smith", which is no mail address (write it like ada@example.org`},
		{"From: a@b\nTo: c@d\rBcc: x@y", "line 2 of the message is in the header and has a NUL or a lone carriage return"},
		{"From: a@b\nTo: c@d\nSubject: a\x00b", "line 3 of the message is in the header and has a NUL"},
		{"From: a@b\nTo: c@d\nHello \x1b[2J\n,\nSubject: x", `line 3 of the message is no header field, but header fields follow it: "Hello \x1b[2J" (put a blank line`},
		{"\ufeffFrom: a@b\nTo: c@d", "byte order mark"},
		{"Resent-From: r@s\nFrom: a@b\nTo: c@d", "resent to nobody"},
		{"Resent-To: r@s\nFrom: a@b\nTo: c@d", "does not say who resends it"},
	} {
		h, _ := read(t, c.header+"\n\n")
		e, err := h.Envelope("example.org")
		var r *Refusal
		if !errors.As(err, &r) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q gives %s and\n %v, want\n %s", c.header, spellEnvelope(e), err, c.want)
		}
	}
	h, _ := read(t, "From: a@b\nTo: root\n\n")
	if _, err := h.Envelope(""); err == nil {
		t.Error("a bare name goes out without a domain")
	}
}

func TestNewEnvelope(t *testing.T) {
	to := []Address{{"a", "b"}, {}, {"root", ""}, {"a", "b"}, {"root", "example.org"}}
	e, err := NewEnvelope(Address{}, to, "example.org")
	if got, want := spellEnvelope(e), "<> -> <a@b> <root@example.org>"; err != nil || got != want {
		t.Errorf("envelope %s, want %s (%v)", got, want, err)
	}
	if _, err := NewEnvelope(Address{"a", "b"}, nil, ""); err == nil {
		t.Error("an envelope without a recipient")
	}
}

func TestT74ThousandsOfFields(t *testing.T) {
	var b strings.Builder
	b.WriteString("From: a@b\n")
	for i := range 10_000 {
		fmt.Fprintf(&b, "Bcc: r%d@example.org\n", i)
	}
	h, _ := read(t, b.String())
	e, err := h.Envelope("")
	if err != nil || len(e.To) != 10_000 || e.To[9_999].Address != "r9999@example.org" {
		t.Errorf("%d recipients, %v", len(e.To), err)
	}
	if got := string(h.rewritten("")); got != "From: a@b\n" {
		t.Errorf("goes out as %.100q", got)
	}
}
