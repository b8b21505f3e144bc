//go:build linux

package main_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/mailtest"
)

// policyCase is an account with one policy, and what the server has for it.
type policyCase struct {
	*testing.T
	s        *mailtest.RealServer
	c        *mailtest.RealSession
	p        *postrider
	account  imapAccount
	recorder *mailtest.Recorder
	want     map[string][]message
}

const (
	policyInbox = 40 // messages in INBOX
	policyLists = 7  // and in another mailbox
)

// newPolicyCase fills an account, without ever opening its mailboxes for
// writing, so that \Recent can be seen.
func newPolicyCase(t *testing.T, binary string, s *mailtest.RealServer, user, onServer string) *policyCase {
	t.Helper()
	s.AddUser(t, user, realPassword)
	s.Append(t, user, realIMAPMail(t, s)[:policyInbox]...)
	c := s.Session(t, user, realPassword)
	for _, name := range []string{"lists", "Älteres"} { // Cyrus would make the latter along with what is below it
		if answer := c.Create(name); answer != "" {
			t.Fatal(answer)
		}
	}
	notes(c, policyLists, "lists", "lists")
	recorder := mailtest.NewRecorder(t, s, 0)
	account := imapAccount{name: "work", server: s, port: recorder.Port(), user: user, onServer: onServer}
	p := newIMAPPostrider(t, binary, account)
	boxes := map[string][]string{"INBOX": {"INBOX"}, p.place(c, "lists"): {"lists"}, p.place(c, "Älteres"): {"Älteres"}}
	return &policyCase{t, s, c, p, account, recorder, served(c, boxes)}
}

// state is what the server tells of all messages, in a form that can be
// compared.
func (c *policyCase) state() string {
	return fmt.Sprintf("INBOX %v\nlists %v\n", c.c.Rows(false, "INBOX"), c.c.Rows(false, "lists"))
}

// fetch fetches, checks that all that was there is here, and returns what went
// over the line and what was said.
func (c *policyCase) fetch() (mailtest.Transcript, string) {
	c.Helper()
	output := c.p.output()
	foldersEqual(c.T, c.p.folders("work"), c.want)
	all := c.recorder.Take()
	if len(all) != 1 {
		c.Fatalf("%d sessions for a few messages", len(all))
	}
	if all[0].Count("EXPUNGE", "CLOSE") > 0 {
		c.Errorf("a bare EXPUNGE or a CLOSE:\n%v", all[0])
	}
	return all[0], output
}

// commands returns those that change something.
func changing(t mailtest.Transcript) (all []string) {
	for _, c := range t.Commands() {
		for _, word := range []string{"UID STORE", "UID COPY", "UID MOVE", "UID EXPUNGE", "CREATE", "SELECT"} {
			if strings.HasPrefix(c, word) {
				all = append(all, c)
			}
		}
	}
	return all
}

func (c *policyCase) keep() {
	before := c.state()
	first, _ := c.fetch()
	second, _ := c.fetch()
	if done := append(changing(first), changing(second)...); len(done) > 0 {
		c.Errorf("`keep` changes something: %q", done)
	}
	if after := c.state(); after != before {
		c.Errorf("`keep` has changed the server\nfrom %s\nto %s", before, after)
	}
	if !strings.Contains(before, `\Recent`) {
		c.Error(`no message was \Recent`)
	}
}

func (c *policyCase) seen() {
	first, _ := c.fetch()
	c.Log(changing(first))
	for _, name := range []string{"INBOX", "lists"} {
		for _, row := range c.c.Rows(false, name) {
			if !strings.Contains(row.Flags, `\Seen`) {
				c.Errorf("%s, UID %d has the flags %s", name, row.UID, row.Flags)
			}
		}
	}
	// The user takes the flag away again, and that is how it stays.
	c.c.Do("SELECT INBOX")
	c.c.Do(`UID STORE 1:3 -FLAGS (\Seen)`)
	before := c.state()
	second, _ := c.fetch()
	if done := changing(second); slices.ContainsFunc(done, func(d string) bool { return strings.HasPrefix(d, "UID") }) || c.state() != before {
		c.Errorf("the second run: %q, flags\n%s\nbefore\n%s", done, c.state(), before)
	}
}

