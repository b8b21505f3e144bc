package main

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"postrider/mailtest"
)

// TestT53IMAPStartTLSIsNotThere: without TLS no credential goes out, whatever the
// server or somebody on the way makes of STARTTLS.
func TestT53IMAPStartTLSIsNotThere(t *testing.T) {
	t.Parallel()
	ca, good := implicitIMAP(t)
	good.Implicit = false
	for _, tt := range []struct {
		name   string
		spoil  func(*mailtest.IMAPEvent)
		remedy string
	}{
		{"refused", func(e *mailtest.IMAPEvent) { e.Refuse("no TLS today") }, "try tls: implicit"},
		{"unknown", func(e *mailtest.IMAPEvent) { e.Bad("what?") }, "try tls: implicit"},
		{"malformed", func(e *mailtest.IMAPEvent) { e.Reply("begin TLS") }, "begin TLS"},
		{"empty", func(e *mailtest.IMAPEvent) { e.Edit(func([]byte) []byte { return []byte("\r\n") }) }, "begin TLS"},
		{"cut", func(e *mailtest.IMAPEvent) { e.Cut(2) }, "begin TLS"},
		{"T56 injects", func(e *mailtest.IMAPEvent) { e.Append([]byte("* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n")) }, "octets between"},
		{"T37 refers", func(e *mailtest.IMAPEvent) { e.Refuse("[REFERRAL imap://evil.example/] go there") }, "try tls: implicit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := good
			o.Hook = onIMAP("STARTTLS", tt.spoil)
			s := startIMAP(t, o, letters(1)...)
			h := newHostileIMAP(t, imapBox{port: s.Port(), tls: "starttls", ca: ca, extra: "timeout: 1s"})
			if o := h.run("fetch"); o.code != exitUnavailable && o.code != exitTemporary || !strings.Contains(o.stderr, tt.remedy) {
				t.Errorf("exit code %d, and nothing of %q: %s", o.code, tt.remedy, o.stderr)
			}
			noCleartextIMAP(t, s)
			if c := s.Counts(); c.Logins+c.Refused != 0 || c.Sessions != 1 {
				t.Errorf("%d logins in %d sessions", c.Logins+c.Refused, c.Sessions)
			}
		})
	}
	t.Run("stripped", func(t *testing.T) {
		t.Parallel()
		s := startIMAP(t, mailtest.IMAPOptions{}, letters(1)...)
		h := newHostileIMAP(t, imapBox{port: s.Port(), tls: "starttls", ca: ca})
		h.run("fetch").wants(exitTemporary, "try tls: implicit")
		h.run("check", "--online").wants(exitTemporary, "try tls: implicit")
		noCleartextIMAP(t, s)
	})
	t.Run("works", func(t *testing.T) {
		t.Parallel()
		s := startIMAP(t, good, letters(1)...)
		h := newHostileIMAP(t, imapBox{port: s.Port(), tls: "starttls", ca: ca})
		h.run("fetch").wants(exitOK)
		h.keeps(inInbox(letters(1)...))
		noCleartextIMAP(t, s)
	})
}

// TestT54IMAPPreauth: before TLS it is a trap; under TLS it is a server that
// knows us.
func TestT54IMAPPreauth(t *testing.T) {
	t.Parallel()
	ca, good := implicitIMAP(t)
	for _, mode := range []string{"starttls", "none"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			o := good
			o.Implicit = false
			o.Hook = onIMAP("GREETING", func(e *mailtest.IMAPEvent) { e.Reply("* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] welcome") })
			s := startIMAP(t, o, letters(1)...)
			box := imapBox{port: s.Port(), tls: mode}
			if mode != "none" {
				box.ca = ca
			}
			h := newHostileIMAP(t, box)
			h.run("fetch").wants(exitUnavailable, "logged in before TLS")
			h.run("check", "--online").wants(exitUnavailable, "logged in before TLS")
			if c := s.Counts(); len(c.Commands) != 0 {
				t.Errorf("commands were sent: %v", c.Commands)
			}
		})
	}
	t.Run("implicit", func(t *testing.T) {
		t.Parallel()
		server := mailtest.ScriptWith(t, mailtest.ScriptOptions{TLS: good.TLS, Implicit: true}, `
			S: * PREAUTH [CAPABILITY IMAP4rev1] welcome, ada
			C~: \S+ EXAMINE "INBOX"
			S: * 0 EXISTS
			S: * OK [UIDVALIDITY 1] it is
			CUT
		`)
		h := newHostileIMAP(t, imapBox{port: server.Port(), tls: "implicit", ca: ca})
		h.run("fetch").wants(exitUnavailable)
	})
}

