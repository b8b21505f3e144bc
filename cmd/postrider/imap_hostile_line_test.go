package main

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/mailtest"
)

// TestT36IMAPStalls: at whatever step a server falls silent, the pass ends soon,
// with nothing twice, and the other accounts do not wait for it.
func TestT36IMAPStalls(t *testing.T) {
	t.Parallel()
	ca, good := implicitIMAP(t)
	verbs := []string{"TLS", "GREETING", "CAPABILITY", "LOGIN", "ID", "ENABLE", "LIST", "SELECT", "UID FETCH", "UID STORE", "UID EXPUNGE", "UID SEARCH", "LOGOUT"}
	var silent atomic.Bool
	silent.Store(true)
	var accounts []imapBox
	var servers []*mailtest.IMAP
	for i := range 2 * len(verbs) {
		o := good
		verb, after := verbs[i/2], int64(i%2*5)
		o.Hook = func(e *mailtest.IMAPEvent) {
			if e.Verb == verb && silent.Load() {
				e.Stall(after, 0)
			}
		}
		s := startIMAP(t, o, letters(2)...)
		fill(s, "Work", letter("work"))
		servers = append(servers, s)
		accounts = append(accounts, imapBox{name: fmt.Sprintf("stalls%d", i), port: s.Port(), tls: "implicit", ca: ca, folders: "[INBOX, Work]", extra: "timeout: 1s\non_server: delete"})
	}
	well := startIMAP(t, good, letters(2)...)
	h := newHostileIMAP(t, append(accounts, imapBox{name: "well", port: well.Port(), tls: "implicit", ca: ca})...)
	start := time.Now()
	h.run("fetch").wants(exitUnavailable, "account stalls[0-9]+: .*timeout after 1s of silence")
	if took := time.Since(start); took > 25*time.Second {
		t.Errorf("the pass took %v", took)
	}
	h.holds("well", letters(2)...)
	silent.Store(false)
	h.run("fetch").wants(exitOK)
	for i, s := range servers {
		h.holds(accounts[i].name, letters(2)...)
		if n := inbox(s).Len(); n != 0 {
			t.Errorf("%s: %d are left on the server", accounts[i].name, n)
		}
	}
}

// TestT37IMAPServerText: BYE, ALERT and REFERRAL are words to be shown, with
// nothing in them that a terminal obeys; nobody goes where they point.
func TestT37IMAPServerText(t *testing.T) {
	t.Parallel()
	const text = "[REFERRAL imap://ada;AUTH=*@127.0.0.1:9/] \x1b[31mgo\x07 \u202eaway\x9b %s%n \xff"
	for _, verb := range []string{"GREETING", "LOGIN", "EXAMINE", "UID FETCH"} {
		for how, spoil := range map[string]func(*mailtest.IMAPEvent){
			"BYE": func(e *mailtest.IMAPEvent) { e.Bye(text) }, "NO": func(e *mailtest.IMAPEvent) { e.Refuse(text) }, "BAD": func(e *mailtest.IMAPEvent) { e.Bad(text) },
		} {
			t.Run(verb+" "+how, func(t *testing.T) {
				t.Parallel()
				s := startIMAP(t, mailtest.IMAPOptions{Hook: onIMAP(verb, spoil)}, letters(1)...)
				h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "timeout: 1s"})
				o := h.run("fetch")
				if o.code == exitOK || !strings.Contains(o.stderr, "REFERRAL") {
					t.Errorf("exit code %d: %q", o.code, o.stderr)
				}
				if shown := o.stdout + o.stderr; strings.ContainsAny(shown, "\x1b\x07\u202e") || strings.Contains(shown, "\x9b") || strings.Contains(shown, "\xff") || strings.Contains(shown, "MISSING") {
					t.Errorf("the server's text came through: %q", shown)
				}
			})
		}
	}
	t.Run("alert", func(t *testing.T) {
		t.Parallel()
		s := startIMAP(t, mailtest.IMAPOptions{Hook: onIMAP("EXAMINE", func(e *mailtest.IMAPEvent) {
			e.Edit(func(response []byte) []byte {
				return append([]byte("* OK [ALERT] \x1b[31mfull\r\n* BAD what\r\n"), response...)
			})
		})}, letters(1)...)
		h := newHostileIMAP(t, imapBox{port: s.Port()})
		if o := h.run("fetch").wants(exitOK); strings.Contains(o.stderr, "\x1b") {
			t.Errorf("the server's text came through: %q", o.stderr)
		}
	})
}

