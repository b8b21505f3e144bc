package main

import (
	"bytes"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/mailtest"
)

// insertRows puts text in front of the first item of each row.
func insertRows(text string) func(uint32, []byte) []byte {
	return func(_ uint32, row []byte) []byte { return bytes.Replace(row, []byte("("), []byte("("+text), 1) }
}

// TestT27IMAPAnnouncedSizes: what is announced decides nothing about what comes.
func TestT27IMAPAnnouncedSizes(t *testing.T) {
	t.Parallel()
	announced := regexp.MustCompile(`RFC822\.SIZE [0-9]+`)
	for _, size := range []string{"0", "1", "2147483648", "4294967296", "9223372036854775807", "9223372036854775808", "-1", "0x10", "9.3736e+06", "NIL", `""`, "()", "{1}\r\n5", "{9223372036854775808}\r\n"} {
		t.Run(size, func(t *testing.T) {
			t.Parallel()
			var spoil atomic.Bool
			spoil.Store(true)
			s := startIMAP(t, mailtest.IMAPOptions{Hook: func(e *mailtest.IMAPEvent) {
				if isListing(e) && spoil.Load() {
					e.Row(func(_ uint32, row []byte) []byte {
						return announced.ReplaceAllLiteral(row, []byte("RFC822.SIZE "+size))
					})
				}
			}}, letters(3)...)
			h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "timeout: 1s"})
			if strings.HasPrefix(size, "{") {
				h.run("fetch").wants(exitUnavailable) // no number begins so, and nobody knows where it would end
				spoil.Store(false)
			}
			h.run("fetch").wants(exitOK).brings(3)
			h.run("fetch").wants(exitOK).brings(0)
			h.keeps(inInbox(letters(3)...))
		})
	}
}

// TestT28IMAPSmallLiterals in an item that nobody knows.
func TestT28IMAPSmallLiterals(t *testing.T) {
	t.Parallel()
	s := startIMAP(t, mailtest.IMAPOptions{Hook: func(e *mailtest.IMAPEvent) {
		if isListing(e) {
			e.Row(insertRows("X-A (" + strings.Repeat("{1}\r\na ", 20_000) + ") "))
		}
	}}, letters(3)...)
	h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "timeout: 2s"})
	h.run("fetch").wants(exitOK).brings(3)
	h.keeps(inInbox(letters(3)...))
}

// TestT29IMAPLargeMessage: the time is in proportion to the size.
func TestT29IMAPLargeMessage(t *testing.T) {
	t.Parallel()
	large := append(letter("large"), bytes.Repeat([]byte("0123456789012345678901234567890123456789012345678901234567890123456789012345\r\n"), 400_000)...)
	s := startIMAP(t, mailtest.IMAPOptions{Without: []string{"COMPRESS=DEFLATE"}}, large)
	h := newHostileIMAP(t, imapBox{port: s.Port()})
	start := time.Now()
	h.run("fetch").wants(exitOK).brings(1)
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("31 MB took %v", took)
	}
	h.keeps(inInbox(large))
}

// TestT30IMAPNesting: an item that is nested deeper than anything is passed over,
// and the message comes.
func TestT30IMAPNesting(t *testing.T) {
	t.Parallel()
	for _, depth := range []int{10, 31, 33, 1000, 100_000} {
		s := startIMAP(t, mailtest.IMAPOptions{Hook: func(e *mailtest.IMAPEvent) {
			if isListing(e) {
				e.Row(insertRows("X-A " + strings.Repeat("(", depth) + strings.Repeat(")", depth) + " "))
			}
		}}, letters(3)...)
		h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "timeout: 2s"})
		o := h.run("fetch")
		if o.code == exitOK {
			h.keeps(inInbox(letters(3)...))
		} else if depth < 100_000 {
			t.Errorf("depth %d: exit code %d: %s", depth, o.code, o.stderr)
		}
	}
}

// TestT43IMAPNumbersOver32Bits in what STATUS and SEARCH say.
func TestT43IMAPNumbersOver32Bits(t *testing.T) {
	t.Parallel()
	for _, number := range []string{"4294967296", "18446744073709551615", "99999999999999999999", "-1"} {
		for _, item := range []string{"MESSAGES", "UIDNEXT", "UIDVALIDITY", "HIGHESTMODSEQ"} {
			t.Run(item+" "+number, func(t *testing.T) {
				t.Parallel()
				said := regexp.MustCompile(item + ` [0-9]+`)
				s := startIMAP(t, mailtest.IMAPOptions{Hook: onIMAP("LIST", func(e *mailtest.IMAPEvent) {
					e.Edit(func(response []byte) []byte { return said.ReplaceAll(response, []byte(item+" "+number)) })
				})}, letters(3)...)
				h := newHostileIMAP(t, imapBox{port: s.Port(), folders: `["*"]`})
				h.run("fetch").wants(exitOK).brings(3)
				fill(s, "INBOX", letter("late"))
				h.run("fetch").wants(exitOK).brings(1)
				h.run("fetch").wants(exitOK).brings(0)
			})
		}
	}
	for _, reply := range []string{"* SEARCH 4294967296 1 2 3", "* ESEARCH UID ALL 1:99999999999", "* SEARCH -1", "* ESEARCH UID ALL x"} {
		t.Run(reply, func(t *testing.T) {
			t.Parallel()
			var spoil atomic.Bool
			spoil.Store(true)
			s := startIMAP(t, mailtest.IMAPOptions{Hook: onIMAP("UID SEARCH", func(e *mailtest.IMAPEvent) {
				if spoil.Load() {
					e.Reply(reply, e.Tag+" OK done")
				}
			})}, letters(3)...)
			h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "on_server: delete"})
			if o := h.run("fetch"); o.code == exitOK {
				t.Error("exit code 0, though nobody knows what is left")
			}
			spoil.Store(false)
			h.run("fetch").wants(exitOK).brings(0)
			h.keeps(inInbox(letters(3)...))
		})
	}
}
