package imap

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func TestSelect(t *testing.T) {
	for name, tt := range map[string]struct {
		o          SelectOptions
		said, want string
	}{
		"whole": {SelectOptions{}, `
			C: B SELECT "INBOX"
			S: * FLAGS (\Answered \seen $Forwarded)
			S: * 172 EXISTS
			S: * 1 RECENT
			S: * OK [UNSEEN 12] x
			S: * OK [UIDVALIDITY 3857529045] x
			S: * OK [UIDNEXT 4392] x
			S: * OK [PERMANENTFLAGS (\Deleted \* a]b)] x
			S: * OK [HIGHESTMODSEQ 715194045007]
			S: B OK [READ-WRITE] done`,
			`{3857529045 4392 172 715194045007 false false false [\Answered \Seen $Forwarded] [\Deleted \* a]b]   0}`},
		"netease": {SelectOptions{ReadOnly: true}, `
			C: B EXAMINE "INBOX"
			S: * 3 EXISTS
			S: * OK [UIDVALIDITY 1] x
			S: B OK [READ-ONLY] done`,
			`{1 0 3 0 false false true [] []   0}`},
		"zeroes and nonsense": {SelectOptions{CondStore: true}, `
			C: B SELECT "INBOX" (CONDSTORE)
			S: * -1 EXISTS
			S: * OK [UIDVALIDITY 0]
			S: * OK [UIDNEXT 0]
			S: * OK [UIDVALIDITY 4294967296]
			S: * OK [NOMODSEQ]
			S: * OK [HIGHESTMODSEQ -1]
			S: * FLAGS NIL
			S: * OK [MAILBOXID (F2212ea87)]
			S: * OK [UIDNOTSTICKY]
			S: B OK`,
			`{0 0 0 0 true true false [] [] F2212ea87  0}`},
		"another was open": {SelectOptions{}, `
			C: B SELECT "INBOX"
			S: * 9 EXISTS
			S: * OK [UIDNEXT 9] x
			S: * OK [CLOSED] x
			S: * 4 EXISTS
			S: * OK [UIDVALIDITY 7] x
			S: B OK`,
			`{7 0 4 0 false false false [] []   0}`},
		"qresync": {SelectOptions{QResync: &QResync{UIDValidity: 7, ModSeq: 90, Known: UIDs(1, 2, 3, 9)}}, `
			C: B SELECT "INBOX" (QRESYNC (7 90 1:3,9))
			S: * OK [UIDVALIDITY 7] x
			S: * VANISHED (EARLIER) 41,43:116,118
			S: * 2 FETCH (UID 117 FLAGS (\Seen) MODSEQ (91))
			S: * 3 FETCH (UID
			S: * 3 FETCH (FLAGS (\Seen))
			S: B OK [HIGHESTMODSEQ 91] x`,
			`{7 0 0 91 false false false [] []  41,43:116,118 2} 117`},
		"qresync without UIDs": {SelectOptions{QResync: &QResync{UIDValidity: 7, ModSeq: 90}}, `
			C: B SELECT "INBOX" (QRESYNC (7 90))
			S: B OK [READ-WRITE]`,
			`{0 0 0 0 false false false [] []   0}`},
		"refused": {SelectOptions{}, `
			C: B SELECT "INBOX"
			S: B NO [NONEXISTENT] SELECT Unsafe Login`,
			`server refused SELECT: [NONEXISTENT] SELECT Unsafe Login`},
	} {
		t.Run(name, func(t *testing.T) {
			dialogue(t, Options{}, "S: * OK\n"+tt.said, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				var changed strings.Builder
				tt.o.Changed = func(m *Message) error {
					fmt.Fprintf(&changed, " %d", m.UID)
					return nil
				}
				got, err := c.Select(context.Background(), "INBOX", tt.o)
				text := fmt.Sprint(got) + changed.String()
				if err != nil {
					text = err.Error()
				}
				equal(t, "selected", text, tt.want)
			})
		})
	}
}

func TestUnselect(t *testing.T) {
	dialogue(t, Options{}, `
		S: * OK [CAPABILITY IMAP4rev1 UNSELECT] x
		C: B UNSELECT
		S: B OK
		C: C NOOP
		S: C OK [CAPABILITY IMAP4rev1] x
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		noError(t, c.Unselect(context.Background()))
		noError(t, c.Noop(context.Background()))
		if c.Unselect(context.Background()) == nil {
			t.Error("UNSELECT was sent to a server without it")
		}
	})
}
