package main

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"postrider/mailtest"
)

// TestNetEaseID: on every connection the server learns who we are before a
// mailbox is opened.
func TestNetEaseID(t *testing.T) {
	t.Parallel()
	o := mailtest.ProfileNetEase()
	var early atomic.Int32
	identified := make([]atomic.Bool, 100)
	o.Hook = func(e *mailtest.IMAPEvent) {
		switch e.Verb {
		case "ID":
			identified[e.Session].Store(e.User != "")
		case "SELECT", "EXAMINE", "STATUS", "LIST":
			if !identified[e.Session].Load() {
				early.Add(1)
			}
		}
	}
	s := startIMAP(t, o)
	for i := range 4 {
		for range 40 {
			fill(s, fmt.Sprintf("box %d", i), letter("one"))
		}
	}
	h := newHostileIMAP(t, imapBox{port: s.Port(), folders: `["*"]`})
	for range 3 {
		h.run("fetch").wants(exitOK)
	}
	if c := s.Counts(); early.Load() != 0 || c.Commands["ID"] != c.Sessions {
		t.Errorf("%d commands before ID; %d ID in %d sessions", early.Load(), c.Commands["ID"], c.Sessions)
	}
}

// TestNetEaseRefusesID: what follows is the server's words, not ours.
func TestNetEaseRefusesID(t *testing.T) {
	t.Parallel()
	o := mailtest.ProfileNetEase()
	o.Hook = onIMAP("ID", func(e *mailtest.IMAPEvent) { e.Bad("parse error") })
	s := startIMAP(t, o, letters(1)...)
	h := newHostileIMAP(t, imapBox{port: s.Port()})
	h.run("fetch").wants(exitTemporary, "open mailbox INBOX: server refused EXAMINE: EXAMINE Unsafe Login")
}

// TestQQLoginsTooFast: the BYE to a login is no refusal of the password.
func TestQQLoginsTooFast(t *testing.T) {
	t.Parallel()
	o := mailtest.ProfileQQ()
	o.Hook = func(e *mailtest.IMAPEvent) {
		if (e.Verb == "AUTHENTICATE" || e.Verb == "LOGIN") && e.Session == 2 {
			e.Bye("login frequency limited")
		}
	}
	s := startIMAP(t, o, letters(1)...)
	h := newHostileIMAP(t, imapBox{port: s.Port()})
	h.run("fetch").wants(exitOK)
	h.run("fetch").wants(exitTemporary, "log in: server ended the session during AUTHENTICATE: login frequency limited")
	h.run("fetch").wants(exitOK)
	h.keeps(inInbox(letters(1)...))
}

// TestM365Throttled: the user learns how long the server wants to be left alone.
func TestM365Throttled(t *testing.T) {
	t.Parallel()
	for _, after := range []int{2, 3, 4} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			t.Parallel()
			o := mailtest.ProfileM365()
			o.Quirks.ThrottleAfter = after
			box := withToken(&o, imapBox{folders: "[INBOX, Work]"})
			s := startIMAP(t, o, letters(2)...)
			fill(s, "Work", letter("work"))
			box.port = s.Port()
			h := newHostileIMAP(t, box)
			h.run("fetch").wants(exitTemporary, `throttled.*1m30s`)
			if n := s.Counts().Sessions; n > 3 {
				t.Errorf("%d sessions with a server that wants to be left alone", n)
			}
		})
	}
}

// TestM365NotConnected: the login was good, and the rest is refused.
func TestM365NotConnected(t *testing.T) {
	t.Parallel()
	for _, folders := range []string{"[INBOX]", `["*"]`} {
		t.Run(folders, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			broken.Store(true)
			o := mailtest.ProfileM365()
			o.Quirks.NotConnected = func(int) bool { return broken.Load() }
			box := withToken(&o, imapBox{folders: folders})
			s := startIMAP(t, o, letters(2)...)
			box.port = s.Port()
			h := newHostileIMAP(t, box)
			h.run("fetch").wants(exitTemporary, `authenticated but not connected.*is IMAP switched on`)
			h.run("check", "--online").wants(exitTemporary, `authenticated but not connected.*is IMAP switched on`)
			broken.Store(false)
			h.run("fetch").wants(exitOK)
			h.keeps(inInbox(letters(2)...))
		})
	}
}

// TestYahooUnavailable: what can never be had is reported each time, and the
// others come all the same.
func TestYahooUnavailable(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"keep", "delete"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			o := mailtest.ProfileYahoo()
			var never atomic.Bool
			never.Store(true)
			o.Quirks.Unavailable = func(_ string, uid uint32) bool { return uid == 7 && never.Load() }
			s := startIMAP(t, o, letters(12)...)
			h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "on_server: " + policy})
			others := append(letters(12)[:6:6], letters(12)[7:]...)
			for range 3 {
				h.run("fetch").wants(exitTemporary, `1 message could not be fetched and is tried again later; the first \(7\): .*UNAVAILABLE`)
				h.keeps(inInbox(others...))
			}
			if sent := texts(s); sent != len(others) {
				t.Errorf("%d texts were sent for %d messages", sent, len(others))
			}
			never.Store(false)
			h.run("fetch").wants(exitOK).brings(1)
			h.keeps(inInbox(letters(12)...))
			if n := inbox(s).Len(); policy == "delete" && n != 0 {
				t.Errorf("%d are left", n)
			}
		})
	}
}

