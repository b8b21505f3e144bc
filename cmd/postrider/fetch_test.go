package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"postrider/daemon"
	"postrider/fetch"
	"postrider/mailtest"
)

func TestSummary(t *testing.T) {
	t.Parallel()
	var s summary
	s.add(daemon.Report{Account: "a", Result: fetch.Result{Delivered: 1, Octets: 999}})
	if got, want := s.line(1234*time.Millisecond), "1 new message (999 B) from 1 account in 1.23s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if s.err() != nil {
		t.Errorf("error %v", s.err())
	}
	s.add(daemon.Report{Account: "b", Result: fetch.Result{Delivered: 2, Octets: 1e9, Disposed: 2, TooLarge: 1, Aside: []fetch.Aside{{UID: "x", Err: errors.New("refused")}, {Err: errors.New("other")}}}})
	s.add(daemon.Report{Account: "c", Err: errors.New("no network")})
	if got, want := s.line(time.Second), "3 new messages (1.0 GB) from 3 accounts in 1s, 2 messages removed on the server, 1 message left on the server as too large, 2 messages set aside, trouble with 2 accounts"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.add(daemon.Report{Account: "d", Err: errors.Join(errors.New("mailbox x: no"), errors.New("mailbox y: no"))})
	want := "account b: 2 messages could not be fetched and are tried again later; the first (x): refused\naccount c: no network\naccount d: mailbox x: no\naccount d: mailbox y: no"
	if got := s.err().Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOctets(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_999: "1000.0 kB", 1_500_000: "1.5 MB", 3e9: "3.0 GB"} {
		if got := octets(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// TestFetchNamedAccounts fetches those that are named, each once, and leaves
// the others alone.
func TestFetchNamedAccounts(t *testing.T) {
	t.Parallel()
	one, two := startPOP3(t, mailtest.POP3Options{}, letters(1)...), startPOP3(t, mailtest.POP3Options{}, letters(2)...)
	h := newHostile(t, hostileAccount{name: "one", port: one.Port()}, hostileAccount{name: "two", port: two.Port()})
	h.run("fetch", "two", "two").wants(exitOK).says("2 new messages .* from 1 account")
	if n := one.Counts().Sessions; n != 0 {
		t.Errorf("%d sessions of an account that was not asked for", n)
	}
	h.run("fetch").wants(exitOK).says("1 new message .* from 2 accounts")
}

// TestOnServer walks the policies over two runs each.
func TestOnServer(t *testing.T) {
	t.Parallel()
	for policy, left := range map[string]int{"keep": 3, "delete": 0, "delete after 30d": 3} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			s := startPOP3(t, mailtest.POP3Options{}, letters(3)...)
			h := newHostile(t, hostileAccount{port: s.Port(), extra: "on_server: " + policy})
			for range 2 {
				h.run("fetch").wants(exitOK)
				if n := s.Mailbox("ada").Len(); n != left {
					t.Errorf("%d left on the server, want %d", n, left)
				}
			}
			h.holds("work", letters(3)...)
			if policy == "delete after 30d" {
				// With a day less than nothing to wait, they go.
				h.write(hostileAccount{port: s.Port(), extra: "on_server: delete"})
				h.run("fetch").wants(exitOK).says("3 messages removed on the server")
				h.holds("work", letters(3)...)
			}
		})
	}
}

// TestOneFolderForTwoAccounts: what both bring lies in one folder, once each.
func TestOneFolderForTwoAccounts(t *testing.T) {
	t.Parallel()
	one, two := startPOP3(t, mailtest.POP3Options{}, letters(4)[:2]...), startPOP3(t, mailtest.POP3Options{}, letters(4)[2:]...)
	h := newHostile(t, hostileAccount{name: "one", port: one.Port(), extra: "deliver_to: all/INBOX"}, hostileAccount{name: "two", port: two.Port(), extra: "deliver_to: all/INBOX"})
	for range 2 {
		h.run("fetch").wants(exitOK)
		h.holds("all", letters(4)...)
	}
}

// TestBrokenAccountKeepsNoOtherFromRunning: one account has no place to
// deliver to.
func TestBrokenAccountKeepsNoOtherFromRunning(t *testing.T) {
	t.Parallel()
	s := startPOP3(t, mailtest.POP3Options{}, letters(2)...)
	h := newHostile(t, hostileAccount{name: "good", port: s.Port()}, hostileAccount{name: "bad", port: s.Port()})
	if err := os.MkdirAll(h.mail(), 0o700); err != nil {
		t.Fatal(err)
	}
	h.save(filepath.Join(h.mail(), "bad"), "a file where the folder should be")
	h.run("fetch").wants(exitIO, "account bad: ")
	h.holds("good", letters(2)...)
}
