package mailtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// profiled serves n messages of 20 octets, with UIDs from 1, and logs in.
func profiled(t *testing.T, o IMAPOptions, n int) (*IMAP, *imapTalk) {
	t.Helper()
	s := startIMAP(t, o)
	for range n {
		s.Account("ada").Mailbox("INBOX").Put(IMAPMessage{Octets: []byte("Subject: x\r\n\r\n.dot\r\n"), Date: imapTime(t)})
	}
	return s, loginIMAP(t, s)
}

// opens selects INBOX and returns what was said.
func (c *imapTalk) opens() string {
	c.tb.Helper()
	c.send("open SELECT INBOX\r\n")
	var said strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.tb.Fatalf("SELECT: %v after %q", err, said.String())
		}
		said.WriteString(line)
		if strings.HasPrefix(line, "open ") {
			return said.String()
		}
	}
}

func TestProfileNetEase(t *testing.T) {
	_, c := profiled(t, ProfileNetEase(), 1)
	for _, command := range []string{"SELECT INBOX", "EXAMINE INBOX", "STATUS INBOX (MESSAGES)"} {
		verb, _, _ := strings.Cut(command, " ")
		c.play("C: a " + command + "\nS~: a NO " + verb + " Unsafe Login.*")
	}
	c.play(`
		C: b ID NIL
		S~: .*
		S~: b OK .*
		C: c SELECT INBOX
		S~: c NO .*
		C: d ID ("name" "test")
		S~: .*
		S~: d OK .*
		C: e STATUS INBOX (MESSAGES UIDNEXT)
		S: * STATUS "INBOX" ()
		S~: e OK .*
		C: f IDLE
		S~: f BAD .*`)
	if said := c.opens(); strings.Contains(said, "UIDNEXT") || !strings.Contains(said, "open OK") {
		t.Errorf("SELECT said %q", said)
	}
}

func TestProfileQQ(t *testing.T) {
	o := ProfileQQ()
	s, c := profiled(t, o, 3)
	c.opens()
	c.play(`
		C: a UID SEARCH UID 2
		S: * SEARCH 1 2 3
		S~: a OK .*
		C: b UID FETCH 3:1 UID
		S~: b BAD .*
		C: c UID SEARCH UID 3:1
		S~: c BAD .*`)
	talkIMAP(t, s).play("S~: .*CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=LOGIN AUTH=XOAUTH2[]].*\nC: l LOGIN ada secret\nS~: l OK .* XLIST .*")

	o.Quirks.LoginEvery = time.Hour
	s, _ = profiled(t, o, 0)
	c = talkIMAP(t, s)
	c.play("S~: .*\nC: l LOGIN ada secret\nS~: [*] BYE .*")
	c.ended()
}

func TestProfileGmailIMAP(t *testing.T) {
	o := ProfileGmailIMAP()
	s, c := profiled(t, o, 0)
	a := s.Account("ada")
	id := a.Deliver(IMAPMessage{Octets: []byte("x\r\n")}, "INBOX", "[Gmail]/Starred", "Läden & so")
	a.Deliver(IMAPMessage{Octets: []byte("y\r\n")})
	if said := c.opens(); !strings.Contains(said, "* OK [HIGHESTMODSEQ 2]\r\n") {
		t.Errorf("SELECT said %q", said)
	}
	c.play(fmt.Sprintf(`
		C: a UID FETCH 1 (X-GM-MSGID X-GM-LABELS)
		S: * 1 FETCH (UID 1 X-GM-MSGID %d X-GM-LABELS ("L&AOQ-den &- so" "\\Starred"))
		S~: a OK .*
		C: b ENABLE QRESYNC
		S: * ENABLED
		S~: b OK .*
		C: c LIST "" "[Gmail]*"
		S: * LIST (\HasChildren \Noselect) "/" "[Gmail]"
		S: * LIST (\HasNoChildren \All) "/" "[Gmail]/All Mail"`, id) + strings.Repeat("\nS~: [*] LIST .*", 6) + `
		S~: c OK .*
		C: d UID MOVE 1 "[Gmail]/Trash"
		S: * 1 EXPUNGE
		S~: d OK \[COPYUID [0-9]+ 1 1\] .*`)
	if a.Mailbox("[Gmail]/All Mail").Len() != 1 || a.Mailbox("Läden & so").Len() != 0 || a.Mailbox("[Gmail]/Trash").Len() != 1 {
		t.Error("a message in the Trash is elsewhere too")
	}
	for range 14 {
		loginIMAP(t, s)
	}
	talkIMAP(t, s).play("S~: .*\nC: l LOGIN ada secret\nS: l NO [ALERT] Too many simultaneous connections. (Failure)")
}

