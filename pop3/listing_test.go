package pop3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// listed runs Listing and returns the items in a readable form.
func listed(c *Client) (items string, sum Listed, err error) {
	var b strings.Builder
	sum, err = c.Listing(context.Background(), func(i Item) error {
		fmt.Fprintf(&b, "%d:%s:%d ", i.Number, i.UID, i.Octets)
		return nil
	})
	return strings.TrimSpace(b.String()), sum, err
}

func TestListing(t *testing.T) {
	for _, tt := range []struct {
		name, list, uidl string
		items            string
		sum              Listed
	}{
		{"nothing", "", "", "", Listed{}},
		{"plain", "1 120|2 200", "1 whqtswO00WBw418f9t5JxYwZ|2 QhdPYR:00WBw1Ph7x7", "1:whqtswO00WBw418f9t5JxYwZ:120 2:QhdPYR:00WBw1Ph7x7:200", Listed{Messages: 2}},
		{"the order of UIDL", "1 1|2 2|3 3", "3 c|1 a|2 b", "3:c:3 1:a:1 2:b:2", Listed{Messages: 3}},
		{"white space", "1   120|2\t200| 3 300 ", "1   id|2\t\tid2| 3 id3\t ", "1:id:120 2:id2:200 3:id3:300", Listed{Messages: 3}},
		{"more in LIST", "1 120 and more|2 200\tmore", "1 a|2 b", "1:a:120 2:b:200", Listed{Messages: 2}},
		{"T44 the same id twice", "1 1|2 2", "1 a|2 a", "1:a:1 2:a:2", Listed{Messages: 2}},
		{"T48 odd ids", "1 1|2 2|3 3|4 4|5 5|6 6", "1 a b  c|2 " + strings.Repeat("y", 100) + "|3|4 |5 a/../b|6 \xff\xfe.",
			"1:a b  c:1 2:" + strings.Repeat("y", 100) + ":2 3::3 4::4 5:a/../b:5 6:\xff\xfe.:6", Listed{Messages: 6}},
		{"T48 ids that are none", "1 1|2 2|3 3", "1 a\x1bb|2 a\x00|3 " + strings.Repeat("x", maxUID+1), "1::1 2::2 3::3", Listed{Messages: 3}},
		{"only in LIST", "1 1|2 2|3 3|9000 4", "2 b", "2:b:2 1::1 3::3 9000::4", Listed{Messages: 4}},
		{"only in UIDL", "1 1", "1 a|2 b", "1:a:1 2:b:-1", Listed{Messages: 2}},
		{"T41 malformed", "1 1|x|2|3 x|4 -1||..|-1 5|0 5|1 9|5000001 1|99999999999999999999 1|5 99999999999999999999|6x 6",
			"1 a|1 b||x y|0 z|5000001 z|+OK", "1:a:1", Listed{Messages: 1, Malformed: 13 + 6}},
		{"number at the limit", "5000000 7", "5000000 a", "5000000:a:7", Listed{Messages: 1}},
		{"leading zeros", "0001 1", "01 a", "1:a:1", Listed{Messages: 1}},
		{"T43 large sizes", "1 4294967293|2 4294967294|3 9223372036854775807|4 9223372036854775808", "1 a|2 b|3 c|4 d",
			"1:a:4294967293 2:b:4294967294 3:c:4294967294 4:d:-1", Listed{Messages: 4, Malformed: 1}},
	} {
		script := func(lines string) string {
			if lines == "" {
				return `S~ "+OK\r\n.\r\n"` + "\n"
			}
			return fmt.Sprintf("S~ %q\n", "+OK\r\n"+strings.ReplaceAll(lines, "|", "\r\n")+"\r\n.\r\n")
		}
		for name, transcript := range map[string]string{
			"lockstep":   "S: +OK\nC: LIST\n" + script(tt.list) + "C: UIDL\n" + script(tt.uidl),
			"one flight": "S: +OK\nC: LIST\nC: UIDL\n" + script(tt.list) + script(tt.uidl),
		} {
			t.Run(tt.name+","+name, func(t *testing.T) {
				dialogue(t, Options{}, transcript, func(t *testing.T, c *Client, err error) {
					noError(t, err)
					c.pipelining = name == "one flight"
					items, sum, err := listed(c)
					if items != tt.items || sum != tt.sum || err != nil {
						t.Errorf("got  %q %+v %v\nwant %q %+v", items, sum, err, tt.items, tt.sum)
					}
				})
			})
		}
	}
}

