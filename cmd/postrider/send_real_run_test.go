//go:build linux

package main

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postrider/mailtest"
)

// Each mechanism that a server has logs in over both forms of TLS, and auto takes
// the strongest. One account for each, all sent by at once.
func realSendMechanisms(t *testing.T, binary string) {
	for _, made := range realSMTPs()[:2] {
		t.Run(made.name, func(t *testing.T) {
			t.Parallel()
			server := made.start(t, nil)
			server.AddUser(t, "ada", realSendPassword)
			var accounts []realSendAccount
			// By what an account is called; the servers' mechanisms come weakest first.
			methods := map[string]string{}
			for _, tls := range []string{"implicit", "starttls"} {
				for _, auth := range append([]string{"auto"}, server.Mechanisms...) {
					method := auth
					if auth == "auto" {
						method = server.Mechanisms[len(server.Mechanisms)-1]
					}
					name := tls + "-" + strings.ToLower(auth)
					methods[name] = method
					accounts = append(accounts, realSendAccount{name: name, server: server, tls: tls, auth: strings.ToLower(auth), address: name + "@example.org"})
				}
			}
			s := newRealSender(t, binary, accounts...)
			for name := range methods {
				s.drop(name+".eml", fmt.Appendf(nil, "From: %s@example.org\nTo: to-%s@corpus.example\nSubject: x\n\nbody\n", name, name))
			}
			s.wants(exitOK, "send")
			s.empty()
			have := map[string]mailtest.RealMessage{}
			for _, m := range server.Messages(t) {
				have[m.To] = m
			}
			for name, method := range methods {
				m, ok := have["to-"+name+"@corpus.example"]
				if !ok || m.From != name+"@example.org" || !strings.Contains(strings.ToUpper(m.Trace), "WITH ESMTPSA") {
					t.Errorf("%s: the server has %q of %q", name, m.Trace, m.From)
				}
				if n := len(s.copies(name)); n != 1 {
					t.Errorf("%s: %d copies", name, n)
				}
				if !loggedInBy(server, name, method) {
					t.Errorf("%s: the server does not say that it logged in by %s", name, method)
				}
			}
			if len(have) != len(methods) {
				t.Errorf("%d messages, want %d", len(have), len(methods))
			}
		})
	}
}

// loggedInBy tells whether a message from the account came by a login of that kind.
// Postfix logs the login and the sender in two lines, with its name of the message.
func loggedInBy(server *mailtest.RealSMTP, name, method string) bool {
	lines := strings.Split(server.Log(), "\n")
	has := func(parts ...string) (line string) {
		for _, line := range lines {
			if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
				return line
			}
		}
		return ""
	}
	if server.Name == "exim" {
		by := map[string]string{"PLAIN": "A=plain:ada", "LOGIN": "A=login:ada", "CRAM-MD5": "A=cram:ada"}[method]
		return has(" <= "+name+"@", by+" ") != ""
	}
	_, rest, ok := strings.Cut(has("from=<"+name+"@"), "]: ")
	id, _, _ := strings.Cut(rest, ":")
	return ok && has(id+": client=", "sasl_method="+method+",") != ""
}

// Of the recipients of a message each has its own fate: one gets it once, one that
// is refused is reported, one that is put off gets it, once, when the server has
// changed its mind.
func realSendRecipients(t *testing.T, binary string) {
	for _, made := range otherWay() {
		t.Run(made.name, func(t *testing.T) {
			t.Parallel()
			server := made.start(t, nil)
			server.AddUser(t, "ada", realSendPassword)
			s := newRealSender(t, binary, realSendAccount{server: server, tls: made.tls})
			text := func(subject string, to ...string) []byte {
				return fmt.Appendf(nil, "From: ada@example.org\nTo: %s\nSubject: %s\n\nbody\n", strings.Join(to, ", "), subject)
			}
			mix := []string{"one@b.example", "hard-two@b.example", "three@b.example"}
			later := []string{"soft-five@b.example"}
			if !server.Soft {
				later = nil
			}
			s.drop("mix.eml", text("mix", append(mix, later...)...))
			s.drop("hard.eml", text("hard", "hard-six@b.example", "hard-seven@b.example"))
			s.drop("good.eml", text("good", "eight@b.example"))
			if server.Soft {
				later = append(later, "soft-nine@b.example")
				s.drop("soft.eml", text("soft", "soft-nine@b.example"))
			}
			s.wants(exitFailed, "send") // which says more than that something is put off
			got := []string{"eight@b.example", "one@b.example", "three@b.example"}
			mustHave(t, server, got)
			if failed := s.failed(); len(failed) != 2 || string(failed["hard.eml"]) != string(text("hard", "hard-six@b.example", "hard-seven@b.example")) {
				t.Errorf("in failed/: %d files: %q", len(failed), failed)
			}
			mustReport(t, s, map[string][]string{"mix": {"hard-two@b.example"}, "hard": {"hard-six@b.example", "hard-seven@b.example"}})
			if n, copies := len(s.items("deferred")), len(s.copies("work")); server.Soft && n != 2 || !server.Soft && n != 0 || copies != 2 {
				t.Errorf("%d items are deferred, %d copies", n, copies)
			}
			if !server.Soft {
				s.empty()
				return
			}
			// The server is asked again, and says the same again. Nobody else is.
			s.wants(exitOK, "queue", "flush")
			s.wants(exitTemporary, "send")
			mustHave(t, server, got)
			if !changeOfMind(t, s, later) {
				return
			}
			mustHave(t, server, got)
			if copies := len(s.copies("work")); copies != 3 {
				t.Errorf("%d copies, want one of each message that somebody got", copies)
			}
			if n := len(s.reports()); n != 2 {
				t.Errorf("%d reports, want the two of before", n)
			}
		})
	}
}

