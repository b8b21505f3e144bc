package pop3

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// undoAll feeds a whole stream to dots in pieces, as body does, and returns the
// message and how many octets of the stream it took; end is false if the stream
// is over before the message.
func undoAll(stream []byte, bare bool, piece func() int) (message []byte, used int, end bool, err error) {
	d := dots{bare: bare}
	var held []byte
	for rest := stream; ; {
		if len(rest) == 0 {
			return message, used, false, nil
		}
		n := min(max(piece(), 1), len(rest))
		held = append(held, rest[:n]...)
		rest = rest[n:]
		for len(held) > 0 {
			kept, took, done, err := d.undo(held)
			message = append(message, held[:kept]...)
			used += took
			if err != nil || done {
				return message, used, done, err
			}
			if took == 0 {
				break
			}
			held = append([]byte(nil), held[took:]...)
		}
	}
}

// reference is what undoAll should do, line by line.
func reference(stream string, bare bool) (message string, used int, end bool, err error) {
	eol := "\r\n"
	if bare {
		eol = "\n"
	}
	for {
		line, rest, found := strings.Cut(stream[used:], eol)
		if !found {
			// What of an unfinished line may be passed on already differs by the way
			// it is cut into pieces; only complete lines are compared.
			return message, used, false, nil
		}
		length := len(stream) - used - len(rest)
		if line == "." || bare && line == ".\r" {
			return message, used + length, true, nil
		}
		if !bare && strings.HasPrefix(line, ".\n") {
			return message, used, false, errLoneDot
		}
		message += strings.TrimPrefix(line, ".") + eol
		used += length
	}
}

func TestT49DotUnstuffing(t *testing.T) {
	for _, tt := range []struct {
		name, stream string
		bare         bool
		message      string
		left         string // behind the message
		end          bool
		err          error
	}{
		{"empty", ".\r\n", false, "", "", true, nil},
		{"empty, more behind", ".\r\n+OK\r\n", false, "", "+OK\r\n", true, nil},
		{"text", "a\r\nb\r\n.\r\n", false, "a\r\nb\r\n", "", true, nil},
		{"empty lines", "\r\n\r\n.\r\n", false, "\r\n\r\n", "", true, nil},
		{"line of a dot", "..\r\n.\r\n", false, ".\r\n", "", true, nil},
		{"line of two", "a\r\n...\r\n.\r\n", false, "a\r\n..\r\n", "", true, nil},
		{"dots inside", "a.b\r\nc.\r\n.\r\n", false, "a.b\r\nc.\r\n", "", true, nil},
		{"unstuffed dot", ".a\r\n.\r\n", false, "a\r\n", "", true, nil},
		{"many lines of a dot", strings.Repeat("..\r\n", 50) + ".\r\n", false, strings.Repeat(".\r\n", 50), "", true, nil},
		{"dot and CR", "..\r\r\n.\r\n", false, ".\r\r\n", "", true, nil},
		{"dot, CR, text", ".\rx\r\n.\r\n", false, "\rx\r\n", "", true, nil},
		{"CR CR LF", "a\r\r\n.\r\n", false, "a\r\r\n", "", true, nil},
		{"lone CR", "a\rb\r.\r\n.\r\n", false, "a\rb\r.\r\n", "", true, nil},
		{"no final dot", "a\r\n", false, "a\r\n", "", false, nil},
		{"last line without CRLF", "a.\r\n", false, "a.\r\n", "", false, nil},
		{"smuggled LF . LF", "a\n.\n+OK\r\n.\r\n", false, "a\n.\n+OK\r\n", "", true, nil},
		{"smuggled LF . CRLF", "a\n.\r\n+OK\r\n.\r\n", false, "a\n.\r\n+OK\r\n", "", true, nil},
		{"smuggled CR . CRLF", "a\r.\r\n+OK\r\n.\r\n", false, "a\r.\r\n+OK\r\n", "", true, nil},
		{"smuggled CRLF . CR", "a\r\n.\r.\r\n.\r\n", false, "a\r\n\r.\r\n", "", true, nil},
		{"dot after LF is text", "a\n..b\r\n.\r\n", false, "a\n..b\r\n", "", true, nil},
		{"CRLF . LF", "a\r\n.\nb\r\n.\r\n", false, "a\r\n", ".\nb\r\n.\r\n", false, errLoneDot},
		{"starts with . LF", ".\nb\r\n.\r\n", false, "", ".\nb\r\n.\r\n", false, errLoneDot},
		{"NUL", "\x00\r\n..\x00\r\n.\r\n", false, "\x00\r\n.\x00\r\n", "", true, nil},

		{"LF server", "a\n..b\n\n.\n+OK\n", true, "a\n.b\n\n", "+OK\n", true, nil},
		{"LF server, CRLF dot", "a\n.\r\n+OK\n", true, "a\n", "+OK\n", true, nil},
		{"LF server, CRLF text", "a\r\n..b\r\n.\n", true, "a\r\n.b\r\n", "", true, nil},
		{"LF server, dot CR text", "a\n.\rb\n.\n", true, "a\n\rb\n", "", true, nil},
		{"LF server, empty", ".\n", true, "", "", true, nil},
		{"LF server, no final dot", "a\n..\n", true, "a\n.\n", "", false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for size := 1; size <= len(tt.stream); size++ {
				message, used, end, err := undoAll([]byte(tt.stream), tt.bare, func() int { return size })
				if string(message) != tt.message || tt.stream[used:] != tt.left || end != tt.end || !errors.Is(err, tt.err) {
					t.Errorf("in pieces of %d: got %q %q %t %v\nwant %q %q %t %v", size,
						message, tt.stream[used:], end, err, tt.message, tt.left, tt.end, tt.err)
				}
			}
		})
	}
}

