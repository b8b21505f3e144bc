package mailtest

import (
	"slices"
	"testing"
	"time"
)

func TestMailboxIdentity(t *testing.T) {
	s := startIMAP(t, IMAPOptions{})
	a := s.Account("ada")
	m := a.Mailbox("a")
	below := a.Mailbox("a/b")
	m.Put(IMAPMessage{UID: 7, Octets: []byte("x")})
	if uid := m.Put(IMAPMessage{UID: 3}); uid != 8 {
		t.Errorf("a UID below UIDNEXT became %d", uid)
	}
	validity := m.UIDValidity()
	switch {
	case a.Rename("a", "a/b"), a.Rename("nobody", "x"), a.Rename("INBOX", "x"):
		t.Error("renamed what cannot be")
	case !a.Rename("a", "c"):
		t.Error("not renamed")
	}
	if got := a.Mailboxes(); !slices.Equal(got, []string{"INBOX", "c", "c/b"}) || m.Name() != "c" || below.Name() != "c/b" {
		t.Errorf("mailboxes %q", got)
	}
	if m.UIDValidity() != validity || m.UIDNext() != 9 || a.Mailbox("c") != m {
		t.Error("renaming changed UIDs")
	}
	if !a.Delete("c") || a.Delete("c") || a.Delete("inbox") || a.Mailbox("c").UIDValidity() == validity {
		t.Error("a mailbox that was deleted and made again is the old one")
	}
	if m.Remove(1) || m.SetFlags(1, "x") || !below.Remove(below.Add(nil)) {
		t.Error("found a message that is not there, or not one that is")
	}
}

func TestMailboxSessionsLeave(t *testing.T) {
	s := startIMAP(t, IMAPOptions{})
	c := loginIMAP(t, s)
	a := s.Account("ada")
	count := func() int {
		defer a.lock()()
		return len(a.sessions)
	}
	if n := count(); n != 1 {
		t.Errorf("%d sessions after a login", n)
	}
	c.play("C: a LOGOUT\nS~: .*\nS~: a OK .*")
	c.ended()
	if n := count(); n != 0 {
		t.Errorf("%d sessions after the logout", n)
	}
}

// TestMailboxBehindTheSession: what was removed and not told yet has a number,
// and is nothing for UIDs.
func TestMailboxBehindTheSession(t *testing.T) {
	s, c := profiled(t, IMAPOptions{}, 3)
	c.opens()
	inbox := s.Account("ada").Mailbox("INBOX")
	inbox.Remove(2)
	c.play(`
		C: a SEARCH ALL
		S: * SEARCH 1 2 3
		S: a OK searched
		C: b FETCH 2:3 UID
		S: * 2 FETCH (UID 2)
		S: * 3 FETCH (UID 3)
		S: b OK fetched
		C: c UID SEARCH ALL
		S: * SEARCH 1 3
		S: * 2 EXPUNGE
		S: c OK searched
		C: d FETCH 2 UID
		S: * 2 FETCH (UID 3)
		S: d OK fetched`)
	inbox.Remove(3)
	c.play(`
		C: e UID COPY 3 INBOX
		S: * 2 EXPUNGE
		S: e OK copied
		C: f STORE 2 +FLAGS (x)
		S~: f BAD .*`)
}

// TestMailboxModSeqBounds: what has just the modification sequence that is known
// has not changed since, and known UIDs may come in any order.
func TestMailboxModSeqBounds(t *testing.T) {
	s, c := profiled(t, IMAPOptions{}, 3) // modification sequences 2, 3, 4
	s.Account("ada").Mailbox("INBOX").Remove(2)
	c.play("C: a ENABLE QRESYNC\nS~: .*\nS~: a OK .*")
	c.opens()
	c.play(`
		C: b UID FETCH 1:* (UID) (CHANGEDSINCE 4)
		S: b OK fetched
		C: c UID FETCH 1:* (UID) (CHANGEDSINCE 3)
		S: * 2 FETCH (UID 3 MODSEQ (4))
		S: c OK fetched
		C: d UID FETCH 1:* (UID) (CHANGEDSINCE 5 VANISHED)
		S: d OK fetched
		C: e UNSELECT
		S: e OK closed
		C: f EXAMINE INBOX (QRESYNC (1001 4 3:1))`)
	for range 8 {
		c.play("S~: [*] .*")
	}
	c.play("S: * VANISHED (EARLIER) 2\nS~: f OK .*")
}

// TestMailboxDates: INTERNALDATE is what was given, and now if nothing was.
func TestMailboxDates(t *testing.T) {
	m := newIMAPAccount("/", false).Mailbox("INBOX")
	m.Put(IMAPMessage{Date: imapTime(t)})
	m.Add(nil)
	got := m.Messages()
	if !got[0].Date.Equal(imapTime(t)) || time.Since(got[1].Date) > time.Minute {
		t.Errorf("dates %v and %v", got[0].Date, got[1].Date)
	}
}