// remove: what another client has marked as \Deleted and this one has not
// fetched stays.
func (c *policyCase) remove() {
	large := append(note("large"), bytes.Repeat([]byte("0123456789\r\n"), 100_000)...)
	c.c.Append(c.c.Name("lists"), `\Deleted`, time.Time{}, large)
	c.account.maxSize = "1MB"
	c.p.configure(c.account)
	first, _ := c.fetch()
	c.Log(changing(first))
	second, _ := c.fetch()
	if done := changing(second); slices.ContainsFunc(done, func(d string) bool { return strings.HasPrefix(d, "UID") }) {
		c.Errorf("the second run: %q", done)
	}
	if inbox, lists := c.c.Rows(false, "INBOX"), c.c.Rows(false, "lists"); len(inbox) != 0 || len(lists) != 1 || !strings.Contains(lists[0].Flags, `\Deleted`) {
		c.Errorf("left on the server are %v in INBOX and %v in lists", inbox, lists)
	}
}

func (c *policyCase) removeAfter() {
	const age = 3 * time.Second
	start := time.Now()
	c.fetch()
	if n := len(c.c.Rows(false, "INBOX")); n != policyInbox && time.Since(start) < age {
		c.Fatalf("%d messages were fetched a moment ago, %d are left on the server", policyInbox, n)
	}
	// The messages have to grow old; another process's clock cannot be set.
	time.Sleep(age + time.Second)
	notes(c.c, 5, "young", "INBOX")
	c.want["INBOX"] = append(c.want["INBOX"], localNotes(5, "young")...)
	start = time.Now()
	c.fetch()
	if inbox, lists := c.c.Rows(true, "INBOX"), c.c.Rows(false, "lists"); len(inbox) != 5 && time.Since(start) < age || len(lists) != 0 {
		c.Errorf("left on the server are %d young messages of 5, and %d in lists", len(inbox), len(lists))
	}
}

// move: the target is below the account's own prefix; "/" parts levels on every
// server.
func (c *policyCase) move(target ...string) {
	first, _ := c.fetch()
	c.Log(changing(first))
	there := func() (all []message) {
		for _, row := range c.c.Rows(true, target...) {
			all = append(all, message{fmt.Sprint(row.UID), mailtest.Local(row.Octets)})
		}
		return all
	}
	var want []message
	for _, place := range slices.Sorted(maps.Keys(c.want)) {
		want = append(want, c.want[place]...)
	}
	sameMessages(c.T, there(), want)
	if inbox, lists := c.c.Rows(false, "INBOX"), c.c.Rows(false, "lists"); len(inbox)+len(lists) > 0 {
		c.Errorf("left on the server are %v in INBOX and %v in lists", inbox, lists)
	}
	notes(c.c, 2, "later", "INBOX")
	c.want["INBOX"] = append(c.want["INBOX"], localNotes(2, "later")...)
	c.fetch()
	sameMessages(c.T, there(), append(want, localNotes(2, "later")...))
	before := c.state()
	last, _ := c.fetch()
	if done := changing(last); len(done) > 0 || c.state() != before {
		c.Errorf("with nothing new: %q", done)
	}
}

// sameMessages compares messages on a server, in any order.
func sameMessages(t *testing.T, got, want []message) {
	t.Helper()
	var f folder
	for _, m := range got {
		f = append(f, delivered{m.name, m.octets})
	}
	f.mustEqual(t, want)
}

