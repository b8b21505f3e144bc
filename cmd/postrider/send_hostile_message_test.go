package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"postrider/mailtest"
)

// why returns what failed/ says about a file.
func (h *sendingHome) why(name string) string {
	h.t.Helper()
	return h.read(h.outbox() + "/failed/" + name + ".why.txt")
}

// TestT72NoCommandIsSmuggledIn: an address, a name or a header with a line end or
// NUL in it is refused, and the server hears of nothing.
func TestT72NoCommandIsSmuggledIn(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, mailtest.SMTPOptions{})
	h := newSender(t, []sendAccount{{port: s.Port()}})
	for _, evil := range []string{"\r\nRCPT TO:<eve@example.com>", "\nRCPT TO:<eve@example.com>", "\rRCPT TO:<eve@example.com>", "\x00", "\x7f"} {
		for _, args := range [][]string{
			{"bob@example.com" + evil}, {"-f", "ada@example.org" + evil, "bob@example.com"}, {"-F", "Ada" + evil, "bob@example.com"},
			{"-V", "x" + evil, "bob@example.com"}, {"-t", "--", "bob@example.com" + evil}, {"bob@example.com>" + evil + "<"},
		} {
			h.pipe("Subject: x\n\ntext\n", append([]string{"sendmail"}, args...)...).wants(exitUsage, "control character")
		}
	}
	for name, text := range map[string]string{
		"bare-cr-bcc":    "From: ada@example.org\nTo: bob@example.com\rBcc: eve@example.com\nSubject: x\n\ntext\n",
		"bare-cr-fold":   "From: ada@example.org\nTo: bob@example.com,\r eve@example.com\n\ntext\n",
		"bare-cr-x":      "From: ada@example.org\nTo: bob@example.com\nX-Any: a\r.\rMAIL FROM:<eve@example.com>\n\ntext\n",
		"nul-in-header":  "From: ada@example.org\nTo: bob@example.com\nSubject: a\x00b\n\ntext\n",
		"nul-in-address": "From: ada@example.org\nTo: bob\x00@example.com\n\ntext\n",
		"cr-cr-lf":       "From: ada@example.org\r\r\nTo: bob@example.com\n\ntext\n",
		"nul-in-body":    "From: ada@example.org\nTo: bob@example.com\n\n\x00.\n",
	} {
		h.pipe(text, "sendmail", "-t").wants(exitData, "NUL|carriage return|control character")
		h.drop(name, text)
	}
	h.sends(exitFailed)
	h.queued("")
	if n := len(h.files("failed")); n != 14 {
		t.Errorf("in failed/: %v", h.files("failed"))
	}
	if why := h.why("bare-cr-bcc"); !strings.Contains(why, "lone carriage return") || !strings.Contains(why, "take it out") {
		t.Errorf("%s", why)
	}
	if c := s.Counts(); c.Sessions > 0 {
		t.Errorf("the server was asked: %+v", c)
	}
}

// TestT73OddRecipients: what looks like an option, a command or a file is an
// address or refused.
func TestT73OddRecipients(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, mailtest.SMTPOptions{})
	h := newSender(t, []sendAccount{{port: s.Port()}})
	text := "Subject: x\n\ntext\n"
	for _, evil := range []string{":include:/etc/passwd", "/dev/null", "|/bin/sh", "|/bin/sh -c id", "a b@example.com", "bob@example.com -oQ/tmp", "bob@", "@example.com", "bob@exa mple.com", "<>", "", "bob@[1.2.3.4", "-oQ", "bob@-example.com;"} {
		o := h.pipe(text, "sendmail", "-i", "--", evil)
		if o.code != exitData {
			t.Errorf("%q ended with %d: %s", evil, o.code, o.stderr)
		}
	}
	h.queued("")
	for _, odd := range []string{"-rf@example.com", `"|/bin/sh"@example.com`, "a;b@example.com"} {
		h.pipe(text, "sendmail", "-i", "--", odd).wants(exitOK)
	}
	h.sends(exitOK)
	var to []string
	for _, m := range s.Messages() {
		to = append(to, m.To...)
	}
	// The third is a list of two, one of which is somebody here.
	if fmt.Sprint(to) != "[-rf@example.com |/bin/sh@example.com a@example.org b@example.com]" {
		t.Errorf("to %v", to)
	}
	faultless(t, s)
}