// TestT55IMAPBadGreeting: what is no greeting ends the session, even if one follows.
func TestT55IMAPBadGreeting(t *testing.T) {
	t.Parallel()
	for name, greeting := range map[string]string{
		"POP3's": "+OK ready\r\n* OK ready\r\n", "SMTP's": "220 mail ESMTP\r\n* OK ready\r\n", "nothing": "\r\n* OK ready\r\n",
		"HTTP's": "HTTP/1.1 400 Bad Request\r\n\r\n", "a list": "* LIST () NIL x\r\n* OK ready\r\n", "tagged": "a1 OK ready\r\n* OK ready\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startIMAP(t, mailtest.IMAPOptions{Hook: onIMAP("GREETING", func(e *mailtest.IMAPEvent) {
				e.Edit(func([]byte) []byte { return []byte(greeting) })
			})}, letters(1)...)
			h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "timeout: 1s"})
			h.run("fetch").wants(exitUnavailable, "not the greeting of an IMAP server")
			noCleartextIMAP(t, s)
		})
	}
}

// TestT57IMAPEarlyReplies: replies that are there before the command was sent are
// somebody else's.
func TestT57IMAPEarlyReplies(t *testing.T) {
	t.Parallel()
	ca, o := implicitIMAP(t)
	o.Implicit = false
	o.Hook = onIMAP("GREETING", func(e *mailtest.IMAPEvent) { e.Append([]byte("a1 OK begin TLS now\r\n")) })
	s := startIMAP(t, o, letters(1)...)
	h := newHostileIMAP(t, imapBox{port: s.Port(), tls: "starttls", ca: ca, extra: "timeout: 1s"})
	h.run("fetch").wants(exitUnavailable, "what was not asked for")
	noCleartextIMAP(t, s)
}

// TestT58IMAPCapabilitiesBeforeTLS are forgotten: what the server says under TLS
// decides. T62: STARTTLS is asked for once.
func TestT58IMAPCapabilitiesBeforeTLS(t *testing.T) {
	t.Parallel()
	ca, o := implicitIMAP(t)
	server := mailtest.ScriptWith(t, mailtest.ScriptOptions{TLS: o.TLS}, `
		S: * OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=XOAUTH2 SASL-IR] ready
		C~: \S+ STARTTLS
		RAW: "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\n"
		CUT
	`)
	h := newHostileIMAP(t, imapBox{port: server.Port(), tls: "starttls", ca: ca})
	h.run("fetch").wants(exitUnavailable, "begin TLS")
	s := startIMAP(t, mailtest.IMAPOptions{TLS: o.TLS, Mechanisms: []string{"PLAIN"}, Hook: func(e *mailtest.IMAPEvent) {
		if e.Verb == "GREETING" {
			e.Reply("* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED AUTH=NTLM] ready")
		}
	}}, letters(1)...)
	h = newHostileIMAP(t, imapBox{port: s.Port(), tls: "starttls", ca: ca})
	h.run("fetch").wants(exitOK)
	c := s.Counts()
	if c.Commands["STARTTLS"] != 1 || c.Commands["CAPABILITY"] == 0 || c.Commands["AUTHENTICATE"] != 1 {
		t.Errorf("%v", c.Commands)
	}
}

func TestT59IMAPCertificates(t *testing.T) {
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
				s := startIMAP(t, mailtest.IMAPOptions{TLS: tt.server, Implicit: mode == "implicit"}, letters(1)...)
				h := newHostileIMAP(t, imapBox{port: s.Port(), tls: mode, ca: tt.trust})
				h.run("fetch").wants(exitUnavailable, tt.remedy)
				if c := s.Counts(); c.Logins+c.Refused+c.Cleartext != 0 {
					t.Errorf("a credential was sent: %+v", c)
				}
			})
		}
	}
}

func TestT60IMAPPins(t *testing.T) {
	t.Parallel()
	_, o := implicitIMAP(t)
	s := startIMAP(t, o, letters(1)...)
	pin, err := mailtest.Pin(o.TLS)
	if err != nil {
		t.Fatal(err)
	}
	h := newHostileIMAP(t, imapBox{port: s.Port(), tls: "implicit", extra: "pins: [sha256:" + strings.Repeat("00", 32) + "]"})
	h.run("fetch").wants(exitUnavailable, "none of those in pins")
	if c := s.Counts(); c.Logins+c.Refused != 0 {
		t.Errorf("a credential was sent: %+v", c)
	}
	h.writeIMAP(imapBox{port: s.Port(), tls: "implicit", extra: "pins: [sha256:" + pin + "]"})
	h.run("fetch").wants(exitOK)
}

