package main

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"postrider/mailtest"
)

// unsubmitted checks that a server was told no credential and has no message, and
// that the message waits.
func (h *sendingHome) unsubmitted(s *mailtest.SMTP) {
	h.t.Helper()
	if c := s.Counts(); c.Logins+c.Refused+c.Cleartext+c.Commands["AUTH"] > 0 || c.Commands["MAIL"] > 0 {
		h.t.Errorf("a credential or a message was sent: %+v", c)
	}
	got(h.t, s, 0)
	h.queued("deferred")
}

func TestT53SMTPStartTLSIsNotThere(t *testing.T) {
	t.Parallel()
	for name, hook := range map[string]func(*mailtest.SMTPEvent){
		"not offered": onSMTP("EHLO", func(e *mailtest.SMTPEvent) {
			e.Edit(func(b []byte) []byte { return []byte(strings.ReplaceAll(string(b), "STARTTLS", "XXXXXXXX")) })
		}),
		"refused":   onSMTP("STARTTLS", func(e *mailtest.SMTPEvent) { e.Refuse(454, "4.7.0 TLS not available") }),
		"for good":  onSMTP("STARTTLS", func(e *mailtest.SMTPEvent) { e.Refuse(502, "5.5.1 never heard of it") }),
		"malformed": onSMTP("STARTTLS", func(e *mailtest.SMTPEvent) { e.Edit(func([]byte) []byte { return []byte("go ahead\r\n") }) }),
		"354":       onSMTP("STARTTLS", func(e *mailtest.SMTPEvent) { e.Refuse(354, "go ahead") }),
		"cut":       onSMTP("STARTTLS", func(e *mailtest.SMTPEvent) { e.Cut(3) }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca, options := newCA(t)
			s := startSMTP(t, mailtest.SMTPOptions{TLS: options.TLS, Hook: hook})
			h := newSender(t, []sendAccount{{port: s.Port(), tls: "starttls", ca: ca, keys: "timeout: 1s"}})
			h.drop("a.eml", noteTo("a", "bob@example.com"))
			code := exitUnavailable
			if name == "refused" {
				code = exitTemporary
			}
			h.sends(code, "TLS")
			h.unsubmitted(s)
		})
	}
}

// TestT55SMTPBadGreeting: what is no greeting ends the session, even if one follows;
// SMTP has no PREAUTH (T54), but a server may say in clear that one is logged in.
func TestT55SMTPBadGreeting(t *testing.T) {
	t.Parallel()
	for name, greeting := range map[string]string{
		"IMAP's, T54": "* PREAUTH [CAPABILITY IMAP4rev1] ready\r\n220 mail\r\n", "POP3's": "+OK ready\r\n220 mail\r\n", "nothing": "\r\n220 mail\r\n",
		"HTTP's": "HTTP/1.1 400 Bad Request\r\n\r\n", "250": "250 mail\r\n", "235, T54": "235 2.7.0 logged in\r\n220 mail\r\n",
		"554": "554 5.3.2 no service\r\n", "421": "421 4.3.2 later\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startSMTP(t, mailtest.SMTPOptions{Hook: onSMTP("GREETING", func(e *mailtest.SMTPEvent) {
				e.Edit(func([]byte) []byte { return []byte(greeting) })
			})})
			h := newSender(t, []sendAccount{{port: s.Port(), keys: "timeout: 1s"}})
			h.drop("a.eml", noteTo("a", "bob@example.com"))
			code := exitUnavailable
			if name == "421" {
				code = exitTemporary
			}
			h.sends(code, "greeting|refused")
			h.unsubmitted(s)
		})
	}
}

func TestT56SMTPOctetsBehindStartTLS(t *testing.T) {
	t.Parallel()
	ca, options := newCA(t)
	s := startSMTP(t, mailtest.SMTPOptions{TLS: options.TLS, Hook: onSMTP("STARTTLS", func(e *mailtest.SMTPEvent) {
		e.Append([]byte("250-evil\r\n250 AUTH PLAIN\r\n"))
	})})
	h := newSender(t, []sendAccount{{port: s.Port(), tls: "starttls", ca: ca, keys: "timeout: 1s"}})
	h.drop("a.eml", noteTo("a", "bob@example.com"))
	h.sends(exitUnavailable)
	h.unsubmitted(s)
}

