package auth

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func always(password string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return password, nil }
}

// never fails the test when the source is asked.
func never(t *testing.T) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		t.Error("the password source was asked")
		return hunter, nil
	}
}

var everyMechanism = []string{plain, login, cramMD5, scramSHA1, scramSHA256, xoauth2, oauthBearer, external}

// choose makes the mechanism of a config word against a server that has all.
func choose(t testing.TB, auth string) Choice {
	t.Helper()
	c := Credentials{User: "ada", Password: always(hunter), Host: "mail.example.org", Port: 995, ClientCert: true}
	choice, err := Choose(context.Background(), Policy{Auth: auth, Secure: true}, c, everyMechanism, true)
	if err != nil {
		t.Fatal(err)
	}
	return choice
}

func TestChoose(t *testing.T) {
	const cert, none = "cert", "no password"
	for _, c := range []struct {
		auth, have, offered string
		command             bool
		want                string
	}{
		{"auto", "", "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 XOAUTH2 EXTERNAL", true, "SCRAM-SHA-256"},
		{"", "", "PLAIN SCRAM-SHA-1 CRAM-MD5", true, "SCRAM-SHA-1"},
		{"auto", "", "LOGIN PLAIN CRAM-MD5", true, "CRAM-MD5"},
		{"auto", "", "LOGIN PLAIN", true, "PLAIN"},
		{"auto", "", "login", true, "LOGIN"},
		{"auto", "", "scram-sha-256-plus Plain", false, "PLAIN"},
		{"auto", "", "GSSAPI XOAUTH2 OAUTHBEARER EXTERNAL", true, "USER"},
		{"auto", "", "", true, "USER"},
		{"auto", cert, "PLAIN EXTERNAL", true, "PLAIN"},
		{"auto", cert + none, "PLAIN EXTERNAL", true, "EXTERNAL"},
		{"plain", "", "SCRAM-SHA-256 PLAIN", true, "PLAIN"},
		{"login", "", "PLAIN LOGIN", true, "LOGIN"},
		{"cram-md5", "", "PLAIN cram-md5", true, "CRAM-MD5"},
		{"scram-sha-1", "", "SCRAM-SHA-256 SCRAM-SHA-1", true, "SCRAM-SHA-1"},
		{"SCRAM-SHA-256", "", "SCRAM-SHA-256", true, "SCRAM-SHA-256"},
		{"xoauth2", "", "PLAIN XOAUTH2", true, "XOAUTH2"},
		{"oauthbearer", "", "OAUTHBEARER", false, "OAUTHBEARER"},
		{"external", cert, "PLAIN EXTERNAL", true, "EXTERNAL"},
		{"external", cert + none, "EXTERNAL", true, "EXTERNAL"},
		{"plain", "", "", true, "USER"},
		{"login", "", "", true, "USER"},
		{"apop", "", "PLAIN", true, "APOP"},
		{"apop", "", "", false, "APOP"},
	} {
		got, err := Choose(t.Context(), Policy{Auth: c.auth, Secure: true}, credentials(c.have), strings.Fields(c.offered), c.command)
		if err != nil || got.Mechanism != c.want {
			t.Errorf("auth %q, offered %q: got %q, %v; want %q", c.auth, c.offered, got.Mechanism, err, c.want)
			continue
		}
		if ownCommand := c.want == "USER" || c.want == "APOP"; ownCommand != (got.Client == nil) {
			t.Errorf("%s: Client = %v", c.want, got.Client)
		} else if !ownCommand {
			if name, _, err := got.Client.Start(); name != c.want || err != nil {
				t.Errorf("%s: Start() = %q, %v", c.want, name, err)
			}
		}
	}
}

func credentials(have string) Credentials {
	c := Credentials{User: "ada", Password: always(hunter), Host: "mail.example.org", Port: 995, ClientCert: strings.Contains(have, "cert")}
	if strings.Contains(have, "no password") {
		c.Password = nil
	}
	return c
}