func TestT61IMAPOldTLS(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"implicit", "starttls"} {
		ca, o := implicitIMAP(t)
		o.Implicit = mode == "implicit"
		o.TLS = o.TLS.Clone()
		o.TLS.MinVersion, o.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		s := startIMAP(t, o, letters(1)...)
		h := newHostileIMAP(t, imapBox{port: s.Port(), tls: mode, ca: ca})
		h.run("fetch").wants(exitUnavailable, "(?i)protocol version")
		noCleartextIMAP(t, s)
	}
}

// TestT62CompressedTwice: a server that refuses compression, or has never heard
// of it, gives its mail all the same, and is asked once a session.
func TestT62CompressedTwice(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*mailtest.IMAPEvent){
		"active": func(e *mailtest.IMAPEvent) { e.Refuse("[COMPRESSIONACTIVE] DEFLATE active via TLS") },
		"bad":    func(e *mailtest.IMAPEvent) { e.Bad("unknown command") },
		"good":   func(*mailtest.IMAPEvent) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startIMAP(t, mailtest.IMAPOptions{Hook: onIMAP("COMPRESS", spoil)})
			big := append(letter("big"), []byte(strings.Repeat("0123456789\r\n", 100_000))...)
			fill(s, "INBOX", big)
			fill(s, "Work", big)
			h := newHostileIMAP(t, imapBox{port: s.Port(), folders: "[INBOX, Work]", extra: "connections: 1"})
			h.run("fetch").wants(exitOK).brings(2)
			h.keeps(map[string][][]byte{"work/INBOX": {big}, "work/Work": {big}})
			if c := s.Counts(); c.Commands["COMPRESS"] != 1 || c.Sessions != 1 {
				t.Errorf("%d COMPRESS in %d sessions", c.Commands["COMPRESS"], c.Sessions)
			}
		})
	}
}

// TestT63IMAPSASL: what a server may say in an exchange; nobody is logged in to
// one that cannot prove itself.
func TestT63IMAPSASL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, mechanism, challenge string }{
		{"no base64", "CRAM-MD5", "+ !!!!"},
		{"huge", "CRAM-MD5", "+ " + strings.Repeat("QUFB", 30000)},
		{"empty", "SCRAM-SHA-256", "+ "},
		{"another nonce", "SCRAM-SHA-256", "+ " + base64.StdEncoding.EncodeToString([]byte("r=mine,s=c2FsdA==,i=4096"))},
		{"2^31 iterations", "SCRAM-SHA-1", "+ " + base64.StdEncoding.EncodeToString([]byte("r=mine,s=c2FsdA==,i=2147483648"))},
		{"success at once", "SCRAM-SHA-256", "%s OK welcome"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startIMAP(t, mailtest.IMAPOptions{Mechanisms: []string{tt.mechanism}, NoLOGIN: true, Hook: onIMAP("+", func(e *mailtest.IMAPEvent) {
				e.Edit(func([]byte) []byte { return []byte(strings.Replace(tt.challenge, "%s", e.Tag, 1) + "\r\n") })
			})}, letters(1)...)
			h := newHostileIMAP(t, imapBox{port: s.Port(), extra: "timeout: 1s"})
			if o := h.run("fetch"); o.code == exitOK {
				t.Errorf("exit code 0: %s", o.stdout)
			}
			h.keeps(nil)
		})
	}
	for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "LOGIN", "PLAIN"} {
		for _, without := range []string{"", "SASL-IR"} {
			t.Run("good "+mechanism+" without "+without, func(t *testing.T) {
				t.Parallel()
				s := startIMAP(t, mailtest.IMAPOptions{Mechanisms: []string{mechanism}, NoLOGIN: true, Without: []string{without}}, letters(1)...)
				h := newHostileIMAP(t, imapBox{port: s.Port()})
				h.run("fetch").wants(exitOK)
				h.keeps(inInbox(letters(1)...))
			})
		}
	}
}

