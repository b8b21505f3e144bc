//go:build linux

package main_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postrider/mailtest"
)

// compressingDovecot offers COMPRESS, which a Dovecot does when told to.
func compressingDovecot(tb testing.TB) *mailtest.RealServer {
	return mailtest.StartDovecot(tb, nil, mailtest.RealConfig(`
protocol imap {
  mail_plugins = $mail_plugins imap_zlib
}
`))
}

// extensions is what shows that an extension is in use: what the client says,
// and what the server answers.
func extensions() map[string][2]*regexp.Regexp {
	show := func(client, server string) [2]*regexp.Regexp {
		return [2]*regexp.Regexp{regexp.MustCompile(`(?m)^\S+ ` + client + `.*`), regexp.MustCompile(`(?m)^` + server + `.*`)}
	}
	return map[string][2]*regexp.Regexp{
		"SASL-IR":          show(`AUTHENTICATE SCRAM-SHA-256 \S+`, `\+ \S`),
		"ID":               show(`ID \("name" "postrider"`, `\* ID \(`),
		"ENABLE":           show(`ENABLE `, `\* ENABLED `),
		"LIST-STATUS":      show(`LIST "" "\*" RETURN \((SPECIAL-USE )?STATUS \(`, `\* STATUS .*UIDNEXT`),
		"CONDSTORE":        show(`EXAMINE .*\(CONDSTORE\)`, `\* OK \[HIGHESTMODSEQ \d+\]`),
		"QRESYNC":          show(`EXAMINE .*\(QRESYNC \(`, `\* VANISHED \(EARLIER\) 3`),
		"COMPRESS=DEFLATE": show(`COMPRESS DEFLATE`, `\S+ OK (Begin compression|DEFLATE active)`),
		"ESEARCH":          show(`UID SEARCH RETURN \(`, `\* ESEARCH \(TAG "`),
		"UIDPLUS":          show(`UID EXPUNGE \d`, `\* (VANISHED \d|\d+ EXPUNGE)`),
		"MOVE":             show(`UID MOVE \d`, `\* OK \[COPYUID \d+ `),
		"UTF8=ACCEPT":      show(`ENABLE .*UTF8=ACCEPT`, `\* ENABLED .*UTF8=ACCEPT`),
	}
}

// offered is what a server offers before and after the login.
func offered(s *mailtest.RealServer, transcripts []mailtest.Transcript) map[string]bool {
	all := map[string]bool{}
	for _, t := range transcripts {
		for line := range strings.SplitSeq(t.Text(mailtest.Down), "\r\n") {
			if at := strings.Index(line, "CAPABILITY "); at >= 0 {
				list, _, _ := strings.Cut(line[at:], "]")
				for _, word := range strings.Fields(list)[1:] {
					all[strings.ToUpper(word)] = true
				}
			}
		}
	}
	return all
}

// What a server offers is in use, and what it does not offer is not asked for.
func TestRealIMAPExtensions(t *testing.T) {
	t.Parallel()
	binary := buildPostrider(t)
	servers := realIMAPServers()
	servers[0].start = compressingDovecot
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t)
			var all []mailtest.Transcript
			for _, onServer := range []string{"keep", "delete", "move"} {
				all = append(all, useAll(t, binary, s, onServer)...)
			}
			var up, down strings.Builder
			for i, transcript := range all {
				t.Logf("session %d: %.100s", i+1, transcript)
				up.WriteString(transcript.Text(mailtest.Up))
				down.WriteString(transcript.Text(mailtest.Down))
			}
			has := offered(s, all)
			for name, used := range extensions() {
				client, server := used[0].FindString(up.String()), used[1].FindString(down.String())
				if has[name] {
					t.Logf("%s:\n%.120s\n%.120s", name, client, server)
				}
				if use := client != "" && server != ""; use != has[name] {
					t.Errorf("%s is offered: %v, and in use: %v (client %q, server %q)", name, has[name], use, client, server)
				}
			}
		})
	}
}

