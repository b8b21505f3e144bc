package outbox

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"postrider/mailtest"
)

func completion() Completion {
	return Completion{
		Date:      time.Date(2026, 3, 1, 8, 0, 0, 0, time.FixedZone("", 3600)),
		MessageID: "<1@example.org>",
		From:      "Ada <ada@example.org>",
	}
}

// rewrite returns the octets that go out.
func rewrite(t testing.TB, message string, c Completion) (string, Facts) {
	t.Helper()
	h, body, err := ReadHeader(strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	additions, err := h.Additions(c)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	facts, err := Rewrite(&out, h, body, additions)
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), facts
}

func TestRewrite(t *testing.T) {
	const (
		date = "Date: Sun, 1 Mar 2026 08:00:00 +0100"
		id   = "Message-ID: <1@example.org>"
		from = "From: Ada <ada@example.org>"
		has  = "Date: d\nMessage-ID: m\nFrom: a@b\n"
	)
	for _, c := range []struct{ name, message, want string }{
		{"nothing is missing", has + "To: c\n\nbody", has + "To: c\n\nbody"},
		{"everything is missing", "To: c\n\nbody", date + "\n" + id + "\n" + from + "\nTo: c\n\nbody"},
		{"CRLF", "To: c\r\n\r\nbody\r\n", date + "\r\n" + id + "\r\n" + from + "\r\nTo: c\r\n\r\nbody\r\n"},
		{"odd case is not missing", "dAte: d\nmessage-id : m\nFROM: a@b\n\n", "dAte: d\nmessage-id : m\nFROM: a@b\n\n"},
		{"Bcc", has + "bCC : x,\n y\nTo: c\nBcc: z\n\nBcc: body", has + "To: c\n\nBcc: body"},
		{"Resent-Bcc", "Resent-Bcc: q\nResent-From: a@b\nResent-Date: d\nResent-Message-ID: m\n" + has + "\n", "Resent-From: a@b\nResent-Date: d\nResent-Message-ID: m\n" + has + "\n"},
		{"Bcc without final newline", has + "Bcc: x", has},
		{"Bcc in a lone CR stays, and is no field", has + "To: c\rBcc: x\n\n", has + "To: c\rBcc: x\n\n"},
		{"Send-At", "X-Postrider-Send-At: 2h\n" + has + "\n", has + "\n"},
		{"mbox", "From a@b Mon Jan 1\n" + has + "\n", has + "\n"},
		{"no header", "hello\n", date + "\n" + id + "\n" + from + "\n\nhello\n"},
		{"empty", "", date + "\n" + id + "\n" + from + "\n"},
		{"no blank line before text", has + "hello\n", has + "\nhello\n"},
		{"no body", has, has},
		{"only Bcc and text", "Bcc: x\nhello", date + "\n" + id + "\n" + from + "\n\nhello"},
		{"a bare From gives way", "From: root (Cron Daemon)\nDate: d\nMessage-ID: m\n\n", from + "\nDate: d\nMessage-ID: m\n\n"},
		{"a wrong From stays", "From: Big Bug bb@bug.com\nDate: d\nMessage-ID: m\n\n", "From: Big Bug bb@bug.com\nDate: d\nMessage-ID: m\n\n"},
		{"a From of nobody stays", "From: Nobody:;\nDate: d\nMessage-ID: m\n\n", "From: Nobody:;\nDate: d\nMessage-ID: m\n\n"},
		{"resent", "Resent-To: c\n" + has + "\n", "Resent-" + date + "\nResent-" + id + "\nResent-" + from + "\nResent-To: c\n" + has + "\n"},
		{"resent, complete", "Resent-From: b@c\nResent-To: c\nResent-Date: d\nResent-Message-Id: m\n" + has + "\n",
			"Resent-From: b@c\nResent-To: c\nResent-Date: d\nResent-Message-Id: m\n" + has + "\n"},
		{"resent by root, of an older one", "Resent-From: root\nResent-Date: d\nResent-Message-ID: m\nReceived: x\nResent-From: joe\n" + has + "\n",
			"Resent-" + from + "\nResent-Date: d\nResent-Message-ID: m\nReceived: x\nResent-From: joe\n" + has + "\n"},
		{"a resent one keeps its From", "Resent-From: b@c\nResent-Date: d\nResent-Message-ID: m\nFrom: root\n\n",
			date + "\n" + id + "\nResent-From: b@c\nResent-Date: d\nResent-Message-ID: m\nFrom: root\n\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, _ := rewrite(t, c.message, completion()); got != c.want {
				t.Errorf("goes out as\n%q, want\n%q", got, c.want)
			}
		})
	}
}