// TestT41IMAPOneBadAccount: malformed lists of one account touch no other, and
// the good lines of a bad list count.
func TestT41IMAPOneBadAccount(t *testing.T) {
	t.Parallel()
	bad := startIMAP(t, mailtest.IMAPOptions{Hook: func(e *mailtest.IMAPEvent) {
		noise := ""
		switch {
		case e.Verb == "LIST":
			noise = "* LIST\r\n* LIST (\r\n* LIST () \"/\"\r\n* LIST (\\Noselect \"/\" x\r\n* LIST () \"/\" \"unclosed\r\n* STATUS\r\n* STATUS INBOX (MESSAGES x UIDNEXT)\r\n* STATUS nowhere (UIDNEXT 4)\r\n"
		case isListing(e):
			noise = "* FETCH\r\n* 1 FETCH\r\n* 1 FETCH (\r\n* 1 FETCH (UID)\r\n* 1 FETCH (UID 2 FLAGS\r\n* 1 FETCH (UID 2 FLAGS () RFC822.SIZE zwei)\r\n* 99999999999999999999 FETCH (UID 1)\r\n"
		default:
			return
		}
		e.Edit(func(response []byte) []byte { return append([]byte(noise), response...) })
	}}, letters(3)...)
	broken := startIMAP(t, mailtest.IMAPOptions{Hook: onIMAP("LIST", func(e *mailtest.IMAPEvent) { e.Reply("OK what?") })}, letters(1)...)
	good := startIMAP(t, mailtest.IMAPOptions{}, letters(5)...)
	h := newHostileIMAP(t, imapBox{name: "bad", port: bad.Port(), folders: `["*"]`}, imapBox{name: "broken", port: broken.Port(), folders: `["*"]`, extra: "timeout: 1s"}, imapBox{name: "good", port: good.Port(), folders: `["*"]`})
	h.run("fetch").wants(exitUnavailable, "account broken: ").brings(8)
	h.holds("good", letters(5)...)
	h.holds("bad", letters(3)...)
	h.run("fetch", "good", "bad").wants(exitOK).brings(0)
}

// TestOneBadMailbox: a mailbox at which the server hangs up, falls silent or
// loses its mind keeps none of those behind it from coming.
func TestOneBadMailbox(t *testing.T) {
	t.Parallel()
	for how, spoil := range map[string]func(*mailtest.IMAPEvent){
		"hangs up": func(e *mailtest.IMAPEvent) { e.Cut(0) }, "silent": func(e *mailtest.IMAPEvent) { e.Stall(0, 0) }, "BYE": func(e *mailtest.IMAPEvent) { e.Bye("internal error") },
		"NO": func(e *mailtest.IMAPEvent) { e.Refuse("[CORRUPTION] damaged") }, "BAD": func(e *mailtest.IMAPEvent) { e.Bad("what?") }, "nonsense": func(e *mailtest.IMAPEvent) { e.Reply("x y z") },
	} {
		for _, verb := range []string{"EXAMINE", "UID FETCH"} {
			for _, connections := range []string{"1", "3"} {
				if how == "silent" && connections != "1" {
					continue // it takes its time
				}
				t.Run(how+" "+verb+" "+connections, func(t *testing.T) {
					t.Parallel()
					s := startIMAP(t, mailtest.IMAPOptions{Hook: func(e *mailtest.IMAPEvent) {
						if e.Verb == verb && e.Mailbox == "b" {
							spoil(e)
						}
					}})
					want := map[string][][]byte{}
					for _, name := range []string{"a", "b", "c", "d"} {
						fill(s, name, letters(40)...)
						if name != "b" {
							want["work/"+name] = letters(40)
						}
					}
					h := newHostileIMAP(t, imapBox{port: s.Port(), folders: "[a, b, c, d]", extra: "timeout: 1s\nconnections: " + connections})
					if o := h.run("fetch"); o.code != exitUnavailable && o.code != exitTemporary || !strings.Contains(o.stderr, "mailbox b: ") {
						t.Errorf("exit code %d: %s", o.code, o.stderr)
					}
					h.keeps(want)
				})
			}
		}
	}
}

// TestLateRefusal: a further session is refused when the others have nothing left
// to do. What it was for is done all the same, in the same pass.
func TestLateRefusal(t *testing.T) {
	t.Parallel()
	s := startIMAP(t, mailtest.IMAPOptions{MaxSessions: 1, Hook: func(e *mailtest.IMAPEvent) {
		if e.Verb == "LOGIN" && e.Session > 1 {
			e.Delay(700 * time.Millisecond)
		}
	}})
	want := map[string][][]byte{}
	for _, name := range []string{"a", "b", "c"} {
		fill(s, name, letters(60)...)
		want["work/"+name] = letters(60)
	}
	h := newHostileIMAP(t, imapBox{port: s.Port(), folders: "[a, b, c]", extra: "connections: 3"})
	h.run("fetch").wants(exitOK, "no further session").brings(180)
	h.keeps(want)
}

