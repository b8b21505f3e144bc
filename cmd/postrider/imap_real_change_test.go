//go:build linux

package main_test

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/mailtest"
)

// changeCase is an account whose mailboxes change between two runs.
type changeCase struct {
	*testing.T
	s        *mailtest.RealServer
	c        *mailtest.RealSession
	p        *postrider
	account  imapAccount
	recorder *mailtest.Recorder
}

func newChangeCase(t *testing.T, binary string, s *mailtest.RealServer, user string) *changeCase {
	t.Helper()
	s.AddUser(t, user, realPassword)
	recorder := mailtest.NewRecorder(t, s, 0)
	account := imapAccount{name: "work", server: s, port: recorder.Port(), user: user}
	p := newIMAPPostrider(t, binary, account)
	return &changeCase{t, s, s.Session(t, user, realPassword), p, account, recorder}
}

// make makes a mailbox with n notes.
func (c *changeCase) make(name string, n int, subject string) {
	c.Helper()
	if answer := c.c.Create(name); answer != "" {
		c.Fatal(answer)
	}
	notes(c.c, n, subject, name)
}

// uidValidity asks for it.
func (c *changeCase) uidValidity(name string) string {
	c.Helper()
	number := regexp.MustCompile(`UIDVALIDITY (\d+)`)
	for _, r := range c.c.Do("STATUS %s (UIDVALIDITY)", c.c.Name(name)) {
		if m := number.FindStringSubmatch(r.Text); m != nil {
			return m[1]
		}
	}
	c.Fatal("no UIDVALIDITY")
	return ""
}

