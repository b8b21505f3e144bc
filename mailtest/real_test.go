//go:build linux

package mailtest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// realServers are the servers that everything below is asked of.
var realServers = []struct {
	name  string
	start func(testing.TB, *CA, ...RealOption) *RealServer
}{
	{"dovecot", StartDovecot},
	{"cyrus", StartCyrus},
	{"courier", func(tb testing.TB, ca *CA, _ ...RealOption) *RealServer { return StartCourier(tb, ca) }},
}

func TestRealServersServeTheCorpus(t *testing.T) {
	for _, server := range realServers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t, nil)
			s.AddUser(t, "ada", "secret")
			names, messages := realMessages(t, s)
			s.Append(t, "ada", messages...)
			if n := s.Count(t, "ada"); n != len(messages) {
				t.Errorf("the store counts %d messages, want %d", n, len(messages))
			}
			got := s.Messages(t, "ada", "secret")
			if len(got) != len(messages) {
				t.Fatalf("the maildrop has %d messages, want %d", len(got), len(messages))
			}
			for i, m := range messages {
				if want, _ := s.Served(m); !bytes.Equal(got[i], want) {
					t.Errorf("%s differs: %s", names[i], firstDifference(got[i], want))
				}
			}
		})
	}
}

// realMessages is the corpus and what it lacks, as far as s can send it.
func realMessages(t *testing.T, s *RealServer) (names []string, messages [][]byte) {
	add := func(name string, octets []byte) {
		wire := Wire(octets)
		if _, ok := s.Served(wire); ok {
			names, messages = append(names, name), append(messages, wire)
		}
	}
	for _, m := range Corpus(t) {
		add(m.Name, m.Octets)
	}
	for name, text := range map[string]string{
		"CR before CRLF":    "Subject: x\r\n\r\nline\r\r\nend\r\r\n",
		"only a dot":        ".\r\n",
		"dots":              "Subject: x\r\n\r\n.\r\n..\r\n...a\r\n.",
		"empty":             "",
		"only a line end":   "\r\n",
		"NUL, CR, 8 bit":    "Subject: \xff\xfe\r\n\r\na\x00b\rc\x80\r\n",
		"line of 100 kB":    "Subject: x\r\n\r\n" + strings.Repeat("0123456789", 10_000) + "\r\n",
		"lone CR at begin":  "\rSubject: x\r\n\r\nbody\r\n",
		"dot after lone CR": "Subject: x\r\n\r\na\r.\r\n\r.\r\n",
	} {
		add(name, []byte(text))
	}
	return names, messages
}

func firstDifference(got, want []byte) string {
	n := 0
	for n < len(got) && n < len(want) && got[n] == want[n] {
		n++
	}
	return fmt.Sprintf("%d octets, want %d; from octet %d on got %.40q, want %.40q", len(got), len(want), n, got[n:], want[n:])
}

func TestRealServersAppendLater(t *testing.T) {
	for _, server := range realServers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t, nil)
			s.AddUser(t, "ada", "secret")
			s.AddUser(t, "bob", "other")
			var want [][]byte
			for i := range 5 {
				m := fmt.Appendf(nil, "Subject: %d\r\n\r\nbody\r\n", i)
				want = append(want, m)
				s.Append(t, "ada", m)
				got := s.Messages(t, "ada", "secret")
				if !bytes.Equal(bytes.Join(got, nil), bytes.Join(want, nil)) {
					t.Fatalf("after %d messages one by one: got %q, want %q", i+1, got, want)
				}
			}
			if got := s.Messages(t, "bob", "other"); len(got) != 0 {
				t.Errorf("bob has ada's mail: %q", got)
			}
			deleteFirst(t, s, "ada", "secret", 3)
			if n := s.Count(t, "ada"); n != 2 {
				t.Errorf("2 messages were left, the store counts %d", n)
			}
			// The numbers of deleted messages are not given out again.
			s.Append(t, "ada", want[0])
			if n := s.Count(t, "ada"); n != 3 {
				t.Errorf("2 messages and a new one, the store counts %d", n)
			}
		})
	}
}

