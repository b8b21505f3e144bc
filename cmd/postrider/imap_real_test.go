//go:build linux

package main_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/mailtest"
)

// realBox is a mailbox and the place that it has to get, below the account and
// what the server puts before one's own mailboxes.
type realBox struct {
	levels []string
	place  string
}

// realBoxes are names that something could stumble over.
func realBoxes() []realBox {
	return []realBox{
		{[]string{"plain"}, "plain"},
		{[]string{"two words"}, "two words"},
		{[]string{"Entwürfe & mehr"}, "Entwürfe & mehr"},
		{[]string{"已发送"}, "已发送"},
		{[]string{"📮 post"}, "📮 post"},
		{[]string{"&"}, "&"},
		{[]string{"&AOk-"}, "&AOk-"},
		{[]string{"a", "b", "c d", "é", "f"}, "a/b/c d/é/f"},
		{[]string{`quo"ted`}, "quo%22ted"},
		{[]string{`back\slash`}, "back%5Cslash"},
		{[]string{"100%"}, "100%25"},
		{[]string{"sta*r"}, "sta*r"},
		{[]string{"tmp"}, "%74mp"},
		{[]string{"x", "Cur"}, "x/%43ur"},
		{[]string{"v1.2.3"}, "v1.2.3"},
		{[]string{"lists"}, "%6C%69%73%74%73"}, // another has it already, see the next
		{[]string{"Lists"}, "Lists"},
		{[]string{"-dash"}, "%2Ddash"},
		{[]string{"it's $HOME"}, "it's %24HOME"},
	}
}

// refused are the names that servers do not take: a delimiter in them is no
// part of a name, and the rest is theirs to decide.
var refused = map[string][]string{
	"dovecot.": {"v1.2.3"},
	"dovecot/": {"tmp", "Cur"},
	"cyrus/":   {`quo"ted`, `back\slash`, "100%"},
	"courier.": {"v1.2.3", "📮 post"},
}

// makeBoxes makes the mailboxes that the server lets one make, and returns them
// by place.
func makeBoxes(t *testing.T, s *mailtest.RealServer, c *mailtest.RealSession) map[string][]string {
	t.Helper()
	prefix := ""
	if strings.HasPrefix(c.Text("x"), "INBOX") {
		prefix = "INBOX/"
	}
	boxes := map[string][]string{"INBOX": {"INBOX"}}
	for _, b := range realBoxes() {
		last := b.levels[len(b.levels)-1]
		if slices.Contains(refused[s.Name+c.Delimiter()], last) {
			continue
		}
		if answer := c.Create(b.levels...); answer != "" {
			t.Errorf("%q is not made: %s", b.levels, answer)
			continue
		}
		boxes[prefix+b.place] = b.levels
		for n := 1; s.Name == "cyrus" && n < len(b.levels); n++ {
			// It makes what is above it, too.
			boxes[prefix+strings.Join(b.levels[:n], "/")] = b.levels[:n]
		}
	}
	return boxes
}

// scatter moves all mail of the INBOX but a share into the other mailboxes.
func scatter(t *testing.T, c *mailtest.RealSession, boxes map[string][]string) {
	t.Helper()
	rows := c.Rows(false, "INBOX")
	share := len(rows)/len(boxes) + 1
	c.Do("SELECT INBOX")
	at := share
	for _, place := range slices.Sorted(maps.Keys(boxes)) {
		levels := boxes[place]
		if levels[0] == "INBOX" || at >= len(rows) {
			continue
		}
		end := min(at+share, len(rows)) - 1
		set := fmt.Sprintf("%d:%d", rows[at].UID, rows[end].UID)
		c.Do("UID COPY %s %s", set, c.Name(levels...))
		c.Do(`UID STORE %s +FLAGS.SILENT (\Deleted)`, set)
		at = end + 1
	}
	c.Do("EXPUNGE")
}

// The corpus and more, in many mailboxes, arrive as they are served, once, in
// the right places, over implicit TLS and STARTTLS. Nothing comes again,
// whatever the reader and another client do, and what is new comes.
func TestRealIMAPFolders(t *testing.T) {
	t.Parallel()
	binary := buildPostrider(t)
	for _, server := range append(realIMAPServers(), imapServer{"dovecot-tree", dovecotTree}) {
		for _, tls := range []string{"implicit", "starttls"} {
			t.Run(server.name+"/"+tls, func(t *testing.T) {
				t.Parallel()
				realIMAPFolders(t, binary, server.start(t), tls)
			})
		}
	}
}

