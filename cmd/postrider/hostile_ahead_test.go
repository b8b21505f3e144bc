package main

import (
	"strings"
	"sync/atomic"
	"testing"

	"postrider/mailtest"
)

// TestSendingAhead: the second session over implicit TLS sends CAPA, the login,
// LIST and UIDL in one flight.
func TestSendingAhead(t *testing.T) {
	t.Parallel()
	for mechanism, depth := range map[string]int{"PLAIN": 4, "": 5} {
		ca, options := newCA(t)
		if mechanism != "" {
			options.Mechanisms = []string{mechanism}
		}
		s := startPOP3(t, options, letters(2)...)
		h := newHostile(t, hostileAccount{port: s.Port(), tls: "implicit", ca: ca})
		h.run("fetch").wants(exitOK)
		if got := s.Counts().Depth; got >= depth {
			t.Errorf("%q: %d commands at once in the first session", mechanism, got)
		}
		for range 2 {
			h.run("fetch").wants(exitOK)
		}
		if got := s.Counts().Depth; got < depth {
			t.Errorf("%q: %d commands at once, want %d", mechanism, got, depth)
		}
		if c := s.Counts(); c.Sessions != 3 || c.Logins != 3 || c.Cleartext != 0 {
			t.Errorf("%q: %+v", mechanism, c)
		}
		h.holds("work", letters(2)...)
	}
}

// TestSendingAheadOnlyWhereItIsFit: not without TLS, not behind STLS, not with
// mechanisms that wait for a challenge, and not to a server without PIPELINING.
func TestSendingAheadOnlyWhereItIsFit(t *testing.T) {
	t.Parallel()
	ca, implicit := newCA(t)
	behind := implicit
	behind.Implicit = false
	for _, tt := range []struct {
		name, tls string
		change    func(*mailtest.POP3Options)
	}{
		{"no TLS", "none", func(o *mailtest.POP3Options) { *o = mailtest.POP3Options{} }},
		{"STLS", "starttls", func(o *mailtest.POP3Options) { *o = behind }},
		{"CRAM-MD5", "implicit", func(o *mailtest.POP3Options) { o.Mechanisms = []string{"CRAM-MD5"} }},
		{"no PIPELINING", "implicit", func(o *mailtest.POP3Options) { o.NoPipelining = true }},
		{"no CAPA", "implicit", func(o *mailtest.POP3Options) { o.NoCAPA = true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := implicit
			tt.change(&o)
			s := startPOP3(t, o, letters(1)...)
			account := hostileAccount{port: s.Port(), tls: tt.tls}
			if tt.tls != "none" {
				account.ca = ca
			}
			h := newHostile(t, account)
			for range 3 {
				h.run("fetch").wants(exitOK)
			}
			if c := s.Counts(); c.Depth > 2 || c.Early > 0 || c.Sessions != 3 {
				t.Errorf("%+v", c)
			}
			h.holds("work", letters(1)...)
		})
	}
}

