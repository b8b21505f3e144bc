package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"postrider/mailtest"
)

// TestForeignMemoryServer: an IMAP server that others wrote.
func TestForeignMemoryServer(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"keep", "seen", "delete", "move Done", "move New"} {
		for _, folders := range []string{"[INBOX]", `["*"]`} {
			t.Run(policy+" "+folders, func(t *testing.T) {
				t.Parallel()
				s := mailtest.StartIMAPMemory(t, mailtest.IMAPMemoryOptions{User: "ada", Password: hostilePassword})
				want := map[string][][]byte{"work/INBOX": nil}
				add := func(mailbox string, octets []byte, flags ...string) {
					t.Helper()
					if _, err := s.Append(mailbox, octets, time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC), flags...); err != nil {
						t.Fatal(err)
					}
					if mailbox == "INBOX" || folders != "[INBOX]" {
						want["work/"+mailbox] = append(want["work/"+mailbox], octets)
					}
				}
				for _, name := range []string{"Done", "Lists/Go on", "Entwürfe"} {
					if err := s.Create(name); err != nil {
						t.Fatal(err)
					}
				}
				for i := range 120 {
					add("INBOX", letter(fmt.Sprint("number ", i)))
				}
				add("INBOX", letter("seen"), `\Seen`, `\Answered`)
				add("INBOX", append(letter("big"), bytes.Repeat([]byte("0123456789\r\n"), 50_000)...))
				add("Lists/Go on", letter("list"))
				add("Entwürfe", letter("draft"), `\Draft`, `\Seen`)
				h := newHostileIMAP(t, imapBox{port: s.Port(), folders: folders, extra: "on_server: " + policy})
				all := 0
				for _, messages := range want {
					all += len(messages)
				}
				h.run("fetch").wants(exitOK).brings(all)
				h.keeps(want)
				h.run("fetch").wants(exitOK).brings(0)
				add("INBOX", letter("late"))
				h.run("fetch").wants(exitOK).brings(1)
				h.keeps(want)
				cur := strings.Join(names(t, h, "work/INBOX/cur"), " ")
				if strings.Count(cur, ":2,RS") != 1 || strings.Count(cur, ":2,") != 1 {
					t.Errorf("in cur/: %s", cur)
				}
				left, err := s.Messages("INBOX")
				if err != nil {
					t.Fatal(err)
				}
				if removes := policy != "keep" && policy != "seen"; removes && len(left) != 0 || !removes && len(left) != 123 {
					t.Errorf("%d are left", len(left))
				}
				if to, moves := strings.CutPrefix(policy, "move "); moves {
					if there, err := s.Messages(to); err != nil || len(there) != all+1 {
						t.Errorf("%d in %s, want %d (%v)", len(there), to, all+1, err)
					}
				}
			})
		}
	}
}