// deleteFirst deletes the first n messages of a maildrop.
func deleteFirst(t *testing.T, s *RealServer, user, password string, n int) {
	t.Helper()
	conn, err := s.Dial(s.POP3S)
	if err != nil {
		t.Fatal(err)
	}
	pop := newRawPOP3(conn)
	defer pop.close()
	if err := pop.login(user, password); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := pop.command(fmt.Sprintf("DELE %d", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := pop.quit(); err != nil {
		t.Fatal(err)
	}
}

// What the tests of logins build on: the names are offered under TLS, with
// implicit TLS and with STLS, and PIPELINING and UIDL are.
func TestRealServersCapabilities(t *testing.T) {
	for _, server := range realServers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t, nil)
			capabilities := func(port int, stls bool) string {
				conn, err := s.Dial(port)
				if err != nil {
					t.Fatal(err)
				}
				pop := newRawPOP3(conn)
				defer func() { pop.close() }()
				if _, err := pop.reply(); err != nil {
					t.Fatal(err)
				}
				if stls {
					if _, err := pop.command("STLS"); err != nil {
						t.Fatal(err)
					}
					pop = newRawPOP3(tls.Client(conn, s.TLS()))
				}
				if _, err := pop.command("CAPA"); err != nil {
					t.Fatal(err)
				}
				list, err := pop.multiline()
				if err != nil {
					t.Fatal(err)
				}
				return string(list)
			}
			if got := capabilities(s.POP3, false); !strings.Contains(got, "\r\nSTLS\r\n") {
				t.Errorf("no STLS in clear: %q", got)
			}
			for _, list := range []string{capabilities(s.POP3S, false), capabilities(s.POP3, true)} {
				if strings.Contains(list, "STLS") {
					t.Errorf("STLS under TLS: %q", list)
				}
				for _, word := range append([]string{"UIDL", "PIPELINING", "USER"}, s.Mechanisms...) {
					if !slices.Contains(strings.Fields(list), word) {
						t.Errorf("no %s under TLS: %q", word, list)
					}
				}
			}
		})
	}
}

func TestRealServersIMAP(t *testing.T) {
	for _, server := range realServers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t, nil)
			s.AddUser(t, "ada", "secret")
			s.Append(t, "ada", []byte("Subject: x\r\n\r\nbody\r\n"))
			conn, err := s.Dial(s.IMAPS)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(conn)
			var answers strings.Builder
			// Courier loses what is sent with a LOGIN, so one at a time.
			for _, command := range []string{"a LOGIN ada secret", "b SELECT INBOX", "c FETCH 1 BODY.PEEK[]"} {
				fmt.Fprintf(conn, "%s\r\n", command)
				for line := ""; !strings.HasPrefix(line, command[:2]); answers.WriteString(line) {
					if line, err = in.ReadString('\n'); err != nil {
						t.Fatalf("%s: %v\n%s", command, err, answers.String())
					}
				}
			}
			if text := answers.String(); !strings.Contains(text, "\r\nSubject: x\r\n\r\nbody\r\n") || !strings.Contains(text, "\nc OK") {
				t.Errorf("fetch over IMAPS:\n%s", text)
			}
		})
	}
}

func TestRealServersPasswords(t *testing.T) {
	for _, server := range realServers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t, nil)
			// Set twice: the second one counts.
			for _, password := range []string{"first", `s3cr:et "x" {y} %u $HOME \ grün`} {
				s.AddUser(t, "ada", password)
				s.Messages(t, "ada", password)
			}
			if err := s.tryLogin("ada", "first"); err == nil {
				t.Error("the old password still opens the maildrop")
			}
		})
	}
}

// Nothing is left when a server has been stopped, no process and no file.
func TestRealServersEnd(t *testing.T) {
	for _, server := range realServers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			var s *RealServer
			t.Run("run", func(t *testing.T) {
				s = server.start(t, nil)
				s.AddUser(t, "ada", "secret")
				s.Append(t, "ada", []byte("Subject: x\r\n\r\nbody\r\n"))
				s.Messages(t, "ada", "secret")
			})
			if s == nil {
				t.SkipNow()
			}
			if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
				t.Errorf("%s is still there", s.dir)
			}
			for _, port := range []int{s.POP3, s.POP3S, s.IMAP, s.IMAPS} {
				if conn, err := net.Dial("tcp", net.JoinHostPort(s.Host, fmt.Sprint(port))); err == nil {
					conn.Close()
					t.Errorf("somebody still listens on port %d", port)
				}
			}
		})
	}
}
