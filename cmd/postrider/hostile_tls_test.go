package main

import (
	"crypto/tls"
	"encoding/hex"
	"strings"
	"testing"

	"postrider/mailtest"
)

// TestT53STLSIsNotThere: without TLS no credential goes out, whatever the
// server or somebody on the way makes of STLS.
func TestT53STLSIsNotThere(t *testing.T) {
	t.Parallel()
	ca, options := newCA(t)
	options.Implicit = false
	for name, spoil := range map[string]func(*mailtest.POP3Event){
		"refused":     func(e *mailtest.POP3Event) { e.Refuse("no TLS today") },
		"malformed":   func(e *mailtest.POP3Event) { e.Reply("OK begin TLS") },
		"empty":       func(e *mailtest.POP3Event) { e.Edit(func([]byte) []byte { return []byte("\r\n") }) },
		"cut":         func(e *mailtest.POP3Event) { e.Cut(2) },
		"T56 injects": func(e *mailtest.POP3Event) { e.Append([]byte("+OK\r\n+OK logged in\r\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options
			o.Hook = on("STLS", spoil)
			s := startPOP3(t, o, letters(1)...)
			h := newHostile(t, hostileAccount{port: s.Port(), tls: "starttls", ca: ca, extra: "timeout: 1s"})
			if o := h.run("fetch"); o.code != exitUnavailable && o.code != exitTemporary {
				t.Errorf("exit code %d: %s", o.code, o.stderr)
			}
			noCleartext(t, s)
			if n := s.Counts().Logins + s.Counts().Refused; n != 0 {
				t.Errorf("%d logins", n)
			}
			h.holds("work")
		})
	}
	t.Run("stripped", func(t *testing.T) {
		t.Parallel()
		s := startPOP3(t, mailtest.POP3Options{}, letters(1)...) // has no STLS
		h := newHostile(t, hostileAccount{port: s.Port(), tls: "starttls", ca: ca})
		if o := h.run("fetch"); o.code == exitOK {
			t.Error("exit code 0")
		}
		noCleartext(t, s)
	})
	t.Run("works", func(t *testing.T) {
		t.Parallel()
		s := startPOP3(t, options, letters(1)...)
		h := newHostile(t, hostileAccount{port: s.Port(), tls: "starttls", ca: ca})
		h.run("fetch").wants(exitOK)
		h.holds("work", letters(1)...)
		noCleartext(t, s)
	})
}

// TestT55BadGreeting: what is no greeting ends the session, even if one follows.
func TestT55BadGreeting(t *testing.T) {
	t.Parallel()
	for name, greeting := range map[string]string{
		"IMAP's, T54": "* PREAUTH [CAPABILITY IMAP4rev1] ready\r\n+OK\r\n", "SMTP's": "220 mail ESMTP\r\n+OK\r\n", "nothing": "\r\n+OK ready\r\n", "HTTP's": "HTTP/1.1 400 Bad Request\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startPOP3(t, mailtest.POP3Options{Hook: on("GREETING", func(e *mailtest.POP3Event) {
				e.Edit(func([]byte) []byte { return []byte(greeting) })
			})}, letters(1)...)
			h := newHostile(t, hostileAccount{port: s.Port()})
			h.run("fetch").wants(exitUnavailable, "neither \\+OK nor -ERR")
			noCleartext(t, s)
		})
	}
}

// TestT57EarlyReplies: replies that are there before the command was sent are
// somebody else's.
func TestT57EarlyReplies(t *testing.T) {
	t.Parallel()
	ca, options := newCA(t)
	options.Implicit = false
	options.Hook = on("GREETING", func(e *mailtest.POP3Event) { e.Append([]byte("+OK begin TLS now\r\n")) })
	s := startPOP3(t, options, letters(1)...)
	h := newHostile(t, hostileAccount{port: s.Port(), tls: "starttls", ca: ca, extra: "timeout: 1s"})
	h.run("fetch").wants(exitUnavailable)
	noCleartext(t, s)
}