func TestProfileM365(t *testing.T) {
	o := ProfileM365()
	o.Quirks.ThrottleAfter = 8
	s, c := profiled(t, o, 2)
	c.opens()
	c.play(`
		C: a UID FETCH 1 RFC822.SIZE
		S: * 1 FETCH (UID 1 RFC822.SIZE 355)
		S~: a OK .*`)
	s.Account("ada").Mailbox("INBOX").Add([]byte("x\r\n"))
	c.play(`
		C: b IDLE
		S: * 2 EXISTS
		S: * 3 EXISTS
		S: + idling
		C: DONE
		S~: b OK .*
		C: c UID MOVE 1 INBOX
		S~: \[COPYUID [0-9]+ 1 4\]
		S: * 1 EXPUNGE
		S: * 3 EXISTS
		S~: c OK .*
		C: d NOOP
		S~: d OK .*
		C: e NOOP
		S~: e OK .*
		C: f NOOP
		S~: f OK .*
		C: g NOOP
		S: g NO Request is throttled. Suggested Backoff Time: 90000 milliseconds
		S: * BYE Connection closed. 14`)
	c.ended()

	o = ProfileM365()
	o.Quirks.NotConnected = func(session int) bool { return session == 1 }
	s, c = profiled(t, o, 0)
	c.play("C: a SELECT INBOX\nS: a BAD User is authenticated but not connected.")
	loginIMAP(t, s).opens()
}

func TestProfileICloud(t *testing.T) {
	_, c := profiled(t, ProfileICloud(), 1)
	c.play("C: a ENABLE QRESYNC\nS: a OK enabled")
	c.opens()
	c.play(`
		C: b UID FETCH 1 RFC822
		S: b OK fetched
		C: c UID FETCH 1 BODY.PEEK[]<0.3>
		S: * 1 FETCH (UID 1 BODY[]<0> {3}
		S: Sub)
		S: c OK fetched`)
}

func TestProfileYahoo(t *testing.T) {
	o := ProfileYahoo()
	o.Quirks.Window = 3
	o.Quirks.Unavailable = func(_ string, uid uint32) bool { return uid == 4 }
	o.Quirks.Other = func(uid uint32) uint32 { return max(uid, 5) }
	s, c := profiled(t, o, 5)
	s.Account("ada").Mailbox("INBOX").Remove(5)
	s.Account("ada").Mailbox("INBOX").Put(IMAPMessage{Octets: []byte("six\r\n")})
	c.play("C: s STATUS INBOX (MESSAGES)\nS: * STATUS \"INBOX\" (MESSAGES 3)\nS~: s OK .*")
	if said := c.opens(); !strings.Contains(said, "* 3 EXISTS") {
		t.Errorf("SELECT said %q", said)
	}
	o.Quirks.Other = nil
	c.play(`
		C: a UID FETCH 1:* UID
		S: * 1 FETCH (UID 3)
		S: * 2 FETCH (UID 4)
		S: * 3 FETCH (UID 6)
		S: a OK fetched
		C: b UID FETCH 4:6 BODY.PEEK[]
		S: * 3 FETCH (UID 6 BODY[] {5}
		S: six
		S: )
		S~: b NO \[UNAVAILABLE\] .*
		C: c UID FETCH 4 RFC822.SIZE
		S: * 2 FETCH (UID 4 RFC822.SIZE 20)
		S: c OK fetched`)

	o = ProfileYahoo()
	o.Quirks.Other = func(uint32) uint32 { return 1 }
	s, c = profiled(t, o, 0)
	s.Account("ada").Mailbox("INBOX").Add([]byte("1\r\n"))
	s.Account("ada").Mailbox("INBOX").Add([]byte("2\r\n"))
	c.opens()
	c.play("C: a UID FETCH 2 BODY.PEEK[]<0.1>\nS: * 2 FETCH (UID 2 BODY[]<0> {1}\nS: 1)\nS: a OK fetched")
}

func TestProfileYandex(t *testing.T) {
	s, c := profiled(t, ProfileYandex(), 3)
	c.opens()
	c.play(`
		C: a UID FETCH 3 (BODY.PEEK[] FLAGS)
		S: * 3 FETCH (UID 3 FLAGS ())
		S: a OK fetched
		C: b LOGOUT
		S~: \* BYE .*
		S~: b OK .*
		S~: \* BYE .*
		S~: \* BYE .*
		S~: \* BYE .*`)
	c = loginIMAP(t, s)
	c.opens()
	c.play("C: a UID FETCH 3 BODY.PEEK[]<0.1>\nS: * 3 FETCH (UID 3 BODY[]<0> {1}\nS: S)\nS: a OK fetched")
}

func TestProfileMailRu(t *testing.T) {
	s, c := profiled(t, ProfileMailRu(), 1)
	s.Account("ada").Mailbox("INBOX").Add(make([]byte, 9373600))
	c.opens()
	c.play(`
		C: a UID FETCH 1:2 RFC822.SIZE
		S: * 1 FETCH (UID 1 RFC822.SIZE 20)
		S: * 2 FETCH (UID 2 RFC822.SIZE 9.3736e+06)
		S: a OK fetched
		C: b IDLE
		S~: b BAD .*`)
}

