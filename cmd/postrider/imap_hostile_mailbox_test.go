package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"postrider/mailtest"
)

// TestT21IMAPUIDValidityChanges between sessions, with other messages under the
// same UIDs: nothing is lost, nothing comes twice, and nothing is removed that
// has not come.
func TestT21IMAPUIDValidityChanges(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"keep", "delete", "move Done", "seen"} {
		for _, folders := range []string{"[INBOX]", "[INBOX, Work]"} {
			t.Run(policy+" "+folders, func(t *testing.T) {
				t.Parallel()
				s := startIMAP(t, mailtest.IMAPOptions{}, letters(5)...)
				s.Account("ada").Mailbox("Done")
				fill(s, "Work")
				h := newHostileIMAP(t, imapBox{port: s.Port(), folders: folders})
				h.run("fetch").wants(exitOK).brings(5)
				box := inbox(s)
				for uid := range uint32(3) {
					box.Remove(uid + 1)
				}
				box.Add(letter("new"))
				box.Renumber(box.UIDValidity() + 77) // UID 1 is letter 4 now
				h.writeIMAP(imapBox{port: s.Port(), folders: folders, extra: "on_server: " + policy})
				h.run("fetch").wants(exitOK, "UIDVALIDITY has changed").brings(1)
				h.run("fetch").wants(exitOK).brings(0)
				h.run("fetch").wants(exitOK).brings(0)
				h.keeps(inInbox(append(letters(5), letter("new"))...))
				left := map[string]int{"keep": 3, "seen": 3}[policy]
				if n := box.Len(); n != left {
					t.Errorf("%d are left on the server, want %d", n, left)
				}
			})
		}
	}
}

// TestT21IMAPRenumberedBeforeDelete: the numbers change while the command that
// removes is on its way.
func TestT21IMAPRenumberedBeforeDelete(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"UID STORE", "UID EXPUNGE", "UID MOVE", "UID COPY"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			var s *mailtest.IMAP
			var once atomic.Bool
			o := mailtest.IMAPOptions{Hook: onIMAP(verb, func(*mailtest.IMAPEvent) {
				if once.CompareAndSwap(false, true) {
					fill(s, "INBOX", letter("new"), letter("newer"))
					inbox(s).Remove(1)
					inbox(s).Renumber(4711)
				}
			})}
			policy := "delete"
			if verb == "UID MOVE" || verb == "UID COPY" {
				policy = "move Done"
			}
			if verb == "UID COPY" {
				o.Without = []string{"MOVE"}
			}
			s = startIMAP(t, o, letters(3)...)
			s.Account("ada").Mailbox("Done")
			h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "on_server: " + policy})
			if out := h.run("fetch"); out.code == exitOK {
				t.Errorf("exit code 0, though the session ended: %s", out.stderr)
			}
			if n := inbox(s).Len(); n != 4 {
				t.Errorf("%d are left, want the four", n)
			}
			for range 3 {
				h.run("fetch").wants(exitOK)
			}
			h.keeps(inInbox(append(letters(3), letter("new"), letter("newer"))...))
			if n := inbox(s).Len(); n != 0 {
				t.Errorf("%d are left", n)
			}
		})
	}
}

// TestT21IMAPRenumberedWithinAPass: the line breaks in the middle of a message,
// and the next session of the same pass finds other numbers.
func TestT21IMAPRenumberedWithinAPass(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"keep", "delete"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			var s *mailtest.IMAP
			s = startIMAP(t, mailtest.IMAPOptions{Hook: func(e *mailtest.IMAPEvent) {
				switch {
				case isText(e) && e.Session == 1:
					e.Cut(400)
				case e.Verb == "GREETING" && e.Session == 2:
					inbox(s).Remove(1)
					inbox(s).Renumber(4711)
				}
			}}, letters(6)...)
			h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "on_server: " + policy})
			for range 3 {
				h.run("fetch").wants(exitOK)
			}
			h.keeps(inInbox(letters(6)...))
			if n := inbox(s).Len(); n != map[string]int{"keep": 5}[policy] {
				t.Errorf("%d are left", n)
			}
		})
	}
}

// TestT22IMAPLargeMailbox: a mailbox with 100,000 messages that are left there
// costs a list once, and little afterwards.
func TestT22IMAPLargeMailbox(t *testing.T) {
	t.Parallel()
	s := startIMAP(t, mailtest.IMAPOptions{})
	m, box := letter("one"), inbox(s)
	for range 100_000 {
		box.Add(m)
	}
	account := imapBox{port: s.Port(), extra: "max_size: 1B"}
	h := newHostileIMAP(t, account)
	h.log = "{level: info}"
	h.writeIMAP(account)
	o := h.run("fetch").wants(exitOK).says(`100000 messages left on the server as too large`)
	if n := strings.Count(o.stderr, "\n"); n > 2 {
		t.Errorf("%d lines on stderr", n)
	}
	before := s.Counts().Octets
	h.run("fetch").wants(exitOK).brings(0)
	if n := s.Counts().Octets - before; n > 2000 {
		t.Errorf("%d octets for nothing new", n)
	}
}

