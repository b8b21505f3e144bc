package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
)

// transform gives s to text in pieces of so many octets at most.
func transform(s string, piece int) (string, *text, error) {
	var out bytes.Buffer
	t := &text{out: bufio.NewWriterSize(&out, 16)}
	for len(s) > 0 {
		n := min(len(s), piece)
		if _, err := t.Write([]byte(s[:n])); err != nil {
			return "", t, err
		}
		s = s[n:]
	}
	if err := t.finish(); err != nil {
		return "", t, err
	}
	t.out.Flush()
	return out.String(), t, nil
}

func TestText(t *testing.T) {
	for _, tt := range []struct{ name, in, out string }{
		{"nothing", "", ""},
		{"an empty line", "\n", "\r\n"},
		{"T76 no final newline", "a", "a\r\n"},
		{"LF", "a\n\nb\n", "a\r\n\r\nb\r\n"},
		{"CRLF", "a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n"},
		{"CRCRLF", "a\r\r\n\nb\n", "a\r\n\r\nb\r\n"},
		{"T75 dot", ".\n..\n.a\n", "..\r\n...\r\n..a\r\n"},
		{"T75 dot at the end", "\n.", "\r\n..\r\n"},
		{"T75 LF . CRLF", "\na\n.\r\nMAIL FROM:<>\r\n", "\r\na\r\n..\r\nMAIL FROM:<>\r\n"},
		{"T75 LF . LF", "\na\n.\nb", "\r\na\r\n..\r\nb\r\n"},
		{"T75 CR . CR", "\na\r.\rb", "\r\na\r\n..\r\nb\r\n"},
		{"T75 CR . CRLF", "\na\r.\r\nb", "\r\na\r\n..\r\nb\r\n"},
		{"T75 CRLF . CR", "\na\r\n.\rb", "\r\na\r\n..\r\nb\r\n"},
		{"lone CRs in the body", "\n10%\r20%\r\r30%\n", "\r\n10%\r\n20%\r\n\r\n30%\r\n"},
		{"CR at the end", "\na\r", "\r\na\r\n"},
		{"T76 a long line", "\n" + strings.Repeat("x", 2000), "\r\n" + strings.Repeat("x", 2000) + "\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for piece := 1; piece < 20; piece++ {
				out, _, err := transform(tt.in, piece)
				if err != nil || out != tt.out {
					t.Fatalf("got %q, %v, want %q", out, err, tt.out)
				}
			}
		})
	}
	for in, words := range map[string]string{
		"A: b\rBcc: c\n\nx":  "line 1 has a CR without LF in the header",
		"A: b\nB: c\r\r\rx":  "line 2 has a CR without LF in the header",
		"A: b\r":             "line 1 has a CR without LF in the header",
		"A: b\n\nx\r\n\x00.": "line 4 has a NUL octet",
	} {
		_, _, err := transform(in, 2)
		var unfit *MailError
		if !errors.As(err, &unfit) || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: got error %v, want %q", in, err, words)
		}
	}
}

var lineEnds = regexp.MustCompile(`\r*\n|\r`)

// slowly is text in a few lines, each over the whole message.
func slowly(s string) (wire string, octets int64, fit bool) {
	s = regexp.MustCompile(`\r*\n`).ReplaceAllString(s, "\n")
	header, _, _ := strings.Cut("\n"+s, "\n\n")
	if strings.Contains(s, "\x00") || strings.Contains(header, "\r") {
		return "", 0, false
	}
	s = lineEnds.ReplaceAllString(s, "\r\n")
	if s != "" && !strings.HasSuffix(s, "\r\n") {
		s += "\r\n"
	}
	octets = int64(len(s))
	s = strings.ReplaceAll("\r\n"+s, "\r\n.", "\r\n..")[2:]
	return s, octets, true
}

// FuzzText compares with the slow way, and with what receivers of all sorts
// make of it: none may find the end of the message before the end.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a: b\n\n.\nc", "\n\r\n.\r.\r\r\n..\n.", "a\r\rb", "\n\x00.\n", "\n.\r\n\n.\nQUIT"} {
		f.Add(s, byte(len(s)))
	}
	f.Fuzz(func(t *testing.T, s string, piece byte) {
		got, state, err := transform(s, 1+int(piece))
		want, octets, fit := slowly(s)
		if fit != (err == nil) {
			t.Fatalf("%q: error %v, fit %t", s, err, fit)
		}
		var m Measure
		m.Write([]byte(s))
		if (m.Close() == nil) != fit {
			t.Fatalf("%q: Measure disagrees", s)
		}
		if !fit {
			return
		}
		if got != want {
			t.Fatalf("%q:\n got %q\nwant %q", s, got, want)
		}
		if state.octets != octets || m.Size() != octets {
			t.Fatalf("%q: %d octets, measured %d, want %d", s, state.octets, m.Size(), octets)
		}
		if strings.Contains(strings.ReplaceAll(got, "\r\n", ""), "\r") || strings.Contains(strings.ReplaceAll(got, "\r\n", ""), "\n") {
			t.Fatalf("%q: a lone CR or LF in %q", s, got)
		}
		whole := got + ".\r\nMAIL"
		for _, end := range []string{"\r\n.\r\n", "\n.\r\n", "\n.\n", "\r.\r", "\n.\r", "\r.\n"} {
			if i := strings.Index("\r\n"+whole, end); i >= 0 && i+len(end) < len("\r\n"+got+".\r") {
				t.Fatalf("%q: ends at %d by %q", s, i, end)
			}
		}
		if back, _, ok := strings.Cut("\r\n"+whole, "\r\n.\r\n"); !ok || strings.ReplaceAll(back+"\r\n", "\r\n.", "\r\n")[2:] != strings.ReplaceAll("\r\n"+got, "\r\n..", "\r\n.")[2:] {
			t.Fatalf("%q: a strict receiver gets %q", s, back)
		}
	})
}

func TestMeasure(t *testing.T) {
	for s, want := range map[string]struct {
		size    int64
		eight   bool
		longest int
	}{
		"":                     {0, false, 0},
		"a\n":                  {3, false, 1},
		"a\n\n.b\n.":           {3 + 2 + 4 + 3, false, 2},
		"A: b\n\n\xc3\xa9x":    {6 + 2 + 5, true, 4},
		"\n1\r2\r\n":           {2 + 3 + 3, false, 1},
		strings.Repeat("é", 9): {20, true, 18},
	} {
		var m Measure
		for i := range len(s) {
			m.Write([]byte{s[i]})
		}
		if err := m.Close(); err != nil || m.Size() != want.size || m.EightBit() != want.eight || m.Longest() != want.longest {
			t.Errorf("%q: %d, %t, %d, %v, want %v", s, m.Size(), m.EightBit(), m.Longest(), err, want)
		}
		if m.Close() != nil {
			t.Error("the second Close failed")
		}
	}
	var m Measure
	m.Write([]byte("a\rb"))
	if _, err := m.Write([]byte("c")); err == nil || m.Close() == nil {
		t.Error("the error does not stay")
	}
}

// A run of CRs without end costs as much as other octets do.
func TestManyCRs(t *testing.T) {
	var m Measure
	m.Write([]byte("\n"))
	m.Write(bytes.Repeat([]byte("\r"), 4<<20))
	if err := m.Close(); err != nil || m.Size() != 2+2*4<<20 {
		t.Errorf("size %d, %v", m.Size(), err)
	}
}
