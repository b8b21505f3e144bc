package main

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"postrider/mailtest"
)

// aheadCommands are what a session sends in its flights, for one mailbox and for
// several.
func aheadCommands() map[string][]string {
	return map[string][]string{"[INBOX]": {"ID", "ENABLE", "EXAMINE", "UID FETCH"}, "[INBOX, Work]": {"ID", "ENABLE", "LIST", "EXAMINE", "UID FETCH"}}
}

// TestIMAPStumblesOverCommandsAhead: whatever a server does with a command that
// was not awaited, the same pass goes one step at a time and brings the mail,
// and so do those of the next week.
func TestIMAPStumblesOverCommandsAhead(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*mailtest.IMAPEvent){
		"drops":        func(e *mailtest.IMAPEvent) { e.Mute() },
		"hangs up":     func(e *mailtest.IMAPEvent) { e.Cut(0) },
		"falls silent": func(e *mailtest.IMAPEvent) { e.Stall(0, 0) },
		"nonsense":     func(e *mailtest.IMAPEvent) { e.Edit(func([]byte) []byte { return []byte("what is this\r\n") }) },
		"another tag":  func(e *mailtest.IMAPEvent) { e.Edit(func([]byte) []byte { return []byte("zz9 OK done\r\n") }) },
	} {
		for folders, verbs := range aheadCommands() {
			if name == "falls silent" && folders != "[INBOX]" {
				continue // it takes its time
			}
			for _, verb := range verbs {
				t.Run(fmt.Sprint(name, " ", verb, " ", folders), func(t *testing.T) {
					t.Parallel()
					stumble(t, folders, func(e *mailtest.IMAPEvent, depth int) bool {
						hit := e.Verb == verb && (depth > 0 || e.Session == 1) && !isText(e)
						if hit {
							spoil(e)
						}
						return hit
					})
				})
			}
		}
	}
}

// TestIMAPStumblesLater: the server is another one by the second pass, and does
// not tell UIDNEXT, so that the list that was asked for ahead has to say whether
// anything is new.
func TestIMAPStumblesLater(t *testing.T) {
	t.Parallel()
	for _, folders := range []string{"[INBOX]", "[INBOX, Work]"} {
		t.Run(folders, func(t *testing.T) {
			t.Parallel()
			var spoil atomic.Bool
			var s *mailtest.IMAP
			var flights [100]atomic.Int64
			s = startIMAP(t, mailtest.IMAPOptions{Without: []string{"CONDSTORE", "QRESYNC"}, Quirks: mailtest.IMAPQuirks{NoUIDNext: true, EmptyStatus: true}, Hook: func(e *mailtest.IMAPEvent) {
				n := int64(s.Counts().Flights)
				if ahead := flights[e.Session].Swap(n) == n; ahead && isListing(e) && spoil.Load() {
					e.Mute()
				}
			}}, letters(3)...)
			fill(s, "Work")
			h := newHostileIMAP(t, imapBox{port: s.Port(), folders: folders, extra: "timeout: 1s"})
			h.run("fetch").wants(exitOK).brings(3)
			spoil.Store(true)
			h.run("fetch").wants(exitOK).brings(0)
			before := s.Counts().Sessions
			fill(s, "INBOX", letter("late"))
			h.run("fetch").wants(exitOK).brings(1)
			if n := s.Counts().Sessions - before; n != 1 {
				t.Errorf("%d sessions in the pass after the one that showed it", n)
			}
		})
	}
}

// TestIMAPAnswersOutOfOrder: of two commands that were sent together the second
// is answered first.
func TestIMAPAnswersOutOfOrder(t *testing.T) {
	t.Parallel()
	for folders, verbs := range aheadCommands() {
		for _, verb := range verbs[:len(verbs)-1] {
			t.Run(verb+" "+folders, func(t *testing.T) {
				t.Parallel()
				var late [100]atomic.Pointer[[]byte]
				stumble(t, folders, func(e *mailtest.IMAPEvent, depth int) bool {
					hit := e.Verb == verb && (depth > 0 || e.Session == 1) && !isText(e)
					if hit {
						e.Edit(func(response []byte) []byte {
							held := append([]byte(nil), response...)
							late[e.Session].Store(&held)
							return nil
						})
					} else if held := late[e.Session].Swap(nil); held != nil {
						e.Edit(func(response []byte) []byte { return append(append([]byte(nil), response...), *held...) })
					}
					return hit
				})
			})
		}
	}
}

