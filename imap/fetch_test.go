package imap

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestFetch(t *testing.T) {
	for name, tt := range map[string]struct{ said, want string }{
		"in order": {`
			S~ "* 1 FETCH (UID 5 FLAGS (\\Seen) BODY[] {5}\r\na\r\nb\n)\r\n"
			S~ "* 2 FETCH (UID 7 FLAGS () BODY[] {3}\r\nxyz)\r\n"
			S: A OK`, `
			5 "a\r\nb\n" <nil>
			7 "xyz" <nil>`},
		"UID after the text": {`
			S~ "* 1 FETCH (BODY[] {3}\r\nabc UID 5 FLAGS (\\Seen))\r\n"
			S~ "* 2 FETCH (FLAGS (\\Seen) BODY[] {3}\r\nxyz UID 7)\r\n"
			S: A OK`, `
			5 "abc" <nil>
			7 "xyz" <nil>`},
		"descending, quoted, old name": {`
			S~ "* 2 FETCH (RFC822 {3}\r\nxyz UID 7)\r\n"
			S: * 1 FETCH (UID 5 BODY[] "a\"b")
			S: A OK`, `
			7 "xyz" <nil>
			5 "a\"b" <nil>`},
		"NIL and empty": {`
			S: * 1 FETCH (UID 5 RFC822.SIZE 7 BODY[] NIL)
			S~ "* 2 FETCH (UID 7 RFC822.SIZE 7 BODY[] {0}\r\n)\r\n"
			S: A OK`, `
			5 "" the server sent no message text
			7 "" the server sent no message text`},
		"truly empty": {`
			S~ "* 1 FETCH (UID 5 BODY[] {0}\r\n RFC822.SIZE 0)\r\n"
			S: * 2 FETCH (UID 7 RFC822.SIZE 0 BODY[] NIL)
			S: A OK`, `
			5 "" <nil>
			7 "" the server sent no message text`},
		"OK without data": {`
			S: A OK`, `
			missing 5,7: the server did not send the message`},
		"flags only": {`
			S: * 1 FETCH (UID 5 FLAGS (\Seen))
			S~ "* 2 FETCH (UID 7 BODY[] {1}\r\nx)\r\n"
			S: A OK`, `
			7 "x" <nil>
			missing 5: the server did not send the message`},
		"flags first": {`
			S: * 1 FETCH (UID 5 FLAGS (\Seen))
			S~ "* 1 FETCH (UID 5 BODY[] {1}\r\nx)\r\n"
			S: A OK`, `
			5 "x" <nil>
			missing 7: the server did not send the message`},
		"refused": {`
			S~ "* 1 FETCH (UID 5 BODY[] {1}\r\nx)\r\n"
			S: A NO [SERVERBUG] cannot read`, `
			5 "x" <nil>
			missing 7: server refused UID FETCH: [SERVERBUG] cannot read`},
		"not asked for": {`
			S~ "* 1 FETCH (UID 6 BODY[] {1}\r\nx)\r\n"
			S~ "* 1 FETCH (BODY[] {1}\r\ny UID 6)\r\n"
			S~ "* 1 FETCH (BODY[] {1}\r\nz)\r\n"
			S: A OK`, `
			6 "y" the server sent a message that is not awaited
			0 "z" the server sent a message that is not awaited
			missing 5,7: the server did not send the message`},
		"twice": {`
			S~ "* 1 FETCH (UID 5 BODY[] {1}\r\nx)\r\n"
			S~ "* 1 FETCH (UID 5 BODY[] {1}\r\ny)\r\n"
			S~ "* 1 FETCH (UID 7 BODY[] {1}\r\nz BODY[] {1}\r\nz)\r\n"
			S: A OK`, `
			5 "x" <nil>
			7 "z" <nil>`},
		"odd items": {`
			S~ "* 0 FETCH (X-GM-LABELS (\\Inbox [x]/y \"a b\") BODY[HEADER.FIELDS (A B)] {2}\r\nab BODY[]<0> {1}\r\nq uid 5 body[] {1}\r\nx MODSEQ (-1) RFC822.SIZE 9.3736e+06 INTERNALDATE \" 1-Feb-2003 04:05:06 +0100\" ENVELOPE ((\"{3}\" NIL)))\r\n"
			S: * 2 EXPUNGE
			S: * 3 EXISTS
			S~ "* 2 FETCH  ( UID 7  FLAGS NIL BODY[] ~{1+}\r\nz ) \r\n"
			S: A OK`, `
			5 "x" <nil>
			7 "z" <nil>`},
		"malformed row": {`
			S: * 1 FETCH (UID 5 RFC822.SIZE BODY[] "x"
			S~ "* 2 FETCH (UID 7 BODY[] {1}\r\nz)\r\n"
			S: A OK`, `
			7 "z" <nil>
			missing 5: the server did not send the message`},
		"uidonly": {`
			S~ "* 5 UIDFETCH (BODY[] {1}\r\nx)\r\n"
			S~ "* 7 UIDFETCH (UID 7 BODY[] {1}\r\nz)\r\n"
			S: A OK`, `
			5 "x" <nil>
			7 "z" <nil>`},
	} {
		t.Run(name, func(t *testing.T) {
			dialogue(t, Options{}, `
				S: * OK
				C: A UID FETCH 5,7 (UID FLAGS RFC822.SIZE BODY.PEEK[])
			`+tt.said, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				b := &box{}
				noError(t, c.Fetch(context.Background(), FetchRequest{UIDs: UIDs(5, 7), Items: ItemFlags | ItemSize}, b))
				equal(t, "received", b.String(), tt.want)
			})
		})
	}
}

