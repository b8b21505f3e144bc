package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"postrider/mailtest"
)

// TestT52APOP: the digest of APOP is only given to those who ask for it by
// name, and only for a challenge that can be one.
func TestT52APOP(t *testing.T) {
	t.Parallel()
	s := startPOP3(t, mailtest.POP3Options{Mechanisms: []string{"APOP"}}, letters(1)...)
	h := newHostile(t, hostileAccount{port: s.Port()})
	h.run("fetch").wants(exitOK)
	if n := s.Counts().Commands["APOP"]; n != 0 {
		t.Errorf("%d APOP without having been asked for", n)
	}
	h.write(hostileAccount{port: s.Port(), extra: "auth: apop"})
	h.run("fetch").wants(exitOK)
	if n := s.Counts().Commands["APOP"]; n != 1 {
		t.Errorf("%d APOP", n)
	}
	crafted := startPOP3(t, mailtest.POP3Options{Mechanisms: []string{"APOP"}, Hook: on("GREETING", func(e *mailtest.POP3Event) {
		e.Reply("+OK <\x80\xff\x01collision@\x00\xfe>")
	})}, letters(1)...)
	h.write(hostileAccount{port: crafted.Port(), extra: "auth: apop"})
	h.run("fetch").wants(exitNoPerm)
	if n := crafted.Counts().Commands["APOP"]; n != 0 {
		t.Error("a crafted challenge was answered")
	}
}

// TestT63SASL: what a server may say in an exchange, and the session survives
// or ends, but nobody is logged in to a server that cannot prove itself.
func TestT63SASL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, mechanism, challenge string }{
		{"no base64", "CRAM-MD5", "+ !!!!"},
		{"huge", "CRAM-MD5", "+ " + strings.Repeat("QUFB", 30000)},
		{"empty", "SCRAM-SHA-256", "+ "},
		{"another nonce", "SCRAM-SHA-256", "+ " + base64.StdEncoding.EncodeToString([]byte("r=mine,s=c2FsdA==,i=4096"))},
		{"2^31 iterations", "SCRAM-SHA-1", "+ " + base64.StdEncoding.EncodeToString([]byte("r=mine,s=c2FsdA==,i=2147483648"))},
		{"success at once", "SCRAM-SHA-256", "+OK welcome"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startPOP3(t, mailtest.POP3Options{Mechanisms: []string{tt.mechanism}, Hook: on("+", func(e *mailtest.POP3Event) {
				e.Edit(func([]byte) []byte { return []byte(tt.challenge + "\r\n") })
			})}, letters(1)...)
			h := newHostile(t, hostileAccount{port: s.Port(), extra: "timeout: 1s"})
			if o := h.run("fetch"); o.code == exitOK {
				t.Errorf("exit code 0: %s", o.stdout)
			}
			h.holds("work")
		})
	}
	for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "LOGIN", "PLAIN"} {
		t.Run("good "+mechanism, func(t *testing.T) {
			t.Parallel()
			s := startPOP3(t, mailtest.POP3Options{Mechanisms: []string{mechanism}, NoUSER: true}, letters(1)...)
			h := newHostile(t, hostileAccount{port: s.Port()})
			h.run("fetch").wants(exitOK)
			h.holds("work", letters(1)...)
		})
	}
}

func TestT65OddPasswords(t *testing.T) {
	t.Parallel()
	for i, password := range []string{`"quotes" and 'such'`, "back\\slash %s $HOME `id`", "Ünï¢ödé \u6f22\u5b57", " spaces ", "a\tb", "{12}", "CR\rLF\nQUIT", "nul\x00"} {
		for _, mechanism := range []string{"", "PLAIN", "CRAM-MD5"} {
			t.Run(fmt.Sprint(i, mechanism), func(t *testing.T) {
				t.Parallel()
				o := mailtest.POP3Options{Users: map[string]string{"ada": password}}
				if mechanism != "" {
					o.Mechanisms = []string{mechanism}
				}
				s := startPOP3(t, o, letters(1)...)
				h := newHostile(t, hostileAccount{port: s.Port(), password: quoted(password)})
				out := h.run("fetch")
				if strings.ContainsAny(password, "\r\n\x00") {
					if out.code != exitNoPerm && out.code != exitConfig {
						t.Errorf("exit code %d", out.code)
					}
					if c := s.Counts(); c.Cleartext != 0 {
						t.Errorf("it was sent: %+v", c.Commands)
					}
					return
				}
				out.wants(exitOK)
				h.holds("work", letters(1)...)
			})
		}
	}
}