// TestT23IMAPModes is not parallel: the umask is the process's.
func TestT23IMAPModes(t *testing.T) {
	s := startIMAP(t, mailtest.IMAPOptions{}, letters(2)...)
	inbox(s).SetFlags(1, `\Seen`)
	fill(s, "Lists/deep/er", letter("deep"))
	h := newHostileIMAP(t, imapBox{port: s.Port(), folders: `["*"]`})
	defer syscall.Umask(syscall.Umask(0))
	h.run("fetch").wants(exitOK).brings(3)
	for _, path := range append(tree(t, h.mail()), tree(t, h.env["XDG_STATE_HOME"])...) {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// TestT31IMAPCopyUID: what a server says of a move does not matter where it makes
// no sense.
func TestT31IMAPCopyUID(t *testing.T) {
	t.Parallel()
	for i, code := range []string{"[COPYUID]", "[COPYUID 1 1 1]", "[COPYUID x y z]", "[COPYUID 1 1:* 1:*]", "[COPYUID 0 0 0]", "[COPYUID 99999999999 5,4,3 1:3]",
		"[COPYUID 1 4294967295:1 1]", "[COPYUID 1 " + strings.Repeat("1,", 20000) + "1 1]", "[COPYUID 1 9:12 1:4]", "[APPENDUID 1 1]", "["} {
		for _, without := range []string{"", "MOVE"} {
			t.Run(fmt.Sprint(i, without), func(t *testing.T) {
				t.Parallel()
				s := startIMAP(t, mailtest.IMAPOptions{Without: []string{without}, Hook: func(e *mailtest.IMAPEvent) {
					if e.Verb == "UID MOVE" || e.Verb == "UID COPY" {
						e.Edit(func([]byte) []byte { return fmt.Appendf(nil, "* OK %s x\r\n%s OK %s done\r\n", code, e.Tag, code) })
					}
				}}, letters(3)...)
				s.Account("ada").Mailbox("Done")
				h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "on_server: move Done"})
				h.run("fetch").wants(exitOK).brings(3)
				h.run("fetch").wants(exitOK).brings(0)
				h.keeps(inInbox(letters(3)...))
				if in, done := inbox(s).Len(), s.Account("ada").Mailbox("Done").Len(); done < 3 || in+done < 3 {
					t.Errorf("%d and %d are there", in, done)
				}
			})
		}
	}
}

// TestT32IMAPOddMessages: whatever a message is, its octets arrive.
func TestT32IMAPOddMessages(t *testing.T) {
	t.Parallel()
	messages := [][]byte{
		[]byte("no header at all\r\n"), []byte("\r\n"), []byte("x"), {}, []byte("a\x00b\r\n\x00\r\n"), []byte("Subject: cr\rlf\n.\n..\r\n\r\nx\r\n"), []byte(")\r\n"),
		[]byte("a1 OK done\r\n* BYE\r\n{5}\r\n"), []byte("\r"), []byte("\n"), append(append([]byte("X: "), strings.Repeat("y", 10<<20)...), "\r\n\r\nz\r\n"...),
	}
	for _, m := range mailtest.Embedded() {
		if wire := mailtest.Wire(m.Octets); len(wire) > 0 {
			messages = append(messages, wire)
		}
	}
	for _, o := range []mailtest.IMAPOptions{{}, {Without: []string{"COMPRESS=DEFLATE"}}, {Quirks: mailtest.IMAPQuirks{UIDLast: true}}} {
		s := startIMAP(t, o, messages...)
		h := newHostileIMAP(t, imapBox{port: s.Port()})
		h.run("fetch").wants(exitOK)
		h.keeps(inInbox(messages...))
		h.run("fetch").wants(exitOK).brings(0)
	}
}

