package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/mailtest"
)

// TestT39IMAPOddNumbers: UIDs twice, downwards, zero and as high as can be, and a
// UIDNEXT that is wrong, or missing, or goes down.
func TestT39IMAPOddNumbers(t *testing.T) {
	t.Parallel()
	next := func(change func(pass int, n string) string) func(int, *mailtest.IMAPEvent) {
		return func(pass int, e *mailtest.IMAPEvent) {
			if e.Verb != "EXAMINE" && e.Verb != "SELECT" && e.Verb != "STATUS" && e.Verb != "LIST" {
				return
			}
			e.Edit(func(response []byte) []byte {
				text := string(response)
				i := strings.Index(text, "UIDNEXT ")
				if i < 0 {
					return response
				}
				rest := strings.TrimLeft(text[i+len("UIDNEXT "):], "0123456789")
				n := strings.TrimSuffix(text[i+len("UIDNEXT "):], rest)
				return []byte(text[:i] + change(pass, n) + rest)
			})
		}
	}
	rows := func(change func(uid uint32, row string) string) func(int, *mailtest.IMAPEvent) {
		return func(_ int, e *mailtest.IMAPEvent) {
			if e.Verb == "UID FETCH" {
				e.Row(func(uid uint32, row []byte) []byte { return []byte(change(uid, string(row))) })
			}
		}
	}
	for name, spoil := range map[string]func(pass int, e *mailtest.IMAPEvent){
		"UIDNEXT missing":      next(func(int, string) string { return "UNKNOWN 1" }),
		"UIDNEXT 0":            next(func(int, string) string { return "UIDNEXT 0" }),
		"UIDNEXT 1":            next(func(int, string) string { return "UIDNEXT 1" }),
		"UIDNEXT late":         next(func(_ int, n string) string { return "UIDNEXT " + n[:len(n)-1] + "3" }),
		"UIDNEXT over 32 bits": next(func(_ int, n string) string { return "UIDNEXT 18446744073709551616" }),
		"T43 UIDNEXT 2^32+n":   next(func(_ int, n string) string { return "UIDNEXT 429496729" + n }),
		"UIDNEXT negative":     next(func(_ int, n string) string { return "UIDNEXT -" + n }),
		"UIDNEXT high, then true": next(func(pass int, n string) string {
			return map[bool]string{true: "UIDNEXT 4294967295", false: "UIDNEXT " + n}[pass == 0]
		}),
		"twice": rows(func(_ uint32, row string) string { return row + row }),
		"zero too": rows(func(_ uint32, row string) string {
			return "* 7 FETCH (UID 0 FLAGS () RFC822.SIZE 3)\r\n* 0 FETCH (UID 4294967296)\r\n" + row
		}),
		"a ghost on top": func(pass int, e *mailtest.IMAPEvent) {
			if isListing(e) && pass == 0 {
				e.Edit(func(response []byte) []byte {
					return append([]byte("* 9 FETCH (UID 4294967294 FLAGS () RFC822.SIZE 33)\r\n"), response...)
				})
			}
		},
		"downwards": func(_ int, e *mailtest.IMAPEvent) {
			if e.Verb == "UID FETCH" && !isText(e) {
				var held []string
				e.Row(func(_ uint32, row []byte) []byte {
					held = append(held, string(row))
					return nil
				})
				e.Edit(func(response []byte) []byte {
					slices.Reverse(held)
					return append([]byte(strings.Join(held, "")), response...)
				})
			}
		},
	} {
		for _, folders := range []string{"[INBOX]", "[INBOX, Work]"} {
			t.Run(name+" "+folders, func(t *testing.T) {
				t.Parallel()
				var pass atomic.Int64
				s := startIMAP(t, mailtest.IMAPOptions{Without: []string{"CONDSTORE", "QRESYNC"}, Hook: func(e *mailtest.IMAPEvent) { spoil(int(pass.Load()), e) }}, letters(14)...)
				fill(s, "Work")
				h := newHostileIMAP(t, imapBox{port: s.Port(), folders: folders, extra: "timeout: 2s"})
				if o := h.run("fetch"); o.code != exitOK && o.code != exitTemporary {
					t.Errorf("exit code %d: %s", o.code, o.stderr)
				}
				h.keeps(inInbox(letters(14)...))
				for i := range 3 {
					pass.Add(1)
					fill(s, "INBOX", letter(fmt.Sprint("late ", i)))
					h.run("fetch").brings(1)
				}
				h.run("fetch").brings(0)
				h.keeps(inInbox(append(letters(14), letter("late 0"), letter("late 1"), letter("late 2"))...))
			})
		}
	}
}

// TestUIDsThatDoNotLast: a mailbox without UIDVALIDITY, or with UIDNOTSTICKY, is
// known by the content of its messages.
func TestUIDsThatDoNotLast(t *testing.T) {
	t.Parallel()
	for name, old := range map[string][2]string{
		"not sticky": {"* OK [UIDVALIDITY", "* NO [UIDNOTSTICKY] they change\r\n* OK [UIDVALIDITY"}, "not told": {"UIDVALIDITY", "NOTHING"}, "zero": {"UIDVALIDITY 1", "UIDVALIDITY 0 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startIMAP(t, mailtest.IMAPOptions{Hook: func(e *mailtest.IMAPEvent) {
				if e.Verb == "EXAMINE" || e.Verb == "SELECT" {
					e.Edit(func(response []byte) []byte { return []byte(strings.Replace(string(response), old[0], old[1], 1)) })
				}
			}}, letters(3)...)
			date := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
			inbox(s).Put(mailtest.IMAPMessage{Octets: letter("old"), Flags: []string{`\Seen`, `\Flagged`}, Date: date})
			h := newHostileIMAP(t, imapBox{port: s.Port()})
			h.run("fetch").wants(exitOK).brings(4)
			inbox(s).Remove(1)
			h.run("fetch").wants(exitOK).brings(0)
			inbox(s).Renumber(5)
			inbox(s).Add(letter("late"))
			h.run("fetch").wants(exitOK).brings(1)
			h.keeps(inInbox(append(letters(3), letter("old"), letter("late"))...))
			if seen := names(t, h, "work/INBOX/cur"); len(seen) != 1 || !strings.HasSuffix(seen[0], ":2,FS") {
				t.Errorf("in cur/: %v", seen)
			}
		})
	}
}

// TestIMAPOddDates: no date keeps a message from coming.
func TestIMAPOddDates(t *testing.T) {
	t.Parallel()
	date := regexp.MustCompile(`INTERNALDATE "[^"]*"`)
	dates := []string{`"01-Jan-0001 00:00:00 +0000"`, `"31-Dec-9999 23:59:59 -1200"`, `"30-Feb-2020 25:61:61 +9999"`, `""`, "NIL", `" 1-jan-1970 00:00:00 +0000"`, `"01-Jan-1901 00:00:00 +0000"`, "{3}\r\nnow"}
	s := startIMAP(t, mailtest.IMAPOptions{Hook: onIMAP("UID FETCH", func(e *mailtest.IMAPEvent) {
		e.Row(func(uid uint32, row []byte) []byte {
			return date.ReplaceAllLiteral(row, []byte("INTERNALDATE "+dates[int(uid-1)%len(dates)]))
		})
	})}, letters(8)...)
	h := newHostileIMAP(t, imapBox{port: s.Port()})
	h.run("fetch").wants(exitOK).brings(8)
	h.run("fetch").wants(exitOK).brings(0)
	h.keeps(inInbox(letters(8)...))
}
