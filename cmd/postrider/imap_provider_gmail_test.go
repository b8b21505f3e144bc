package main

import (
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"postrider/mailtest"
)

// gmail is an account with messages under several labels.
func gmail(t *testing.T, change func(*mailtest.IMAPOptions)) *mailtest.IMAP {
	t.Helper()
	o := mailtest.ProfileGmailIMAP()
	if change != nil {
		change(&o)
	}
	s := startIMAP(t, o)
	a := s.Account("ada")
	for _, labels := range [][]string{{"INBOX"}, {"INBOX", "Work"}, {"Work", "Family"}, {"INBOX", "[Gmail]/Starred", "[Gmail]/Important"}, {}, {"[Gmail]/Sent Mail"}} {
		a.Deliver(mailtest.IMAPMessage{Octets: letter("with labels " + fmt.Sprint(labels))}, labels...)
	}
	return s
}

func labelled(labels ...string) []byte { return letter("with labels " + fmt.Sprint(labels)) }

// TestGmailLabels: a message under several labels comes once for each entry of
// folders that wants it, and All Mail gives what no other has brought.
func TestGmailLabels(t *testing.T) {
	t.Parallel()
	starred := labelled("INBOX", "[Gmail]/Starred", "[Gmail]/Important")
	inbox := [][]byte{labelled("INBOX"), labelled("INBOX", "Work"), starred}
	work := [][]byte{labelled("INBOX", "Work"), labelled("Work", "Family")}
	sent, archived := labelled("[Gmail]/Sent Mail"), letter("with labels []")
	for _, tt := range []struct {
		name, folders string
		want          map[string][][]byte
	}{
		{"default", "", map[string][][]byte{"work/INBOX": inbox}},
		{"all by pattern", `["*"]`, map[string][][]byte{"work/INBOX": inbox, "work/Family": {labelled("Work", "Family")}, "work/[Gmail]/Sent Mail": {sent}}},
		{"by two entries", "[INBOX, Work]", map[string][][]byte{"work/INBOX": inbox, "work/Work": work}},
		{"all mail too", `[INBOX, Work, "[Gmail]/All Mail"]`, map[string][][]byte{"work/INBOX": inbox, "work/Work": work, "work/[Gmail]/All Mail": {archived, sent}}},
		{"all by pattern, and all mail", `["*", "[Gmail]/All Mail"]`, map[string][][]byte{
			"work/INBOX": inbox, "work/Family": {labelled("Work", "Family")}, "work/[Gmail]/Sent Mail": {sent}, "work/[Gmail]/All Mail": {archived}}},
		{"all mail alone", `["[Gmail]/All Mail"]`, map[string][][]byte{"work/[Gmail]/All Mail": append([][]byte{labelled("Work", "Family"), archived, sent}, inbox...)}},
		{"starred is named", `["[Gmail]/Starred", INBOX]`, map[string][][]byte{"work/INBOX": inbox}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := gmail(t, nil)
			h := newHostileIMAP(t, imapBox{port: s.Port(), folders: tt.folders})
			h.run("fetch").wants(exitOK)
			h.keeps(tt.want)
			for range 2 {
				h.run("fetch").wants(exitOK).brings(0)
			}
			h.keeps(tt.want)
		})
	}
}

// TestGmailLabelComesLater: a label is a new UID and no new message, and so is a
// message that comes back to a mailbox.
func TestGmailLabelComesLater(t *testing.T) {
	t.Parallel()
	s := gmail(t, nil)
	h := newHostileIMAP(t, imapBox{port: s.Port(), folders: `["*", "[Gmail]/All Mail"]`})
	h.run("fetch").wants(exitOK).brings(6)
	box := inbox(s)
	first := box.Messages()[0]
	s.Account("ada").Mailbox("Family").Put(mailtest.IMAPMessage{Octets: first.Octets, GmailID: first.GmailID})
	box.Remove(first.UID)
	h.run("fetch").wants(exitOK).brings(0)
	box.Put(mailtest.IMAPMessage{Octets: first.Octets, GmailID: first.GmailID})
	h.run("fetch").wants(exitOK).brings(0)
	s.Account("ada").Deliver(mailtest.IMAPMessage{Octets: letter("late")}, "Family", "Work")
	h.run("fetch").wants(exitOK).brings(1)
}