// TestT74RecipientsOfTheHeader: -t, Bcc, Resent blocks, groups, and many.
func TestT74RecipientsOfTheHeader(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("r%d@example.com", i))
	}
	for _, tt := range []struct {
		name, text string
		args       []string
		to         []string
		hidden     string // must not go out
	}{
		{"Bcc", "From: ada@example.org\nTo: a@example.com\nBCC : b@example.com,\n c@example.com\nbcc:\n d@example.com\n\nbcc: text\n", nil,
			[]string{"a@example.com", "b@example.com", "c@example.com", "d@example.com"}, "c@example.com"},
		{"Bcc without -t", "From: ada@example.org\nTo: a@example.com\nBcc: b@example.com\n\ntext\n", []string{"x@example.com"}, []string{"x@example.com"}, "b@example.com"},
		{"arguments are added", "From: ada@example.org\nTo: a@example.com\n\ntext\n", []string{"-t", "x@example.com", "A@EXAMPLE.com", "a@EXAMPLE.com"},
			[]string{"x@example.com", "A@example.com", "a@example.com"}, "\x00"},
		{"Resent", "Resent-From: ada@example.org\nResent-To: n@example.com\nResent-Bcc: o@example.com\nFrom: eve@example.net\nTo: a@example.com\nBcc: b@example.com\n\ntext\n", nil,
			[]string{"n@example.com", "o@example.com"}, "o@example.com"},
		{"groups", "From: ada@example.org\nTo: a:;;;;, undisclosed-recipients:;, team: a@example.com, B <b@example.com>;;;;\n\ntext\n", nil, []string{"a@example.com", "b@example.com"}, "\x00"},
		{"many", "From: ada@example.org\nBcc: " + strings.Join(many, ",\n ") + "\n\ntext\n", nil, many, "r500@example.com"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startSMTP(t, mailtest.SMTPOptions{})
			h := newSender(t, []sendAccount{{port: s.Port()}})
			if tt.args == nil {
				tt.args = []string{"-t"}
			}
			h.pipe(tt.text, append([]string{"sendmail", "-i"}, tt.args...)...).wants(exitOK)
			h.sends(exitOK)
			m := got(t, s, 1)
			if len(m) == 1 && fmt.Sprint(m[0].To) != fmt.Sprint(tt.to) {
				t.Errorf("to %v\nwant %v", m[0].To, tt.to)
			}
			if len(m) == 1 && (bytes.Contains(m[0].Octets, []byte(tt.hidden)) || bytes.Contains(bytes.ToLower(m[0].Octets), []byte("\nbcc:")) && tt.name != "Bcc") {
				t.Errorf("%q", m[0].Octets)
			}
			faultless(t, s)
		})
	}
	t.Run("linear time", func(t *testing.T) {
		h := newSender(t, []sendAccount{{port: 9}})
		start := time.Now()
		h.pipe("From: ada@example.org\nTo: "+strings.Repeat("a:;;;;", 200_000)+"\n\ntext\n", "sendmail", "-t").wants(exitData, "no recipient")
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestT75NoSecondMessage: no text ends a message before its end, whatever takes
// for the end of a line.
func TestT75NoSecondMessage(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, mailtest.SMTPOptions{})
	h := newSender(t, []sendAccount{{port: s.Port()}})
	evil := "MAIL FROM:<eve@example.com>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"
	ends := []string{"\n.\n", "\r\n.\r\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n.\r", "\r\r\n.\r\r\n", "\r\n.\r\r\n"}
	for i, end := range ends {
		head := fmt.Sprintf("From: ada@example.org\nTo: bob@example.com\nSubject: %d\n\n", i)
		h.pipe(head+"a"+end+evil, "sendmail", "-t", "-i").wants(exitOK)
		h.drop(fmt.Sprintf("%d.eml", i), strings.ReplaceAll(head, "\n", "\r\n")+end+evil)
	}
	h.pipe("Subject: dot without -i\n\na\n.\nb\n", "sendmail", "bob@example.com").wants(exitOK)
	h.sends(exitOK)
	for _, m := range got(t, s, 2*len(ends)+1) {
		if m.From != "ada@example.org" || fmt.Sprint(m.To) != "[bob@example.com]" {
			t.Errorf("%s to %v", m.From, m.To)
		}
		if text := string(m.Octets); strings.Contains(text, "Subject: dot") != strings.HasSuffix(text, "a\r\n.\r\nb\r\n") {
			t.Errorf("%q", text)
		}
		if !bytes.Contains(m.Octets, []byte("Subject: dot")) && !bytes.HasSuffix(m.Octets, []byte("smuggled\r\n\r\nx\r\n.\r\n")) {
			t.Errorf("the text ends early: %q", m.Octets)
		}
	}
	for _, fault := range s.Faults() {
		if !strings.HasSuffix(fault, "at the beginning of a line in the text") { // where it has to be
			t.Errorf("fault: %s", fault)
		}
	}
}

// TestT76WhatServersLack: the end of the last line, 8-bit octets, addresses that
// are not ASCII, long lines.
func TestT76WhatServersLack(t *testing.T) {
	t.Parallel()
	head := "From: ada@example.org\nTo: bob@example.com\nMessage-ID: <1@example.org>\nDate: Mon, 2 Mar 2026 10:00:00 +0100\n"
	long := strings.Repeat("0123456789", 1000)
	for _, tt := range []struct {
		name, text string
		server     mailtest.SMTPOptions
		code       int
		says       string
		params     string
	}{
		{"no final newline", head + "\ntext", mailtest.SMTPOptions{}, exitOK, "", ""},
		{"no body", head, mailtest.SMTPOptions{}, exitOK, "", ""},
		{"no end of the header", strings.TrimSuffix(head, "\n"), mailtest.SMTPOptions{}, exitOK, "", ""},
		{"8 bits", head + "\nGrüße\n", mailtest.SMTPOptions{}, exitOK, "", "BODY=8BITMIME"},
		{"8 bits, no word for it", head + "\nGrüße\n", mailtest.SMTPOptions{Without: []string{"8BITMIME"}}, exitOK, "", ""},
		{"8 bits, refused", head + "\nGrüße\n", mailtest.ProfileSMTPNo8Bit(), exitFailed, "554", ""},
		{"long line", head + "\n" + long + "\n", mailtest.SMTPOptions{}, exitOK, "", ""},
		{"address", strings.Replace(head, "bob@", "jürgen@", 1) + "\ntext\n", mailtest.SMTPOptions{}, exitOK, "", "SMTPUTF8"},
		{"address, no SMTPUTF8", strings.Replace(head, "bob@", "jürgen@", 1) + "\ntext\n", mailtest.ProfileSMTPNoUTF8(), exitFailed, "SMTPUTF8", ""},
		{"domain, no SMTPUTF8", strings.Replace(head, "example.com", "bücher.example", 1) + "\ntext\n", mailtest.ProfileSMTPNoUTF8(), exitOK, "", ""},
		{"header, no SMTPUTF8", head + "Subject: Grüße\n\ntext\n", mailtest.ProfileSMTPNoUTF8(), exitOK, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startSMTP(t, tt.server)
			h := newSender(t, []sendAccount{{port: s.Port()}})
			h.drop("a.eml", tt.text)
			h.sends(tt.code)
			h.queued("")
			if tt.code != exitOK {
				got(t, s, 0)
				if why := h.why("a.eml"); !strings.Contains(why, tt.says) || len(h.reports("work")) != 1 || !strings.Contains(h.reports("work")[0], tt.says) {
					t.Errorf("%s\n%s", why, h.reports("work"))
				}
				return
			}
			m := got(t, s, 1)
			want := string(mailtest.Wire([]byte(tt.text)))
			if !strings.Contains(tt.text, "\n\n") {
				want = strings.TrimSuffix(want, "\r\n") + "\r\n"
			}
			if len(m) == 1 && string(m[0].Octets) != want {
				t.Errorf("%q\nwant %q", clippedTo(string(m[0].Octets), 300), clippedTo(want, 300))
			}
			if len(m) == 1 && !strings.Contains(strings.Join(m[0].Params, " "), tt.params) {
				t.Errorf("MAIL had %q", m[0].Params)
			}
			faultless(t, s)
		})
	}
}