// TestRewriteAddsNothingUnasked rewrites with nothing to add.
func TestRewriteAddsNothingUnasked(t *testing.T) {
	for message, want := range map[string]string{
		"hello": "hello", "\nhello": "\nhello", "": "", "To: a": "To: a", "To: a\n\n": "To: a\n\n", "Bcc: a\nhello": "\nhello", "Bcc: a\r\n\r\nhello": "\r\nhello",
	} {
		h, body, _ := ReadHeader(strings.NewReader(message))
		var out strings.Builder
		if _, err := Rewrite(&out, h, body, ""); err != nil || out.String() != want {
			t.Errorf("%q goes out as %q, want %q (%v)", message, out.String(), want, err)
		}
	}
}

// TestT74NoBlindCopyGoesOut hides a Bcc in every way that a header can hold it.
func TestT74NoBlindCopyGoesOut(t *testing.T) {
	for _, message := range []string{
		"Bcc: secret@x\n\n", "BCC:secret@x\r\n\r\n", "To: a\nBcc \t: a,\n\tb,\r\n secret@x\n\n", "Bcc: a\nBcc: secret@x\n\n",
		"To: a\ngarbage\nBcc: secret@x\n\n", " To: a\nBcc: secret@x\n\n", "From x\nBcc: secret@x\n\n", "Resent-Bcc: secret@x\nReceived: x\nResent-Bcc: secret@x\n\n",
		"To: a\n>From x\nBcc: secret@x", "Bcc:\n \n secret@x\nTo: a", "To: a\n\x00\nBcc: secret@x\n\n",
	} {
		if got, _ := rewrite(t, message, completion()); strings.Contains(got, "secret") {
			t.Errorf("%q goes out as %q", message, got)
		}
	}
}

// TestT72NothingIsAddedInASecondLine tries to bring a field of its own in.
func TestT72NothingIsAddedInASecondLine(t *testing.T) {
	h, _ := read(t, "To: a\n\n")
	for _, c := range []Completion{{From: "a@b\nBcc: x"}, {From: "a@b\rBcc: x"}, {MessageID: "<a\x00b>"}} {
		var r *Refusal
		if got, err := h.Additions(c); !errors.As(err, &r) {
			t.Errorf("%q adds %q, %v", c, got, err)
		}
	}
	if _, err := FormatMailbox("a\r\nBcc: x", Address{"a", "b"}); err == nil {
		t.Error("a name of two lines passes")
	}
}

// TestCorpusIsRewrittenExactly carries every message through, in pieces, and
// finds its own octets behind what was added.
func TestCorpusIsRewrittenExactly(t *testing.T) {
	refused := 0
	messages := mailtest.Corpus(t)
	for _, m := range messages {
		h, body, err := ReadHeader(iotest.HalfReader(bytes.NewReader(m.Octets)))
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		whole := slices.Clone(h.octets[:h.mbox])
		var want []byte
		for f := range h.Fields() {
			whole = append(whole, f.Octets...)
			if !f.Is("Bcc") && !f.Is("Resent-Bcc") {
				want = append(want, f.Octets...)
			}
		}
		rest := m.Octets[len(whole):]
		whole = append(whole, rest...)
		if !bytes.Equal(whole, m.Octets) {
			t.Errorf("%s: the spans do not tile the message", m.Name)
		}
		additions, err := h.Additions(Completion{MessageID: "<1@x>"})
		if err != nil {
			t.Fatal(err)
		}
		if h.end == len(h.octets) && h.more {
			want = append(want, h.eol...)
		}
		var out bytes.Buffer
		facts, err := Rewrite(&out, h, body, additions)
		if err != nil {
			t.Fatal(err)
		}
		if got, found := bytes.CutPrefix(out.Bytes(), []byte(additions)); !found || !bytes.Equal(got, append(want, rest...)) {
			t.Errorf("%s: other octets go out", m.Name)
		}
		if want := wireSize(out.Bytes()); facts.Size != want {
			t.Errorf("%s: size %d, want %d", m.Name, facts.Size, want)
		}
		if _, err := h.Envelope("example.org"); err != nil {
			refused++
			var r *Refusal
			if !errors.As(err, &r) || len(err.Error()) > 600 {
				t.Errorf("%s: %v", m.Name, err)
			}
			t.Logf("%s: %v", m.Name, err)
		}
	}
	if refused > len(messages)/4 {
		t.Errorf("%d of %d messages are refused", refused, len(messages))
	}
}

// wireSize counts as a reader of the protocol would.
func wireSize(octets []byte) (n int64) {
	for line := range bytes.Lines(octets) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if len(line) > 0 && bytes.HasSuffix(octets, line) && &line[len(line)-1] == &octets[len(octets)-1] {
			return n + int64(len(line)) + 2 // the last one, without a line end
		}
		n += int64(len(bytes.TrimSuffix(line, []byte("\r")))) + 2
	}
	return n
}