func TestProfileProton(t *testing.T) {
	s, c := profiled(t, ProfileProton(), 2)
	c.play(`
		C: a LIST "" * RETURN (SPECIAL-USE)
		S~: a BAD .*
		C: b LIST (SPECIAL-USE) "" *
		S~: b BAD .*
		C: c LIST "" *
		S: * LIST (\HasNoChildren) "/" "INBOX"
		S: c OK listed`)
	inbox := s.Account("ada").Mailbox("INBOX")
	inbox.Remove(1)
	inbox.Renumber(5)
	if said := c.opens(); !strings.Contains(said, "[UIDVALIDITY 5]") || !strings.Contains(said, "[UIDNEXT 2]") {
		t.Errorf("SELECT said %q", said)
	}
}

func TestProfilesAtTheLine(t *testing.T) {
	_, c := profiled(t, ProfileStrato(), 0)
	c.play("C: a LIST \"\" INBOX RETURN (CHILDREN)\nS: a OK listed\nC: b LIST \"\" INBOX\nS~: [*] LIST .*\nS: b OK listed")

	s, _ := profiled(t, ProfileDovecotLimit(), 0)
	for range 8 {
		loginIMAP(t, s)
	}
	last := loginIMAP(t, s)
	talkIMAP(t, s).play("S~: .*\nC: l LOGIN ada secret\nS~: l NO \\[UNAVAILABLE\\] Maximum number of connections .*")
	last.play("C: a LOGOUT\nS~: .*\nS~: a OK .*")
	last.ended()
	loginIMAP(t, s)

	s, c = profiled(t, ProfileCourier(), 0)
	s.Account("ada").Mailbox("a.b")
	c.play("C: a LIST \"\" a.%\nS: * LIST (\\HasNoChildren) \".\" \"a.b\"\nS: a OK listed")
	if said := c.opens(); strings.Contains(said, "UIDNEXT") || strings.Contains(said, "MODSEQ") {
		t.Errorf("SELECT said %q", said)
	}

	s, c = profiled(t, ProfileIdleDead(), 0)
	c.opens()
	c.play("C: a IDLE\nS: + idling")
	s.Account("ada").Mailbox("INBOX").Add([]byte("x"))
	c.send("DONE\r\nb NOOP\r\n")
	_ = c.conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	if line, err := c.r.ReadString('\n'); err == nil || line != "" {
		t.Errorf("the dead line said %q", line)
	}
}

// TestIMAPQuirksAlone: quirks that no profile has by itself.
func TestIMAPQuirksAlone(t *testing.T) {
	_, c := profiled(t, IMAPOptions{Quirks: IMAPQuirks{UIDLast: true, Flags: "FLAGS NIL"}}, 1)
	if said := c.opens(); !strings.HasPrefix(said, "* FLAGS NIL\r\n") {
		t.Errorf("SELECT said %q", said)
	}
	c.play("C: a UID FETCH 1 (BODY.PEEK[]<0.1> FLAGS)\nS: * 1 FETCH (BODY[]<0> {1}\nS: S FLAGS () UID 1)\nS: a OK fetched")
}

func TestIMAPNotify(t *testing.T) {
	s, c := profiled(t, IMAPOptions{}, 0)
	a := s.Account("ada")
	lists, other := a.Mailbox("Lists/a"), a.Mailbox("Other")
	c.play(`
		C: a NOTIFY SET STATUS (selected (MessageNew MessageExpunge FlagChange)) (subtree Lists (MessageNew MessageExpunge MailboxName))
		S~: \* STATUS "Lists/a" \(MESSAGES 0 UIDNEXT 1 .*
		S: a OK notices from here`)
	lists.Add([]byte("x\r\n"))
	other.Add([]byte("x\r\n"))
	a.Mailbox("Lists/b")
	c.play(`
		C: b NOOP
		S~: \* STATUS "Lists/a" \(MESSAGES 1 UIDNEXT 2 .*
		S: * LIST () "/" "Lists/b"
		S: b OK nothing done`)
	a.Rename("Lists/b", "Lists/c")
	a.Delete("Lists/a")
	c.play(`
		C: c NOOP
		S: * LIST (\NonExistent) "/" "Lists/a"
		S: * LIST () "/" "Lists/c" ("OLDNAME" ("Lists/b"))
		S: c OK nothing done
		C: d NOTIFY NONE
		S: d OK no notices`)
	a.Mailbox("Lists/c").Add([]byte("x\r\n"))
	c.play("C: e NOOP\nS: e OK nothing done\nC: f NOTIFY SET (nonsense)\nS~: f BAD .*")
}

// TestIMAPLabels: what a mailbox is called as a label.
func TestIMAPLabels(t *testing.T) {
	s := startIMAP(t, ProfileGmailIMAP())
	a := s.Account("ada")
	a.Deliver(IMAPMessage{Octets: []byte("x"), Labels: []string{"own"}}, "INBOX", "[Gmail]/Sent Mail", "[Gmail]/Important")
	defer a.lock()()
	all := a.mailboxes["[Gmail]/All Mail"]
	got := a.gmailLabels(all, all.messages[0])
	if want := []string{`\Important`, `\Inbox`, `\Sent`, "own"}; !slices.Equal(got, want) {
		t.Errorf("labels %q, want %q", got, want)
	}
}