func TestT57SMTPEarlyReplies(t *testing.T) {
	t.Parallel()
	ca, options := newCA(t)
	for _, verb := range []string{"GREETING", "EHLO"} {
		s := startSMTP(t, mailtest.SMTPOptions{TLS: options.TLS, Hook: onSMTP(verb, func(e *mailtest.SMTPEvent) {
			e.Append([]byte("220 2.0.0 begin TLS now\r\n"))
		})})
		h := newSender(t, []sendAccount{{port: s.Port(), tls: "starttls", ca: ca, keys: "timeout: 1s"}})
		h.drop("a.eml", noteTo("a", "bob@example.com"))
		h.sends(exitUnavailable)
		h.unsubmitted(s)
	}
}

// TestT58SMTPCapabilitiesBeforeTLS: what was offered before TLS is forgotten. T62:
// STARTTLS is said once, though it is offered again.
func TestT58SMTPCapabilitiesBeforeTLS(t *testing.T) {
	t.Parallel()
	ca, options := newCA(t)
	server := mailtest.ScriptWith(t, mailtest.ScriptOptions{TLS: options.TLS}, `
		S: 220 mail
		C~: EHLO \S+
		S: 250-mail
		S: 250-STARTTLS
		S: 250-PIPELINING
		S: 250-SIZE 10
		S: 250 AUTH LOGIN CRAM-MD5
		C: STARTTLS
		S: 220 go
		STARTTLS
		C~: EHLO \S+
		S: 250-mail
		S: 250-STARTTLS
		S: 250 AUTH PLAIN
		C~: AUTH PLAIN \S+
		S: 235 ok
		C: MAIL FROM:<ada@example.org>
		S: 250 ok
		C: RCPT TO:<bob@example.com>
		S: 550 no
		C: QUIT
		S: 221 bye
		EOF
	`)
	h := newSender(t, []sendAccount{{port: server.Port(), tls: "starttls", ca: ca}})
	h.drop("a.eml", noteTo("a", "bob@example.com"))
	h.sends(exitFailed, "1 message failed")
	server.Wait()
}

func TestT62SMTPStartTLSTwice(t *testing.T) {
	t.Parallel()
	ca, options := newCA(t)
	s := startSMTP(t, mailtest.SMTPOptions{TLS: options.TLS, Hook: onSMTP("EHLO", func(e *mailtest.SMTPEvent) {
		e.Edit(func(b []byte) []byte {
			if strings.Contains(string(b), "STARTTLS") {
				return b
			}
			return []byte("250-STARTTLS\r\n" + string(b))
		})
	})})
	h := newSender(t, []sendAccount{{port: s.Port(), tls: "starttls", ca: ca}})
	h.drop("a.eml", noteTo("a", "bob@example.com"))
	h.sends(exitOK)
	if n := s.Counts().Commands["STARTTLS"]; n != 1 {
		t.Errorf("%d STARTTLS", n)
	}
	got(t, s, 1)
	faultless(t, s)
}

func TestT59SMTPCertificates(t *testing.T) {
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
				s := startSMTP(t, mailtest.SMTPOptions{TLS: tt.server, Implicit: mode == "implicit"})
				h := newSender(t, []sendAccount{{port: s.Port(), tls: mode, ca: tt.trust}})
				h.drop("a.eml", noteTo("a", "bob@example.com"))
				h.sends(exitUnavailable, tt.remedy)
				h.unsubmitted(s)
			})
		}
	}
}

func TestT60SMTPPins(t *testing.T) {
	t.Parallel()
	ca, options := newCA(t)
	pin, err := mailtest.Pin(options.TLS)
	if err != nil {
		t.Fatal(err)
	}
	s := startSMTP(t, mailtest.SMTPOptions{TLS: options.TLS, Implicit: true})
	wrong := hex.EncodeToString(make([]byte, 32))
	for _, tt := range []struct {
		pins string
		ca   *mailtest.CA
		code int
	}{{"sha256:" + pin, nil, exitOK}, {"sha256:" + wrong, ca, exitUnavailable}} {
		h := newSender(t, []sendAccount{{port: s.Port(), tls: "implicit", ca: tt.ca, keys: `pins: ["` + tt.pins + `"]`}})
		h.drop("a.eml", noteTo("a", "bob@example.com"))
		h.sends(tt.code)
	}
	got(t, s, 1)
}

