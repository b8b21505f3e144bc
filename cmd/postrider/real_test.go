//go:build linux

// The built program against mail servers that others wrote.
package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/mailtest"
)

// realServers are the servers that the program has to get along with.
var realServers = []struct {
	name  string
	start func(testing.TB) *mailtest.RealServer
}{
	{"dovecot", func(tb testing.TB) *mailtest.RealServer { return mailtest.StartDovecot(tb, nil) }},
	{"cyrus", func(tb testing.TB) *mailtest.RealServer { return mailtest.StartCyrus(tb, nil) }},
	{"courier", func(tb testing.TB) *mailtest.RealServer { return mailtest.StartCourier(tb, nil) }},
}

const realPassword = "a pass:word, with \"oddities\" #1"

// realMail is the corpus and generated messages as s can send them.
func realMail(t *testing.T, s *mailtest.RealServer, generated int) mail {
	t.Helper()
	var m mail
	for _, message := range append(mailtest.Corpus(t), mailtest.Generate(1, generated, 100_000)...) {
		m.add(s, message.Name, mailtest.Wire(message.Octets))
	}
	return m
}

// The corpus and 2,000 messages arrive as they were served, once, over implicit
// TLS and over STLS, and what the reader does with them afterwards brings none
// of them back.
func TestRealFetchKeep(t *testing.T) {
	binary := buildPostrider(t)
	for _, server := range realServers {
		for _, tls := range []string{"implicit", "starttls"} {
			t.Run(server.name+"/"+tls, func(t *testing.T) {
				t.Parallel()
				s := server.start(t)
				s.AddUser(t, "ada", realPassword)
				want := realMail(t, s, 2000)
				s.Append(t, "ada", want.wire...)
				p := newPostrider(t, binary, realAccount{name: "work", server: s, user: "ada", tls: tls, onServer: "keep"})

				p.mustFetch()
				first := p.inbox("work")
				first.mustEqual(t, want.local)
				if n := s.Count(t, "ada"); n != len(want.wire) {
					t.Errorf("the server keeps %d messages of %d", n, len(want.wire))
				}

				p.mustFetch()
				if second := p.inbox("work"); !second.sameFiles(first) {
					t.Fatalf("a second run changed the folder: %d files, then %d", len(first), len(second))
				}

				left := readerAtWork(t, p, first)
				p.mustFetch()
				if after := p.inbox("work"); !after.sameFiles(left) {
					t.Fatalf("mail that the reader had moved, renamed or deleted came again: %d files, then %d", len(left), len(after))
				}

				var later mail
				for i := range 3 {
					later.add(s, fmt.Sprintf("later-%d", i), fmt.Appendf(nil, "Subject: later %d\r\n\r\nbody\r\n", i))
				}
				s.Append(t, "ada", later.wire...)
				p.mustFetch()
				p.inbox("work").mustEqual(t, append(left.messages(), later.local...))
			})
		}
	}
}

// readerAtWork does to a folder what mail readers do, and returns what is left
// in it.
func readerAtWork(t *testing.T, p *postrider, files folder) folder {
	t.Helper()
	archive := filepath.Join(p.root, "work", "Archive")
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(archive, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cur := filepath.Join(p.root, "work", "INBOX", "cur")
	for i, file := range files {
		unique := filepath.Base(file.path)
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
	return p.inbox("work")
}

// With `on_server: delete` all mail is here and none is there.
func TestRealFetchDelete(t *testing.T) {
	binary := buildPostrider(t)
	for _, server := range realServers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t)
			s.AddUser(t, "ada", realPassword)
			want := realMail(t, s, 200)
			s.Append(t, "ada", want.wire...)
			p := newPostrider(t, binary, realAccount{name: "work", server: s, user: "ada", tls: "implicit", onServer: "delete"})
			for range 2 {
				p.mustFetch()
				p.inbox("work").mustEqual(t, want.local)
				if n := s.Count(t, "ada"); n != 0 {
					t.Errorf("%d messages are left on the server", n)
				}
			}
		})
	}
}

