package imap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// segments is a connection on which whatever stands before a mark arrives at
// once, and which ends after the last one. It takes anything. The octet tagMark
// stands for the tag of the last command.
type segments struct {
	net.Conn
	text []byte

	mu  sync.Mutex
	tag []byte
}

const (
	mark    = 0x1e
	tagMark = 0x1f
)

func (s *segments) Read(p []byte) (int, error) {
	for len(s.text) > 0 && s.text[0] == mark {
		s.text = s.text[1:]
	}
	if len(s.text) == 0 {
		return 0, io.EOF
	}
	if s.text[0] == tagMark {
		s.mu.Lock()
		n := copy(p, s.tag)
		s.mu.Unlock()
		s.text = s.text[1:]
		if n > 0 {
			return n, nil
		}
		return s.Read(p)
	}
	piece := s.text
	if i := bytes.IndexAny(piece, "\x1e\x1f"); i >= 0 {
		piece = piece[:i]
	}
	n := copy(p, piece)
	s.text = s.text[n:]
	return n, nil
}

func (s *segments) Write(p []byte) (int, error) {
	if i := bytes.IndexByte(p, ' '); i > 0 {
		s.mu.Lock()
		s.tag = bytes.Clone(p[:i])
		s.mu.Unlock()
	}
	return len(p), nil
}

// ofAKind fails on an error that a caller could not tell apart.
func ofAKind(t *testing.T, err error) {
	t.Helper()
	var refused *ResponseError
	var odd *ProtocolError
	var lost *ConnError
	switch {
	case err == nil, errors.As(err, &refused), errors.As(err, &odd), errors.As(err, &lost):
	case errors.Is(err, ErrTooLarge), errors.Is(err, ErrLoginDisabled), errors.Is(err, ErrIdleEnded), errors.Is(err, errors.ErrUnsupported):
	default:
		t.Fatalf("error of no kind: %v (%T)", err, err)
	}
}

// consistent checks that each message that ended well came as a string.
func consistent(t *testing.T, b *box, text []byte) {
	t.Helper()
	stream := bytes.ReplaceAll(text, []byte{mark}, nil)
	for i, g := range b.got {
		switch {
		case !g.ended:
			t.Fatalf("message %d has no end", i)
		case g.err == nil && !g.begun:
			t.Fatalf("message %d ended well without a begin", i)
		case g.err == nil && g.uid == 0:
			t.Fatalf("message %d has no UID", i)
		case g.err != nil || bytes.Contains(stream, []byte{tagMark}) && strings.Contains(g.text, "OK"):
		case g.text != "" && !bytes.Contains(stream, fmt.Appendf(nil, "}\r\n%s", g.text)) &&
			!bytes.Contains(stream, fmt.Appendf(nil, "}\n%s", g.text)) && !bytes.ContainsAny(stream, "\"\x1f"):
			t.Fatalf("message %d is not what was sent: %q", i, g.text)
		}
	}
	seen := make(map[uint32]bool)
	for _, g := range b.got {
		if g.err == nil && seen[g.uid] {
			t.Fatalf("message %d came twice", g.uid)
		}
		seen[g.uid] = seen[g.uid] || g.err == nil
	}
}

// FuzzSession has a server say anything at all.
func FuzzSession(f *testing.F) {
	f.Add([]byte("* OK [CAPABILITY IMAP4rev1 ID ESEARCH LIST-EXTENDED LIST-STATUS] hi\r\n\x1e\x1f OK [CAPABILITY IMAP4rev1 ESEARCH] in\r\n\x1e* ID NIL\r\n\x1f OK\r\n\x1e" +
		"* LIST () \"/\" INBOX\r\n* STATUS INBOX (MESSAGES 1)\r\n\x1f OK\r\n\x1e\x1f OK\r\n\x1e* OK [UIDVALIDITY 7] x\r\n* 1 EXISTS\r\n\x1f OK [READ-WRITE]\r\n\x1e" +
		"* ESEARCH (TAG \"A\") UID ALL 1:2\r\n\x1f OK\r\n\x1e* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n\x1f OK\r\n\x1e" +
		"* 1 FETCH (UID 1 FLAGS () BODY[] {5}\r\na\r\nb\n)\r\n* 2 FETCH (BODY[] NIL UID 2)\r\n\x1f OK\r\n\x1e\x1f OK\r\n\x1e* BYE\r\n\x1f OK\r\n"))
	f.Add([]byte("* OK\n\x1e* CAPABILITY IMAP4rev1 COMPRESS=DEFLATE\n\x1f OK\n\x1e\x1f OK\n\x1e\x1f OK\n\x1e\x1f OK\n\x1e\x1f OK\n"))
	f.Add([]byte("* OK [CAPABILITY IMAP4rev1] x\r\n\x1e\x1f OK\r\n\x1e* CAPABILITY IMAP4rev1\r\n\x1f OK\r\n\x1e\x1f OK\r\n\x1e* LIST () \".\" {3}\r\na&b\r\n\x1f OK\r\n\x1e\x1f NO\r\n\x1e\x1f OK\r\n\x1e* SEARCH 2 1\r\n\x1f OK\r\n\x1e"))
	f.Fuzz(func(t *testing.T, text []byte) {
		near, far := net.Pipe()
		defer far.Close()
		b := &box{}
		err := session(context.Background(), &segments{Conn: near, text: text}, Options{MaxLiteral: 1 << 16}, b)
		ofAKind(t, err)
		consistent(t, b, text)
	})
}