// useAll fetches a few megabytes, some more after some went and others came,
// and does with them what the account says.
func useAll(t *testing.T, binary string, s *mailtest.RealServer, onServer string) []mailtest.Transcript {
	t.Helper()
	s.AddUser(t, onServer, realPassword)
	var wires [][]byte
	for _, m := range mailtest.Generate(1, 160, 100_000) {
		wires = append(wires, mailtest.Wire(m.Octets))
	}
	s.Append(t, onServer, wires...)
	c := s.Session(t, onServer, realPassword)
	c.Rows(false, "INBOX")
	policy := onServer
	if onServer == "move" {
		policy = "move " + strings.ReplaceAll(c.Text("Done"), c.Delimiter(), "/")
	}
	recorder := mailtest.NewRecorder(t, s, 0)
	p := newIMAPPostrider(t, binary, imapAccount{name: "work", server: s, port: recorder.Port(), user: onServer, onServer: policy})
	p.mustFetch()
	if onServer == "keep" {
		c.Do("SELECT INBOX")
		c.Do(`UID STORE 3 +FLAGS (\Deleted)`)
		c.Do("EXPUNGE")
		notes(c, 1, "later", "INBOX")
		p.mustFetch()
	}
	if n := len(p.folders("work")["INBOX"]); n < len(wires) {
		t.Errorf("%d messages", n)
	}
	return recorder.Take()
}

// With nothing new, 50 mailboxes cost a handful of round trips, a few octets
// each, and no list of messages; with something new in one of them, only that one
// is opened.
func TestRealIMAPIdlePoll(t *testing.T) {
	t.Parallel()
	const mailboxes, messages = 50, 20
	binary := buildPostrider(t)
	for _, server := range realIMAPServers() {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t)
			s.AddUser(t, "ada", realPassword)
			var wires [][]byte
			for i := range messages {
				wires = append(wires, note(fmt.Sprint("note ", i)))
			}
			s.Append(t, "ada", wires...)
			c := s.Session(t, "ada", realPassword)
			c.Do("SELECT INBOX")
			for i := range mailboxes - 1 {
				name := fmt.Sprintf("mailbox %d", i)
				if answer := c.Create(name); answer != "" {
					t.Fatal(answer)
				}
				c.Do("UID COPY 1:* %s", c.Name(name))
			}
			recorder := mailtest.NewRecorder(t, s, farAway)
			p := newIMAPPostrider(t, binary, imapAccount{name: "work", server: s, port: recorder.Port(), user: "ada"})
			if line := p.fetchedLine(); !strings.HasPrefix(line, fmt.Sprint(mailboxes*messages, " new messages ")) {
				t.Fatal(line)
			}
			recorder.Take()

			transcript := onePoll(t, p, recorder)
			t.Logf("nothing new in %d mailboxes: %v", mailboxes, transcript)
			idle(t, transcript, mailboxes)
			if transcript.Octets[mailtest.Up] > 100*mailboxes || transcript.Octets[mailtest.Down] > 200*mailboxes+2000 {
				t.Errorf("too much: %v", transcript.Octets)
			}

			notes(c, 1, "later", "mailbox 7")
			transcript = onePoll(t, p, recorder)
			t.Logf("one new in one of %d mailboxes: %v", mailboxes, transcript)
			if transcript.Turns() > idleTurns(transcript, mailboxes)+2 || transcript.Count("EXAMINE") != 1 {
				t.Errorf("too much:\n%s", strings.Join(transcript.Commands(), "\n"))
			}
			p.folders("work")[p.place(c, "mailbox 7")].mustEqual(t, append(localNotes(messages, "note"), localNotes(1, "later")...))

			p.configure(imapAccount{name: "work", server: s, port: recorder.Port(), user: "ada", folders: "[INBOX]"})
			transcript = onePoll(t, p, recorder)
			t.Logf("nothing new in one mailbox: %v", transcript)
			if transcript.Turns() > idleTurns(transcript, 0) || transcript.Count("EXAMINE") != 1 || transcript.Count("LIST", "UID SEARCH") > 0 || strings.Count(transcript.Text(mailtest.Down), " FETCH (") > 1 { // from some UID on is at least the last
				t.Errorf("too much:\n%s", strings.Join(transcript.Commands(), "\n"))
			}
		})
	}
}

