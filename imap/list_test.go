package imap

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func mailboxes(list []Mailbox) string {
	var s strings.Builder
	for _, m := range list {
		fmt.Fprintf(&s, "%q %q %q %q", m.Wire, m.Name, m.Delimiter, m.Attributes)
		if m.Status != nil {
			fmt.Fprintf(&s, " %+v", *m.Status)
		}
		s.WriteString("\n")
	}
	return s.String()
}

func TestList(t *testing.T) {
	const status = StatusMessages | StatusUIDNext | StatusUIDValidity | StatusHighestModSeq
	for name, tt := range map[string]struct {
		caps, said, want string
		request          ListRequest
	}{
		"one round trip": {"LIST-EXTENDED LIST-STATUS SPECIAL-USE CONDSTORE", `
			C: B LIST "" ("INBOX" "Entw&APw-rfe/*") RETURN (SPECIAL-USE STATUS (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ))
			S: * LIST (\HasNoChildren) "/" inbox
			S: * STATUS INBOX (MESSAGES 3 UIDNEXT 9 UIDVALIDITY 7 HIGHESTMODSEQ 715194045007)
			S: * LIST (\Drafts) "/" "Entw&APw-rfe/a b" ("CHILDINFO" ("SUBSCRIBED"))
			S~ "* STATUS {16}\r\nEntw&APw-rfe/a b (UIDNEXT 0 MESSAGES 4294967296 UNSEEN 1.0e1 X-FOO (1 2))\r\n"
			S: * LIST (\Noselect) NIL {1}
			S~ "*\r\n"
			S: B OK`, `
			"inbox" "INBOX" "/" ["\\HasNoChildren"] {Has:10111 Messages:3 UIDNext:9 UIDValidity:7 Unseen:0 HighestModSeq:715194045007 Size:0}
			"Entw&APw-rfe/a b" "Entwürfe/a b" "/" ["\\Drafts"] {Has:1000 Messages:0 UIDNext:0 UIDValidity:0 Unseen:10 HighestModSeq:0 Size:0}
			"*" "*" "" ["\\Noselect"]`,
			ListRequest{[]string{"INBOX", "Entwürfe/*"}, status}},
		"plain, with STATUS in flight": {"", `
			C: B LIST "" "INBOX"
			C: C LIST "" "*"
			S: * LIST () "." INBOX
			S: B OK
			S: * LIST (\Marked) "." INBOX
			S: * LIST (\NoSelect) "." a
			S: * LIST () "." bad&name
			S: * LIST () "." with space [x]
			S: * LIST () "." &bad&-
			S: C OK
			C: D STATUS "INBOX" (MESSAGES UIDNEXT UIDVALIDITY)
			C: E STATUS "bad&name" (MESSAGES UIDNEXT UIDVALIDITY)
			C: F STATUS "with space [x]" (MESSAGES UIDNEXT UIDVALIDITY)
			C: G STATUS "&bad&-" (MESSAGES UIDNEXT UIDVALIDITY)
			S: * STATUS "INBOX" (MESSAGES 3)
			S: D OK
			S: * STATUS bad&name ()
			S: E OK
			S: F NO
			S: * STATUS "&bad&-"
			S: G OK`, `
			"INBOX" "INBOX" "." ["\\Marked"] {Has:1 Messages:3 UIDNext:0 UIDValidity:0 Unseen:0 HighestModSeq:0 Size:0}
			"a" "a" "." ["\\NoSelect"]
			"bad&name" "bad&name" "." [] {Has:0 Messages:0 UIDNext:0 UIDValidity:0 Unseen:0 HighestModSeq:0 Size:0}
			"with space [x]" "with space [x]" "." []
			"&bad&-" "&bad&-" "." [] {Has:0 Messages:0 UIDNext:0 UIDValidity:0 Unseen:0 HighestModSeq:0 Size:0}`,
			ListRequest{[]string{"INBOX", "*"}, status}},
		"extended and empty, as strato": {"LIST-EXTENDED SPECIAL-USE", `
			C: B LIST "" "INBOX" RETURN (SPECIAL-USE)
			S: B OK
			C: C LIST "" "INBOX"
			S: * LIST () "." INBOX
			S: C OK`, `
			"INBOX" "INBOX" "." []`,
			ListRequest{[]string{"INBOX"}, 0}},
		"extended and BAD, as Proton": {"LIST-EXTENDED SPECIAL-USE", `
			C: B LIST "" "INBOX" RETURN (SPECIAL-USE)
			S: B BAD what
			C: C LIST "" "INBOX"
			S: * LIST () "." INBOX
			S: C OK`, `
			"INBOX" "INBOX" "." []`,
			ListRequest{[]string{"INBOX"}, 0}},
		"eight bits without leave": {"LITERAL+", `
			C: B LIST "" "*"
			S~ "* LIST () \"/\" \"\xff\xfe\"\r\n* LIST () NIL \"é\"\r\n"
			S: B OK
			C: C STATUS {2+}
			C~ "\xff\xfe (UIDNEXT)\r\n"
			C: D STATUS {2+}
			C~ "é (UIDNEXT)\r\n"
			S: C OK
			S: D OK`, `
			"\xff\xfe" "\xff\xfe" "/" []
			"é" "é" "" []`,
			ListRequest{[]string{"*"}, StatusUIDNext}},
		"names that have to wait": {"", `
			C: B LIST "" "*"
			S~ "* LIST () \"/\" \"b\"\r\n* LIST () NIL \"é\"\r\n* LIST () NIL c\r\n"
			S: B OK
			C: C STATUS "b" (UIDNEXT)
			S: C OK
			C: D STATUS {2}
			S: +
			C~ "é (UIDNEXT)\r\n"
			C: E STATUS "c" (UIDNEXT)
			S: * STATUS "é" (UIDNEXT 4)
			S: D OK
			S: E OK`, `
			"b" "b" "/" []
			"é" "é" "" [] {Has:10 Messages:0 UIDNext:4 UIDValidity:0 Unseen:0 HighestModSeq:0 Size:0}
			"c" "c" "" []`,
			ListRequest{[]string{"*"}, StatusUIDNext}},
	} {
		t.Run(name, func(t *testing.T) {
			dialogue(t, Options{}, "S: * OK [CAPABILITY IMAP4rev1 "+tt.caps+"] x\n"+tt.said, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				got, err := c.List(context.Background(), tt.request)
				noError(t, err)
				var s strings.Builder
				for l := range strings.Lines(mailboxes(got)) {
					// The bits are easier to read than their number.
					var n int
					if i := strings.Index(l, "Has:"); i >= 0 {
						fmt.Sscanf(l[i:], "Has:%d", &n)
						l = strings.Replace(l, fmt.Sprintf("Has:%d", n), fmt.Sprintf("Has:%b", n), 1)
					}
					s.WriteString(l)
				}
				equal(t, "mailboxes", s.String(), tt.want)
			})
		})
	}
}