func TestT86SecretsThatOthersCanRead(t *testing.T) {
	t.Parallel()
	h := newHostile(t, hostileAccount{port: 110})
	if err := os.Chmod(h.config, 0o644); err != nil {
		t.Fatal(err)
	}
	h.run("fetch").wants(exitConfig, "chmod")
	if _, err := os.Stat(h.mail()); err == nil {
		t.Error("the root was made all the same")
	}
	secret := filepath.Join(h.dir, "secret")
	h.save(secret, hostilePassword+"\n")
	if err := os.Chmod(secret, 0o640); err != nil {
		t.Fatal(err)
	}
	h.write(hostileAccount{port: 110, password: "{file: " + secret + "}"})
	if err := os.Chmod(h.config, 0o600); err != nil {
		t.Fatal(err)
	}
	h.run("check").wants(exitConfig, "chmod 600 the file")
}

func TestT87PasswordCommand(t *testing.T) {
	s := startPOP3(t, mailtest.POP3Options{}, letters(1)...)
	h := newHostile(t)
	script := filepath.Join(h.dir, "secret.sh")
	for _, tt := range []struct {
		name, body string
		code       int
		message    string
	}{
		{"good", "printf '%s\\n' " + shellQuoted(hostilePassword) + "; echo the secret is " + shellQuoted(hostilePassword) + " >&2", exitOK, ""},
		{"fails", "echo " + shellQuoted(hostilePassword) + " >&2; exit 3", exitNoPerm, "exit status 3"},
		{"too much", "head -c 5000 /dev/zero | tr '\\0' x", exitNoPerm, "4096"},
		{"nothing", ":", exitNoPerm, "empty"},
		{"wrong", "echo wrong", exitNoPerm, "AUTH"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h.save(script, "#!/bin/sh\n"+tt.body+"\n")
			h.write(hostileAccount{port: s.Port(), password: "{command: [/bin/sh, " + script + "]}"})
			o := h.run("fetch").wants(tt.code, tt.message)
			if strings.Contains(o.stderr, "xxxx") {
				t.Errorf("the output of the command is shown: %s", o.stderr)
			}
		})
	}
	if n := s.Counts().Refused; n != 1 {
		t.Errorf("%d logins were refused, want that with the wrong password", n)
	}
}

func shellQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// TestT88NoSecretAnywhere: two sessions, good and bad, with all that can be
// logged, with a server that repeats what it hears.
func TestT88NoSecretAnywhere(t *testing.T) {
	t.Parallel()
	ca, options := newCA(t)
	for _, mechanism := range []string{"", "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"} {
		t.Run("with "+mechanism, func(t *testing.T) {
			t.Parallel()
			var echo atomic.Bool
			o := options
			if mechanism != "" {
				o.Mechanisms, o.NoUSER = []string{mechanism}, true
			}
			o.Hook = func(e *mailtest.POP3Event) {
				switch e.Verb {
				case "PASS", "AUTH", "+":
					if echo.Load() {
						e.Refuse("I do not like " + e.Verb + " " + e.Arg)
					}
				}
			}
			s := startPOP3(t, o, letters(2)...)
			account := hostileAccount{port: s.Port(), tls: "implicit", ca: ca, password: "{env: SECRET}", extra: "on_server: delete"}
			h := newHostile(t, account)
			h.env["SECRET"] = hostilePassword
			var text strings.Builder
			for _, format := range []string{"auto", "json", "text"} {
				h.log = "{level: debug, format: " + format + "}"
				h.write(account)
				echo.Store(format == "json")
				o := h.run("fetch")
				text.WriteString(o.stdout + o.stderr)
			}
			err := filepath.WalkDir(h.dir, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() {
					text.WriteString(h.read(path))
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, form := range secretForms() {
				if strings.Contains(text.String(), form) {
					t.Errorf("the secret is somewhere as %q", form)
				}
			}
			if text.Len() < 1000 {
				t.Error("there was nothing to search")
			}
		})
	}
}

// secretForms are the shapes in which the password may turn up.
func secretForms() []string {
	plain := "\x00ada\x00" + hostilePassword
	forms := []string{hostilePassword, plain, quoted(hostilePassword)}
	for _, s := range []string{hostilePassword, plain, "user=ada\x01auth=Bearer " + hostilePassword + "\x01\x01"} {
		forms = append(forms, base64.StdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)), hex.EncodeToString([]byte(s)))
	}
	return forms
}