// With `on_server: delete after` the old ones go and the young ones stay.
func TestRealFetchDeleteAfter(t *testing.T) {
	const age = 4 * time.Second
	binary := buildPostrider(t)
	for _, server := range realServers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t)
			s.AddUser(t, "ada", realPassword)
			var old, young mail
			for i := range 10 {
				old.add(s, fmt.Sprintf("old-%d", i), fmt.Appendf(nil, "Subject: old %d\r\n\r\nbody\r\n", i))
				young.add(s, fmt.Sprintf("young-%d", i), fmt.Appendf(nil, "Subject: young %d\r\n\r\nbody\r\n", i))
			}
			s.Append(t, "ada", old.wire...)
			p := newPostrider(t, binary, realAccount{name: "work", server: s, user: "ada", tls: "implicit", onServer: "delete after 4s"})
			start := time.Now()
			p.mustFetch()
			if n := s.Count(t, "ada"); n != 10 && time.Since(start) < age {
				t.Fatalf("10 messages were fetched a moment ago, %d are left on the server", n)
			}
			// The messages have to grow old; another process's clock cannot be set.
			time.Sleep(age + time.Second)

			s.Append(t, "ada", young.wire...)
			start = time.Now()
			p.mustFetch()
			if n := s.Count(t, "ada"); n != 10 && time.Since(start) < age {
				t.Errorf("10 old and 10 young messages were there, %d are left on the server", n)
			}
			p.inbox("work").mustEqual(t, append(old.local, young.local...))
			for _, m := range s.Messages(t, "ada", realPassword) {
				if strings.Contains(string(m), "Subject: old") {
					t.Errorf("an old message is left on the server: %q", m)
				}
			}
		})
	}
}

// Each mechanism that a server has logs in, and auto takes the strongest.
func TestRealFetchMechanisms(t *testing.T) {
	binary := buildPostrider(t)
	for _, server := range realServers {
		for _, tls := range []string{"implicit", "starttls"} {
			t.Run(server.name+"/"+tls, func(t *testing.T) {
				t.Parallel()
				s := server.start(t)
				// By name in the configuration; they come weakest first.
				methods := map[string]string{"auto": s.Mechanisms[len(s.Mechanisms)-1]}
				for _, method := range s.Mechanisms {
					methods[strings.ToLower(method)] = method
				}
				var accounts []realAccount
				for auth := range methods {
					s.AddUser(t, auth, realPassword)
					s.Append(t, auth, fmt.Appendf(nil, "Subject: %s\r\n\r\nbody\r\n", auth))
					accounts = append(accounts, realAccount{name: auth, server: s, user: auth, tls: tls, onServer: "keep", auth: auth})
				}
				p := newPostrider(t, binary, accounts...)
				p.mustFetch()
				for auth, method := range methods {
					p.inbox(auth).mustEqual(t, []message{{auth, fmt.Appendf(nil, "Subject: %s\n\nbody\n", auth)}})
					// Only Dovecot says how somebody logged in, and the test's own
					// logins are all PLAIN.
					if s.Name != "dovecot" {
						continue
					}
					if line := fmt.Sprintf("Login: user=<%s>, method=%s,", auth, method); !strings.Contains(s.Log(), line) {
						t.Errorf("no %q in the server's log", line)
					}
				}
			})
		}
	}
}