func realIMAPFolders(t *testing.T, binary string, s *mailtest.RealServer, tls string) {
	s.AddUser(t, "ada", realPassword)
	wires := realIMAPMail(t, s)
	s.Append(t, "ada", wires...)
	c := s.Session(t, "ada", realPassword)
	boxes := makeBoxes(t, s, c)
	scatter(t, c, boxes)
	want := served(c, boxes)
	asStored(t, wires, want)

	account := imapAccount{name: "work", server: s, user: "ada", tls: tls}
	recorder := mailtest.NewRecorder(t, s, farAway)
	if tls == "implicit" {
		account.port = recorder.Port()
	}
	p := newIMAPPostrider(t, binary, account)
	t.Log(p.fetchedLine())
	first := p.folders("work")
	foldersEqual(t, first, want)
	recorder.Take()

	if line := p.fetchedLine(); !strings.HasPrefix(line, "0 new messages") {
		t.Errorf("the second run: %s", line)
	}
	sameFolders(t, first, p.folders("work"))
	idleRun := recorder.Take()
	for _, transcript := range idleRun {
		idle(t, transcript, len(first))
	}
	if tls == "implicit" && len(idleRun) != 1 {
		t.Errorf("%d sessions for nothing new", len(idleRun))
	}

	left := readersAtWork(t, p, first)
	p.mustFetch()
	sameFolders(t, left, p.folders("work"))

	inbox := p.place(c, "INBOX")
	changed := othersAtWork(c)
	t.Log(p.fetchedLine())
	after := p.folders("work")
	wantAfter := map[string][]message{}
	for place, f := range left {
		wantAfter[place] = f.messages()
	}
	for levels, messages := range changed {
		place := p.place(c, levels)
		wantAfter[place] = append(wantAfter[place], messages...)
	}
	foldersEqual(t, after, wantAfter)
	if len(after[inbox]) == len(left[inbox]) {
		t.Errorf("nothing new has come")
	}
	p.mustFetch()
	sameFolders(t, after, p.folders("work"))
}

// farAway is half a round trip, long enough to see which commands wait for an
// answer.
const farAway = 10 * time.Millisecond

// idle checks what goes over the line if nothing is new: a handful of round
// trips, and no list of messages.
func idle(t *testing.T, transcript mailtest.Transcript, mailboxes int) {
	t.Helper()
	if transcript.Turns() > idleTurns(transcript, mailboxes) || transcript.Count("SELECT", "EXAMINE", "UID") > 0 {
		t.Errorf("for nothing new in %d mailboxes: %v\n%s", mailboxes, transcript, strings.Join(transcript.Commands(), "\n"))
	}
}

// idleTurns is how many round trips are a handful. Where the server has no
// LIST-STATUS, each mailbox takes a command, of which many are under way.
func idleTurns(transcript mailtest.Transcript, mailboxes int) int {
	const login, work, logout = 4, 2, 1
	if transcript.Count("STATUS") == 0 {
		mailboxes = 0
	}
	return login + work + logout + mailboxes/5
}

// readersAtWork does to all folders what mail readers do, and returns what is
// left.
func readersAtWork(t *testing.T, p *postrider, folders map[string]folder) map[string]folder {
	t.Helper()
	archive := filepath.Join(p.root, "work", "Kept")
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(archive, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, files := range folders {
		for i, file := range files {
			unique, _, _ := strings.Cut(filepath.Base(file.path), ":")
			cur := filepath.Join(filepath.Dir(filepath.Dir(file.path)), "cur")
			var err error
			switch i % 5 {
			case 0: // read
				err = os.Rename(file.path, filepath.Join(cur, unique+":2,S"))
			case 1: // flagged and answered
				err = os.Rename(file.path, filepath.Join(cur, unique+":2,FRS"))
			case 2: // filed
				err = os.Rename(file.path, filepath.Join(archive, "cur", unique+":2,S"))
			case 3: // deleted
				err = os.Remove(file.path)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return p.folders("work")
}

// othersAtWork does on the server what another client does, and returns what
// is new for it, by mailbox.
func othersAtWork(c *mailtest.RealSession) map[string][]message {
	rows := c.Rows(true, "INBOX")
	set := func(from, to int) string { return fmt.Sprintf("%d:%d", rows[from].UID, rows[to-1].UID) }
	c.Do("SELECT INBOX")
	c.Do(`UID STORE %s +FLAGS (\Seen \Flagged)`, set(0, 5))
	c.Do(`UID STORE %s +FLAGS (\Deleted)`, set(5, 8))
	c.Do("UID COPY %s %s", set(8, 11), c.Name("two words")) // moved, as it was done before MOVE
	c.Do(`UID STORE %s +FLAGS (\Deleted)`, set(8, 11))
	c.Do("EXPUNGE")
	notes(c, 3, "later", "INBOX")
	notes(c, 2, "later", "plain")
	var moved []message
	for _, row := range rows[8:11] {
		moved = append(moved, message{"moved", mailtest.Local(row.Octets)})
	}
	return map[string][]message{"INBOX": localNotes(3, "later"), "plain": localNotes(2, "later"), "two words": moved}
}

// realIMAPMail is the corpus and generated messages, as they shall be on the
// wire.
func realIMAPMail(t *testing.T, s *mailtest.RealServer) (wires [][]byte) {
	for _, m := range append(mailtest.Corpus(t), mailtest.Generate(1, 200, 60_000)...) {
		if wire := mailtest.Wire(m.Octets); len(wire) > 0 || s.Name != "cyrus" { // it stores no empty message
			wires = append(wires, wire)
		}
	}
	return wires
}

// asStored checks that what a server serves is what it was given, but for the
// few messages in which it alters something.
func asStored(t *testing.T, wires [][]byte, served map[string][]message) {
	t.Helper()
	left := map[string]int{}
	for _, w := range wires {
		left[string(mailtest.Local(w))]++
	}
	n, altered := 0, 0
	for _, box := range served {
		for _, m := range box {
			n++
			if left[string(m.octets)]--; left[string(m.octets)] < 0 {
				altered++
			}
		}
	}
	t.Logf("%d messages in %d mailboxes, %d altered by the server", n, len(served), altered)
	if n != len(wires) || altered > 10 {
		t.Fatalf("of %d messages the server serves %d, %d of them altered", len(wires), n, altered)
	}
}