func TestT61SMTPOldTLS(t *testing.T) {
	t.Parallel()
	ca, options := newCA(t)
	old := options.TLS.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	for _, mode := range []string{"implicit", "starttls"} {
		s := startSMTP(t, mailtest.SMTPOptions{TLS: old, Implicit: mode == "implicit"})
		h := newSender(t, []sendAccount{{port: s.Port(), tls: mode, ca: ca}})
		h.drop("a.eml", noteTo("a", "bob@example.com"))
		h.sends(exitUnavailable, "(?i)protocol version")
		h.unsubmitted(s)
	}
}

func TestT63SMTPSASL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, mechanism, challenge string }{
		{"no base64", "CRAM-MD5", "334 !!!!"},
		{"huge", "CRAM-MD5", "334 " + strings.Repeat("QUFB", 30000)},
		{"empty", "SCRAM-SHA-256", "334 "},
		{"another nonce", "SCRAM-SHA-256", "334 " + base64.StdEncoding.EncodeToString([]byte("r=mine,s=c2FsdA==,i=4096"))},
		{"2^31 iterations", "SCRAM-SHA-1", "334 " + base64.StdEncoding.EncodeToString([]byte("r=mine,s=c2FsdA==,i=2147483648"))},
		{"success at once", "SCRAM-SHA-256", "235 2.7.0 welcome"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startSMTP(t, mailtest.SMTPOptions{Mechanisms: []string{tt.mechanism}, Hook: onSMTP("+", func(e *mailtest.SMTPEvent) {
				e.Edit(func([]byte) []byte { return []byte(tt.challenge + "\r\n") })
			})})
			h := newSender(t, []sendAccount{{port: s.Port(), keys: "timeout: 1s"}})
			h.drop("a.eml", noteTo("a", "bob@example.com"))
			if o := h.pipe("", "send"); o.code == exitOK {
				t.Errorf("exit code 0: %s", o.stdout)
			}
			got(t, s, 0)
			if q := h.spooled(); q != "active" && q != "deferred" {
				t.Errorf("queued: %q", q)
			}
			h.noSecretOnDisk()
		})
	}
}

func TestT64SMTPCleartextIsRefused(t *testing.T) {
	t.Parallel()
	h := newSender(t, []sendAccount{{port: 25}})
	h.replace("host: 127.0.0.1", "host: mail.example.org")
	h.drop("a.eml", noteTo("a", "bob@example.com"))
	h.sends(exitConfig, "allow_cleartext")
	h.pipe(noteTo("b", "bob@example.com"), "sendmail", "-t").wants(exitConfig, "allow_cleartext")
}

func TestT65SMTPOddPasswords(t *testing.T) {
	t.Parallel()
	for i, password := range []string{`"quotes" and 'such'`, "back\\slash %s $HOME `id`", "Ünï¢ödé \u6f22\u5b57", " spaces ", "a\tb", "{12}", "=", "CR\rLF\nQUIT", "nul\x00"} {
		for _, mechanism := range []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"} {
			t.Run(fmt.Sprintf("%d %s", i, mechanism), func(t *testing.T) {
				t.Parallel()
				s := startSMTP(t, mailtest.SMTPOptions{Users: map[string]string{"ada": password}, Mechanisms: []string{mechanism}, RequireAuth: true})
				h := newSender(t, []sendAccount{{port: s.Port(), password: quoted(password)}})
				h.drop("a.eml", noteTo("a", "bob@example.com"))
				faultless(t, s)
				if i >= 7 {
					if o := h.pipe("", "send"); o.code == exitOK || strings.Contains(o.stderr, password) {
						t.Errorf("ended with %d: %s", o.code, o.stderr)
					}
					got(t, s, 0)
					return
				}
				h.sends(exitOK)
				got(t, s, 1)
			})
		}
	}
}