// A wrong password is reported as that, shown nowhere, and keeps no other
// account from its mail.
func TestRealFetchLoginRefused(t *testing.T) {
	binary := buildPostrider(t)
	for _, server := range realServers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t)
			s.AddUser(t, "ada", realPassword)
			s.AddUser(t, "bob", "the right one")
			s.Append(t, "ada", []byte("Subject: x\r\n\r\nbody\r\n"))
			p := newPostrider(t, binary,
				realAccount{name: "good", server: s, user: "ada", tls: "implicit", onServer: "keep"},
				realAccount{name: "bad", server: s, user: "bob", tls: "implicit", onServer: "keep"})
			code, output := p.run("fetch", "bad")
			if code != 77 {
				t.Errorf("exit code %d, want 77:\n%s", code, output)
			}
			if strings.Contains(output, realPassword) {
				t.Errorf("the password is shown:\n%s", output)
			}
			if code, output = p.run("fetch"); code == 0 {
				t.Errorf("exit code 0 with an account refused:\n%s", output)
			}
			p.inbox("good").mustEqual(t, []message{{"x", []byte("Subject: x\n\nbody\n")}})
		})
	}
}

// T59: a certificate that nobody vouches for gets no credential.
func TestT59RealFetchUntrusted(t *testing.T) {
	binary := buildPostrider(t)
	for _, tls := range []string{"implicit", "starttls"} {
		t.Run(tls, func(t *testing.T) {
			t.Parallel()
			s := mailtest.StartDovecot(t, nil)
			other := mailtest.StartDovecot(t, nil)
			s.AddUser(t, "ada", realPassword)
			s.AddUser(t, "bob", realPassword)
			s.Append(t, "bob", []byte("Subject: x\r\n\r\nbody\r\n"))
			p := newPostrider(t, binary, realAccount{name: "work", server: s, ca: other.CA, user: "bob", tls: tls, onServer: "delete"})
			before := settledCount(s, "user=<bob>")
			if code, output := p.run("fetch"); code == 0 {
				t.Errorf("exit code 0 with a certificate of another CA:\n%s", output)
			}
			if after := strings.Count(s.Log(), "user=<bob>"); after != before {
				t.Errorf("the server was told a user's name")
			}
			if n := s.Count(t, "bob"); n != 1 {
				t.Errorf("%d messages are left on the server, want 1", n)
			}
		})
	}
}

// settledCount counts a text in the server's log when the lines of the logins
// by which AddUser has waited for the user are all there: the log comes late.
func settledCount(s *mailtest.RealServer, text string) int {
	n, since := 0, time.Now()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if now := strings.Count(s.Log(), text); now != n {
			n, since = now, time.Now()
		} else if n > 0 && time.Since(since) > time.Second {
			break
		}
	}
	return n
}

// T49, as Dovecot 2.3 and Courier 1.0 have it: they forget to stuff a dot that is
// a message's first octet, so one that begins with a line of one dot seems to end
// before it has begun, and its rest to be a reply. It must neither be taken for
// an empty message nor stand in the way of the others.
func TestT49RealFetchUnstuffedDot(t *testing.T) {
	binary := buildPostrider(t)
	for _, server := range realServers {
		if server.name == "cyrus" {
			continue // it stuffs every dot
		}
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t)
			s.AddUser(t, "ada", realPassword)
			var good mail
			for i := range 20 {
				good.add(s, fmt.Sprint(i), fmt.Appendf(nil, "Subject: %d\r\n\r\nbody\r\n", i))
			}
			s.Append(t, "ada", good.wire[:10]...)
			s.Append(t, "ada", []byte(".\r\nSubject: broken\r\n\r\nbody\r\n"))
			s.Append(t, "ada", good.wire[10:]...)
			p := newPostrider(t, binary, realAccount{name: "work", server: s, user: "ada", tls: "implicit", onServer: "delete"})
			// It is never fetched well, so no run ends well; it stays where it is.
			for run := range 3 {
				code, output := p.run("fetch")
				if code == 0 {
					t.Error("exit code 0 with a message that cannot be fetched")
				}
				t.Logf("run %d: exit code %d\n%s", run+1, code, output)
			}
			if n := s.Count(t, "ada"); n != 1 {
				t.Errorf("%d messages are left on the server, want the one that cannot be fetched", n)
			}
			p.inbox("work").mustEqual(t, good.local)
		})
	}
}
