package main

import (
	"testing"

	"postrider/mailtest"
)

// TestIMAPNameBack: a mailbox gets another name and later its old one back. What
// came meanwhile is in the folder of the other name, and does not come again.
func TestIMAPNameBack(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"keep", "seen", "delete after 30d"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			s := startIMAP(t, mailtest.IMAPOptions{}, letter("inbox"))
			ada := s.Account("ada")
			fill(s, "Work", letter("a"), letter("b"))
			h := newHostileIMAP(t, imapBox{port: s.Port(), folders: `["*"]`, extra: "on_server: " + policy})
			h.run("fetch").wants(exitOK).brings(3)
			for range 2 {
				ada.Rename("Work", "Office")
				h.run("fetch").wants(exitOK, "seems to have another name").brings(0)
				h.run("fetch").wants(exitOK).brings(0)
				fill(s, "Office", letter("c"))
				h.run("fetch").wants(exitOK).brings(1)
				ada.Rename("Office", "Work")
				fill(s, "Work", letter("d"))
				h.run("fetch").wants(exitOK, "seems to have another name").brings(1)
				h.run("fetch").wants(exitOK).brings(0)
			}
			h.keeps(map[string][][]byte{
				"work/INBOX": {letter("inbox")}, "work/Work": {letter("a"), letter("b"), letter("d"), letter("d")},
				"work/Office": {letter("c"), letter("c")},
			})
		})
	}
}

// TestIMAPNameTaken: a mailbox gets another name, and another mailbox has the old
// one by the next run.
func TestIMAPNameTaken(t *testing.T) {
	t.Parallel()
	all := func(texts ...string) (messages [][]byte) {
		for _, text := range texts {
			messages = append(messages, letter(text))
		}
		return messages
	}
	for name, tt := range map[string]struct {
		old       [][]byte
		change    func(*mailtest.IMAP, *mailtest.IMAPAccount)
		brings    int
		work, aux [][]byte
	}{
		"new year": {nil, func(s *mailtest.IMAP, ada *mailtest.IMAPAccount) {
			ada.Rename("Work", "Old")
			fill(s, "Work", letter("new"))
			fill(s, "Old", letter("late"))
		}, 2, all("a", "b", "new"), all("late")},
		"put in its place": {all("c", "d", "e"), func(s *mailtest.IMAP, ada *mailtest.IMAPAccount) {
			ada.Delete("Work")
			ada.Rename("Old", "Work")
			fill(s, "Work", letter("new"))
		}, 1, all("a", "b", "new"), all("c", "d", "e")},
		"swapped": {all("c", "d", "e"), func(s *mailtest.IMAP, ada *mailtest.IMAPAccount) {
			ada.Rename("Work", "x")
			ada.Rename("Old", "Work")
			ada.Rename("x", "Old")
			fill(s, "Work", letter("new"))
		}, 1, all("a", "b", "new"), all("c", "d", "e")},
	} {
		for _, policy := range []string{"keep", "seen", "delete after 30d"} {
			t.Run(name+" "+policy, func(t *testing.T) {
				t.Parallel()
				s := startIMAP(t, mailtest.IMAPOptions{})
				fill(s, "Work", letter("a"), letter("b"))
				if len(tt.old) > 0 {
					fill(s, "Old", tt.old...)
				}
				h := newHostileIMAP(t, imapBox{port: s.Port(), folders: `["*"]`, extra: "on_server: " + policy})
				h.run("fetch").wants(exitOK)
				tt.change(s, s.Account("ada"))
				h.run("fetch").wants(exitOK, "seems to have another name").brings(tt.brings)
				for range 2 {
					h.run("fetch").wants(exitOK).brings(0)
				}
				h.keeps(map[string][][]byte{"work/Work": tt.work, "work/Old": tt.aux})
			})
		}
	}
}

// TestIMAPOneMailboxRenamed: the same for an account with one mailbox, of which
// the configuration has to tell the new name.
func TestIMAPOneMailboxRenamed(t *testing.T) {
	t.Parallel()
	s := startIMAP(t, mailtest.IMAPOptions{})
	fill(s, "Work", letter("a"), letter("b"))
	fill(s, "Other", letter("a"), letter("c"))
	h := newHostileIMAP(t, imapBox{port: s.Port(), folders: "[Work]"})
	h.run("fetch").wants(exitOK).brings(2)
	s.Account("ada").Rename("Work", "Office")
	fill(s, "Office", letter("d"))
	h.writeIMAP(imapBox{port: s.Port(), folders: "[Office]"})
	h.run("fetch").wants(exitOK, "formerly=Work").brings(1)
	h.run("fetch").wants(exitOK).brings(0)
	h.writeIMAP(imapBox{port: s.Port(), folders: "[Other]"})
	h.run("fetch").wants(exitOK).brings(2)
	h.keeps(map[string][][]byte{
		"work/Work": {letter("a"), letter("b")}, "work/Office": {letter("d")}, "work/Other": {letter("a"), letter("c")},
	})
}
