package imap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// flood is a connection whose server repeats something for ever once it has been
// sent a command.
type flood struct {
	net.Conn
	head, again string
	left        string
	limit       int // octets, after which the line ends
	peak        uint64
	count       int
}

func (f *flood) Read(p []byte) (int, error) {
	if f.left == "" {
		f.left, f.head = f.head, ""
	}
	if f.left == "" {
		f.left = f.again
	}
	if f.left == "" {
		return 0, io.EOF
	}
	if f.limit -= len(p); f.limit < 0 {
		return 0, io.EOF
	}
	if f.count++; f.count%20 == 0 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		f.peak = max(f.peak, m.HeapAlloc)
	}
	n := copy(p, f.left)
	f.left = f.left[n:]
	return n, nil
}

func (f *flood) Write(p []byte) (int, error)      { return len(p), nil }
func (f *flood) Close() error                     { return nil }
func (f *flood) SetDeadline(time.Time) error      { return nil }
func (f *flood) SetReadDeadline(time.Time) error  { return nil }
func (f *flood) SetWriteDeadline(time.Time) error { return nil }

// Whatever comes without an end is cut or costs nothing to hold.
func TestT26Endless(t *testing.T) {
	if testing.Short() {
		t.Skip("reads gigabytes of nonsense")
	}
	// Garbage is not held: it is collected soon, to be told from what is.
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	long := strings.Repeat("x", 60_000)
	ctx := context.Background()
	list := func(c *Client) error {
		_, err := c.List(ctx, ListRequest{Patterns: []string{"*"}, Status: StatusMessages})
		return err
	}
	search := func(c *Client) error {
		_, err := c.Search(ctx, From(1))
		return err
	}
	attributes := func(c *Client) error {
		_, err := c.FetchAttributes(ctx, AttributesRequest{UIDs: From(1)}, func(*Message) error { return nil })
		return err
	}
	open := func(c *Client) error {
		_, err := c.Select(ctx, "INBOX", SelectOptions{})
		return err
	}
	fetch := func(c *Client) error {
		return c.Fetch(ctx, FetchRequest{UIDs: UIDs(1)}, &box{write: func(*Message, []byte) error { return ErrSkip }})
	}
	noop := func(c *Client) error { return c.Noop(ctx) }
	var scattered strings.Builder
	for u := uint32(10); u < 2_400_000; u += 2 {
		fmt.Fprintf(&scattered, "%d,", u)
	}
	for name, tt := range map[string]struct {
		head, again string
		call        func(c *Client) error
	}{
		"scattered":       {"* SEARCH " + strings.ReplaceAll(scattered.String(), ",", " "), "", search},
		"scattered gone":  {"* VANISHED " + scattered.String() + "1\r\n* VANISHED 3,", scattered.String(), open},
		"text":            {"* OK ", long, noop},
		"tag":             {"", "x", noop},
		"code":            {"* OK [X ", long, noop},
		"name":            {"* ", long, noop},
		"unknown":         {"* X ", long, noop},
		"capabilities":    {"* CAPABILITY", " X", noop},
		"lines":           {"", "* OK\r\n", noop},
		"empty lines":     {"", "\r\n", noop},
		"continuations":   {"", "+\r\n", noop},
		"quoted":          {"* STATUS \"", long, list},
		"backslashes":     {"* STATUS \"", "\\\\", list},
		"literals":        {"* STATUS x (", "{1}\r\nx", list},
		"long literals":   {"* STATUS x (", "{60000}\r\n" + long, list},
		"mailboxes":       {"", "* LIST () NIL {60000}\r\n" + long + "\r\n", list},
		"attributes":      {"* LIST (", "\\Noselect ", list},
		"nesting":         {"* STATUS x (A ", "(", list},
		"numbers":         {"* SEARCH", " 7", search},
		"wide numbers":    {"* ESEARCH ALL 1", ",3,5:9,4294967294,4294967292", search},
		"long number":     {"* SEARCH ", "9", search},
		"flags":           {"* 1 FETCH (UID 1 FLAGS (", "\\Seen ", attributes},
		"items":           {"* 1 FETCH (", "UID 1 ", attributes},
		"rows":            {"", "* 1 FETCH (UID 1 FLAGS (a b c))\r\n", attributes},
		"vanished":        {"* VANISHED (EARLIER) 1", ",3,9:11,77", open},
		"section":         {"* 1 FETCH (BODY[", long, fetch},
		"bodies":          {"* 1 FETCH (UID 1", " BODY[] {60000}\r\n" + long, fetch},
		"bodies, unasked": {"", "* 1 FETCH (UID 2 BODY[] {60000}\r\n" + long + ")\r\n", fetch},
		"one body":        {"* 1 FETCH (UID 1 BODY[] {2000000000}\r\n", long, fetch},
	} {
		t.Run(name, func(t *testing.T) {
			f := &flood{head: "* OK [CAPABILITY IMAP4rev1] x\r\n" + tt.head, again: repeat(tt.again), limit: floodOctets}
			runtime.GC()
			var before runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			c, err := New(ctx, f, Options{})
			noError(t, err)
			err = tt.call(c)
			var odd *ProtocolError
			var lost *ConnError
			if !errors.As(err, &odd) && !errors.As(err, &lost) {
				t.Errorf("got %v", err)
			}
			t.Logf("%d KiB at most", (max(f.peak, before.HeapAlloc)-before.HeapAlloc)>>10)
			if f.peak > before.HeapAlloc+(16<<20) {
				t.Errorf("%d KiB were held", (f.peak-before.HeapAlloc)>>10)
			}
			if d := time.Since(start); d > time.Minute {
				t.Errorf("it took %v", d)
			}
		})
	}
}

// repeat makes a piece of some size, for speed.
func repeat(s string) string { return strings.Repeat(s, 1+(60<<10)/max(1, len(s))) }

// A mailbox of a million messages, listed in the worst order.
func TestT22ManyMessages(t *testing.T) {
	var rows strings.Builder
	rows.WriteString("* OK [CAPABILITY IMAP4rev1] x\r\n* SEARCH")
	for i := range 100_000 {
		rows.WriteString(" ")
		rows.WriteString(UIDs(uint32(uint64(i) * 2654435761 % 200_003)).String())
	}
	rows.WriteString("\r\n")
	f := &flood{head: rows.String(), again: "", limit: 1 << 30}
	c, err := New(context.Background(), f, Options{})
	noError(t, err)
	f.left += c.prefix + "2 OK\r\n" // the first tag asks for the capabilities no more
	c.tags = 1
	got, err := c.Search(context.Background(), From(1))
	noError(t, err)
	if n := got.Count(); n < 99_000 {
		t.Errorf("%d messages", n)
	}
}
