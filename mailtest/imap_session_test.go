package mailtest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestIMAPIdle(t *testing.T) {
	s := startIMAP(t, IMAPOptions{})
	inbox := s.Account("ada").Mailbox("INBOX")
	inbox.Add([]byte("x\r\n"))
	c := loginIMAP(t, s)
	c.play("C: s SELECT INBOX\n" + strings.Repeat("S~: [*].*\n", 8) + "S~: s OK .*")
	c.play(`
		C: a IDLE
		S: + idling`)
	inbox.Add([]byte("y\r\n"))
	c.play(`S: * 2 EXISTS`)
	inbox.SetFlags(1, `\Seen`)
	c.play(`S: * 1 FETCH (FLAGS (\Seen))`)
	inbox.Remove(1)
	c.play(`
		S: * 1 EXPUNGE
		C: DONE
		S: a OK IDLE ended
		RAW: "b IDLE\r\nDONE\r\nc NOOP\r\n"
		S: + idling
		S: b OK IDLE ended
		S: c OK nothing done
		C: d IDLE
		S: + idling
		C: nonsense
		S~: d BAD .*
		C: e IDLE
		S: + idling`)
	inbox.Renumber(77)
	c.play(`S~: \* BYE .*`)
	c.ended()
}

func TestIMAPStaleMailbox(t *testing.T) {
	s := startIMAP(t, IMAPOptions{Without: []string{"CONDSTORE", "QRESYNC"}})
	inbox := s.Account("ada").Mailbox("INBOX")
	inbox.Put(IMAPMessage{UID: 9, Octets: []byte("x\r\n")})
	open := "C: s SELECT INBOX\n" + strings.Repeat("S~: [*].*\n", 5) + "S: * OK [UIDVALIDITY %d] UIDs are valid\nS: * OK [UIDNEXT %d] is the next UID\nS~: s OK .*"
	c := loginIMAP(t, s)
	c.play(fmt.Sprintf(open, 1001, 10))
	inbox.Renumber(2000)
	c.play(fmt.Sprintf(open, 2000, 2))
	inbox.SetUIDValidity(2001)
	c.play(`
		C: a UID STORE 1 +FLAGS (\Deleted)
		S~: \* BYE .*`)
	c.ended()
	if m := inbox.Messages()[0]; m.UID != 1 || len(m.Flags) != 0 {
		t.Errorf("a message %+v", m)
	}
	c = loginIMAP(t, s)
	c.play("C: a CREATE x\nS: a OK done\nC: s SELECT x\n" + strings.Repeat("S~: [*].*\n", 6) + "S~: s OK .*")
	s.Account("ada").Delete("x")
	c.play("C: b NOOP\nS: b OK nothing done\nC: c UID FETCH 1 UID\nS~: [*] BYE .*")
}

func TestIMAPCompress(t *testing.T) {
	s := startIMAP(t, IMAPOptions{})
	c := loginIMAP(t, s)
	c.play(`
		C: a COMPRESS GZIP
		S~: a BAD .*
		C: b COMPRESS DEFLATE
		S: b OK compressed from here`)
	c.deflate()
	c.play(`
		C: c NOOP
		S: c OK nothing done
		C: d COMPRESS DEFLATE
		S~: d NO \[COMPRESSIONACTIVE\] .*
		C: e LOGOUT
		S~: \* BYE .*
		S~: e OK .*`)
}

func TestIMAPStartTLS(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	s := startIMAP(t, IMAPOptions{TLS: config, Mechanisms: []string{"PLAIN"}, NoLOGIN: true})
	c := talkIMAP(t, s)
	c.play(`
		S~: .* STARTTLS LOGINDISABLED AUTH=PLAIN\].*
		C: a LOGIN ada secret
		S~: a NO .*
		C: b STARTTLS
		S: b OK begin TLS`)
	c.conn = tls.Client(c.conn, ca.ClientTLS("localhost"))
	c.r = bufio.NewReader(c.conn)
	c.play(`
		C: c CAPABILITY
		S~: \* CAPABILITY .* LOGINDISABLED AUTH=PLAIN
		S: c OK that is all
		C: d STARTTLS
		S~: d BAD .*
		C: e AUTHENTICATE PLAIN
		S~: [+] ?
		C: AGFkYQBzZWNyZXQ=
		S~: e OK .*`)
	s = startIMAP(t, IMAPOptions{TLS: config, Implicit: true})
	c = talkIMAP(t, s)
	c.conn = tls.Client(c.conn, ca.ClientTLS("localhost"))
	c.r = bufio.NewReader(c.conn)
	c.play("S~: .* OK .*\nC: l LOGIN ada secret\nS~: l OK .*")
	if got := s.Counts().Cleartext; got != 0 {
		t.Errorf("%d logins in clear", got)
	}
}

