package mailtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// startProfile serves n messages of 20 octets to ada.
func startProfile(t *testing.T, o POP3Options, n int) *POP3 {
	t.Helper()
	o.LockWait = 5 * time.Second
	s := startPOP3(t, o)
	for i := range n {
		s.Mailbox("ada").Add(fmt.Sprintf("u%03d", i), []byte("Subject: x\r\n\r\n.dot\r\n"))
	}
	return s
}

func TestProfileGmailPOP(t *testing.T) {
	o := ProfileGmailPOP()
	o.Users = map[string]string{"ada": "secret"}
	s := startProfile(t, o, 300)
	c := login(t, s)
	if got := c.cmd("+OK", "STAT"); got != "+OK 250 5000" {
		t.Errorf("first session: %q", got)
	}
	for i := range 250 {
		c.retrieve(i + 1)
	}
	_ = c.Close() // no QUIT: nothing is popped
	c = login(t, s)
	c.retrieve(1)
	c.retrieve(2)
	c.cmd("+OK", "QUIT")
	c = login(t, s)
	if got := c.cmd("+OK", "UIDL 1"); got != "+OK 1 u002" {
		t.Errorf("after two were popped: %q", got)
	}
	c.cmd("+OK", "QUIT")
	c = dial(t, s)
	c.expect("+OK")
	c.cmd("+OK", "USER recent:ada")
	c.cmd("+OK", "PASS secret")
	if got := c.cmd("+OK", "UIDL 1"); got != "+OK 1 u000" {
		t.Errorf("recent: %q", got)
	}
	c.retrieve(5)
	c.cmd("+OK", "QUIT")
	if s.Mailbox("ada").Messages()[4].Popped {
		t.Error("recent: has popped a message")
	}
	if got := s.Mailbox("ada").Len(); got != 300 {
		t.Errorf("%d messages are left, want all 300", got)
	}
}

func TestProfiles(t *testing.T) {
	t.Run("m365-pop", func(t *testing.T) {
		o := ProfileM365POP()
		o.Users = map[string]string{"ada": "token"}
		c := dial(t, startProfile(t, o, 1))
		c.expect("+OK")
		c.cmd("-ERR", "USER ada")
		c.cmd("-ERR", "AUTH XOAUTH2 dXNlcj1hZGEBYXV0aD1CZWFyZXIgdG9rZW4BAQ==")
		c.cmd("+", "AUTH XOAUTH2")
		c.cmd("+OK", "dXNlcj1hZGEBYXV0aD1CZWFyZXIgdG9rZW4BAQ==")
	})
	t.Run("pop-nouidl", func(t *testing.T) {
		c := login(t, startProfile(t, ProfilePOPNoUIDL(), 1))
		c.cmd("-ERR", "UIDL")
		if slices.Contains(c.lines("CAPA"), "UIDL") {
			t.Error("UIDL is listed")
		}
	})
	t.Run("pop-dupuidl", func(t *testing.T) {
		s := startProfile(t, ProfilePOPDupUIDL(), 40)
		c := login(t, s)
		first := uids(c.lines("UIDL"))
		c.cmd("+OK", "DELE 1")
		c.cmd("+OK", "QUIT")
		second := uids(login(t, s).lines("UIDL"))
		if !slices.Equal(first[1:], second) {
			t.Error("a message has changed its unique-id")
		}
		slices.Sort(first)
		if n := len(slices.Compact(first)); n > 8 || n < 2 {
			t.Errorf("%d different unique-ids, want 2 to 8", n)
		}
	})
	t.Run("pop-newuids", func(t *testing.T) {
		s := startProfile(t, ProfilePOPNewUIDs(), 3)
		c := login(t, s)
		first := uids(c.lines("UIDL"))
		c.cmd("+OK", "QUIT")
		for i, uid := range uids(login(t, s).lines("UIDL")) {
			if uid == first[i] {
				t.Errorf("%s is shown twice", uid)
			}
		}
	})
	t.Run("pop-nodot", func(t *testing.T) {
		c := login(t, startProfile(t, ProfilePOPNoDot(), 1))
		c.cmd("+OK", "RETR 1\r\nQUIT")
		if got, want := string(c.ended()), "Subject: x\r\n\r\n.dot.\r\n+OK bye\r\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
	t.Run("pop-lf", func(t *testing.T) {
		c := login(t, startProfile(t, ProfilePOPLF(), 1))
		c.cmd("+OK", "RETR 1\r\nQUIT")
		if got, want := string(c.ended()), "Subject: x\n\n..dot\n.\n+OK bye\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// uids cuts the numbers off the rows of a UIDL listing.
func uids(rows []string) []string {
	list := make([]string, len(rows))
	for i, row := range rows {
		_, list[i], _ = strings.Cut(row, " ")
	}
	return list
}