// onePoll fetches, over one session.
func onePoll(t *testing.T, p *postrider, recorder *mailtest.Recorder) mailtest.Transcript {
	t.Helper()
	p.mustFetch()
	all := recorder.Take()
	if len(all) != 1 {
		t.Fatalf("%d sessions", len(all))
	}
	return all[0]
}

// Each mechanism that a server offers logs in, over implicit TLS and STARTTLS,
// and auto takes the strongest.
func TestRealIMAPMechanisms(t *testing.T) {
	t.Parallel()
	strength := []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"}
	binary := buildPostrider(t)
	for _, server := range realIMAPServers() {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t)
			recorder := mailtest.NewRecorder(t, s, 0)
			s.AddUser(t, "ada", realPassword)
			s.Append(t, "ada", note("for ada"))
			p := newIMAPPostrider(t, binary, imapAccount{name: "first", server: s, port: recorder.Port(), user: "ada"})
			p.mustFetch()
			has := offered(s, recorder.Take())
			methods := map[string]string{}
			for _, name := range strength {
				if has["AUTH="+name] {
					methods["auto"], methods[strings.ToLower(name)] = name, name
				}
			}
			if n := len(methods); n != map[string]int{"dovecot": 6, "cyrus": 6, "courier": 3}[s.Name] {
				t.Errorf("mechanisms and auto: %v", methods)
			}
			for auth, method := range methods {
				p.configure(
					imapAccount{name: auth + "-implicit", server: s, port: recorder.Port(), user: "ada", auth: auth},
					imapAccount{name: auth + "-starttls", server: s, tls: "starttls", user: "ada", auth: auth})
				p.mustFetch()
				for _, tls := range []string{"implicit", "starttls"} {
					p.folders(auth + "-" + tls)["INBOX"].mustEqual(t, []message{{"note", mailtest.Local(note("for ada"))}})
				}
				all := recorder.Take()
				if len(all) != 1 || !slices.ContainsFunc(all[0].Commands(), func(c string) bool { return strings.HasPrefix(c+" ", "AUTHENTICATE "+method+" ") }) {
					t.Errorf("%s is not %s: %v", auth, method, all)
				}
				if s.Name == "dovecot" {
					// Only Dovecot says how somebody logged in over a line that is not recorded.
					if line := fmt.Sprintf("imap-login: Info: Login: user=<ada>, method=%s,", method); strings.Count(s.Log(), line) < 2 {
						t.Errorf("no two lines %q in the server's log", line)
					}
				}
			}
		})
	}
}

// A wrong password is reported as that, shown nowhere, and keeps no other
// account from its mail.
func TestRealIMAPLoginRefused(t *testing.T) {
	t.Parallel()
	binary := buildPostrider(t)
	for _, server := range realIMAPServers() {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t)
			s.AddUser(t, "ada", realPassword)
			s.AddUser(t, "bob", "the right one")
			s.Append(t, "ada", note("x"))
			p := newIMAPPostrider(t, binary,
				imapAccount{name: "good", server: s, user: "ada"},
				imapAccount{name: "bad", server: s, user: "bob"},
				imapAccount{name: "worse", server: s, user: "bob", auth: "plain", tls: "starttls"})
			runs := [][]string{{"fetch"}, {"fetch", "bad"}, {"fetch", "worse"}}
			if server.name == "courier" {
				runs = runs[:1] // it takes 5 s to refuse
			}
			for _, args := range runs {
				code, output := p.run(args...)
				if code != 77 {
					t.Errorf("%v: exit code %d, want 77:\n%s", args, code, output)
				}
				if strings.Contains(output, realPassword) {
					t.Errorf("the password is shown:\n%s", output)
				}
			}
			p.folders("good")["INBOX"].mustEqual(t, []message{{"x", mailtest.Local(note("x"))}})
		})
	}
}