func TestChooseRefuses(t *testing.T) {
	for _, c := range []struct {
		auth, have, offered string
		command             bool
		want                string
	}{
		{"auto", "", "", false, "it offers no login at all"},
		{"auto", "", "GSSAPI NTLM", false, "it offers GSSAPI, NTLM"},
		{"auto", "", "XOAUTH2", false, `set "auth: xoauth2"`},
		{"auto", "", "XOAUTH2 OAUTHBEARER", false, `set "auth: xoauth2"`},
		{"auto", "no password", "PLAIN", true, "no password is configured"},
		{"auto", "cert no password", "PLAIN", true, "EXTERNAL"},
		{"cram-md5", "", "PLAIN LOGIN", true, `does not offer "auth: cram-md5"; it offers PLAIN, LOGIN, its plain login command`},
		{"plain", "", "CRAM-MD5", true, `does not offer "auth: plain"; it offers CRAM-MD5`},
		{"plain", "", "", false, "no login at all"},
		{"cram-md5", "", "", true, "its plain login command"},
		{"xoauth2", "", "PLAIN", true, "it offers PLAIN"},
		{"plain", "no password", "PLAIN", true, `"auth: plain" needs a password`},
		{"apop", "no password", "", true, `"auth: apop" needs a password`},
		{"external", "", "EXTERNAL", true, "client_cert"},
		{"external", "cert", "PLAIN", true, `does not offer "auth: external"`},
		{"user", "", "PLAIN", true, `"USER" is not a mechanism`},
		{"ntlm", "", "NTLM", true, `"NTLM" is not a mechanism`},
	} {
		cred := credentials(c.have)
		if cred.Password != nil {
			cred.Password = never(t)
		}
		_, err := Choose(t.Context(), Policy{Auth: c.auth, Secure: true}, cred, strings.Fields(c.offered), c.command)
		checkError(t, err, true, c.want)
	}
}

// Without TLS nothing is chosen, and the secret does not even leave its source.
func TestT64NoCredentialWithoutTLS(t *testing.T) {
	for _, auth := range append([]string{"auto", "", "apop"}, everyMechanism...) {
		for _, offered := range [][]string{nil, {"PLAIN"}, everyMechanism} {
			cred := Credentials{User: "ada", Password: never(t), Host: "mail.example.org", ClientCert: true}
			choice, err := Choose(t.Context(), Policy{Auth: strings.ToLower(auth)}, cred, offered, true)
			checkError(t, err, true, `log in to mail.example.org: the connection is not encrypted`)
			checkError(t, err, true, "allow_cleartext: true")
			if choice != (Choice{}) {
				t.Errorf("auth %q: chose %q", auth, choice.Mechanism)
			}
		}
	}
}

// The protocol's own commands leave the asking to the caller.
func TestChooseAsksOnlyWhenItMust(t *testing.T) {
	for _, auth := range []string{"plain", "apop", "auto"} {
		cred := credentials("cert")
		cred.Password = never(t)
		if _, err := Choose(t.Context(), Policy{Auth: auth, Secure: true}, cred, nil, true); err != nil {
			t.Error(err)
		}
	}
	cred := credentials("cert")
	cred.Password = never(t)
	if _, err := Choose(t.Context(), Policy{Auth: "external", Secure: true}, cred, []string{"EXTERNAL"}, true); err != nil {
		t.Error(err)
	}
}

func TestChooseSourceFails(t *testing.T) {
	locked := errors.New("the store is locked")
	cred := credentials("")
	cred.Password = func(context.Context) (string, error) { return hunter, locked }
	if _, err := Choose(t.Context(), Policy{Secure: true}, cred, []string{"PLAIN"}, true); !errors.Is(err, locked) {
		t.Errorf("error = %v, want the source's", err)
	}
}

func TestT65UserAndPasswordAreChecked(t *testing.T) {
	for _, auth := range everyMechanism {
		for _, c := range []struct{ user, password, want string }{
			{"ada\r\nDELE 1", hunter, "control character"}, {"ada\n", hunter, "control character"},
			{"ada\x00bob", hunter, "control character"}, {"ada\x01auth=Bearer x", hunter, "control character"},
			{"ada\x7f", hunter, "control character"}, {"", hunter, "no user"},
			{"ada", "", "empty"}, {"ada", hunter + "\x00", "NUL, CR or LF"}, {"ada", hunter + "\r\n.", "NUL, CR or LF"},
		} {
			if auth == external && (c.user == "" || c.user == "ada") {
				continue
			}
			cred := Credentials{User: c.user, Password: always(c.password), Host: "mail.example.org", ClientCert: true}
			_, err := Choose(t.Context(), Policy{Auth: strings.ToLower(auth), Secure: true}, cred, everyMechanism, true)
			checkError(t, err, true, c.want)
		}
	}
}

// A server's mechanism names end up on the user's terminal.
func TestT89OfferedNamesAreEscaped(t *testing.T) {
	offered := []string{"PLA\x1b[2JIN", "B\r\nC", "D\u202eE", strings.Repeat("X", 5000), ""}
	for range 1000 {
		offered = append(offered, "NTLM")
	}
	_, err := Choose(t.Context(), Policy{Auth: "plain", Secure: true}, credentials(""), offered, false)
	checkError(t, err, true, `"PLA\x1b[2JIN", "B\r\nC", "D\u202eE"`)
	if text := err.Error(); len(text) > 600 || strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		t.Errorf("error is raw or long (%d octets): %.600q", len(text), text)
	}
}
