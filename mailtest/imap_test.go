package mailtest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// imapTalk speaks IMAP by transcript: what the tests judge the server by.
type imapTalk struct {
	tb   testing.TB
	conn net.Conn
	r    *bufio.Reader
	past []string
}

func startIMAP(tb testing.TB, o IMAPOptions) *IMAP {
	tb.Helper()
	if o.Users == nil {
		o.Users = map[string]string{"ada": "secret"}
	}
	s := NewIMAP(o)
	if err := s.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// talkIMAP connects and reads nothing.
func talkIMAP(tb testing.TB, s *IMAP) *imapTalk {
	tb.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		tb.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	tb.Cleanup(func() { _ = conn.Close() })
	return &imapTalk{tb: tb, conn: conn, r: bufio.NewReader(conn)}
}

// loginIMAP connects as ada.
func loginIMAP(tb testing.TB, s *IMAP) *imapTalk {
	tb.Helper()
	c := talkIMAP(tb, s)
	c.play(`
		S~: \* OK .*
		C: l LOGIN ada secret
		S~: l OK .*`)
	return c
}

// play sends each "C:" line, and reads each "S:" line, which must be the server's
// next, or match if it is "S~:". "RAW:" sends a Go string as it is; "READ:" reads
// the octets of one.
func (c *imapTalk) play(script string) {
	c.tb.Helper()
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		kind, text, _ := strings.Cut(line, ":")
		text = strings.TrimPrefix(text, " ")
		switch kind {
		case "C":
			c.send(text + "\r\n")
		case "RAW":
			raw, err := strconv.Unquote(text)
			if err != nil {
				c.tb.Fatalf("script: %s: %v", line, err)
			}
			c.send(raw)
		case "READ":
			want, err := strconv.Unquote(text)
			if err != nil {
				c.tb.Fatalf("script: %s: %v", line, err)
			}
			got := make([]byte, len(want))
			_, err = io.ReadFull(c.r, got)
			c.compare(line, want, string(got), string(got) == want, err)
		case "S", "S~":
			got, err := c.r.ReadString('\n')
			got, ended := strings.CutSuffix(got, "\r\n")
			same := ended && got == text
			if kind == "S~" {
				same = ended && regexp.MustCompile("^(?:"+text+")$").MatchString(got)
			}
			c.compare(line, text, got, same, err)
		case "":
		default:
			c.tb.Fatalf("script: %q", line)
		}
		c.past = append(c.past, line)
	}
}

func (c *imapTalk) send(text string) {
	c.tb.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.tb.Fatal(err)
	}
}

func (c *imapTalk) compare(line, want, got string, same bool, err error) {
	c.tb.Helper()
	if err == nil && same {
		return
	}
	past := c.past[max(0, len(c.past)-12):]
	c.tb.Fatalf("the server deviates (error %v):\n  %s\n- %s\n+ S: %s", err, strings.Join(past, "\n  "), line, got)
}

// ended checks that the server has closed the line, and returns what came before.
func (c *imapTalk) ended() string {
	c.tb.Helper()
	rest, err := io.ReadAll(c.r)
	if err != nil {
		c.tb.Fatalf("the line did not end: %v after %q", err, rest)
	}
	return string(rest)
}

const imapDate = "17-Jul-1996 02:44:25 -0700"

func imapTime(tb testing.TB) time.Time {
	tb.Helper()
	date, err := time.Parse("_2-Jan-2006 15:04:05 -0700", imapDate)
	if err != nil {
		tb.Fatal(err)
	}
	return date
}

