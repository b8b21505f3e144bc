package mailtest

import (
	"slices"
	"strings"
	"testing"
)

func TestIMAPList(t *testing.T) {
	s := startIMAP(t, IMAPOptions{})
	a := s.Account("ada")
	a.Mailbox("Lists/go/dev").Add([]byte("x\r\n"))
	a.Create("Gesendet é", `\Sent`)
	a.Create("Lists", `\Noselect`)
	c := loginIMAP(t, s)
	c.play(`
		C: a LIST "" ""
		S: * LIST (\Noselect) "/" ""
		S: a OK listed
		C: b LIST "" %
		S: * LIST (\HasNoChildren) "/" "INBOX"
		S: * LIST (\HasNoChildren \Sent) "/" "Gesendet &AOk-"
		S: * LIST (\HasChildren \Noselect) "/" "Lists"
		S: b OK listed
		C: c LIST Lists/ (% %/d*) RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT UIDVALIDITY UNSEEN SIZE HIGHESTMODSEQ))
		S: * LIST (\HasChildren \Noselect \NonExistent) "/" "Lists/go"
		S: * LIST (\HasNoChildren \Subscribed) "/" "Lists/go/dev"
		S: * STATUS "Lists/go/dev" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 1002 UNSEEN 1 SIZE 3 HIGHESTMODSEQ 2)
		S: c OK listed
		C: d LIST (SPECIAL-USE) "" *
		S: * LIST (\HasNoChildren \Sent) "/" "Gesendet &AOk-"
		S: * LIST (\HasChildren \Noselect) "/" "Lists"
		S: d OK listed
		C: e STATUS inbox (MESSAGES)
		S: * STATUS "INBOX" (MESSAGES 0)
		S: e OK that is it
		C: f STATUS Lists (MESSAGES)
		S~: f NO .*
		C: g STATUS INBOX (NONSENSE)
		S~: g BAD .*
		C: h ENABLE UTF8=ACCEPT X-UNKNOWN
		S: * ENABLED UTF8=ACCEPT
		S: h OK enabled
		C: i LIST "" Ges*é
		S: * LIST (\HasNoChildren \Sent) "/" "Gesendet é"
		S: i OK listed
		C: j CREATE new/one/
		S: j OK done
		C: k CREATE new/one
		S~: k NO \[ALREADYEXISTS\] .*
		C: l RENAME new/one new/two
		S: l OK done
		C: m UNSUBSCRIBE new/two
		S: m OK done
		C: n LSUB "" new/*
		S: n OK listed
		C: o DELETE new/two
		S: o OK done
		C: p DELETE INBOX
		S~: p NO .*
		C: q NAMESPACE
		S: * NAMESPACE (("" "/")) NIL NIL
		S: q OK done`)
	if got := a.Mailboxes(); !slices.Equal(got, []string{"INBOX", "Gesendet é", "Lists", "Lists/go/dev"}) {
		t.Errorf("mailboxes %q", got)
	}
}

func TestIMAPSearch(t *testing.T) {
	s := startIMAP(t, IMAPOptions{})
	inbox := s.Account("ada").Mailbox("INBOX")
	for i := range 6 {
		inbox.Put(IMAPMessage{UID: uint32(10 * (i + 1)), Octets: make([]byte, i), Flags: [][]string{nil, {`\Seen`}}[i%2]})
	}
	c := loginIMAP(t, s)
	c.play("C: s SELECT INBOX\n" + strings.Repeat("S~: [*].*\n", 8) + "S~: s OK .*")
	c.play(`
		C: a UID SEARCH 2:3 UNSEEN
		S: * SEARCH 30
		S: a OK searched
		C: b UID SEARCH RETURN (ALL) UID 15:*
		S: * ESEARCH (TAG "b") UID ALL 20,30,40,50,60
		S: b OK searched
		C: c SEARCH RETURN (MIN MAX COUNT) OR SEEN (LARGER 3 NOT UID 60)
		S: * ESEARCH (TAG "c") MIN 2 MAX 6 COUNT 4
		S: c OK searched
		C: d UID SEARCH RETURN () UID 1:9
		S: * ESEARCH (TAG "d") UID
		S: d OK searched
		C: e UID SEARCH MODSEQ 6
		S: * SEARCH 50 60 (MODSEQ 7)
		S: e OK searched
		C: f SEARCH SUBJECT x
		S~: f BAD .*
		C: g UID SEARCH UID 900:*
		S: * SEARCH 60
		S: g OK searched`)
}
