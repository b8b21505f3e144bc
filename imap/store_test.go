package imap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

func TestStoreAndExpunge(t *testing.T) {
	dialogue(t, Options{}, `
		S: * OK [CAPABILITY IMAP4rev1 UIDPLUS] x
		C: A UID STORE 5,7 +FLAGS.SILENT (\Seen $Done)
		S: * 5 FETCH (FLAGS (\Seen) UID 5)
		S: A OK
		C: B UID EXPUNGE 5:7
		S: * 5 EXPUNGE
		S: B OK
		C: C UID EXPUNGE 9
		S: C NO [UNAVAILABLE] x
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		ctx := context.Background()
		noError(t, c.Store(ctx, UIDs(5, 7), `\Seen`, "$Done"))
		noError(t, c.Expunge(ctx, UIDs(5, 6, 7)))
		refusal(t, c.Expunge(ctx, UIDs(9)))
		noError(t, c.Store(ctx, nil, `\Seen`))
		if c.Store(ctx, UIDs(5), "x) y") == nil {
			t.Error("an injection passed")
		}
	})
}

// There is no bare EXPUNGE, whatever the server lacks.
func TestExpungeNeedsUIDPLUS(t *testing.T) {
	dialogue(t, Options{}, `S: * OK [CAPABILITY IMAP4rev1] x`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		if err := c.Expunge(context.Background(), UIDs(9)); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("got %v", err)
		}
	})
}

// A set that is too long for a command goes in several.
func TestStoreInPieces(t *testing.T) {
	var uids UIDSet
	for u := uint32(1000); u < 2000; u += 2 {
		uids.Add(u)
	}
	script, i := "S: * OK\n", 0
	var answers string
	for piece := range uids.Pieces(maxSetText) {
		script += fmt.Sprintf("C: T%d UID STORE %v +FLAGS.SILENT (\\Deleted)\n", i, piece)
		answers += fmt.Sprintf("S: T%d OK\n", i)
		i++
	}
	if i < 3 {
		t.Fatalf("%d pieces", i)
	}
	dialogue(t, Options{}, script+answers, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		noError(t, c.Store(context.Background(), uids, `\Deleted`))
	})
}

func TestT31Move(t *testing.T) {
	for name, tt := range map[string]struct{ caps, said, want string }{
		"MOVE, untagged": {"MOVE UIDPLUS", `
			C: B UID MOVE 5,7 "Old Mail"
			S: * OK [COPYUID 38505 7,5 3957:3956] x
			S: * 4 EXPUNGE
			S: B OK`, "{38505 5,7 3956:3957 } <nil>"},
		"MOVE, tagged": {"MOVE", `
			C: B UID MOVE 5,7 "Old Mail"
			S: B OK [COPYUID 38505 5,7 3956:3957] x`, "{38505 5,7 3956:3957 } <nil>"},
		"MOVE, bare": {"MOVE", `
			C: B UID MOVE 5,7 "Old Mail"
			S: [COPYUID 38505 5,7 3956:3957] x
			S: B OK`, "{38505 5,7 3956:3957 } <nil>"},
		"star": {"MOVE", `
			C: B UID MOVE 5,7 "Old Mail"
			S: B OK [COPYUID 38505 5:* 3956:*] x`, "{0   } <nil>"},
		"garbage": {"MOVE", `
			C: B UID MOVE 5,7 "Old Mail"
			S: * OK [COPYUID 4294967296 ,, x]
			S: * OK [COPYUID]
			S: * OK [COPYUID 1 2]
			S: * OK [COPYUID 1 2:3 4]
			S: B OK [COPYUID 1  2 3 4] x`, "{0   } <nil>"},
		"refused": {"MOVE", `
			C: B UID MOVE 5,7 "Old Mail"
			S: B NO [TRYCREATE] x`, "{0   } server refused UID MOVE: [TRYCREATE] x"},
		"COPY": {"UIDPLUS", `
			C: B UID COPY 5,7 "Old Mail"
			S: B OK [COPYUID 1 5,7 8:9] x
			C: C UID STORE 5,7 +FLAGS.SILENT (\Deleted)
			S: C OK
			C: D UID EXPUNGE 5,7
			S: D OK`, "{1 5,7 8:9 } <nil>"},
		"COPY of some": {"UIDPLUS", `
			C: B UID COPY 5,7 "Old Mail"
			S: B OK [COPYUID 1 7 8] x
			C: C UID STORE 7 +FLAGS.SILENT (\Deleted)
			S: C OK
			C: D UID EXPUNGE 7
			S: D OK`, "{1 7 8 } <nil>"},
		"COPY refused": {"UIDPLUS", `
			C: B UID COPY 5,7 "Old Mail"
			S: B NO x`, "{0   } server refused UID COPY: x"},
		"STORE refused": {"UIDPLUS", `
			C: B UID COPY 5,7 "Old Mail"
			S: B OK
			C: C UID STORE 5,7 +FLAGS.SILENT (\Deleted)
			S: C NO x`, "{0   } server refused UID STORE: x"},
		"COPY without UIDPLUS": {"", `
			C: B UID COPY 5,7 "Old Mail"
			S: B OK
			C: C UID STORE 5,7 +FLAGS.SILENT (\Deleted)
			S: C OK`, "{0   5,7} <nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			dialogue(t, Options{}, "S: * OK [CAPABILITY IMAP4rev1 "+tt.caps+"] x\n"+tt.said, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				got, err := c.Move(context.Background(), UIDs(5, 7), "Old Mail")
				if text := fmt.Sprint(got, " ", err); text != tt.want {
					t.Errorf("got %s, want %s", text, tt.want)
				}
			})
		})
	}
}

func TestAppend(t *testing.T) {
	date := time.Date(2003, 2, 1, 4, 5, 6, 0, time.FixedZone("", 3600))
	for name, tt := range map[string]struct{ caps, said, want string }{
		"waits": {"", `
			C: B APPEND "Sent" (\Seen) " 1-Feb-2003 04:05:06 +0100" {6}
			S: * 5 EXISTS
			S: + go
			C~ "hello\n\r\n"
			S: B OK [APPENDUID 38505 3955] done`, "{38505 3955} <nil>"},
		"does not wait": {"LITERAL+", `
			C: B APPEND "Sent" (\Seen) " 1-Feb-2003 04:05:06 +0100" {6+}
			C~ "hello\n\r\n"
			S: B OK [APPENDUID x]`, "{0 0} <nil>"},
		"refused before": {"", `
			C: B APPEND "Sent" (\Seen) " 1-Feb-2003 04:05:06 +0100" {6}
			S: B NO [TRYCREATE] x`, "{0 0} server refused APPEND: [TRYCREATE] x"},
		"refused after": {"LITERAL-", `
			C: B APPEND "Sent" (\Seen) " 1-Feb-2003 04:05:06 +0100" {6+}
			C~ "hello\n\r\n"
			S: B NO [OVERQUOTA] x`, "{0 0} server refused APPEND: [OVERQUOTA] x"},
		"OK too early": {"", `
			C: B APPEND "Sent" (\Seen) " 1-Feb-2003 04:05:06 +0100" {6}
			S: B OK`, "{0 0} read response to APPEND: OK before the command was sent"},
	} {
		t.Run(name, func(t *testing.T) {
			dialogue(t, Options{}, "S: * OK [CAPABILITY IMAP4rev1 "+tt.caps+"] x\n"+tt.said, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				got, err := c.Append(context.Background(), "Sent", []string{`\Seen`}, date, 6, strings.NewReader("hello\nand more"))
				if text := fmt.Sprint(got, " ", err); text != tt.want {
					t.Errorf("got %s, want %s", text, tt.want)
				}
			})
		})
	}
}

// A message that cannot be read whole must not be appended cut short.
func TestAppendOfLess(t *testing.T) {
	dialogue(t, Options{}, `
		S: * OK [CAPABILITY IMAP4rev1 LITERAL+] x
		C: A APPEND "Sent" {60+}
		C~ "hello"
		STALL
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		_, err = c.Append(context.Background(), "Sent", nil, time.Time{}, 60, strings.NewReader("hello"))
		broken(t, c, err, io.ErrUnexpectedEOF)
	})
}