// changeOfMind sends what is put off: a server that knows no refusal for now takes
// the place of the one that does. It reports whether there is one.
func changeOfMind(t *testing.T, s *realSender, later []string) (changed bool) {
	t.Run("later", func(t *testing.T) {
		other := mailtest.StartOpenSMTPD(t, nil)
		s := *s
		s.t = t
		s.configure(realSendAccount{server: other, tls: "none"})
		s.wants(exitOK, "queue", "flush")
		s.wants(exitFailed, "send") // one of them is done with, and somebody did not get it
		s.wants(exitOK, "send")
		mustHave(t, other, later)
		s.empty()
		changed = true
	})
	return changed
}

// mustHave wants that these got one message each, and nobody else did.
func mustHave(t *testing.T, server *mailtest.RealSMTP, want []string) {
	t.Helper()
	var got []string
	for _, m := range server.Messages(t) {
		got = append(got, m.To)
		if m.From != "ada@example.org" {
			t.Errorf("a message comes from %q", m.From)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s has mail for %q, want %q", server.Name, got, want)
	}
}

// mustReport wants a report on each of the messages, which names these recipients,
// with what the server said.
func mustReport(t *testing.T, s *realSender, want map[string][]string) {
	t.Helper()
	reports := s.reports()
	if len(reports) != len(want) {
		t.Errorf("%d reports, want %d", len(reports), len(want))
	}
	for _, text := range reports {
		_, rest, _ := strings.Cut(string(text), "\nSubject: Not sent: ")
		subject, _, _ := strings.Cut(rest, "\n")
		failed := want[subject]
		for _, to := range failed {
			if !strings.Contains(string(text), "Final-Recipient: rfc822; "+to+"\nAction: failed\nStatus: 5.") {
				t.Errorf("the report on %q does not say that %s failed:\n%s", subject, to, text)
			}
		}
		if n := strings.Count(string(text), "Final-Recipient:"); n != len(failed) || n == 0 {
			t.Errorf("the report on %q is about %d recipients:\n%s", subject, n, text)
		}
		if _, reply, _ := strings.Cut(string(text), "Diagnostic-Code: smtp; "); !strings.Contains(reply[:min(len(reply), 60)], "550 ") {
			t.Errorf("no reply in the report:\n%s", text)
		}
	}
}

// 2,000 files that are there at once arrive, once each, with little memory.
func realSendMany(t *testing.T, binary string) {
	const files, limit = 2000, 32 << 20
	for _, made := range realSMTPs()[:1] {
		t.Run(made.name, func(t *testing.T) {
			t.Parallel()
			server := made.start(t, nil)
			server.AddUser(t, "ada", realSendPassword)
			s := newRealSender(t, binary, realSendAccount{server: server, tls: made.tls})
			to := s.dropNotes(files, strings.Repeat("text of two kilobytes\n", 90))
			code, output, most := s.watchMemory("send")
			if code != exitOK {
				t.Fatalf("send ended with %d:\n%s", code, clippedLines(output))
			}
			t.Logf("%d KiB; %s", most>>10, strings.TrimSpace(output))
			if most == 0 || most > limit {
				t.Errorf("%d KiB of memory", most>>10)
			}
			s.empty()
			s.once(server, to)
		})
	}
}

// A wrong password is the account's trouble: its mail stays queued, the user is
// told, and all is sent when the password is right.
func realSendLoginRefused(t *testing.T, binary string) {
	for _, made := range realSMTPs()[:2] {
		for _, auth := range []string{"auto", "plain"} {
			t.Run(made.name+"/"+auth, func(t *testing.T) {
				t.Parallel()
				server := made.start(t, nil)
				server.AddUser(t, "ada", realSendPassword)
				account := realSendAccount{server: server, tls: made.tls, auth: auth, password: "a wrong one"}
				s := newRealSender(t, binary, account)
				to := s.dropNotes(20, "text")
				output := s.wants(exitNoPerm, "send")
				if strings.Contains(output, account.password) {
					t.Errorf("the password is shown:\n%s", output)
				}
				if n := len(s.items("active")) + len(s.items("deferred")); n != len(to) {
					t.Errorf("%d messages are queued of %d", n, len(to))
				}
				account.password = ""
				s.configure(account)
				s.wants(exitOK, "send") // paused
				if n := len(server.Messages(t)); n != 0 {
					t.Errorf("%d messages are sent in spite of the pause", n)
				}
				s.wants(exitOK, "queue", "flush")
				s.wants(exitOK, "send")
				s.empty()
				s.once(server, to)
				letters := s.reports()
				if len(letters) != 1 {
					t.Errorf("%d letters to the user", len(letters))
				}
				for _, letter := range letters {
					if !strings.Contains(string(letter), "login of work is refused") {
						t.Errorf("the letter is\n%s", letter)
					}
				}
			})
		}
	}
}

// The line is cut in the middle, again and again: nobody gets anything twice,
// nothing is lost, and of what the server may have the user is told.
func realSendCut(t *testing.T, binary string) {
	for _, dir := range []mailtest.Direction{mailtest.Up, mailtest.Down} {
		for _, made := range realSMTPs() {
			if made.name == "exim" && dir == mailtest.Up || made.name == "opensmtpd" && dir == mailtest.Down {
				continue // as for Postfix, and time is short
			}
			t.Run(made.name+"/"+dir.String(), func(t *testing.T) {
				t.Parallel()
				sendThroughCuts(t, binary, made, dir)
			})
		}
	}
}

func sendThroughCuts(t *testing.T, binary string, made realSMTP, dir mailtest.Direction) {
	server := made.start(t, nil)
	server.AddUser(t, "ada", realSendPassword)
	port := portOf(t, server, made.tls)
	// Each connection gets a bit further than the one before, the first ones not
	// beyond the login; a step that is no multiple of a message's octets ends now
	// within a command, now within a text.
	const cuts = 8
	first, step := int64(100), int64(9_973)
	if dir == mailtest.Down {
		step = 977
	}
	line, err := mailtest.NewProxy(net.JoinHostPort(server.Host, strconv.Itoa(port)), mailtest.ProxyOptions{
		CutAfter: func(conn int, d mailtest.Direction) int64 {
			if d != dir || conn > cuts {
				return -1
			}
			return first + step*int64(conn-1)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { line.Close() })
	s := newRealSender(t, binary, realSendAccount{server: server, tls: made.tls, port: line.Port()})
	to := s.dropNotes(200, strings.Repeat("text\n", 200))
	told := 0
	for round := 0; ; round++ {
		code, output := s.run(nil, "send")
		uncertain := s.items("uncertain")
		if n := len(s.reports()); n != told+len(uncertain) {
			t.Errorf("%d letters about %d messages that are uncertain", n-told, len(uncertain))
		}
		told += len(uncertain)
		decide(t, s, server, uncertain)
		s.wants(exitOK, "queue", "flush")
		if code == exitOK && len(uncertain) == 0 {
			break
		}
		if round == 2*cuts {
			t.Fatalf("it does not get to an end:\n%s", output)
		}
	}
	t.Logf("%d connections, %d uncertain", line.Connections(), told)
	if line.Connections() <= cuts {
		t.Errorf("%d connections: they were not all cut", line.Connections())
	}
	if have := stored(t, server); len(have) != len(to) {
		t.Errorf("%d recipients have mail, want %d", len(have), len(to))
	} else {
		for _, a := range to {
			if n := len(have[a]); n != 1 {
				t.Errorf("%s got %d messages", a, n)
			}
		}
	}
}

// decide does what a user does about uncertain messages: looks whether each has
// arrived, and has it sent or not.
func decide(t *testing.T, s *realSender, server *mailtest.RealSMTP, uncertain []string) {
	t.Helper()
	if len(uncertain) == 0 {
		return
	}
	have := stored(t, server)
	for _, id := range uncertain {
		_, rest, ok := strings.Cut(s.wants(exitOK, "queue", "show", id), "\nto:")
		_, rest, _ = strings.Cut(rest, "<")
		to, _, _ := strings.Cut(rest, ">")
		if !ok || to == "" {
			t.Fatalf("queue show does not say who %s is for", id)
		}
		verb := "retry"
		if len(have[to]) > 0 {
			verb = "cancel"
		}
		s.wants(exitOK, "queue", verb, id)
	}
}