// Octets that are passed on are a message only if what follows them is as the
// grammar has it.
func TestT34WrongLiteral(t *testing.T) {
	for name, tt := range map[string]struct{ said, want string }{
		"too short": {`S~ "* 1 FETCH (UID 5 BODY[] {3}\r\nabcdef)\r\n"`,
			"5 \"abc\" read response to UID FETCH: a value is missing\n"},
		"too long":       {`S~ "* 1 FETCH (UID 5 BODY[] {9}\r\nabc)\r\n$A OK x\r\n"`, ""},
		"cut by another": {`S~ "* 1 FETCH (UID 5 BODY[] {30}\r\nabc* 2 FETCH (UID 7 BODY[] {3}\r\nxyz)\r\n$A OK\r\n"`, ""},
		"two UIDs": {`S~ "* 1 FETCH (UID 5 BODY[] {3}\r\nabc UID 7)\r\n"`,
			"7 \"abc\" read response to UID FETCH: a message with two UIDs\n"},
		"trailing": {`S~ "* 1 FETCH (UID 5 BODY[] {3}\r\nabc) x\r\n"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dialogue(t, Options{}, `
				S: * OK
				C: A UID FETCH 5,7 (UID BODY.PEEK[])
				`+tt.said+"\nSTALL", func(t *testing.T, c *Client, err error) {
				noError(t, err)
				b := &box{}
				err = c.Fetch(context.Background(), FetchRequest{UIDs: UIDs(5, 7)}, b)
				if err == nil {
					t.Fatal("no error")
				}
				for _, g := range b.got {
					if g.err == nil || !errors.Is(err, g.err) {
						t.Errorf("%+v ended well; Fetch with %v", g, err)
					}
				}
			})
		})
	}
}

func TestFetchReceiverErrors(t *testing.T) {
	disk := errors.New("disk full")
	for name, tt := range map[string]struct {
		box  box
		want string
		err  error
	}{
		"skip at begin": {box{begin: func(m *Message) error { return skip(m) }}, `
			5 "" not wanted: skip this message
			7 "xyz" <nil>`, nil},
		"skip in the middle": {box{write: func(m *Message, _ []byte) error { return skip(m) }}, `
			5 "" not wanted: skip this message
			7 "xyz" <nil>`, nil},
		"begin": {box{begin: func(*Message) error { return disk }}, `5 "" disk full`, disk},
		"write": {box{write: func(*Message, []byte) error { return disk }}, `5 "" disk full`, disk},
		"end":   {box{end: func(*Message, error) error { return disk }}, `5 "abc" <nil>`, disk},
	} {
		t.Run(name, func(t *testing.T) {
			script := `
				S: * OK
				C: A UID FETCH 5,7 (UID BODY.PEEK[])
				S~ "* 1 FETCH (UID 5 BODY[] {3}\r\nabc)\r\n"`
			if tt.err == nil {
				script += `
				S~ "* 1 FETCH (UID 7 BODY[] {3}\r\nxyz)\r\n"
				S: A OK`
			} else {
				script += "\nSTALL"
			}
			dialogue(t, Options{}, script, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				b := tt.box
				err = c.Fetch(context.Background(), FetchRequest{UIDs: UIDs(5, 7)}, &b)
				if !errors.Is(err, tt.err) {
					t.Errorf("got %v", err)
				}
				equal(t, "received", b.String(), tt.want)
				if tt.err != nil {
					broken(t, c, err, tt.err)
				}
			})
		})
	}
}

func skip(m *Message) error {
	if m.UID == 5 {
		return fmt.Errorf("not wanted: %w", ErrSkip)
	}
	return nil
}

func TestT27LargeMessage(t *testing.T) {
	dialogue(t, Options{MaxLiteral: 10}, `
		S: * OK
		C: A UID FETCH 5 (UID BODY.PEEK[])
		S~ "* 1 FETCH (UID 5 BODY[] {11}\r\n"
		STALL
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		b := &box{}
		err = c.Fetch(context.Background(), FetchRequest{UIDs: UIDs(5)}, b)
		broken(t, c, err, ErrTooLarge)
		equal(t, "received", b.String(), `5 "" message larger than the limit`)
	})
}