func TestListRefused(t *testing.T) {
	dialogue(t, Options{}, `
		S: * OK [CAPABILITY IMAP4rev1] x
		C: A LIST "" "*"
		S: * LIST () "." INBOX
		S: A NO [NOPERM] not you
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		_, err = c.List(context.Background(), ListRequest{Patterns: []string{"*"}})
		if e := refusal(t, err); !e.Permanent() {
			t.Errorf("got %v", err)
		}
	})
}

// Lists without an end are cut.
func TestT38EndlessList(t *testing.T) {
	l := lister{index: make(map[Name]int)}
	for i := range maxMailboxes + 1 {
		err := l.add(Mailbox{Wire: Name(fmt.Sprint(i))})
		if (err != nil) != (i == maxMailboxes) {
			t.Fatalf("mailbox %d: %v", i, err)
		}
	}
	l = lister{index: make(map[Name]int)}
	for i := range 200 {
		if err := l.add(Mailbox{Wire: Name(fmt.Sprint(i, strings.Repeat("x", 60_000)))}); err != nil {
			return
		}
	}
	t.Error("long names have no end")
}

func TestSearch(t *testing.T) {
	for name, tt := range map[string]struct{ caps, said, want string }{
		"plain":      {"", "C: B UID SEARCH UID 5:*\nS: * SEARCH 9 7 5 6 3 (MODSEQ 917)\nS: * SEARCH\nS: * SEARCH 12\nS: B OK", "5:7,9,12"},
		"set":        {"ESEARCH", "C: B UID SEARCH RETURN (ALL) UID 5:*\nS: * ESEARCH (TAG \"A282\") UID MIN 1 COUNT 9 X (y) ALL 10:20,4,2:1\nS: B OK", "10:20"},
		"aol":        {"ESEARCH", "C: B UID SEARCH RETURN (ALL) UID 5:*\nS: * ESEARCH (TAG \"A282\") ALL 7,9\nS: B OK", "7,9"},
		"nothing":    {"ESEARCH", "C: B UID SEARCH RETURN (ALL) UID 5:*\nS: * ESEARCH (TAG \"A282\") UID\nS: B OK", ""},
		"too large":  {"", "C: B UID SEARCH UID 5:*\nS: * SEARCH 9 4294967296 5\nSTALL", "read response to UID SEARCH: a number that is no UID"},
		"zero":       {"ESEARCH", "C: B UID SEARCH RETURN (ALL) UID 5:*\nS: * ESEARCH ALL 0:5\nSTALL", "read response to UID SEARCH: a number that is no UID"},
		"no numbers": {"", "C: B UID SEARCH UID 5:*\nS: * SEARCH a b\nSTALL", "read response to UID SEARCH: a number that is no UID"},
		"refused":    {"", "C: B UID SEARCH UID 5:*\nS: B BAD no", "server did not understand UID SEARCH: no"},
	} {
		t.Run("T43 "+name, func(t *testing.T) {
			dialogue(t, Options{}, "S: * OK [CAPABILITY IMAP4rev1 "+tt.caps+"] x\n"+tt.said, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				got, err := c.Search(context.Background(), From(5))
				text := got.String()
				if err != nil {
					text = err.Error()
				}
				if text != tt.want {
					t.Errorf("got %s, want %s", text, tt.want)
				}
			})
		})
	}
}