// FuzzFetch has a server answer a FETCH with anything at all.
func FuzzFetch(f *testing.F) {
	f.Add([]byte("* 1 FETCH (UID 1 FLAGS (\\Seen) INTERNALDATE \" 1-Feb-2003 04:05:06 +0100\" RFC822.SIZE 3 BODY[] {3}\r\nabc)\r\n\x1f OK\r\n"))
	f.Add([]byte("* 1 FETCH (BODY[] {3}\r\nabc UID 2)\r\n* 0 FETCH (X (y \"z\" {1}\r\n)) UID 3 BODY[]<0> NIL RFC822 \"q\\\"\")\r\n\x1f NO [X\r\n"))
	f.Add([]byte("* 1 FETCH (UID 1 BODY[] {0}\r\n)\r\n* 3 FETCH (UID 3 BODY[] {3}\r\n* 4)\r\n* 2 FETCH (UID 2 RFC822.SIZE 0 BODY[] \"\")\r\n\x1f OK\r\n"))
	f.Add([]byte("* VANISHED (EARLIER) 1:7,9\r\n* 3 EXPUNGE\r\n[ALERT] x\r\n* NO [\r\n+\r\n* 5 FETCH (UID 1 BODY[] ~{1}\r\n\x00)\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		near, far := net.Pipe()
		defer far.Close()
		c, err := New(context.Background(), &segments{Conn: near, text: append([]byte("* OK\r\n\x1e"), text...)}, Options{MaxLiteral: 1 << 16})
		noError(t, err)
		b := &box{}
		err = c.Fetch(context.Background(), FetchRequest{UIDs: UIDs(1, 2, 3)}, b)
		ofAKind(t, err)
		consistent(t, b, text)
		if err != nil {
			return
		}
		// All that was asked for has been told of, once.
		told := 0
		for _, g := range b.got {
			if g.uid >= 1 && g.uid <= 3 && !errors.Is(g.err, ErrUnasked) {
				told++
			}
		}
		for _, m := range b.missing {
			set, _, _ := strings.Cut(m, ": ")
			uids, err := ParseUIDSet(set)
			noError(t, err)
			told += int(uids.Count())
		}
		if told != 3 {
			t.Fatalf("%d of 3 messages were told of: %v", told, b)
		}
	})
}

// FuzzResponse has the parser read anything, in the role of every command, and
// compares what it makes of the octets when they come one by one.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"* LIST (\\Noselect) \"/\" \"Entw&APw-rfe\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n",
		"* STATUS {5}\r\nINBOX (MESSAGES 3 UIDNEXT 1.5e3 X (a b))\r\n",
		"* SEARCH 1 2 3 (MODSEQ 9)\r\n* ESEARCH (TAG \"a\") UID COUNT 3 ALL 1:3,9\r\n",
		"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n* ID (\"a\" NIL)\r\n* ENABLED X\r\n",
		"* OK [PERMANENTFLAGS (a]b \\*)] x\r\n* OK [COPYUID 1 2:3 4,5] y\r\n* OK [X \"]\"] z\r\n",
		"* 1 FETCH (UID 1 X-GM-LABELS (\\Inbox [a]/b) ENVELOPE (NIL {2}\r\n() \"\"))\r\n* X {3}\r\nabc def\r\n",
		"((((((((((\r\n* X ((((((((((((((((((((((((((((((((((((((((\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		whole := readingOf(t, text, 1<<20)
		if single := readingOf(t, text, 1); single != whole {
			t.Fatalf("octet by octet it is\n%s\nand whole\n%s", single, whole)
		}
	})
}

// readingOf says what the parser makes of text.
func readingOf(t *testing.T, text []byte, size int) string {
	t.Helper()
	near, far := net.Pipe()
	defer far.Close()
	var s strings.Builder
	o := Options{MaxLiteral: 1 << 16, Events: func(e Event) { fmt.Fprintf(&s, "%d %d %v %q\n", e.Kind, e.Number, e.UIDs, e.Text) }}
	conn := &pieces{Conn: &segments{Conn: near, text: append([]byte("* OK\r\n\x1e"), text...)}, size: func() int { return size }}
	c, err := New(context.Background(), conn, o)
	noError(t, err)
	l := lister{client: c, index: make(map[Name]int)}
	sel := selecting{client: c}
	var g gatherer
	for i := 0; ; i++ {
		r, err := c.next("X", func(u *untagged) (bool, error) {
			switch u.name {
			case "SEARCH":
				return true, c.readSearch(&g)
			case "ESEARCH":
				return true, c.readESearch(&g)
			case "NAMESPACE":
				var p []Prefix
				return true, c.readPrefixes(&p)
			case "ID":
				return true, c.readID(make(map[string]string))
			}
			if taken, err := l.take(u); taken || err != nil {
				return taken, err
			}
			return sel.take(u)
		})
		if err != nil {
			ofAKind(t, err)
			fmt.Fprintf(&s, "%v\n", err)
			break
		}
		fmt.Fprintf(&s, "%c %q %q\n", r.kind, r.tag, r.reply)
	}
	valid(t, g.set())
	fmt.Fprintf(&s, "%s%v %+v", mailboxes(l.mailboxes), g.set(), sel.got)
	return s.String()
}
