package imap

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
)

// discard is a Receiver that throws everything away.
type discard struct{ messages int }

func (d *discard) Begin(*Message) (io.Writer, error) { return io.Discard, nil }
func (d *discard) Missing(UIDSet, error) error       { return nil }

func (d *discard) End(_ *Message, err error) error {
	d.messages++
	return err
}

// replay is a connection that has the answers to FETCH at hand.
type replay struct {
	flood
	text bytes.Buffer
	body string
}

func (r *replay) Read(p []byte) (int, error) { return r.text.Read(p) }

func (r *replay) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		words := strings.Fields(line)
		uids, _ := ParseUIDSet(words[3])
		for uid := range uids.All() {
			fmt.Fprintf(&r.text, "* %d FETCH (UID %d FLAGS (\\Seen) RFC822.SIZE %d INTERNALDATE \"01-Feb-2003 04:05:06 +0100\"", uid, uid, len(r.body))
			if strings.Contains(line, "BODY") {
				fmt.Fprintf(&r.text, " BODY[] {%d}\r\n%s", len(r.body), r.body)
			}
			r.text.WriteString(")\r\n")
		}
		fmt.Fprintf(&r.text, "%s OK done\r\n", words[0])
	}
	return len(p), nil
}

func BenchmarkFetch(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 4 << 20} {
		b.Run(fmt.Sprint(size>>10, "KiB"), func(b *testing.B) {
			r := &replay{body: strings.Repeat("x", size)}
			c := &Client{options: Options{}.withDefaults(), line: newLine(r, 1<<40)}
			c.events = c.options.Events
			c.p = parser{line: c.line, maxLiteral: 1 << 31, nesting: 32}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var d discard
			for n := 0; n < b.N; n += 8 {
				b.StopTimer()
				r.text.Reset()
				var uids UIDSet
				uids.AddRange(1, 8)
				m := c.command("UID FETCH").uids(uids).raw(" BODY")
				r.Write(append([]byte("1 "), append(m.octets, '\n')...))
				text := bytes.TrimSuffix(r.text.Bytes(), []byte("1 OK done\r\n"))
				r.text.Truncate(len(text))
				b.StartTimer()
				f := fetcher{client: c, receiver: &d, parts: []part{{awaited: uids}}, want: FetchRequest{UIDs: uids}}
				for range 8 {
					if _, err := c.one("UID FETCH", f.take); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkAttributes(b *testing.B) {
	r := &replay{body: "x"}
	fmt.Fprint(&r.text, "* OK [CAPABILITY IMAP4rev1] x\r\n")
	c, err := New(context.Background(), r, Options{})
	if err != nil {
		b.Fatal(err)
	}
	var uids UIDSet
	uids.AddRange(1, uint32(b.N))
	m := c.command("").uids(uids)
	r.Write(fmt.Appendf(nil, "%s1 UID FETCH%s x\n", c.prefix, m.octets))
	b.ReportAllocs()
	b.ResetTimer()
	n := 0
	take := func(u *untagged) (bool, error) {
		n++
		return true, c.readMessage(u, &Message{}, nil)
	}
	if _, err := c.next("UID FETCH", take); err != nil || n != b.N {
		b.Fatal(n, err)
	}
}