// TestCheckOnlineIMAP says what is there, what of it is fetched, and why the rest
// is not; it changes nothing.
func TestCheckOnlineIMAP(t *testing.T) {
	t.Parallel()
	s := gmail(t, nil)
	fill(s, "Lists/spam", letter("spam"))
	h := newHostileIMAP(t, imapBox{port: s.Port(), folders: `["*", "!Lists/spam"]`, extra: "on_server: move Work"})
	o := h.run("check", "--online").wants(exitOK)
	for _, line := range []string{
		"work: logged in at 127.0.0.1:[0-9]+, 5 messages there", "  INBOX: 3 messages", "  Family: 1 message", `  \[Gmail\]: not fetched: holds no messages, only mailboxes`,
		`  \[Gmail\]/All Mail: not fetched: shows messages of other mailboxes; name it without wildcards to fetch it`, "  Lists/spam: not fetched: excluded by the configuration",
		"  Work: not fetched: delivered messages are moved there",
	} {
		o.says("(?m)^" + line + "$")
	}
	mute := startIMAP(t, mailtest.IMAPOptions{Without: []string{"LIST-STATUS"}, Hook: onIMAP("STATUS", func(e *mailtest.IMAPEvent) { e.Refuse("not now") })}, letters(2)...)
	newHostileIMAP(t, imapBox{port: mute.Port()}).run("check", "--online").wants(exitOK).says("(?m)^  INBOX: the server does not say how many messages are in it$")
	if c := s.Counts(); c.Messages != 0 || c.Commands["SELECT"]+c.Commands["UID STORE"]+c.Commands["CREATE"] != 0 {
		t.Errorf("%v", c.Commands)
	}
	h.writeIMAP(imapBox{port: s.Port(), folders: "[Wrok]"})
	h.run("check", "--online").wants(exitUnavailable, "no mailbox that folders names").says("(?m)^  Work: not fetched: no entry of folders matches it$")
	h.run("fetch").wants(exitUnavailable, "no such mailbox.*check --online")
	h.writeIMAP(imapBox{port: s.Port(), folders: "[Wrok, Wrko]"})
	h.run("fetch").wants(exitUnavailable, "no mailbox that folders names.*check --online")
	h.writeIMAP(imapBox{port: s.Port(), folders: "[Wrok, INBOX]"})
	h.run("check", "--online").wants(exitOK).says("(?m)^  Wrok: not fetched: folders names it, and the server has no such mailbox$")
	h.run("fetch").wants(exitOK, `no such mailbox.*folder=Wrok`).brings(3)
}

// TestEmptyListByMistake: a server that lists nothing today has not removed the
// mailboxes: nothing comes again afterwards.
func TestEmptyListByMistake(t *testing.T) {
	t.Parallel()
	var empty atomic.Bool
	s := startIMAP(t, mailtest.IMAPOptions{Hook: func(e *mailtest.IMAPEvent) {
		if empty.Load() && e.Verb == "LIST" {
			e.Reply(e.Tag + " OK nothing")
		}
	}}, letters(3)...)
	fill(s, "Work", letter("work"))
	h := newHostileIMAP(t, imapBox{port: s.Port(), folders: `["*"]`})
	h.run("fetch").wants(exitOK).brings(4)
	empty.Store(true)
	h.run("fetch").wants(exitUnavailable, "no mailbox that folders names")
	empty.Store(false)
	h.run("fetch").wants(exitOK).brings(0)
}

// TestEmptyMailboxByMistake: the same for the messages of a mailbox.
func TestEmptyMailboxByMistake(t *testing.T) {
	t.Parallel()
	for _, folders := range []string{"[INBOX]", `["*"]`} {
		for _, policy := range []string{"keep", "delete after 30d"} {
			t.Run(folders+policy, func(t *testing.T) {
				t.Parallel()
				var empty atomic.Bool
				s := startIMAP(t, mailtest.IMAPOptions{Hook: func(e *mailtest.IMAPEvent) {
					if !empty.Load() {
						return
					}
					switch e.Verb {
					case "EXAMINE", "SELECT":
						e.Edit(func(response []byte) []byte {
							return []byte(strings.NewReplacer("* 3 EXISTS", "* 0 EXISTS", "UIDNEXT 4", "UIDNEXT 1").Replace(string(response)))
						})
					case "LIST":
						e.Edit(func(response []byte) []byte {
							return []byte(strings.NewReplacer("MESSAGES 3", "MESSAGES 0", "UIDNEXT 4", "UIDNEXT 1").Replace(string(response)))
						})
					case "UID FETCH", "UID SEARCH":
						e.Reply(e.Tag + " OK nothing")
					}
				}}, letters(3)...)
				h := newHostileIMAP(t, imapBox{port: s.Port(), folders: folders, extra: "on_server: " + policy})
				h.run("fetch").wants(exitOK).brings(3)
				empty.Store(true)
				h.run("fetch").wants(exitOK).brings(0)
				empty.Store(false)
				h.run("fetch").wants(exitOK).brings(0)
				fill(s, "INBOX", letter("late"))
				h.run("fetch").wants(exitOK).brings(1)
				h.keeps(inInbox(append(letters(3), letter("late"))...))
			})
		}
	}
}
