package mailtest

import (
	"bytes"
	"testing"
)

func TestWireAndLocal(t *testing.T) {
	tests := []struct{ name, file, wire, local string }{
		{"empty", "", "", ""},
		{"one empty line", "\n", "\r\n", "\n"},
		{"LF", "a\nb\n", "a\r\nb\r\n", "a\nb\n"},
		{"CRLF", "a\r\nb\r\n", "a\r\nb\r\n", "a\nb\n"},
		{"mixed", "a\nb\r\n\n", "a\r\nb\r\n\r\n", "a\nb\n\n"},
		{"no end", "a\nb", "a\r\nb\r\n", "a\nb\n"},
		{"lone CR", "a\rb\n\r\r\n", "a\rb\r\n\r\r\n", "a\rb\n\r\n"},
		{"CR at the end", "a\r", "a\r\r\n", "a\r\n"},
		{"NUL and dots", "\x00\n.\n..\n", "\x00\r\n.\r\n..\r\n", "\x00\n.\n..\n"},
	}
	for _, test := range tests {
		wire := Wire([]byte(test.file))
		if string(wire) != test.wire {
			t.Errorf("%s: on the wire %q, want %q", test.name, wire, test.wire)
		}
		if local := Local(wire); string(local) != test.local {
			t.Errorf("%s: in the Maildir %q, want %q", test.name, local, test.local)
		}
	}
	if got := Local([]byte("a\nb\r\n")); string(got) != "a\nb\n" {
		t.Errorf("a lone LF from the server: %q", got)
	}
}

func TestWriteStuffed(t *testing.T) {
	tests := []struct{ name, wire, want string }{
		{"empty", "", ""},
		{"plain", "a\r\n", "a\r\n"},
		{"no end", "a", "a\r\n"},
		{"first dot", ".\r\n", "..\r\n"},
		{"dots", "a\r\n.\r\n..\r\n.x\r\n", "a\r\n..\r\n...\r\n..x\r\n"},
		{"dot at the end", "a\r\n.", "a\r\n..\r\n"},
		{"behind a lone LF", "a\n.\r\n", "a\n.\r\n"},
		{"behind a lone CR", "a\r.\r\n", "a\r.\r\n"},
		{"inside", "a.b\r\nc.\r\n", "a.b\r\nc.\r\n"},
	}
	for _, test := range tests {
		var got bytes.Buffer
		if err := writeStuffed(&got, []byte(test.wire)); err != nil || got.String() != test.want {
			t.Errorf("%s: %q, %v, want %q", test.name, got.String(), err, test.want)
		}
	}
}

func TestTop(t *testing.T) {
	tests := []struct {
		wire  string
		lines int
		want  string
	}{
		{"A: b\r\n\r\n1\r\n2\r\n", 0, "A: b\r\n\r\n"},
		{"A: b\r\n\r\n1\r\n2\r\n", 1, "A: b\r\n\r\n1\r\n"},
		{"A: b\r\n\r\n1\r\n2\r\n", 9, "A: b\r\n\r\n1\r\n2\r\n"},
		{"A: b\r\n", 3, "A: b\r\n"},
		{"\r\n1\r\n2\r\n", 1, "\r\n1\r\n"},
		{"", 1, ""},
		{"A: b\r\n\r\n1", 1, "A: b\r\n\r\n1"},
	}
	for _, test := range tests {
		if got := top([]byte(test.wire), test.lines); string(got) != test.want {
			t.Errorf("top %d of %q: %q, want %q", test.lines, test.wire, got, test.want)
		}
	}
}

// What is stuffed and sent comes back as it was, by a reader that knows no more
// than RFC 1939 section 3.
func FuzzWriteStuffed(f *testing.F) {
	for _, m := range Embedded() {
		f.Add(m.Octets)
	}
	f.Add([]byte("\r\n.\r\n..\r\n\r\n.\r\r\n.\n."))
	f.Fuzz(func(t *testing.T, octets []byte) {
		wire := Wire(octets)
		var sent bytes.Buffer
		if err := writeStuffed(&sent, wire); err != nil {
			t.Fatal(err)
		}
		sent.WriteString(".\r\n")
		var got []byte
		lines := bytes.SplitAfter(sent.Bytes(), []byte("\r\n"))
		for i, line := range lines {
			if string(line) == ".\r\n" {
				if i != len(lines)-2 || len(lines[i+1]) > 0 {
					t.Fatalf("%q ends early", sent.Bytes())
				}
				break
			}
			got = append(got, bytes.TrimPrefix(line, []byte{'.'})...)
		}
		if !bytes.Equal(got, wire) {
			t.Fatalf("%q came back as %q", wire, got)
		}
	})
}