// TestYahooManyUnavailable: many messages that are refused, one here and one
// there, make a long set that is asked for again each time.
func TestYahooManyUnavailable(t *testing.T) {
	t.Parallel()
	o := mailtest.ProfileYahoo()
	var never atomic.Bool
	never.Store(true)
	o.Quirks.Unavailable = func(_ string, uid uint32) bool { return uid%2 == 0 && never.Load() }
	s := startIMAP(t, o, letters(1200)...)
	h := newHostileIMAP(t, imapBox{port: s.Port()})
	h.log = "{level: error}"
	h.writeIMAP(imapBox{port: s.Port()})
	h.run("fetch").wants(exitTemporary, `could not be fetched and are tried again later`)
	h.run("fetch").wants(exitTemporary, `could not be fetched and are tried again later`)
	never.Store(false)
	h.run("fetch").wants(exitOK)
	h.keeps(inInbox(letters(1200)...))
}

// TestYahooListingUnavailable: the server cannot tell the size of one message,
// and says NO to whoever asks for all.
func TestYahooListingUnavailable(t *testing.T) {
	t.Parallel()
	var spoiled atomic.Bool
	spoiled.Store(true)
	o := mailtest.ProfileYahoo()
	o.Hook = func(e *mailtest.IMAPEvent) {
		if isListing(e) && e.Covers(3) && spoiled.Load() {
			e.Row(func(uid uint32, row []byte) []byte {
				if uid >= 3 {
					return nil
				}
				return row
			})
			e.Edit(func(response []byte) []byte {
				return []byte(strings.Replace(string(response), e.Tag+" OK", e.Tag+" NO [SERVERBUG]", 1))
			})
		}
	}
	s := startIMAP(t, o, letters(5)...)
	inbox(s).SetFlags(5, `\Seen`, `\Answered`)
	h := newHostileIMAP(t, imapBox{port: s.Port()})
	h.run("fetch").wants(exitOK).brings(5)
	h.keeps(inInbox(letters(5)...))
	h.run("fetch").wants(exitOK).brings(0)
	inbox(s).Add(letter("late"))
	h.run("fetch").wants(exitOK).brings(1)
	if seen := names(t, h, "work/INBOX/cur"); len(seen) != 1 || !strings.HasSuffix(seen[0], ":2,RS") {
		t.Errorf("in cur/: %v", seen)
	}
}

// TestYandex: a BYE without end, and rows without the text in the first session.
func TestYandex(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"keep", "delete"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			s := startIMAP(t, mailtest.ProfileYandex(), letters(20)...)
			h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "on_server: " + policy})
			h.run("fetch").wants(exitTemporary, `3 messages could not be fetched and are tried again later; the first \(3\)`)
			if n := inbox(s).Len(); policy == "delete" && n != 3 {
				t.Errorf("%d are left, want the three", n)
			}
			h.run("fetch").wants(exitOK).brings(3)
			h.keeps(inInbox(letters(20)...))
		})
	}
	t.Run("BYE", func(t *testing.T) {
		t.Parallel()
		o := mailtest.ProfileYandex()
		o.Quirks.NoBody = nil
		o.Hook = func(e *mailtest.IMAPEvent) {
			if isText(e) && e.Session == 1 {
				e.Bye("internal error")
			}
		}
		s := startIMAP(t, o, letters(3)...)
		h := newHostileIMAP(t, imapBox{port: s.Port()})
		h.run("fetch").wants(exitOK).brings(3)
		h.keeps(inInbox(letters(3)...))
	})
}

// TestProtonRenumbers: with new UIDs under a new UIDVALIDITY nothing comes twice
// and nothing is removed before it was compared.
func TestProtonRenumbers(t *testing.T) {
	t.Parallel()
	s := startIMAP(t, mailtest.ProfileProton(), letters(9)...)
	h := newHostileIMAP(t, imapBox{port: s.Port(), folders: `["*"]`, extra: "on_server: delete after 30d"})
	h.run("fetch").wants(exitOK).brings(9)
	for range 3 {
		inbox(s).Remove(inbox(s).Messages()[0].UID)
		inbox(s).Renumber(inbox(s).UIDValidity() + 1000)
		h.run("fetch").wants(exitOK, "UIDVALIDITY").brings(0)
		h.run("fetch").wants(exitOK).brings(0)
	}
	inbox(s).Add(letter("late"))
	inbox(s).Renumber(7)
	h.run("fetch").wants(exitOK, "UIDVALIDITY").brings(1)
	h.keeps(inInbox(append(letters(9), letter("late"))...))
	if n := inbox(s).Len(); n != 7 {
		t.Errorf("%d are left on the server, want 7", n)
	}
}

// TestDovecotLimit: the eleventh session is refused, and the mailboxes that it
// was for are carried by the others.
func TestDovecotLimit(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 2, 10} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			o := mailtest.ProfileDovecotLimit()
			o.MaxSessions = limit
			s := startIMAP(t, o)
			want := map[string][][]byte{}
			for i := range 24 {
				name := fmt.Sprintf("box%d", i)
				for k := range 20 {
					want["work/"+name] = append(want["work/"+name], letter(fmt.Sprint(name, " ", k)))
				}
				fill(s, name, want["work/"+name]...)
			}
			h := newHostileIMAP(t, imapBox{port: s.Port(), folders: `["*"]`, extra: "connections: 12"})
			h.run("fetch").wants(exitOK).brings(480)
			h.keeps(want)
		})
	}
}