// Each on_server does what it says, and nothing else.
func TestRealIMAPOnServer(t *testing.T) {
	t.Parallel()
	binary := buildPostrider(t)
	for _, server := range realIMAPServers() {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t)
			prefix := ""
			if server.name == "courier" {
				prefix = "INBOX/"
			}
			for _, policy := range []struct {
				name, onServer string
				run            func(*policyCase)
			}{
				{"keep", "keep", (*policyCase).keep},
				{"seen", "seen", (*policyCase).seen},
				{"delete", "delete", (*policyCase).remove},
				{"delete-after", "delete after 3s", (*policyCase).removeAfter},
				{"move", "move " + prefix + "Done", func(c *policyCase) { c.move("Done") }},
				{"move-below", "move " + prefix + "Älteres/2026 & so", func(c *policyCase) { c.move("Älteres", "2026 & so") }},
			} {
				t.Run(policy.name, func(t *testing.T) {
					policy.run(newPolicyCase(t, binary, s, policy.name, policy.onServer))
				})
			}
			t.Run("move-one", func(t *testing.T) {
				c := newPolicyCase(t, binary, s, "move-one", "move "+prefix+"Done/2026")
				c.account.folders = "[INBOX]"
				c.p.configure(c.account)
				output := c.p.output()
				if n, left := len(c.c.Rows(false, "Done", "2026")), len(c.c.Rows(false, "INBOX")); n != policyInbox || left != 0 {
					t.Errorf("%d messages of %d are moved, %d are left:\n%s", n, policyInbox, left, output)
				}
			})
		})
	}
}

// A target that cannot be is told of once a mailbox, with a hint, and nothing
// else happens to the mail.
func TestRealIMAPMoveRefused(t *testing.T) {
	t.Parallel()
	binary := buildPostrider(t)
	s := mailtest.StartCourier(t, nil)
	c := newPolicyCase(t, binary, s, "ada", "move Done") // it has all mailboxes below INBOX
	before := c.state()
	for range 2 {
		_, output := c.fetch()
		if n := strings.Count(output, "Some servers have all mailboxes below INBOX"); n != 2 {
			t.Errorf("%d warnings for 2 mailboxes:\n%s", n, output)
		}
	}
	if after := strings.ReplaceAll(c.state(), `\Recent`, ""); after != strings.ReplaceAll(before, `\Recent`, "") {
		t.Errorf("from %s\nto %s", before, after)
	}
}

// Without UIDPLUS nothing can be removed that would not take others' messages
// along: \Deleted is set and left, and one warning says so.
func TestRealIMAPOnServerPlain(t *testing.T) {
	t.Parallel()
	binary := buildPostrider(t)
	for _, onServer := range []string{"delete", "move INBOX/Done"} {
		t.Run(onServer, func(t *testing.T) {
			t.Parallel()
			s := mailtest.StartCourier(t, nil, mailtest.RealConfig(`IMAP_CAPABILITY="IMAP4rev1 CHILDREN NAMESPACE IDLE"`))
			c := newPolicyCase(t, binary, s, "ada", onServer)
			for run := range 3 {
				transcript, output := c.fetch()
				if warned := strings.Count(output, "cannot remove single messages"); warned != 1-min(run, 1) {
					t.Errorf("run %d warns %d times:\n%s", run+1, warned, output)
				}
				if done := changing(transcript); run > 0 && slices.ContainsFunc(done, func(d string) bool { return strings.HasPrefix(d, "UID") }) {
					t.Errorf("run %d: %q", run+1, done)
				}
			}
			for _, name := range []string{"INBOX", "lists"} {
				for _, row := range c.c.Rows(false, name) {
					if !strings.Contains(row.Flags, `\Deleted`) {
						t.Errorf("%s, UID %d has the flags %s", name, row.UID, row.Flags)
					}
				}
			}
			if n := len(c.c.Rows(false, "INBOX")); n != policyInbox {
				t.Errorf("%d messages of %d stay in INBOX", n, policyInbox)
			}
			if onServer != "delete" {
				if n := len(c.c.Rows(false, "Done")); n != policyInbox+policyLists {
					t.Errorf("%d messages of %d are in the mailbox they are moved to", n, policyInbox+policyLists)
				}
			}
		})
	}
}