// TestT64IMAPLoginDisabled: LOGINDISABLED, and no mechanism for a password.
func TestT64IMAPLoginDisabled(t *testing.T) {
	t.Parallel()
	s := startIMAP(t, mailtest.IMAPOptions{NoLOGIN: true, Mechanisms: []string{"XOAUTH2"}}, letters(1)...)
	h := newHostileIMAP(t, imapBox{port: s.Port()})
	h.run("fetch").wants(exitNoPerm, "XOAUTH2")
	h.run("check", "--online").wants(exitNoPerm, "XOAUTH2")
	if c := s.Counts(); c.Cleartext != 0 {
		t.Errorf("a credential was sent: %+v", c.Commands)
	}
	h.replace("host: 127.0.0.1", "host: mail.example.org")
	h.run("fetch").wants(exitConfig, "allow_cleartext")
}

func TestT65IMAPOddPasswords(t *testing.T) {
	t.Parallel()
	for i, password := range []string{`"quotes" and 'such'`, "back\\slash %s $HOME `id`", "Ünï¢ödé \u6f22\u5b57", " spaces ", "a\tb", "{12}", "{3+}", "*", "(x)", "]", "CR\rLF\nx LOGOUT", "nul\x00"} {
		for _, mechanism := range []string{"", "PLAIN", "CRAM-MD5"} {
			for _, without := range []string{"", "LITERAL+"} {
				t.Run(fmt.Sprint(i, mechanism, without), func(t *testing.T) {
					t.Parallel()
					o := mailtest.IMAPOptions{Users: map[string]string{"ada": password}, Without: []string{without}}
					if mechanism != "" {
						o.Mechanisms, o.NoLOGIN = []string{mechanism}, true
					}
					s := startIMAP(t, o, letters(1)...)
					h := newHostileIMAP(t, imapBox{port: s.Port(), password: quoted(password)})
					out := h.run("fetch")
					if strings.ContainsAny(password, "\r\n\x00") {
						if out.code != exitNoPerm && out.code != exitConfig {
							t.Errorf("exit code %d", out.code)
						}
						if c := s.Counts(); c.Cleartext != 0 || c.Commands["LOGOUT"] != 0 {
							t.Errorf("it was sent: %+v", c.Commands)
						}
						return
					}
					out.wants(exitOK)
					h.keeps(inInbox(letters(1)...))
				})
			}
		}
	}
}

// TestIMAPSwitchedOff: what providers say to an account for which IMAP is
// switched off is a refused login, with what to do about it.
func TestIMAPSwitchedOff(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"[ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page and enable your account for IMAP access. (Failure)",
		"[ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)",
		"LOGIN Login error or password error",
		"Login fail. Account is abnormal, service is not open, password is incorrect, login frequency limited, or system is busy.",
		"[AUTHENTICATIONFAILED] IMAP disabled for this account",
		"LOGIN failed.",
	} {
		t.Run(text[:10], func(t *testing.T) {
			t.Parallel()
			s := startIMAP(t, mailtest.IMAPOptions{Hook: onIMAP("LOGIN", func(e *mailtest.IMAPEvent) { e.Refuse(text) })}, letters(1)...)
			h := newHostileIMAP(t, imapBox{port: s.Port(), folders: "[INBOX, Work]"})
			h.run("fetch").wants(exitNoPerm, "log in: server refused LOGIN.*want IMAP switched on first")
			if n := s.Counts().Refused; n != 1 {
				t.Errorf("%d logins were refused in one pass", n)
			}
			h.run("check", "--online").wants(exitNoPerm, "want IMAP switched on first")
		})
	}
}

// TestT88IMAPNoSecret: a server that repeats what it hears, in all that it says.
func TestT88IMAPNoSecret(t *testing.T) {
	t.Parallel()
	ca, o := implicitIMAP(t)
	for _, mechanism := range []string{"", "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"} {
		t.Run("with "+mechanism, func(t *testing.T) {
			t.Parallel()
			o := o
			if mechanism != "" {
				o.Mechanisms, o.NoLOGIN = []string{mechanism}, true
			}
			o.Hook = func(e *mailtest.IMAPEvent) {
				if e.Verb == "LOGIN" || e.Verb == "AUTHENTICATE" {
					e.Refuse("I do not like " + e.Verb + " " + e.Arg)
				}
			}
			s := startIMAP(t, o, letters(1)...)
			h := newHostileIMAP(t, imapBox{port: s.Port(), tls: "implicit", ca: ca, password: "{env: SECRET}"})
			h.env["SECRET"] = hostilePassword
			out := h.run("fetch").wants(exitNoPerm)
			for _, form := range secretForms() {
				if strings.Contains(out.stdout+out.stderr, form) {
					t.Errorf("the secret is shown as %q: %s", form, out.stderr)
				}
			}
		})
	}
}