// TestT33IMAPUnsolicited: what nobody asked for, before, between and behind the
// rows of messages.
func TestT33IMAPUnsolicited(t *testing.T) {
	t.Parallel()
	foreign := "* 2 FETCH (UID 4000 FLAGS (\\Seen) RFC822.SIZE 9 BODY[] {9}\r\nnot mine\n)\r\n"
	for name, insert := range map[string]string{
		"another message": foreign, "the same flags": "* 1 FETCH (UID 1 FLAGS (\\Deleted))\r\n", "no UID": "* 1 FETCH (FLAGS ())\r\n* 1 FETCH (BODY[] {3}\r\nabc)\r\n",
		"expunge": "* 3 EXPUNGE\r\n* 2 EXISTS\r\n", "vanished": "* VANISHED 2\r\n", "unknown": "* XSOMETHING (a (b c) {3}\r\n)\r\n \"x\")\r\n", "continuation": "+ go on\r\n",
		"status": "* OK [ALERT] look\r\n* NO [X-Y z] something\r\n* BAD what\r\n", "list": "* LIST () \"/\" evil\r\n* SEARCH 9 8 7\r\n", "malformed": "* 1 FETCH (UID x\r\n* FETCH\r\n* 0 FETCH (UID 0)\r\n",
	} {
		for _, which := range []string{"list", "text"} {
			t.Run(name+" in "+which, func(t *testing.T) {
				t.Parallel()
				s := startIMAP(t, mailtest.IMAPOptions{Hook: func(e *mailtest.IMAPEvent) {
					if e.Verb == "UID FETCH" && isText(e) == (which == "text") {
						e.Row(func(_ uint32, row []byte) []byte { return slices.Concat([]byte(insert), row, []byte(insert)) })
					}
				}}, letters(3)...)
				h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "timeout: 1s"})
				h.run("fetch").wants(exitOK).brings(3)
				h.run("fetch").wants(exitOK).brings(0)
				h.keeps(inInbox(letters(3)...))
			})
		}
	}
	t.Run("unknown tag", func(t *testing.T) {
		t.Parallel()
		var good atomic.Bool
		s := startIMAP(t, mailtest.IMAPOptions{Hook: func(e *mailtest.IMAPEvent) {
			if isText(e) && !good.Load() {
				e.Edit(func(response []byte) []byte { return append([]byte("zz99 OK done\r\n"), response...) })
			}
		}}, letters(3)...)
		h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "on_server: delete"})
		h.run("fetch").wants(exitUnavailable, "unknown tag")
		good.Store(true)
		h.run("fetch").wants(exitOK)
		h.keeps(inInbox(letters(3)...))
	})
	t.Run("OK before the data", func(t *testing.T) {
		t.Parallel()
		s := startIMAP(t, mailtest.IMAPOptions{Hook: func(e *mailtest.IMAPEvent) {
			if isText(e) && e.Session == 1 && e.Nth <= 3 {
				e.Edit(func([]byte) []byte { return []byte(e.Tag + " OK done\r\n") })
			}
		}}, letters(3)...)
		h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "on_server: delete"})
		for range 2 {
			h.run("fetch")
		}
		h.keeps(inInbox(letters(3)...))
		if n := inbox(s).Len(); n != 0 {
			t.Errorf("%d are left", n)
		}
	})
}

// TestT34IMAPNothingInsteadOfAMessage: a server that sends nothing has not given
// the message, and it is neither delivered nor removed.
func TestT34IMAPNothingInsteadOfAMessage(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*mailtest.IMAPEvent){
		"NIL":        func(e *mailtest.IMAPEvent) { e.Serve(2, nil) },
		"empty":      func(e *mailtest.IMAPEvent) { e.Serve(2, []byte{}) },
		"no row":     func(e *mailtest.IMAPEvent) { e.Row(without(2)) },
		"no text":    func(e *mailtest.IMAPEvent) { e.Row(bare(2)) },
		"wrong UID":  func(e *mailtest.IMAPEvent) { e.Row(replaced(2, "UID 2 ", "UID 9 ")) },
		"string NIL": func(e *mailtest.IMAPEvent) { e.Serve(2, nil); e.Row(replaced(2, "NIL", `""`)) },
	} {
		for _, policy := range []string{"delete", "move Done"} {
			t.Run(name+" "+policy, func(t *testing.T) {
				t.Parallel()
				var good atomic.Bool
				s := startIMAP(t, mailtest.IMAPOptions{Hook: func(e *mailtest.IMAPEvent) {
					if isText(e) && e.Covers(2) && !good.Load() {
						spoil(e)
					}
				}}, letters(3)...)
				s.Account("ada").Mailbox("Done")
				h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "on_server: " + policy})
				h.run("fetch").wants(exitTemporary, `1 message could not be fetched and is tried again later; the first \(2\): the server`)
				h.keeps(inInbox(letters(3)[0], letters(3)[2]))
				if left := inbox(s).Messages(); len(left) != 1 || left[0].UID != 2 {
					t.Errorf("%d left on the server, want the one", len(left))
				}
				good.Store(true)
				h.run("fetch").wants(exitOK).brings(1)
				h.keeps(inInbox(letters(3)...))
			})
		}
	}
}

func without(uid uint32) func(uint32, []byte) []byte {
	return func(n uint32, row []byte) []byte {
		if n == uid {
			return nil
		}
		return row
	}
}

func bare(uid uint32) func(uint32, []byte) []byte {
	return func(n uint32, row []byte) []byte {
		if n == uid {
			return fmt.Appendf(nil, "* 2 FETCH (UID %d)\r\n", n)
		}
		return row
	}
}

func replaced(uid uint32, old, new string) func(uint32, []byte) []byte {
	return func(n uint32, row []byte) []byte {
		if n == uid {
			return []byte(strings.Replace(string(row), old, new, 1))
		}
		return row
	}
}