func TestIMAPLiterals(t *testing.T) {
	s := startIMAP(t, IMAPOptions{})
	talkIMAP(t, s).play(`
		S~: \* OK .*
		C: a LOGIN {3}
		S: + go on
		C: ada {6}
		S: + go on
		C: secret
		S~: a OK .*`)
	s = startIMAP(t, IMAPOptions{Without: []string{"LITERAL+"}, Extra: []string{"LITERAL-"}})
	talkIMAP(t, s).play(`
		S~: \* OK .*
		C: a LOGIN {3+}
		C: ada {6+}
		C: secret
		S~: a OK .*
		RAW: "b APPEND INBOX {5000+}\r\n` + strings.Repeat("x", 5000) + `\r\n"
		S~: b BAD .*
		C: c NOOP
		S~: c OK .*`)
	s = startIMAP(t, IMAPOptions{Without: []string{"LITERAL+"}})
	talkIMAP(t, s).play(`
		S~: \* OK .*
		C: a LOGIN {3+}
		C: ada secret
		S~: a BAD .*
		C: b NOOP
		S~: b OK .*`)
}

// TestIMAPSubsets: what is not listed is not there.
func TestIMAPSubsets(t *testing.T) {
	s := startIMAP(t, IMAPOptions{Capabilities: []string{"IMAP4rev1"}})
	s.Account("ada").Mailbox("INBOX").Add([]byte("x\r\n"))
	c := loginIMAP(t, s)
	c.play(`
		C: s SELECT INBOX
		S~: [*].*
		S~: [*].*
		S~: [*].*
		S~: [*].*
		S~: [*].*
		S~: [*].*
		S~: [*].*
		S~: s OK .*`)
	for _, command := range []string{"IDLE", "ENABLE CONDSTORE", "ID NIL", "NAMESPACE", "UID MOVE 1 INBOX", "UID EXPUNGE 1", "UNSELECT",
		"COMPRESS DEFLATE", "NOTIFY NONE", "UID SEARCH RETURN (ALL) ALL", `LIST "" * RETURN (STATUS (MESSAGES))`, `LIST (SPECIAL-USE) "" *`,
		"STATUS INBOX (SIZE)", "STATUS INBOX (HIGHESTMODSEQ)", "SELECT INBOX (CONDSTORE)", "UID FETCH 1 MODSEQ", "UID FETCH 1 X-GM-MSGID",
		"UID FETCH 1 FLAGS (CHANGEDSINCE 1)", "NONSENSE", "UID NONSENSE", "", "UID FETCH 0 UID", "UID FETCH 1:2, UID"} {
		c.play("C: t " + command + "\nS~: t BAD .*")
	}
	c.play("C: t UID COPY 1 INBOX\nS: * 2 EXISTS\nS: t OK copied\nC: t APPEND INBOX {0}\nS~: [+].*\nC:\nS: * 3 EXISTS\nS: t OK appended")
}

// TestIMAPClose: Close ends sessions in every state, and their goroutines.
func TestIMAPClose(t *testing.T) {
	before := runtime.NumGoroutine()
	s := startIMAP(t, IMAPOptions{Hook: func(e *IMAPEvent) {
		if e.Verb == "NOOP" {
			e.Stall(0, 0)
		}
	}})
	for _, state := range []string{"C: a IDLE\nS: + idling", "C: a NOOP", "C: a APPEND INBOX {9}\nS~: [+].*", ""} {
		loginIMAP(t, s).play(state)
	}
	talkIMAP(t, s)
	done := make(chan error, 1)
	go func() { done <- s.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Close does not return")
	}
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines before, %d after", before, n)
	}
}