// remake deletes a mailbox and makes one of the same name with another
// UIDVALIDITY, and not that which another of the mailboxes has: it would look
// like that one renamed. To some servers it is the time, in seconds, and no mailbox
// can be deleted twice within one.
func (c *changeCase) remake(name string, others ...string) {
	c.Helper()
	before := []string{c.uidValidity(name)}
	for _, other := range others {
		before = append(before, c.uidValidity(other))
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(1100 * time.Millisecond) {
		c.c.Do("DELETE %s", c.c.Name(name))
		c.c.Do("CREATE %s", c.c.Name(name))
		if !slices.Contains(before, c.uidValidity(name)) {
			return
		}
		if time.Now().After(end) {
			c.Fatalf("UIDVALIDITY stays one of %s", before)
		}
	}
}

// expect fetches and compares one folder.
func (c *changeCase) expect(name string, want ...message) string {
	c.Helper()
	output := c.p.output()
	c.p.folders("work")[c.p.place(c.c, name)].mustEqual(c.T, want)
	return output
}

// A mailbox that was deleted and made anew, with the same mail, other mail, or
// some of each: what was there before does not come again, and all else does.
func (c *changeCase) renumbered() {
	c.make("same", 30, "old")
	c.make("other", 30, "old")
	c.make("mixed", 30, "old")
	twin := message{"twin", mailtest.Local(note("twin"))}
	twins := func(n int) {
		for range n {
			c.c.Append(c.c.Name("mixed"), "", time.Time{}, note("twin"))
		}
	}
	twins(2)
	all := localNotes(30, "old")
	c.expect("same", all...)
	c.remake("same", "other", "mixed")
	c.remake("other", "same", "mixed")
	c.remake("mixed", "same", "other")
	notes(c.c, 30, "old", "same")
	notes(c.c, 20, "new", "other")
	notes(c.c, 5, "new", "mixed")
	notes(c.c, 20, "old", "mixed")
	twins(3)
	output := c.expect("same", all...)
	c.expect("other", append(localNotes(30, "old"), localNotes(20, "new")...)...)
	c.expect("mixed", append(append(localNotes(30, "old"), localNotes(5, "new")...), twin, twin, twin)...)
	if n := strings.Count(output, "UIDVALIDITY"); n != 3 {
		c.Errorf("%d warnings of a new UIDVALIDITY", n)
	}
	before := c.p.folders("work")
	c.recorder.Take()
	c.p.mustFetch()
	sameFolders(c.T, before, c.p.folders("work"))
	for _, transcript := range c.recorder.Take() {
		if transcript.Count("EXAMINE") > 0 {
			c.Errorf("for nothing new: %v", transcript)
		}
	}
}

// A mailbox that was made anew while delivered mail is to be removed: nothing is
// removed before everything was compared, and in the end all is here and nothing
// there.
func (c *changeCase) renumberedRemove() {
	c.account.onServer = "delete after 30d"
	c.p.configure(c.account)
	c.make("box", 20, "old")
	c.expect("box", localNotes(20, "old")...)
	c.remake("box")
	notes(c.c, 10, "old", "box")
	notes(c.c, 5, "new", "box")

	c.account.onServer = "delete"
	c.p.configure(c.account)
	all := append(localNotes(20, "old"), localNotes(5, "new")...)
	c.recorder.Take()
	c.expect("box", all...)
	if n := len(c.c.Rows(false, "box")); n != 15 {
		c.Errorf("%d messages are left of 15 that were being compared", n)
	}
	c.expect("box", all...)
	if n := len(c.c.Rows(false, "box")); n != 0 {
		c.Errorf("%d messages are left that were delivered", n)
	}
	c.expect("box", all...)
}

// Mail arrives while mail is fetched: after the mailboxes were surveyed, and
// after the messages were listed. Each comes with this run or the next, once, and
// then there is nothing more to do.
func (c *changeCase) arriving() {
	c.make("box", 5, "note")
	other := c.s.Session(c, "arriving", realPassword)
	opened, fetched := 0, 0
	c.recorder.Before(func(octets []byte) {
		if bytes.Contains(octets, []byte(" EXAMINE ")) && bytes.Contains(octets, []byte(`box"`)) {
			other.Append(other.Name("box"), "", time.Time{}, note(fmt.Sprint("opened ", opened)))
			opened++
		}
		if bytes.Contains(octets, []byte(" BODY.PEEK[]")) && fetched == 0 {
			other.Append(other.Name("box"), "", time.Time{}, note(fmt.Sprint("fetched ", fetched)))
			fetched++
		}
	})
	c.p.mustFetch()
	c.Log(c.p.folders("work")[c.p.place(c.c, "box")].subjects())
	c.p.mustFetch()
	c.recorder.Take()
	c.recorder.Before(nil)
	if opened < 2 || fetched != 1 {
		c.Fatalf("%d messages arrived while it was opened, %d while messages were fetched", opened, fetched)
	}
	want := append(localNotes(5, "note"), localNotes(opened, "opened")...)
	want = append(want, localNotes(fetched, "fetched")...)
	c.expect("box", want...)
	c.expect("box", want...)
	all := c.recorder.Take()
	if last := all[len(all)-1]; last.Count("EXAMINE") > 0 {
		c.Errorf("for nothing new: %v", last)
	}
}

// A mailbox in which there never was anything is opened once.
func (c *changeCase) empty() {
	c.make("box", 0, "")
	c.expect("box")
	c.recorder.Take()
	c.expect("box")
	for _, transcript := range c.recorder.Take() {
		if transcript.Count("EXAMINE") > 0 {
			c.Errorf("for nothing new: %v", transcript)
		}
	}
	notes(c.c, 2, "first", "box")
	c.expect("box", localNotes(2, "first")...)
}

// A mailbox that gets another name: its mail is not new for that, and what is
// new comes into the folder of the new name.
func (c *changeCase) renamed() {
	c.make("before", 20, "note")
	c.expect("before", localNotes(20, "note")...)
	validity := c.uidValidity("before")
	c.c.Do("RENAME %s %s", c.c.Name("before"), c.c.Name("after"))
	var again []message
	if c.uidValidity("after") != validity {
		// Courier changes it along with the name, and then nothing says that this is
		// the mailbox that has gone.
		again = localNotes(20, "note")
	}
	if (again != nil) != (c.s.Name == "courier") {
		c.Errorf("UIDVALIDITY was %s, is %s", validity, c.uidValidity("after"))
	}
	c.expect("before", localNotes(20, "note")...)
	notes(c.c, 2, "later", "after")
	c.expect("after", append(again, localNotes(2, "later")...)...)
	c.expect("before", localNotes(20, "note")...)
}

// Mailboxes come and go between two runs, and at the worst moment of one.
func (c *changeCase) vanished() {
	for _, name := range []string{"first", "doomed", "last"} {
		c.make(name, 5, name)
	}
	c.expect("first", localNotes(5, "first")...)
	c.make("fresh", 3, "fresh")
	notes(c.c, 1, "later", "doomed")
	notes(c.c, 1, "later", "first")
	notes(c.c, 1, "later", "last")
	doomed := c.p.folders("work")[c.p.place(c.c, "doomed")]

	opens := regexp.MustCompile(`EXAMINE "(INBOX\.)?doomed"`)
	var answer string
	c.recorder.Before(func(octets []byte) {
		if answer == "" && opens.Match(octets) {
			_, answer = c.c.Try("DELETE %s", c.c.Name("doomed"))
		}
	})
	code, output := c.p.run("fetch")
	c.recorder.Take()
	if !strings.HasPrefix(answer, "OK") {
		c.Fatalf("the mailbox was not deleted: %s", answer)
	}
	c.Logf("exit code %d: %s", code, output[strings.LastIndex(strings.TrimSpace(output), "\n")+1:])
	folders := c.p.folders("work")
	folders[c.p.place(c.c, "first")].mustEqual(c.T, append(localNotes(5, "first"), localNotes(1, "later")...))
	folders[c.p.place(c.c, "last")].mustEqual(c.T, append(localNotes(5, "last"), localNotes(1, "later")...))
	folders[c.p.place(c.c, "fresh")].mustEqual(c.T, localNotes(3, "fresh"))
	if !folders[c.p.place(c.c, "doomed")].sameFiles(doomed) {
		c.Error("the folder of the deleted mailbox has changed")
	}
	c.p.mustFetch()
	sameFolders(c.T, folders, c.p.folders("work"))
}

// Messages are expunged by another client after they were listed: they are gone,
// and all others are fetched.
func (c *changeCase) expunged() {
	notes(c.c, 30, "note", "INBOX")
	other := c.s.Session(c, "expunged", realPassword)
	other.Do("SELECT INBOX")
	done := false
	c.recorder.Before(func(octets []byte) {
		if !done && bytes.Contains(octets, []byte("BODY.PEEK[]")) {
			done = true
			other.Try(`UID STORE 1:10 +FLAGS (\Seen \Flagged)`) // which gives their files other names
			other.Try(`UID STORE 11:20 +FLAGS (\Deleted)`)
			other.Try("EXPUNGE")
		}
	})
	code, output := c.p.run("fetch")
	c.recorder.Take()
	if !done || code != 0 {
		c.Errorf("expunged: %v, exit code %d:\n%s", done, code, output)
	}
	var there []message
	for i, m := range localNotes(30, "note") {
		if i < 10 || i >= 20 {
			there = append(there, m)
		} else if c.s.Name == "courier" {
			// It sends this instead, and there is no knowing that it is not the message.
			there = append(there, message{"unavailable", []byte("From: System Administrator <root@localhost>\nSubject: message unavailable\n\nThis message is no longer available on the server.\n")})
		}
	}
	c.p.folders("work")["INBOX"].mustEqual(c.T, there)
	c.p.mustFetch()
	c.p.folders("work")["INBOX"].mustEqual(c.T, there)
}

func TestRealIMAPChanges(t *testing.T) {
	t.Parallel()
	binary := buildPostrider(t)
	for _, server := range realIMAPServers() {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t)
			for _, change := range []struct {
				name string
				run  func(*changeCase)
			}{
				{"renumbered", (*changeCase).renumbered},
				{"renumbered-remove", (*changeCase).renumberedRemove},
				{"arriving", (*changeCase).arriving},
				{"empty", (*changeCase).empty},
				{"renamed", (*changeCase).renamed},
				{"vanished", (*changeCase).vanished},
				{"expunged", (*changeCase).expunged},
			} {
				t.Run(change.name, func(t *testing.T) { change.run(newChangeCase(t, binary, s, change.name)) })
			}
		})
	}
}