// The next command is sent while the answer to the first one is under way, and
// the window is what bounds them.
func TestFetchWindow(t *testing.T) {
	var uids UIDSet
	uids.AddRange(1, 8)
	dialogue(t, Options{WindowOctets: 400}, `
		S: * OK
		C: A UID FETCH 1:2 (UID BODY.PEEK[])
		C: B UID FETCH 3:4 (UID BODY.PEEK[])
		C: C UID FETCH 5:6 (UID BODY.PEEK[])
		S~ "* 1 FETCH (UID 1 BODY[] {1}\r\na)\r\n"
		S~ "* 4 FETCH (UID 4 BODY[] {1}\r\nd)\r\n"
		S~ "* 2 FETCH (UID 2 BODY[] {1}\r\nb)\r\n"
		S: B OK the second before the first
		C: D UID FETCH 7:8 (UID BODY.PEEK[])
		S: A OK
		S: C NO
		S~ "* 8 FETCH (UID 8 BODY[] {1}\r\nh)\r\n"
		S: D OK
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		b := &box{}
		noError(t, c.Fetch(context.Background(), FetchRequest{UIDs: uids, Octets: func(uint32) int64 { return 50 }}, b))
		equal(t, "received", b.String(), `
			1 "a" <nil>
			4 "d" <nil>
			2 "b" <nil>
			8 "h" <nil>
			missing 3: the server did not send the message
			missing 5:6: server refused UID FETCH
			missing 7: the server did not send the message`)
	})
}

func TestChunks(t *testing.T) {
	var uids UIDSet
	for u := uint32(1); u < 200_000; u += 1 + u%3 {
		uids.Add(u)
	}
	k := chunks{set: uids}
	var all UIDSet
	for {
		got, octets := k.next(1000, func(uid uint32) int64 { return int64(uid % 7) })
		if got.Empty() {
			break
		}
		if len(got.String()) > maxSetText || got.Count() > maxMessages || octets > 1006 {
			t.Fatalf("%d octets of text, %d messages, %d octets", len(got.String()), got.Count(), octets)
		}
		all = append(all, got...)
	}
	if all = all.Union(nil); all.String() != uids.String() {
		t.Error("the parts are not the whole")
	}
}

func TestFetchAttributes(t *testing.T) {
	dialogue(t, Options{}, `
		S: * OK
		C: A UID FETCH 5:* (UID FLAGS RFC822.SIZE INTERNALDATE MODSEQ X-GM-MSGID X-GM-LABELS) (CHANGEDSINCE 90 VANISHED)
		S: * VANISHED (EARLIER) 6:7
		S: * 1 FETCH (UID 5 FLAGS (\SEEN a]b) RFC822.SIZE 9.3736e+06 INTERNALDATE "01-Feb-2003 04:05:06 +0100" MODSEQ (18446744073709551615) X-GM-MSGID 18446744073709551615 X-GM-LABELS (\Inbox "&AOk-" [x]/y))
		S: * 2 FETCH (UID 4 FLAGS ())
		S: * 3 FETCH (UID 8 FLAGS NIL RFC822.SIZE -5 INTERNALDATE NIL MODSEQ 77 X-GM-LABELS NIL)
		S: * 4 FETCH (UID 9 INTERNALDATE "1-Feb-2003 04:05:06" RFC822.SIZE 99999999999999999999)
		S: * 5 FETCH (UID 10 INTERNALDATE "yesterday" FLAGS (\Seen "\\Draft" (x y) {1}
		S~ "z))\r\n"
		S: * 5 FETCH (UID 11 X {4}
		S~ "\r\n)(X)\r\n"
		S: * 6 FETCH (UID 12 FLAGS (\Seen)
		S: A OK
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		var s strings.Builder
		all := ItemFlags | ItemSize | ItemDate | ItemModSeq | ItemGmailID | ItemGmailLabels
		got, err := c.FetchAttributes(context.Background(), AttributesRequest{UIDs: From(5), Items: all, ChangedSince: 90, Vanished: true}, func(m *Message) error {
			fmt.Fprintf(&s, "%d %b %q %d %s %d %d %q\n", m.UID, m.Has, m.Flags, m.Octets, m.Date.UTC().Format("0102T150405"), m.ModSeq, m.GmailID, m.GmailLabels)
			return nil
		})
		noError(t, err)
		if got.Vanished.String() != "6:7" || got.Malformed != 2 {
			t.Errorf("got %+v", got)
		}
		equal(t, "attributes", s.String(), `
			5 110111 ["\\Seen" "a]b"] 9373600 0201T030506 0 18446744073709551615 ["\\Inbox" "é" "[x]/y"]
			8 101011 [] 0 0101T000000 77 0 []
			9 100 [] 0 0201T040506 0 0 []
			10 1 ["\\Seen" "\\Draft" "z"] 0 0101T000000 0 0 []
		`)
	})
}

func TestFetchAttributesRefused(t *testing.T) {
	dialogue(t, Options{}, `
		S: * OK
		C: A UID FETCH 5 (UID)
		S: * 1 FETCH (UID 5)
		S: A NO [UNAVAILABLE] x
		C: B UID FETCH 5 (UID)
		S: * 1 FETCH (UID 5)
		STALL
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		ctx, n := context.Background(), 0
		_, err = c.FetchAttributes(ctx, AttributesRequest{UIDs: UIDs(5)}, func(*Message) error { n++; return nil })
		if refusal(t, err); n != 1 {
			t.Errorf("%d messages", n)
		}
		stop := errors.New("enough")
		_, err = c.FetchAttributes(ctx, AttributesRequest{UIDs: UIDs(5)}, func(*Message) error { return stop })
		broken(t, c, err, stop)
	})
}