func TestIMAPBasicSession(t *testing.T) {
	s := startIMAP(t, IMAPOptions{Without: []string{"CONDSTORE", "QRESYNC"}})
	inbox := s.Account("ada").Mailbox("inbox")
	inbox.Put(IMAPMessage{Octets: []byte("Subject: one\r\nX-A: 1\r\n\r\nbody\r\n"), Flags: []string{`\Seen`, "$Junk"}, Date: imapTime(t)})
	inbox.SkipUIDs(5)
	inbox.Put(IMAPMessage{Octets: []byte{}, Date: imapTime(t)})
	c := talkIMAP(t, s)
	c.play(`
		S~: \* OK \[CAPABILITY IMAP4rev1 .*\] mailtest ready
		C: a SELECT INBOX
		S~: a BAD .*
		C: a LOGIN ada wrong
		S: a NO [AUTHENTICATIONFAILED] login refused
		C: a login "ada" {6+}
		C: secret
		S~: a OK \[CAPABILITY .*\] welcome
		C: b SELECT "inbox"
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Junk)
		S: * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Junk \*)] these last
		S: * 2 EXISTS
		S: * 0 RECENT
		S: * OK [UNSEEN 2] is the first
		S: * OK [UIDVALIDITY 1001] UIDs are valid
		S: * OK [UIDNEXT 8] is the next UID
		S: b OK [READ-WRITE] it is open
		C: c UID FETCH 1:* (FLAGS RFC822.SIZE INTERNALDATE)
		S: * 1 FETCH (UID 1 FLAGS (\Seen $Junk) RFC822.SIZE 30 INTERNALDATE "17-Jul-1996 02:44:25 -0700")
		S: * 2 FETCH (UID 7 FLAGS () RFC822.SIZE 0 INTERNALDATE "17-Jul-1996 02:44:25 -0700")
		S: c OK fetched
		C: d FETCH 1 (BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[TEXT]<1.3> BODY.PEEK[])
		S: * 1 FETCH (BODY[HEADER.FIELDS (SUBJECT)] {16}
		READ: "Subject: one\r\n\r\n"
		S:  BODY[TEXT]<1> {3}
		S: ody BODY[] {30}
		READ: "Subject: one\r\nX-A: 1\r\n\r\nbody\r\n"
		S: )
		S: d OK fetched
		C: e UID FETCH 900:* UID
		S: * 2 FETCH (UID 7)
		S: e OK fetched
		C: f FETCH 3 UID
		S~: f BAD .*
		C: g UID FETCH 2:6 (UID)
		S: g OK fetched
		C: h UID FETCH 7 (BODY[])
		S: * 2 FETCH (UID 7 BODY[] {0}
		S: )
		S: * 2 FETCH (FLAGS (\Seen))
		S: h OK fetched
		C: i FETCH 1 ENVELOPE
		S~: i BAD .*
		C: j LOGOUT
		S~: \* BYE .*
		S: j OK logged out`)
	c.ended()
	if got := s.Counts(); got.Logins != 1 || got.Refused != 1 || got.Commands["UID FETCH"] != 4 || got.Cleartext != 2 {
		t.Errorf("counts %+v", got)
	}
}