// TestViewsWait: All Mail waits for a run in which all other mailboxes go well, as
// it would bring what they have not brought yet. Where messages have no number
// that is the same in all mailboxes, it keeps nothing from coming.
func TestViewsWait(t *testing.T) {
	t.Parallel()
	for _, twins := range []bool{true, false} {
		t.Run(fmt.Sprint(twins), func(t *testing.T) {
			t.Parallel()
			var well atomic.Bool
			s := gmail(t, func(o *mailtest.IMAPOptions) {
				if !twins {
					o.Without = append(o.Without, "X-GM-EXT-1")
				}
				o.Hook = onIMAP("EXAMINE", func(e *mailtest.IMAPEvent) {
					if e.Mailbox == "Work" && !well.Load() {
						e.Refuse("[UNAVAILABLE] not now")
					}
				})
			})
			h := newHostileIMAP(t, imapBox{port: s.Port(), folders: `[INBOX, Work, "[Gmail]/All Mail"]`})
			o := h.run("fetch").wants(exitTemporary, "account work: mailbox Work: .*not now")
			if waits := strings.Contains(o.stderr, "a run in which all others go well"); waits != twins {
				t.Errorf("the view waits: %v\n%s", waits, o.stderr)
			}
			if came := len(h.kept()["work/[Gmail]/All Mail"]) > 0; came == twins {
				t.Errorf("the view was fetched: %v", came)
			}
			well.Store(true)
			h.run("fetch").wants(exitOK)
			for place, texts := range h.kept() {
				if work := texts[string(labelled("Work", "Family"))]; twins && work > 0 && place != "work/Work" {
					t.Errorf("what is in Work came to %s", place)
				}
			}
			h.run("fetch").wants(exitOK).brings(0)
		})
	}
}

// TestGmailConnections: the sixteenth session is refused, and what there is to
// do goes on over those there are.
func TestGmailConnections(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 2, 15} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			s := startIMAP(t, func() mailtest.IMAPOptions {
				o := mailtest.ProfileGmailIMAP()
				o.MaxSessions = limit
				return o
			}())
			want := map[string][][]byte{}
			folders := "["
			for i := range 20 {
				name := fmt.Sprintf("label %d", i)
				folders += name + ", "
				for k := range 20 {
					m := letter(fmt.Sprintf("%d under %s", k, name))
					s.Account("ada").Deliver(mailtest.IMAPMessage{Octets: m}, name)
					want["work/"+name] = append(want["work/"+name], m)
				}
			}
			h := newHostileIMAP(t, imapBox{port: s.Port(), folders: folders + "INBOX]", extra: "connections: 20"})
			o := h.run("fetch").wants(exitOK).brings(400)
			if limit < 15 {
				o.wants(exitOK, "no further session.*Too many simultaneous connections")
			}
			h.keeps(want)
		})
	}
	t.Run("not even one", func(t *testing.T) {
		t.Parallel()
		s := gmail(t, func(o *mailtest.IMAPOptions) {
			o.Hook = onIMAP("AUTHENTICATE", func(e *mailtest.IMAPEvent) { e.Refuse(o.LimitText) })
		})
		h := newHostileIMAP(t, imapBox{port: s.Port()})
		h.run("fetch").wants(exitTemporary, "Too many simultaneous connections")
	})
}

// TestGmailNumberForAll: a server that gives all its messages one number has not
// given us the others, and they are not removed for that.
func TestGmailNumberForAll(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"keep", "delete"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			var messages [][]byte
			for i := range 6 {
				messages = append(messages, letter(strings.Repeat("x", i+1)))
			}
			number := regexp.MustCompile("X-GM-MSGID [0-9]+")
			o := mailtest.ProfileGmailIMAP()
			o.Hook = onIMAP("UID FETCH", func(e *mailtest.IMAPEvent) {
				e.Row(func(_ uint32, row []byte) []byte { return number.ReplaceAll(row, []byte("X-GM-MSGID 7")) })
			})
			s := startIMAP(t, o, messages[:3]...)
			fill(s, "Work", messages[3:5]...)
			h := newHostileIMAP(t, imapBox{port: s.Port(), folders: `["*"]`, extra: "on_server: " + policy})
			h.run("fetch").wants(exitOK).brings(5)
			fill(s, "INBOX", messages[5])
			h.run("fetch").wants(exitOK).brings(1)
			h.keeps(map[string][][]byte{"work/INBOX": append(messages[:3:3], messages[5]), "work/Work": messages[3:5]})
		})
	}
}
