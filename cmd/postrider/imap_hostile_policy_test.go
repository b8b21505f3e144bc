package main

import (
	"strings"
	"sync/atomic"
	"testing"

	"postrider/mailtest"
)

// TestT42IMAPServerOnlyClaims: what the server says it has removed is looked for,
// reported, and not delivered again.
func TestT42IMAPServerOnlyClaims(t *testing.T) {
	t.Parallel()
	for verb, policy := range map[string]string{"UID STORE": "delete", "UID EXPUNGE": "delete", "UID MOVE": "move Done"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			var honest atomic.Bool
			s := startIMAP(t, mailtest.IMAPOptions{Hook: onIMAP(verb, func(e *mailtest.IMAPEvent) {
				if !honest.Load() {
					e.Pretend()
				}
			})}, letters(3)...)
			s.Account("ada").Mailbox("Done")
			h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "on_server: " + policy})
			for range 3 {
				if o := h.run("fetch").wants(exitOK, "said that it removed the message, and still has it"); strings.Contains(o.stdout, "removed on the server") {
					t.Errorf("told of as removed: %s", o.stdout)
				}
			}
			h.keeps(inInbox(letters(3)...))
			honest.Store(true)
			h.run("fetch").wants(exitOK).says("3 messages removed on the server")
			if n := texts(s); n != 3 {
				t.Errorf("%d texts were sent, want each once", n)
			}
		})
	}
}

// TestIMAPNoUIDPLUS: without UIDPLUS nothing is ever expunged, and that is told
// once a run.
func TestIMAPNoUIDPLUS(t *testing.T) {
	t.Parallel()
	for policy, without := range map[string][]string{"delete": {"UIDPLUS"}, "move Done": {"UIDPLUS", "MOVE"}} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			s := startIMAP(t, mailtest.IMAPOptions{Without: without}, letters(3)...)
			fill(s, "Work", letters(2)...)
			s.Account("ada").Mailbox("Done")
			inbox(s).SetFlags(1, `\Deleted`) // by somebody else
			h := newHostileIMAP(t, imapBox{port: s.Port(), folders: "[INBOX, Work]", extra: "on_server: " + policy})
			o := h.run("fetch").wants(exitOK, `stay until something expunges them`)
			if n := strings.Count(o.stderr, "UIDPLUS"); n != 1 {
				t.Errorf("told %d times", n)
			}
			h.run("fetch").wants(exitOK).brings(0)
			c := s.Counts()
			if n := c.Commands["EXPUNGE"] + c.Commands["CLOSE"] + c.Commands["UID EXPUNGE"]; n != 0 || inbox(s).Len() != 3 {
				t.Errorf("%d commands that expunge; %d are left", n, inbox(s).Len())
			}
			if got := flagged(inbox(s), `\Deleted`); len(got) != 3 {
				t.Errorf("marked: %v", got)
			}
			if n := s.Account("ada").Mailbox("Done").Len(); policy != "delete" && n != 5 {
				t.Errorf("%d copies, want 5", n)
			}
		})
	}
}

// TestIMAPPolicyRefused: the mail is here, the server keeps it, and says why.
func TestIMAPPolicyRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ policy, verb, text string }{
		{"delete", "UID STORE", "[NOPERM] you may not"}, {"delete", "UID EXPUNGE", "[NOPERM] you may not"}, {"seen", "UID STORE", "[NOPERM] you may not"},
		{"move Done", "UID MOVE", "[OVERQUOTA] full"}, {"move Nowhere", "UID MOVE", "[TRYCREATE] no such mailbox"},
	} {
		t.Run(tt.policy+" "+tt.verb, func(t *testing.T) {
			t.Parallel()
			s := startIMAP(t, mailtest.IMAPOptions{Hook: func(e *mailtest.IMAPEvent) {
				if e.Verb == tt.verb || e.Verb == "CREATE" {
					e.Refuse(tt.text)
				}
			}}, letters(300)...)
			s.Account("ada").Mailbox("Done")
			h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "on_server: " + tt.policy})
			h.log = "{level: info}"
			h.writeIMAP(imapBox{port: s.Port(), extra: "on_server: " + tt.policy})
			for i := range 2 {
				o := h.run("fetch").wants(exitOK, "does not do what on_server says.*"+tt.text[1:6]).brings(300 * (1 - i))
				if n := strings.Count(o.stderr, "\n"); n > 3 {
					t.Errorf("%d lines on stderr for one reason", n)
				}
			}
			if n := inbox(s).Len(); n != 300 {
				t.Errorf("%d are left", n)
			}
		})
	}
}

// TestIMAPReadOnly: a mailbox that is opened for reading only.
func TestIMAPReadOnly(t *testing.T) {
	t.Parallel()
	s := startIMAP(t, mailtest.IMAPOptions{Hook: onIMAP("SELECT", func(e *mailtest.IMAPEvent) {
		e.Edit(func(response []byte) []byte {
			return []byte(strings.Replace(string(response), "[READ-WRITE]", "[READ-ONLY]", 1))
		})
	})}, letters(3)...)
	h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "on_server: delete"})
	h.run("fetch").wants(exitOK, "for reading only").brings(3)
	if c := s.Counts(); c.Commands["UID STORE"] != 0 {
		t.Error("it was tried all the same")
	}
}
