package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/mailtest"
)

// TestT35CutAtEachOctet ends the line after each octet of a session, in either
// direction. One run fetches many accounts beside each other, each through a
// line that is cut at another place; the next finds good lines.
func TestT35CutAtEachOctet(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"keep", "delete"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			messages := letters(2)
			up, down := cutSession(t, policy, messages)
			const atOnce = 100
			for first := int64(0); first < up+down; first += atOnce {
				cutAccounts(t, policy, messages, up, first, min(first+atOnce, up+down))
			}
		})
	}
}

// cutSession is one good session, for its length.
func cutSession(t *testing.T, policy string, messages [][]byte) (up, down int64) {
	t.Helper()
	s := startPOP3(t, mailtest.POP3Options{}, messages...)
	p := startProxy(t, s.Addr(), mailtest.ProxyOptions{})
	h := newHostile(t, hostileAccount{port: p.Port(), extra: "on_server: " + policy})
	h.run("fetch").wants(exitOK)
	return p.Octets(1, mailtest.Up), p.Octets(1, mailtest.Down)
}

func startProxy(t *testing.T, target string, o mailtest.ProxyOptions) *mailtest.Proxy {
	t.Helper()
	p, err := mailtest.NewProxy(target, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// cutAccounts does the cuts from first to last: those below up in what we
// send, the others in what the server sends.
func cutAccounts(t *testing.T, policy string, messages [][]byte, up, first, last int64) {
	t.Helper()
	var accounts []hostileAccount
	var servers []*mailtest.POP3
	for cut := first; cut < last; cut++ {
		dir, at := mailtest.Up, cut
		if cut >= up {
			dir, at = mailtest.Down, cut-up
		}
		s := startPOP3(t, mailtest.POP3Options{LockWait: time.Second}, messages...)
		p := startProxy(t, s.Addr(), mailtest.ProxyOptions{CutAfter: func(conn int, d mailtest.Direction) int64 {
			if conn == 1 && d == dir {
				return at
			}
			return -1
		}})
		servers = append(servers, s)
		accounts = append(accounts, hostileAccount{name: fmt.Sprintf("%v-%d", dir, at), port: p.Port(), extra: "on_server: " + policy})
	}
	h := newHostile(t, accounts...)
	h.log = "{level: error}"
	h.write(accounts...)
	h.run("fetch")
	h.run("fetch").wants(exitOK)
	for i, a := range accounts {
		h.holds(a.name, messages...)
		if left := servers[i].Mailbox("ada").Len(); policy == "delete" && left > 0 {
			t.Errorf("%s: %d left on the server", a.name, left)
		}
	}
}

// TestT36Stalls: a server falls silent at each step. The account fails after
// its timeout, and a good account in the same run never waits for it.
func TestT36Stalls(t *testing.T) {
	t.Parallel()
	ca, options := newCA(t)
	for _, tt := range []struct {
		verb  string
		after int64
		code  int
	}{
		{"TLS", 0, exitUnavailable}, {"GREETING", 0, exitUnavailable}, {"GREETING", 3, exitUnavailable}, {"CAPA", 0, exitUnavailable}, {"CAPA", 12, exitUnavailable},
		{"AUTH", 0, exitUnavailable}, {"LIST", 0, exitUnavailable}, {"UIDL", 10, exitUnavailable}, {"RETR", 0, exitTemporary}, {"RETR", 30, exitTemporary},
		{"DELE", 0, exitUnavailable}, {"QUIT", 0, exitUnavailable},
	} {
		t.Run(fmt.Sprintf("%s after %d", tt.verb, tt.after), func(t *testing.T) {
			t.Parallel()
			var stalled atomic.Bool
			stalled.Store(true)
			o := options
			o.Mechanisms = []string{"PLAIN"}
			o.Hook = on(tt.verb, func(e *mailtest.POP3Event) {
				if stalled.Load() && e.Message != 2 {
					e.Stall(tt.after, 0)
				}
			})
			bad := startPOP3(t, o, letters(2)...)
			var ready atomic.Int64
			good := startPOP3(t, mailtest.POP3Options{TLS: options.TLS, Implicit: true, Hook: on("QUIT", func(*mailtest.POP3Event) { ready.Store(time.Now().UnixNano()) })}, letters(3)...)
			accounts := []hostileAccount{
				{name: "bad", port: bad.Port(), tls: "implicit", ca: ca, extra: "timeout: 1s\non_server: delete"},
				{name: "good", port: good.Port(), tls: "implicit", ca: ca},
			}
			h := newHostile(t, accounts...)
			start := time.Now()
			h.run("fetch").wants(tt.code, "account bad: ")
			end := time.Now()
			h.holds("good", letters(3)...)
			if waited := end.Sub(time.Unix(0, ready.Load())); waited < 200*time.Millisecond {
				t.Errorf("the good account was ready %v before the stalled one was given up", waited)
			}
			if took := end.Sub(start); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
			stalled.Store(false)
			h.run("fetch").wants(exitOK)
			h.holds("bad", letters(2)...)
		})
	}
}

func TestT36NobodyAnswers(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	h := newHostile(t, hostileAccount{port: port})
	h.run("fetch").wants(exitUnavailable, `account work: 127\.0\.0\.1:\d+: connect: .*refused`)
}

func TestT51ServerSaysLater(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"IN-USE", "LOGIN-DELAY", "SYS/TEMP"} {
		for _, verb := range []string{"GREETING", "PASS"} {
			t.Run(verb+" "+strings.ReplaceAll(code, "/", "-"), func(t *testing.T) {
				t.Parallel()
				var busy atomic.Bool
				busy.Store(true)
				s := startPOP3(t, mailtest.POP3Options{Hook: on(verb, func(e *mailtest.POP3Event) {
					if busy.Load() {
						e.Refuse("[" + code + "] come back later")
					}
				})}, letters(1)...)
				h := newHostile(t, hostileAccount{port: s.Port()})
				h.run("fetch").wants(exitTemporary, `\[`+code+`\] come back later`)
				if n := s.Counts().Commands["PASS"]; verb == "PASS" && n != 1 {
					t.Errorf("%d logins in one pass", n)
				}
				busy.Store(false)
				h.run("fetch").wants(exitOK)
				h.holds("work", letters(1)...)
			})
		}
	}
}

// TestT89ServerTextIsEscaped: nothing that a server says reaches the terminal
// or the log as it is, in any format of the log.
func TestT89ServerTextIsEscaped(t *testing.T) {
	t.Parallel()
	nasty := "\x1b[2J\x07 \u009b31m \u202egnp.exe \xff\xfe %s%n \r all of it"
	for _, format := range []string{"auto", "text", "json"} {
		for _, verb := range []string{"GREETING", "CAPA", "PASS", "LIST", "UIDL", "RETR"} {
			t.Run(format+" "+verb, func(t *testing.T) {
				t.Parallel()
				s := startPOP3(t, mailtest.POP3Options{Hook: on(verb, func(e *mailtest.POP3Event) {
					if verb == "CAPA" {
						e.Reply("what? " + nasty)
						return
					}
					e.Refuse("[SYS/TEMP] " + nasty)
				})})
				s.Mailbox("ada").Add("uid \u202e\u009b\x80", letters(1)[0])
				h := newHostile(t, hostileAccount{port: s.Port()})
				h.log = "{level: debug, format: " + format + "}"
				h.write(hostileAccount{port: s.Port()})
				o := h.run("fetch")
				if o.code == exitOK {
					t.Error("exit code 0")
				}
				if strings.ContainsAny(o.stdout+o.stderr, "\x1b\x07\r\u009b\u202e") || strings.Contains(o.stderr, "\xff") || strings.Contains(o.stderr, "\x80") {
					t.Errorf("not escaped: %q", o.stderr)
				}
				if !strings.Contains(o.stderr, "all of it") {
					t.Errorf("the server's reason is not shown: %q", o.stderr)
				}
			})
		}
	}
}

// TestOneBadMessage: what the server refuses is set aside and tried again, and
// what breaks the session gets one of its own.
func TestOneBadMessage(t *testing.T) {
	t.Parallel()
	var bad atomic.Bool
	bad.Store(true)
	s := startPOP3(t, mailtest.POP3Options{Hook: func(e *mailtest.POP3Event) {
		switch {
		case e.Verb != "RETR" || !bad.Load():
		case e.UID == "uid-1":
			e.Cut(40)
		case e.UID == "uid-3":
			e.Refuse("[SYS/PERM] this message is damaged")
		}
	}}, letters(6)...)
	h := newHostile(t, hostileAccount{port: s.Port(), extra: "on_server: delete"})
	h.run("fetch").wants(exitTemporary, "2 messages could not be fetched and are tried again later", "message set aside.* uidl=uid-3 ")
	h.holds("work", letters(6)[1], letters(6)[3], letters(6)[4], letters(6)[5])
	if n := s.Mailbox("ada").Len(); n != 2 {
		t.Errorf("%d left on the server, want the bad ones", n)
	}
	bad.Store(false)
	h.run("fetch").wants(exitOK)
	h.holds("work", letters(6)...)
}

func TestAccountsGoBesideEachOther(t *testing.T) {
	t.Parallel()
	const n = 8
	// Each server answers the greeting only when all have been connected to.
	var together sync.WaitGroup
	together.Add(n)
	var accounts []hostileAccount
	for i := range n {
		var once sync.Once
		s := startPOP3(t, mailtest.POP3Options{Hook: on("GREETING", func(*mailtest.POP3Event) {
			once.Do(together.Done)
			together.Wait()
		})}, letters(2)...)
		accounts = append(accounts, hostileAccount{name: fmt.Sprintf("a%d", i), port: s.Port()})
	}
	h := newHostile(t, accounts...)
	h.run("fetch").wants(exitOK).says("16 new messages .* from 8 accounts")
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := startPOP3(t, mailtest.POP3Options{Hook: on("RETR", func(e *mailtest.POP3Event) {
		if e.UID == "uid-2" && ctx.Err() == nil {
			cancel()
			e.Stall(20, 0)
		}
	})}, letters(3)...)
	h := newHostile(t, hostileAccount{port: s.Port(), extra: "on_server: delete"})
	start := time.Now()
	h.runContext(ctx, "fetch").wants(exitTemporary)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	if n := s.Mailbox("ada").Len(); n != 3 {
		t.Errorf("%d left on the server", n)
	}
	h.run("fetch").wants(exitOK)
	h.holds("work", letters(3)...)
}
