package outbox

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"postrider/mailtest"
)

// read reads a header in one piece, and again octet by octet, which must find
// the same.
func read(t testing.TB, message string) (*Header, string) {
	t.Helper()
	h, body, err := ReadHeader(strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if len(message) < 64<<10 {
		slow, _, err := ReadHeader(iotest.OneByteReader(strings.NewReader(message)))
		if err != nil || !bytes.Equal(slow.octets, h.octets) || slow.end != h.end || slow.stray != h.stray || slow.mbox != h.mbox {
			t.Fatalf("octet by octet the header is %q and ends at %d, stray %d, mbox %d (%v), not %q, %d, %d, %d",
				slow.octets, slow.end, slow.stray, slow.mbox, err, h.octets, h.end, h.stray, h.mbox)
		}
	}
	return h, string(rest)
}

// spell writes what was found: each field as NAME=VALUE, stray lines as they
// are, each in brackets.
func spell(h *Header) string {
	var b strings.Builder
	for f := range h.Fields() {
		if f.Name == nil {
			b.WriteString("[" + string(f.Octets) + "]")
			continue
		}
		b.WriteString("[" + string(f.Name) + "=" + string(f.Value) + "]")
	}
	return b.String()
}

func TestReadHeader(t *testing.T) {
	for _, c := range []struct{ name, message, fields, body string }{
		{"LF", "A: 1\nB: 2\n\nbody\n", "[A= 1][B= 2]", "body\n"},
		{"CRLF", "A: 1\r\nB: 2\r\n\r\nbody\r\n", "[A= 1][B= 2]", "body\r\n"},
		{"mixed", "A: 1\r\nB: 2\n\r\nbody", "[A= 1][B= 2]", "body"},
		{"folded", "A: 1\n 2\n\t3\n \nB: 4\n\n", "[A= 1\n 2\n\t3\n ][B= 4]", ""},
		{"folded with CRLF", "A: 1\r\n 2\r\n\r\n", "[A= 1\r\n 2]", ""},
		{"space before the colon", "A \t: 1\nSubject:2\n\n", "[A= 1][Subject=2]", ""},
		{"no value", "A:\nB:\r\n\r\n", "[A=][B=]", ""},
		{"no final newline", "A: 1\nB: 2", "[A= 1][B= 2]", ""},
		{"no blank line", "A: 1\nB: 2\n", "[A= 1][B= 2]", ""},
		{"nothing", "", "", ""},
		{"only a blank line", "\n", "", ""},
		{"blank line first", "\nA: 1\n", "", "A: 1\n"},
		{"8-bit, NUL and lone CR", "A: \xff\x00\rB: 2\nC\xe9: 3\n\n", "[A= \xff\x00\rB: 2][C\xe9= 3]", ""},
		{"CR CR LF is not blank", "A: 1\n\r\r\nB: 2\n\n", "[A= 1]", "\r\r\nB: 2\n\n"},
		{"mbox", "From a@b Mon Jan  1 00:00:00 2024\nFrom: a\n\nx", "[From= a]", "x"},
		{"From with space before the colon", "From : a\n\nx", "[From= a]", "x"},
		{"mbox line alone is text", "From me to you\n\nx", "", "From me to you\n\nx"},
		{"mbox line before text is text", "From me\nto you\nx", "", "From me\nto you\nx"},
		{"no header", "hello\nyou\n\nA: 1\n", "", "hello\nyou\n\nA: 1\n"},
		{"no header, a field later", "commit 1\nAuthor: x\nDate: y\n\nz", "", "commit 1\nAuthor: x\nDate: y\n\nz"},
		{"text with no blank line", "Subject: a\nhello\nyou\n\nTo: b\n", "[Subject= a]", "hello\nyou\n\nTo: b\n"},
		{"text with a colon in it", "Subject: a\nhello\nNote: you\n", "[Subject= a]", "hello\nNote: you\n"},
		{"the header goes on", "To: a\ndamaged\n line\nNote: b\nBcc: c\n\nx", "[To= a][damaged\n line\n][Note= b][Bcc= c]", "x"},
		{"the header goes on behind its first line", " From: a\nTo: b\n\nx", "[ From: a\n][To= b]", "x"},
		{"quoted From_ line", "To: a\n>From b\nCc: c\n\nx", "[To= a][>From b\n][Cc= c]", "x"},
		{"no name", "To: a\n: b\nX-C: c\n\nx", "[To= a][: b\n][X-C= c]", "x"},
		{"letters that fold to ASCII", "Re\u017fent-Bcc: a\n\n", "[Re\u017fent-Bcc= a]", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, body := read(t, c.message)
			if got := spell(h); got != c.fields {
				t.Errorf("fields\n %q, want\n %q", got, c.fields)
			}
			if body != c.body {
				t.Errorf("body %q, want %q", body, c.body)
			}
			if got := string(h.Octets()) + body; got != c.message {
				t.Errorf("together %q, want %q", got, c.message)
			}
			if h.Has("Resent-Bcc") {
				t.Error("has a Resent-Bcc")
			}
		})
	}
}

func TestFieldText(t *testing.T) {
	h, _ := read(t, "subject :  one\r\n two\n\tthree \r\nMESSAGE-id:<a@b>\n\n")
	if got := h.Get("Subject"); got != "one two\tthree" {
		t.Errorf("text %q", got)
	}
	if got := h.Get("Message-ID"); got != "<a@b>" {
		t.Errorf("text %q", got)
	}
	if h.LineEnd() != "\r\n" {
		t.Errorf("line end %q", h.LineEnd())
	}
}