// TestServerHasChanged: what an earlier session has shown is not true any more.
// The same pass, or where nothing can be known the next one, gets through.
func TestServerHasChanged(t *testing.T) {
	t.Parallel()
	ca, options := newCA(t)
	for _, tt := range []struct {
		name   string
		change func(*mailtest.POP3Event) // once the server has changed
	}{
		{"another mechanism", func(e *mailtest.POP3Event) {
			if e.Verb == "CAPA" {
				e.Edit(func([]byte) []byte {
					return []byte("+OK\r\nPIPELINING\r\nUIDL\r\nUSER\r\nSASL CRAM-MD5 PLAIN\r\n.\r\n")
				})
			}
		}},
		{"no PIPELINING", func(e *mailtest.POP3Event) {
			if e.Verb == "CAPA" {
				e.Edit(func([]byte) []byte { return []byte("+OK\r\nUIDL\r\nUSER\r\nSASL PLAIN\r\n.\r\n") })
			}
		}},
		{"no CAPA", func(e *mailtest.POP3Event) {
			if e.Verb == "CAPA" {
				e.Refuse("unknown command")
			}
		}},
		{"nonsense after early commands", func(e *mailtest.POP3Event) {
			if e.Verb == "CAPA" && e.Session == 2 {
				e.Append([]byte("what is this\r\n"))
			}
		}},
		{"hangs up on early commands", func(e *mailtest.POP3Event) {
			if e.Verb == "CAPA" && e.Session == 2 {
				e.Cut(0)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var changed atomic.Bool
			o := options
			o.Mechanisms = []string{"PLAIN", "CRAM-MD5"}
			o.CAPA = []string{"PIPELINING", "UIDL", "USER", "SASL PLAIN"}
			o.Hook = func(e *mailtest.POP3Event) {
				if changed.Load() {
					tt.change(e)
				}
			}
			s := startPOP3(t, o, letters(1)...)
			h := newHostile(t, hostileAccount{port: s.Port(), tls: "implicit", ca: ca})
			h.run("fetch").wants(exitOK)
			changed.Store(true)
			s.Mailbox("ada").Add("late", letters(2)[1])
			h.run("fetch").wants(exitOK).says("1 new message ")
			h.holds("work", letters(2)...)
			sessions := s.Counts().Sessions
			h.run("fetch").wants(exitOK)
			if n := s.Counts().Sessions - sessions; n != 1 {
				t.Errorf("the pass after that took %d sessions", n)
			}
		})
	}
}

// TestServerDropsEarlyList: the silence after a LIST that was sent ahead fails
// one pass, and the next one waits with it.
func TestServerDropsEarlyList(t *testing.T) {
	t.Parallel()
	ca, options := newCA(t)
	options.Mechanisms = []string{"PLAIN"}
	var dropping atomic.Bool
	options.Hook = func(e *mailtest.POP3Event) {
		if e.Verb == "LIST" && dropping.Load() {
			dropping.Store(false)
			e.Stall(0, 0)
		}
	}
	s := startPOP3(t, options, letters(1)...)
	h := newHostile(t, hostileAccount{port: s.Port(), tls: "implicit", ca: ca, extra: "timeout: 1s"})
	h.run("fetch").wants(exitOK)
	dropping.Store(true)
	h.run("fetch").wants(exitUnavailable, "list: .*timeout")
	before := s.Counts()
	h.run("fetch").wants(exitOK)
	if after := s.Counts(); after.Sessions != before.Sessions+1 {
		t.Errorf("%d sessions", after.Sessions-before.Sessions)
	}
	h.holds("work", letters(1)...)
}

// TestRefusedLoginIsNotTriedTwice in one pass, whether it was sent ahead or
// not: servers count.
func TestRefusedLoginIsNotTriedTwice(t *testing.T) {
	t.Parallel()
	ca, options := newCA(t)
	for _, mechanisms := range [][]string{{"PLAIN"}, {"CRAM-MD5"}, nil} {
		options.Mechanisms = mechanisms
		s := startPOP3(t, options, letters(1)...)
		h := newHostile(t, hostileAccount{port: s.Port(), tls: "implicit", ca: ca})
		h.run("fetch").wants(exitOK)
		s.SetPassword("ada", "another one")
		for i := range 2 {
			h.run("fetch").wants(exitNoPerm, "log in: server refused")
			if n := s.Counts().Refused; n != i+1 {
				t.Errorf("%v: %d logins were refused in %d passes", mechanisms, n, i+1)
			}
		}
		s.SetPassword("ada", hostilePassword)
		h.run("fetch").wants(exitOK)
	}
}

// TestLongPasswordIsNotSentAhead: what does not fit ahead goes in its turn.
func TestLongPasswordIsNotSentAhead(t *testing.T) {
	t.Parallel()
	ca, options := newCA(t)
	password := strings.Repeat("long ", 100)
	options.Mechanisms = []string{"PLAIN"}
	options.Users = map[string]string{"ada": password}
	s := startPOP3(t, options, letters(1)...)
	h := newHostile(t, hostileAccount{port: s.Port(), tls: "implicit", ca: ca, password: quoted(password)})
	for range 3 {
		h.run("fetch").wants(exitOK)
	}
	h.holds("work", letters(1)...)
}