// A message of nothing but stuffed dots must not cost more than one of text.
func TestT29StuffedDotsAreLinear(t *testing.T) {
	const n = 1 << 20
	message := strings.Repeat(".\r\n", n)
	r := &boxReceiver{}
	r.write = func(int, []byte) error { return nil }
	c := cannedClient(t, Options{}, "+OK\r\n"+stuff(message)+".\r\n")
	noError(t, c.Retrieve(t.Context(), []Request{{Number: 1}}, countingReceiver(func(writes, octets int) {
		if octets != len(message) {
			t.Errorf("%d octets of %d", octets, len(message))
		}
		if most := 4*n/maxLine + 10; writes > most {
			t.Errorf("%d writes for %d octets, want at most %d", writes, octets, most)
		}
	})))
}

func FuzzDots(f *testing.F) {
	for _, s := range []string{"a\r\n..\r\n.\r\n", ".\r\n", "a\n.\n.\r\n", "\r\n.\n", "..\r\n\r\r\n.\r\n+OK", ".\r.\r\n"} {
		f.Add(s, false, uint64(1))
		f.Add(s, true, uint64(2))
	}
	f.Fuzz(func(t *testing.T, stream string, bare bool, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		message, used, end, err := reference(stream, bare)
		for name, piece := range map[string]func() int{
			"whole":  func() int { return len(stream) },
			"octets": func() int { return 1 },
			"pieces": func() int { return 1 + random.IntN(9) },
		} {
			got, gotUsed, gotEnd, gotErr := undoAll([]byte(stream), bare, piece)
			if gotEnd != end {
				t.Fatalf("%s: end %t, want %t", name, gotEnd, end)
			}
			if end && (string(got) != message || gotUsed != used) {
				t.Fatalf("%s: got %q of %d octets, want %q of %d", name, got, gotUsed, message, used)
			}
			if !end && !bytes.HasPrefix(got, []byte(message)) {
				t.Fatalf("%s: got %q, want %q and more", name, got, message)
			}
			if err != nil && !errors.Is(gotErr, err) {
				t.Fatalf("%s: got error %v, want %v", name, gotErr, err)
			}
			if gotErr != nil && !strings.Contains(stream, ".\n") {
				t.Fatalf("%s: got error %v", name, gotErr)
			}
		}
		// And back: what any text is made into comes out as it was.
		text := strings.ReplaceAll(stream, "\r\n.\n", "") + "\r\n"
		if strings.HasPrefix(text, ".\n") || strings.Contains(text, "\r\n.\n") {
			return
		}
		got, _, end, err := undoAll([]byte(stuff(text)+".\r\n"), false, func() int { return 1 + random.IntN(5) })
		if string(got) != text || !end || err != nil {
			t.Fatalf("%q came back as %q %t %v", text, got, end, err)
		}
	})
}

func BenchmarkDots(b *testing.B) {
	line := strings.Repeat("x", 76) + "\r\n"
	for name, text := range map[string]string{
		"base64":  strings.Repeat(line, 800),
		"a dot":   strings.Repeat(line, 400) + "..\r\n" + strings.Repeat(line, 400),
		"short":   strings.Repeat("ab\r\n", 16000),
		"stuffed": strings.Repeat("..\r\n", 16000),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			buf := make([]byte, len(text))
			for b.Loop() {
				copy(buf, text)
				d := dots{}
				if _, used, _, err := d.undo(buf); used != len(buf) || err != nil {
					b.Fatal(used, err)
				}
			}
		})
	}
}