// TestT32HugeHeaderLine reads a header of one line without end: bounded memory,
// an error that says what to do.
func TestT32HugeHeaderLine(t *testing.T) {
	long := func(first string) io.Reader {
		return io.MultiReader(strings.NewReader(first), io.LimitReader(endless('x'), 100<<20))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := ReadHeader(long("Subject: "))
	runtime.ReadMemStats(&after)
	var r *Refusal
	if !errors.As(err, &r) || !r.Permanent() || r.Remedy == "" {
		t.Fatalf("error %v, want a Refusal", err)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 3*MaxHeader {
		t.Errorf("%d octets allocated", allocated)
	}
	h, body, err := ReadHeader(io.MultiReader(strings.NewReader("To: a\n"), io.LimitReader(endless('x'), 10<<20)))
	if err != nil || spell(h) != "[To= a]" {
		t.Fatalf("a text that is one long line: %v", err)
	}
	if n, err := io.Copy(io.Discard, body); n != 10<<20 || err != nil {
		t.Errorf("body of %d octets, %v", n, err)
	}
}

type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

func TestReadHeaderFails(t *testing.T) {
	broken := errors.New("disk on fire")
	if _, _, err := ReadHeader(io.MultiReader(strings.NewReader("A: 1\n"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if _, _, err := ReadHeader(idle{}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error %v", err)
	}
	var r *Refusal
	if _, _, err := ReadHeader(idle{}); errors.As(err, &r) {
		t.Error("a failed read is a Refusal")
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// TestHeaderLinearTime reads headers that make careless scanners slow.
func TestHeaderLinearTime(t *testing.T) {
	for _, piece := range []string{"a:\n", "stray\n", " \n", "Resent-To: a@b\n", "\r", "x"} {
		for _, front := range []string{"To: a\n", "To: a\nSubject: "} {
			atMost(t, front+piece, func() {
				text := front + strings.Repeat(piece, (MaxHeader-100)/len(piece))
				h, _, err := ReadHeader(little{strings.NewReader(text)})
				if err == nil {
					h.Recipients()
					h.rewritten("")
				}
			})
		}
	}
}

// little reads 8 octets at a time.
type little struct{ r io.Reader }

func (l little) Read(p []byte) (int, error) { return l.r.Read(p[:min(len(p), 8)]) }

// atMost fails if work, which is on at least 64 KiB, needs as much of the
// processor as only quadratic time does.
func atMost(t *testing.T, name string, work func()) {
	t.Helper()
	spent := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := spent()
	if work(); spent()-start > 4*time.Second {
		t.Errorf("%q: %v", name, spent()-start)
	}
}

func TestFieldsAllocateNothing(t *testing.T) {
	h, _ := read(t, string(mailtest.Embedded()[0].Octets))
	count := 0
	if n := testing.AllocsPerRun(100, func() {
		for f := range h.Fields() {
			if f.Is("Bcc") || f.Is("Message-ID") {
				count++
			}
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFields(b *testing.B) {
	h, _ := read(b, strings.Repeat("Received: from a by b\n\tfor c; some date in the past\n", 23)+"\n")
	b.SetBytes(int64(len(h.octets)))
	b.ReportAllocs()
	for b.Loop() {
		for f := range h.Fields() {
			if f.Is("Bcc") {
				b.Fatal("a Bcc")
			}
		}
	}
}

// FuzzHeader checks that the spans tile the message: no octet is lost, comes
// twice or is out of place, and the header is the same however it arrives.
func FuzzHeader(f *testing.F) {
	for _, m := range mailtest.Embedded() {
		f.Add(m.Octets)
	}
	f.Add([]byte("From x\n a\nTo : b\n\rstray\r\nBcc:\x00c\n d\r\n\r\nbody"))
	f.Fuzz(func(t *testing.T, message []byte) {
		h, body := read(t, string(message))
		tiled := string(h.octets[:h.mbox])
		for f := range h.Fields() {
			if f.At != len(tiled) || len(f.Octets) == 0 {
				t.Fatalf("field %q at %d, want %d", f.Octets, f.At, len(tiled))
			}
			if f.Name != nil {
				rest, named := bytes.CutPrefix(f.Octets, f.Name)
				rest, colon := bytes.CutPrefix(bytes.TrimLeft(rest, " \t"), []byte(":"))
				eol, valued := bytes.CutPrefix(rest, f.Value)
				ends := string(eol) == "\r\n" || string(eol) == "\n" && !bytes.HasSuffix(f.Value, []byte("\r")) || len(eol) == 0 && !bytes.HasSuffix(f.Value, []byte("\n"))
				if len(f.Name) == 0 || !named || !colon || !valued || !ends {
					t.Fatalf("name %q and value %q of %q", f.Name, f.Value, f.Octets)
				}
			}
			tiled += string(f.Octets)
		}
		tiled += string(h.octets[h.end:]) + body
		if tiled != string(message) {
			t.Fatalf("tiles\n %q, want\n %q", tiled, message)
		}
		if blank := string(h.octets[h.end:]); blank != "" && blank != "\n" && blank != "\r\n" {
			t.Fatalf("blank line %q", blank)
		}
	})
}