func TestListingRefused(t *testing.T) {
	for _, tt := range []struct {
		name, transcript string
		announced        bool
		pipelining       bool
		items            string
		noUIDL           bool
		refused          string
	}{
		{"no UIDL", "C: LIST\nS: +OK\nS: 1 5\nS: .\nC: UIDL\nS: -ERR unknown", false, false, "1::5", true, ""},
		{"no UIDL, one flight", "C: LIST\nC: UIDL\nS: +OK\nS: 1 5\nS: .\nS: -ERR unknown", false, true, "1::5", true, ""},
		{"UIDL announced", "C: LIST\nS: +OK\nS: 1 5\nS: .\nC: UIDL\nS: -ERR no", true, false, "", false, "UIDL"},
		{"UIDL for a reason", "C: LIST\nS: +OK\nS: 1 5\nS: .\nC: UIDL\nS: -ERR [SYS/TEMP] no", false, false, "", false, "UIDL"},
		{"LIST", "C: LIST\nS: -ERR no", false, false, "", false, "LIST"},
		{"LIST, one flight", "C: LIST\nC: UIDL\nS: -ERR no\nS: +OK\nS: 1 a\nS: .", false, true, "", false, "LIST"},
		{"both, one flight", "C: LIST\nC: UIDL\nS: -ERR no\nS: -ERR no", false, true, "", false, "LIST"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dialogue(t, Options{}, "S: +OK\n"+tt.transcript+"\nC: NOOP\nS: +OK", func(t *testing.T, c *Client, err error) {
				noError(t, err)
				c.pipelining = tt.pipelining
				c.capabilities = &Capabilities{UIDL: tt.announced}
				items, sum, err := listed(c)
				if tt.refused != "" {
					if e := refusal(t, err); e.Command != tt.refused {
						t.Errorf("got %+v", e)
					}
				} else if items != tt.items || sum.NoUIDL != tt.noUIDL || err != nil {
					t.Errorf("got %q %+v %v", items, sum, err)
				}
				noError(t, c.Noop(context.Background()))
			})
		})
	}
}

func TestListingStopped(t *testing.T) {
	stop := errors.New("enough")
	dialogue(t, Options{}, "S: +OK\nC: LIST\nS: +OK\nS: .\nC: UIDL\nS: +OK\nS: 1 a\nSTALL", func(t *testing.T, c *Client, err error) {
		noError(t, err)
		_, err = c.Listing(context.Background(), func(Item) error { return stop })
		broken(t, c, err, stop)
	})
}

// flood is a server's end that says one thing for ever.
func flood(conn net.Conn, first, again string) {
	io.WriteString(conn, "+OK\r\n")
	io.WriteString(conn, first)
	text := []byte(strings.Repeat(again, 1+32<<10/len(again)))
	for {
		if _, err := conn.Write(text); err != nil {
			return
		}
	}
}