// stumble fetches from a server that does something to commands that are sent
// before the answer to the one before. The hook is told how many of these there
// were since the server was last waited for.
func stumble(t *testing.T, folders string, hook func(e *mailtest.IMAPEvent, depth int) (spoiled bool)) {
	t.Helper()
	var spoiled atomic.Int64
	var s *mailtest.IMAP
	var flights, depth [100]atomic.Int64
	// A session whose commands come in one flight with its predecessor is told by the count of flights.
	s = startIMAP(t, mailtest.IMAPOptions{Hook: func(e *mailtest.IMAPEvent) {
		if e.Verb == "GREETING" || e.Verb == "+" || e.Session >= len(depth) {
			return
		}
		n := int64(s.Counts().Flights)
		if flights[e.Session].Swap(n) == n {
			depth[e.Session].Add(1)
		} else {
			depth[e.Session].Store(0)
		}
		if hook(e, int(depth[e.Session].Load())) {
			spoiled.Add(1)
		}
	}}, letters(3)...)
	want := inInbox(letters(3)...)
	if folders != "[INBOX]" {
		fill(s, "Work", letter("work"))
		want["work/Work"] = [][]byte{letter("work")}
	}
	h := newHostileIMAP(t, imapBox{port: s.Port(), folders: folders, extra: "timeout: 1s\nconnections: 1"})
	h.run("fetch").wants(exitOK)
	h.keeps(want)
	if n := spoiled.Load(); n == 0 || n > 3 {
		t.Errorf("%d commands ahead were spoiled", n)
	}
	inbox(s).Add(letter("late"))
	want["work/INBOX"] = append(want["work/INBOX"], letter("late"))
	before := s.Counts().Sessions
	h.run("fetch").wants(exitOK).brings(1)
	h.keeps(want)
	if n := s.Counts().Sessions - before; n != 1 {
		t.Errorf("%d sessions in the pass after the one that showed it", n)
	}
}

// TestIMAPRefusesCommandsAhead: a refusal of what was sent ahead is an answer
// like any other.
func TestIMAPRefusesCommandsAhead(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"ID", "ENABLE", "LIST"} {
		for _, refuse := range []func(*mailtest.IMAPEvent){
			func(e *mailtest.IMAPEvent) { e.Refuse("not now") }, func(e *mailtest.IMAPEvent) { e.Bad("unknown command") },
		} {
			t.Run(verb, func(t *testing.T) {
				t.Parallel()
				s := startIMAP(t, mailtest.IMAPOptions{Hook: func(e *mailtest.IMAPEvent) {
					if e.Verb == verb && (verb != "LIST" || strings.Contains(e.Arg, "RETURN")) {
						refuse(e)
					}
				}}, letters(2)...)
				fill(s, "Gelöscht", letter("work"))
				h := newHostileIMAP(t, imapBox{port: s.Port(), folders: `["*"]`})
				o := h.run("fetch")
				if verb == "LIST" && o.code != exitOK {
					o.wants(exitTemporary, "not now") // a NO to a list is not taken for an empty one
					return
				}
				o.wants(exitOK).brings(3)
				h.run("fetch").wants(exitOK).brings(0)
			})
		}
	}
}

// TestIMAPOffersAndDoesNotKnow: BAD to what CAPABILITY lists, in SELECT.
func TestIMAPOffersAndDoesNotKnow(t *testing.T) {
	t.Parallel()
	s := startIMAP(t, mailtest.IMAPOptions{Hook: func(e *mailtest.IMAPEvent) {
		if (e.Verb == "EXAMINE" || e.Verb == "SELECT") && strings.Contains(e.Arg, "(") {
			e.Bad("syntax")
		}
	}}, letters(2)...)
	h := newHostileIMAP(t, imapBox{port: s.Port()})
	for i, n := range []int{2, 0, 1} {
		if i == 2 {
			inbox(s).Add(letter("late"))
		}
		h.run("fetch").wants(exitOK).brings(n)
	}
	if c := s.Counts(); c.Sessions != 3 {
		t.Errorf("%d sessions for 3 passes", c.Sessions)
	}
}

// TestIMAPNothingBehindLogin: some servers throw away what has come by the time
// that the login is done, so nothing is sent before it is answered.
func TestIMAPNothingBehindLogin(t *testing.T) {
	t.Parallel()
	for _, folders := range []string{"[INBOX]", "[INBOX, Work]"} {
		t.Run(folders, func(t *testing.T) {
			t.Parallel()
			var s *mailtest.IMAP
			var login atomic.Int64
			s = startIMAP(t, mailtest.IMAPOptions{Hook: func(e *mailtest.IMAPEvent) {
				if e.Verb == "GREETING" {
					return
				}
				n := int64(s.Counts().Flights)
				switch before := login.Swap(0); {
				case e.Verb == "LOGIN":
					login.Store(n)
				case before == n:
					t.Errorf("%s was sent before the answer to LOGIN", e.Verb)
				}
			}}, letters(2)...)
			fill(s, "Work")
			h := newHostileIMAP(t, imapBox{port: s.Port(), folders: folders})
			for range 2 {
				h.run("fetch").wants(exitOK)
			}
		})
	}
}