// TestT76Facts counts what decides about 8BITMIME, SIZE and refusals, however the
// octets arrive.
func TestT76Facts(t *testing.T) {
	long := strings.Repeat("x", 1200)
	for _, c := range []struct {
		name, message string
		want          Facts
	}{
		{"LF", "A: 1\n\nab\n", Facts{Size: 6 + 2 + 4, Longest: 4}},
		{"CRLF", "A: 1\r\n\r\nab\r\n", Facts{Size: 6 + 2 + 4, Longest: 4}},
		{"no final newline", "A: 1\n\nab", Facts{Size: 6 + 2 + 4, Longest: 4}},
		{"dots", "A: 1\n\n.\n..\na.\r\n.x", Facts{Size: 6 + 2 + 3 + 4 + 4 + 4, Dots: 3, Longest: 4}},
		{"long", "A: 1\n\n" + long + "\r\n", Facts{Size: 6 + 2 + 1202, Longest: 1200}},
		{"8-bit body", "A: 1\n\n\xe9", Facts{Size: 6 + 2 + 3, Longest: 4, Body: Oddities{EightBit: true}}},
		{"8-bit header", "A: \xe9\n\nlong enough for a word\n", Facts{Size: 6 + 2 + 24, Longest: 22, Header: Oddities{EightBit: true}}},
		{"NUL", "A: \x00\n\n\x00\x00\n", Facts{Size: 6 + 2 + 4, Longest: 4, Header: Oddities{NULs: 1}, Body: Oddities{NULs: 2}}},
		{"lone CR", "A: \r1\n\n\r.\r\r\nx\r", Facts{Size: 7 + 2 + 5 + 4, Longest: 5, Header: Oddities{LoneCRs: 1}, Body: Oddities{LoneCRs: 3}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, _, _ := ReadHeader(strings.NewReader(c.message))
			body := c.message[len(h.octets):]
			for _, r := range []io.Reader{strings.NewReader(body), iotest.OneByteReader(strings.NewReader(body))} {
				if got, err := Rewrite(io.Discard, h, r, ""); got != c.want || err != nil {
					t.Errorf("facts\n%+v, want\n%+v (%v)", got, c.want, err)
				}
			}
		})
	}
}

func TestRewriteFails(t *testing.T) {
	broken := errors.New("disk on fire")
	h, _, _ := ReadHeader(strings.NewReader("A: 1\n\n"))
	if _, err := Rewrite(io.Discard, h, iotest.ErrReader(broken), ""); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if _, err := Rewrite(failing{broken}, h, strings.NewReader(""), ""); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func BenchmarkRewrite(b *testing.B) {
	message := strings.Repeat("Received: from a by b\n\tfor c; some date in the past\n", 23) + "\n" + strings.Repeat("a line of text that is neither long nor short\n", 1000)
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		h, body, _ := ReadHeader(strings.NewReader(message))
		additions, _ := h.Additions(completion())
		if _, err := Rewrite(io.Discard, h, body, additions); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzRewrite removes nothing but what is to be removed: what goes out is what
// was added and then the fields that stay, in their order, and the body.
func FuzzRewrite(f *testing.F) {
	for _, m := range mailtest.Embedded() {
		f.Add(m.Octets)
	}
	f.Add([]byte("From x\nBcc: a\n b\r\nResent-From: root\nFrom: root\nResent-bcc :x\nX-Postrider-Send-At:\n\nbody"))
	f.Fuzz(func(t *testing.T, message []byte) {
		out, facts := rewrite(t, string(message), completion())
		h, body := read(t, string(message))
		additions, _ := h.Additions(completion())
		rest, found := strings.CutPrefix(out, additions)
		if !found {
			t.Fatalf("%q does not begin with what is added", out)
		}
		givesWay := h.NeedsFrom()
		for f := range h.Fields() {
			after, stays := strings.CutPrefix(rest, string(f.Octets))
			goes := f.Is("Bcc") || f.Is("Resent-Bcc") || f.Is(sendAtField)
			mayGo := givesWay && (f.Is("From") && !h.IsResent() || f.Is("Resent-From"))
			switch {
			case stays && !goes && !(mayGo && !h.IsResent()):
				rest = after
			case !goes && !mayGo:
				t.Fatalf("%q is not where it was, at %q", f.Octets, rest)
			}
		}
		blank := string(h.octets[h.end:])
		if rest != blank+body && (blank != "" || rest != h.eol+body) {
			t.Fatalf("the body goes out as %q, want %q", rest, blank+body)
		}
		if want := wireSize([]byte(out)); facts.Size != want {
			t.Fatalf("size %d, want %d", facts.Size, want)
		}
		if again, _ := read(t, out); again.Has("Bcc") && again.stray < 0 {
			t.Fatalf("a Bcc goes out: %q", out)
		}
	})
}