// A list without end is cut at five million lines, with no more memory than
// those need.
func TestT28EndlessList(t *testing.T) {
	if testing.Short() {
		t.Skip("five million lines")
	}
	near, far := net.Pipe()
	defer far.Close()
	go io.Copy(io.Discard, far)
	go flood(far, "+OK\r\n", "1 1\r\n")
	c, err := New(t.Context(), near, Options{})
	noError(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sum, err := c.Listing(t.Context(), func(Item) error { return nil })
	runtime.ReadMemStats(&after)
	var e *ProtocolError
	broken(t, c, err, &e)
	if sum.Malformed != maxListed-1 {
		t.Errorf("%d lines were passed over", sum.Malformed)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("it took %d octets of memory", grown)
	}
}

// canned is a connection that says what it has and takes anything.
type canned struct {
	net.Conn
	io.Reader
}

func (c canned) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err != nil {
		c.Conn.Close()
	}
	return n, err
}
func (canned) Write(p []byte) (int, error) { return len(p), nil }

// cannedClient is a client that has read the greeting of a server whose words
// are all known.
func cannedClient(tb testing.TB, o Options, parts ...string) *Client {
	tb.Helper()
	near, far := net.Pipe()
	tb.Cleanup(func() { near.Close(); far.Close() })
	readers := []io.Reader{strings.NewReader("+OK\r\n")}
	for _, p := range parts {
		readers = append(readers, strings.NewReader(p))
	}
	c, err := New(context.Background(), canned{near, io.MultiReader(readers...)}, o)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func longLists(n int) (list, uidl string) {
	var a, b bytes.Buffer
	a.WriteString("+OK\r\n")
	b.WriteString("+OK\r\n")
	for i := range n {
		fmt.Fprintf(&a, "%d %d\r\n", i+1, i)
		fmt.Fprintf(&b, "%d 0000%08x5a5a5a5a\r\n", i+1, i)
	}
	a.WriteString(".\r\n")
	b.WriteString(".\r\n")
	return a.String(), b.String()
}

// A long listing costs some octets a message, and no allocation for a line.
func TestT22LongListing(t *testing.T) {
	const n = 100_000
	list, uidl := longLists(n)
	var c *Client
	allocs := testing.AllocsPerRun(1, func() {
		c = pipelining(cannedClient(t, Options{}, list, uidl))
		next := 1
		sum, err := c.Listing(context.Background(), func(i Item) error {
			if i.Number != next || i.Octets != int64(next-1) {
				return fmt.Errorf("item %+v", i)
			}
			next++
			return nil
		})
		if err != nil || !reflect.DeepEqual(sum, Listed{Messages: n}) {
			t.Errorf("got %+v %v", sum, err)
		}
	})
	if allocs > 1000 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkListing(b *testing.B) {
	const n = 100_000
	list, uidl := longLists(n)
	b.SetBytes(int64(len(list) + len(uidl)))
	for b.Loop() {
		c := pipelining(cannedClient(b, Options{}, list, uidl))
		if _, err := c.Listing(context.Background(), func(Item) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzListing(f *testing.F) {
	f.Add("1 120\r\n2 200\r\n", "1 a\r\n2   b\r\n")
	f.Add("1\t5\n..\r\n", "1\r\n7 \x00\r\n\r\n")
	f.Fuzz(func(t *testing.T, list, uidl string) {
		l := lister{}
		seen := make(map[int]bool)
		l.each = func(i Item) error {
			if seen[i.Number] || i.Number < 1 || i.Number > maxListed || i.Octets < -1 || len(i.UID) > maxUID || bytes.ContainsAny(i.UID, "\r\n\x00") {
				t.Fatalf("bad item %+v", i)
			}
			seen[i.Number] = true
			return nil
		}
		lines := 0
		for line := range strings.Lines(list) {
			lines++
			if err := l.size([]byte(strings.TrimRight(line, "\r\n"))); err != nil {
				t.Fatal(err)
			}
		}
		for line := range strings.Lines(uidl) {
			lines++
			if err := l.uid([]byte(strings.TrimRight(line, "\r\n"))); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.rest(); err != nil {
			t.Fatal(err)
		}
		if l.Messages != len(seen) || l.Malformed > lines {
			t.Fatalf("%+v, but %d items", l.Listed, len(seen))
		}
	})
}