// TestT58CapabilitiesBeforeTLS: before TLS the server is asked nothing, and
// what it says after TLS decides. T62: STLS is asked for once.
func TestT58CapabilitiesBeforeTLS(t *testing.T) {
	t.Parallel()
	ca, options := newCA(t)
	server := mailtest.ScriptWith(t, mailtest.ScriptOptions{TLS: options.TLS}, `
		S: +OK ready
		C: STLS
		S: +OK begin
		STARTTLS
		C: CAPA
		RAW: "+OK\r\nSASL PLAIN\r\nSTLS\r\nUIDL\r\n.\r\n"
		C~: AUTH PLAIN \S+
		S: -ERR [AUTH] wrong password
		EOF
	`)
	h := newHostile(t, hostileAccount{port: server.Port(), tls: "starttls", ca: ca})
	h.run("fetch").wants(exitNoPerm, "wrong password")
	server.Wait()
}

func TestT59Certificates(t *testing.T) {
	t.Parallel()
	ca, good := newCA(t)
	other, _ := newCA(t)
	must := func(c *tls.Config, err error) *tls.Config {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, tt := range []struct {
		name   string
		server *tls.Config
		trust  *mailtest.CA
		remedy string
	}{
		{"wrong host", must(ca.Server("mail.example.org")), ca, "host must be the name"},
		{"expired", must(ca.Expired()), ca, "check the clock"},
		{"self-signed", must(mailtest.SelfSigned("127.0.0.1")), ca, "name its authority in ca_file"},
		{"unknown authority", good.TLS, other, "name its authority in ca_file"},
		{"system's authorities", good.TLS, nil, "name its authority in ca_file"},
		{"no SAN", must(ca.NoSAN("127.0.0.1")), ca, "certificate"},
	} {
		for _, mode := range []string{"implicit", "starttls"} {
			t.Run(tt.name+" "+mode, func(t *testing.T) {
				t.Parallel()
				s := startPOP3(t, mailtest.POP3Options{TLS: tt.server, Implicit: mode == "implicit"}, letters(1)...)
				h := newHostile(t, hostileAccount{port: s.Port(), tls: mode, ca: tt.trust})
				h.run("fetch").wants(exitUnavailable, tt.remedy)
				if c := s.Counts(); c.Logins+c.Refused+c.Cleartext != 0 {
					t.Errorf("a credential was sent: %+v", c)
				}
			})
		}
	}
}

func TestT60Pins(t *testing.T) {
	t.Parallel()
	ca, options := newCA(t)
	other, _ := newCA(t)
	s := startPOP3(t, options, letters(1)...)
	pin, err := mailtest.Pin(options.TLS)
	if err != nil {
		t.Fatal(err)
	}
	wrong := hex.EncodeToString(make([]byte, 32))
	for _, tt := range []struct {
		name, pins string
		ca         *mailtest.CA
		code       int
	}{
		{"the key", "sha256:" + pin, nil, exitOK},
		{"another key", "sha256:" + wrong, nil, exitUnavailable},
		{"one of two", "sha256:" + wrong + ", sha256:" + pin, nil, exitOK},
		{"the key, and its authority", "sha256:" + pin, ca, exitOK},
		{"the key, and another authority", "sha256:" + pin, other, exitUnavailable},
		{"another key, and its authority", "sha256:" + wrong, ca, exitUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHostile(t, hostileAccount{port: s.Port(), tls: "implicit", ca: tt.ca, extra: "pins: [" + tt.pins + "]"})
			before := s.Counts().Logins
			h.run("fetch").wants(tt.code)
			if n := s.Counts().Logins - before; (n > 0) != (tt.code == exitOK) {
				t.Errorf("%d logins", n)
			}
		})
	}
}

func TestT61OldTLS(t *testing.T) {
	t.Parallel()
	ca, options := newCA(t)
	options.TLS = options.TLS.Clone()
	options.TLS.MinVersion, options.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	s := startPOP3(t, options, letters(1)...)
	h := newHostile(t, hostileAccount{port: s.Port(), tls: "implicit", ca: ca})
	h.run("fetch").wants(exitUnavailable, "(?i)protocol version")
	noCleartext(t, s)
}

func TestT64CleartextIsRefused(t *testing.T) {
	t.Parallel()
	h := newHostile(t, hostileAccount{port: 110})
	h.replace("host: 127.0.0.1", "host: mail.example.org")
	h.run("fetch").wants(exitConfig, "allow_cleartext")
	h.run("check").wants(exitConfig, "allow_cleartext")
}

// replace changes the configuration file.
func (h *hostile) replace(old, new string) {
	h.t.Helper()
	text := h.read(h.config)
	if !strings.Contains(text, old) {
		h.t.Fatalf("nothing in the configuration is %q", old)
	}
	h.save(h.config, strings.ReplaceAll(text, old, new))
}