func TestIMAPStoreAndExpunge(t *testing.T) {
	s := startIMAP(t, IMAPOptions{})
	inbox := s.Account("ada").Mailbox("INBOX")
	for range 4 {
		inbox.Add([]byte("x\r\n"))
	}
	c := loginIMAP(t, s)
	other := loginIMAP(t, s)
	selected := "S: %s OK [READ-WRITE] it is open"
	open := func(c *imapTalk) {
		c.play("C: s SELECT INBOX\n" + strings.Repeat("S~: [*].*\n", 8) + fmt.Sprintf(selected, "s"))
	}
	open(c)
	open(other)
	c.play(`
		C: a UID STORE 2,4,99 +FLAGS.SILENT (\Deleted)
		S: a OK stored
		C: b STORE 1 FLAGS (\Flagged)
		S: * 1 FETCH (FLAGS (\Flagged))
		S: b OK stored
		C: c UID STORE 1 -FLAGS \flagged
		S: * 1 FETCH (UID 1 FLAGS ())
		S: c OK stored
		C: d UID EXPUNGE 1:3
		S: * 2 EXPUNGE
		S: d OK expunged`)
	inbox.Add([]byte("y\r\n"))
	other.play(`
		C: a FETCH 2 FLAGS
		S: * 2 FETCH (FLAGS (\Deleted))
		S: * 1 FETCH (FLAGS ())
		S: * 4 FETCH (FLAGS (\Deleted))
		S: * 5 EXISTS
		S: a OK fetched
		C: b UID FETCH 2 FLAGS
		S: * 2 EXPUNGE
		S: b OK fetched
		C: c EXPUNGE
		S: * 3 EXPUNGE
		S: c OK expunged
		C: d CLOSE
		S: d OK closed
		C: e EXPUNGE
		S~: e BAD .*`)
	got := inbox.Messages()
	if len(got) != 3 || got[0].UID != 1 || got[1].UID != 3 || got[2].UID != 5 {
		t.Errorf("left: %v", got)
	}
	c.play(`
		C: x EXAMINE INBOX
		S~: [*].*
		S: * OK [PERMANENTFLAGS ()] none can be changed
		S~: [*].*
		S~: [*].*
		S~: [*].*
		S~: [*].*
		S~: [*].*
		S~: [*].*
		S: x OK [READ-ONLY] it is open
		C: y UID STORE 1 +FLAGS (\Deleted)
		S~: y NO \[READ-ONLY\] .*
		C: z FETCH 1 BODY[]
		S~: .*
		S: x
		S: )
		S: z OK fetched`)
	if len(inbox.Messages()[0].Flags) != 0 {
		t.Error("EXAMINE changed flags")
	}
}

func TestIMAPCopyMoveAppend(t *testing.T) {
	s := startIMAP(t, IMAPOptions{Without: []string{"CONDSTORE", "QRESYNC"}})
	a := s.Account("ada")
	inbox, archive := a.Mailbox("INBOX"), a.Mailbox("Entwürfe/für & wider")
	for i := range 5 {
		inbox.Put(IMAPMessage{Octets: fmt.Appendf(nil, "%d\r\n", i), Flags: []string{`\Seen`}, Date: imapTime(t)})
	}
	archive.SkipUIDs(9)
	c := loginIMAP(t, s)
	c.play(`
		C: s SELECT INBOX
		S~: [*].*
		S~: [*].*
		S~: [*].*
		S~: [*].*
		S~: [*].*
		S~: [*].*
		S: s OK [READ-WRITE] it is open
		C: a UID COPY 2:3 "Entw&APw-rfe/f&APw-r &- wider"
		S: a OK [COPYUID 1002 2:3 10:11] copied
		C: b UID COPY 1 nowhere
		S~: b NO \[TRYCREATE\] .*
		C: c UID MOVE 4,1,77 "Entw&APw-rfe/f&APw-r &- wider"
		S: * OK [COPYUID 1002 1,4 12:13] copied
		S: * 1 EXPUNGE
		S: * 3 EXPUNGE
		S: c OK moved
		C: d APPEND INBOX (\Seen $X) "17-Jul-1996 02:44:25 -0700" {4}
		S~: \+ .*
		RAW: "abc\n\r\n"
		S: * 4 EXISTS
		S: d OK [APPENDUID 1001 6] appended
		C: e APPEND nowhere {3+}
		RAW: "abc\r\n"
		S~: e NO \[TRYCREATE\] .*
		C: f UID FETCH 6 (FLAGS INTERNALDATE BODY.PEEK[])
		S: * 4 FETCH (UID 6 FLAGS (\Seen $X) INTERNALDATE "17-Jul-1996 02:44:25 -0700" BODY[] {4}
		READ: "abc\n"
		S: )
		S: f OK fetched`)
	got := archive.Messages()
	texts := ""
	for _, m := range got {
		texts += strings.TrimSpace(string(m.Octets))
		if !slices.Equal(m.Flags, []string{`\Seen`}) || !m.Date.Equal(imapTime(t)) {
			t.Errorf("copied with flags %v and date %v", m.Flags, m.Date)
		}
	}
	if texts != "1203" || got[0].UID != 10 {
		t.Errorf("copied %q from UID %d on", texts, got[0].UID)
	}
}
