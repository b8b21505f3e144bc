//go:build linux

package main_test

import (
	"fmt"
	"strings"
	"testing"

	"postrider/mailtest"
)

// "/" parts levels in patterns on every server, "%" stays in a level, and "!"
// leaves out.
func TestRealIMAPPatterns(t *testing.T) {
	t.Parallel()
	binary := buildPostrider(t)
	for _, server := range realIMAPServers() {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t)
			s.AddUser(t, "ada", realPassword)
			c := s.Session(t, "ada", realPassword)
			want := map[string][]message{}
			prefix := ""
			if server.name == "courier" {
				prefix = "INBOX/"
			}
			for i, box := range []struct {
				levels []string
				wanted bool
			}{
				{[]string{"INBOX"}, false},
				{[]string{"lists"}, true},
				{[]string{"lists", "é"}, true},
				{[]string{"lists", "é", "deep"}, false},
				{[]string{"lists", "spam"}, false},
				{[]string{"lists2"}, false},
				{[]string{"deep"}, true},
				{[]string{"deep", "a"}, true},
				{[]string{"deep", "a", "b"}, true},
				{[]string{"deep", "no"}, false},
				{[]string{"deep", "no", "c"}, true},
			} {
				if answer := c.Create(box.levels...); box.levels[0] != "INBOX" && answer != "" {
					t.Fatal(answer)
				}
				subject := fmt.Sprint("box ", i)
				notes(c, 1, subject, box.levels...)
				if box.wanted {
					want[strings.ReplaceAll(c.Text(box.levels...), c.Delimiter(), "/")] = localNotes(1, subject)
				}
			}
			folders := fmt.Sprintf("[%[1]slists, '%[1]slists/%%', '%[1]sdeep*', '!%[1]slists/sp*', '!%[1]sdeep/no']", prefix)
			p := newIMAPPostrider(t, binary, imapAccount{name: "work", server: s, user: "ada", folders: folders})
			for range 2 {
				p.mustFetch()
				foldersEqual(t, p.folders("work"), want)
			}
		})
	}
}

// A server that lets one user in only so often: what the account would share among
// more sessions is done by one.
func TestRealIMAPConnectionLimit(t *testing.T) {
	t.Parallel()
	binary := buildPostrider(t)
	s := mailtest.StartDovecot(t, nil, mailtest.RealConfig("mail_max_userip_connections = 1"))
	s.AddUser(t, "ada", realPassword)
	var wires [][]byte
	for i := range 50 {
		wires = append(wires, note(fmt.Sprint("note ", i)))
	}
	s.Append(t, "ada", wires...)
	c := s.Session(t, "ada", realPassword)
	c.Do("SELECT INBOX")
	places := []string{"INBOX"}
	for i := range 9 {
		name := fmt.Sprint("box ", i)
		if answer := c.Create(name); answer != "" {
			t.Fatal(answer)
		}
		c.Do("UID COPY 1:* %s", c.Name(name))
		places = append(places, name)
	}
	c.Logout()
	p := newIMAPPostrider(t, binary, imapAccount{name: "work", server: s, user: "ada"})
	output := p.output()
	if !strings.Contains(output, "no further session") {
		t.Errorf("no session was refused:\n%s", output)
	}
	folders := p.folders("work")
	for _, place := range places {
		folders[place].mustEqual(t, localNotes(50, "note"))
	}
}
