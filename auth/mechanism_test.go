package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// play runs a transcript against a client: "C:" lines are its responses, "S:"
// lines the server's challenges; "C: error: TEXT" is a refusal to answer and
// "C: (none)" no initial response.
func play(t *testing.T, c sasl.Client, transcript string) {
	t.Helper()
	var want, got []string
	response, err := []byte(nil), error(nil)
	record := func() {
		switch {
		case err != nil:
			got = append(got, "C: error: "+err.Error())
		case response == nil:
			got = append(got, "C: (none)")
		default:
			got = append(got, strings.TrimRight(fmt.Sprintf("C: %s", response), " "))
		}
	}
	_, response, err = c.Start()
	record()
	for line := range strings.Lines(transcript) {
		line = strings.NewReplacer("^A", "\x01", "^@", "\x00").Replace(strings.TrimSpace(line))
		if line == "" {
			continue
		}
		want = append(want, line)
		if challenge, ok := strings.CutPrefix(line, "S:"); ok {
			got = append(got, line)
			response, err = c.Next([]byte(strings.TrimPrefix(challenge, " ")))
			record()
		}
	}
	show := strings.NewReplacer("\x01", "^A", "\x00", "^@")
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("exchange differs\ngot:\n%s\nwant:\n%s", show.Replace(strings.Join(got, "\n")), show.Replace(strings.Join(want, "\n")))
	}
}

const unexpected = "sasl: unexpected server challenge"

func TestPlain(t *testing.T) {
	play(t, &plainClient{"tim", hide("tanstaaftanstaaf")}, `
		C: ^@tim^@tanstaaftanstaaf
		S:
		C: error: log in with PLAIN: `+unexpected)
}

func TestLogin(t *testing.T) {
	for _, prose := range [][2]string{{"Username:", "Password:"}, {"password:", "Username:"}, {"", ""}, {"User Name\x00", "Kennwort?"}} {
		play(t, &loginClient{user: "ada", password: hide("pencil")}, `
			C: (none)
			`+strings.TrimSpace("S: "+prose[0])+`
			C: ada
			`+strings.TrimSpace("S: "+prose[1])+`
			C: pencil
			S: Once more:
			C: error: log in with LOGIN: `+unexpected)
	}
}

func TestCRAMMD5Vector(t *testing.T) { // RFC 2195 section 2
	play(t, &cramMD5Client{user: "tim", password: hide("tanstaaftanstaaf")}, `
		C: (none)
		S: <1896.697170952@postoffice.reston.mci.net>
		C: tim b913a602c7eda7a495b4e6e7334d3890
		S: <1896.697170953@postoffice.reston.mci.net>
		C: error: log in with CRAM-MD5: `+unexpected)
	play(t, &cramMD5Client{user: "tim", password: hide("tanstaaftanstaaf")}, `
		C: (none)
		S:
		C: error: read CRAM-MD5 challenge: it is empty`)
}

func TestExternal(t *testing.T) {
	for _, user := range []string{"ada@example.org", ""} {
		play(t, bounded{&externalClient{user}}, strings.TrimSpace("C: "+user)+`
			S:
			C: error: log in with EXTERNAL: `+unexpected)
	}
}

func TestXOAUTH2(t *testing.T) {
	c, err := newXOAUTH2("someuser@example.com", "vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg==")
	if err != nil {
		t.Fatal(err)
	}
	play(t, c, `
		C: user=someuser@example.com^Aauth=Bearer vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg==^A^A
		S: {"status":"401","schemes":"bearer mac","scope":"https://mail.google.com/"}
		C:
		S: {}
		C: error: log in with XOAUTH2: `+unexpected)
	checkError(t, Refusal(bounded{c}), true,
		`log in with XOAUTH2: the server refused the access token: status "401" (scope wanted: "https://mail.google.com/")`)
}

func TestOAuthBearerVector(t *testing.T) { // RFC 7628 sections 4.1 and 4.3
	const first = "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
	c, err := newOAuthBearer("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", "server.example.com", 143)
	if err != nil {
		t.Fatal(err)
	}
	if _, ir, _ := c.Start(); base64.StdEncoding.EncodeToString(ir) != first {
		t.Errorf("initial response differs from RFC 7628\ngot:  %q", ir)
	}
	if err := Refusal(c); err != nil {
		t.Errorf("Refusal() before any challenge = %v", err)
	}
	play(t, c, `
		C: n,a=user@example.com,^Ahost=server.example.com^Aport=143^Aauth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==^A^A
		S: {"status":"invalid_token","scope":"example_scope","openid-configuration":"https://example.com/.well-known/openid-configuration"}
		C: ^A
		S: {}
		C: error: log in with OAUTHBEARER: `+unexpected)
	checkError(t, Refusal(c), true, `status "invalid_token" (scope wanted: "example_scope")`)

	c, err = newOAuthBearer("a,b=c", "tok", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	play(t, c, "C: n,a=a=2Cb=3Dc,^Aauth=Bearer tok^A^A")
}

func TestOAuthRefusal(t *testing.T) {
	for _, c := range []struct {
		challenge string
		permanent bool
		want      string
	}{
		{``, false, "refused the access token"},
		{`not json`, false, "refused the access token"},
		{`[]`, false, "refused the access token"},
		{`{"status":null}`, false, "refused the access token"},
		{`{"status":401}`, true, `status "401"`},
		{`{"status":"400","schemes":"Bearer"}`, true, `status "400"`},
		{`{"status":"insufficient_scope"}`, true, "insufficient_scope"},
		{`{"status":"503"}`, false, `status "503"`},
		{`{"status":"a\u001b[2J\u202e"}`, false, `status "a\x1b[2J\u202e"`},
		{`{"status":"` + hunter + `","scope":["x ` + hunter + `"]}`, false, "status (hidden: it holds the token) (scope wanted: (hidden"},
		{`{"status":"` + strings.Repeat("x", 50000) + `"}`, false, `xxx..."`},
	} {
		for _, auth := range []string{"xoauth2", "oauthbearer"} {
			choice := choose(t, auth)
			response, err := choice.Client.Next([]byte(c.challenge))
			if err != nil || response == nil {
				t.Fatalf("%s: Next(%q) = %v, %v", auth, c.challenge, response, err)
			}
			refusal := Refusal(choice.Client)
			checkError(t, refusal, c.permanent, c.want)
			if len(refusal.Error()) > 400 {
				t.Errorf("refusal has %d octets", len(refusal.Error()))
			}
		}
	}
}

// A token command that has no token prints something else; that must not go
// to the mail server, and must not be told either.
func TestT66TokenIsNoToken(t *testing.T) {
	for _, token := range []string{"<html> " + hunter, `{"error": "` + hunter + `"}`, "tok\x01user=bob", "tök", "Bearer x"} {
		for _, auth := range []string{"xoauth2", "oauthbearer"} {
			cred := Credentials{User: "ada", Password: always(token), Host: "mail.example.org"}
			_, err := Choose(t.Context(), Policy{Auth: auth, Secure: true}, cred, everyMechanism, true)
			checkError(t, err, true, "is not an access token")
		}
	}
}

func TestT63ChallengeTooLong(t *testing.T) {
	for _, auth := range everyMechanism {
		choice := choose(t, strings.ToLower(auth))
		if _, _, err := choice.Client.Start(); err != nil {
			t.Fatal(err)
		}
		_, err := choice.Client.Next(make([]byte, maxChallenge+1))
		checkError(t, err, false, "more than 65536 octets")
	}
}

// silent is a mechanism that returns nil for an empty response.
type silent struct{ sasl.Client }

func (silent) Next([]byte) ([]byte, error) { return nil, nil }

func TestNextIsNeverNil(t *testing.T) {
	response, err := bounded{silent{}}.Next(nil)
	if response == nil || err != nil {
		t.Errorf("Next() = %v, %v; want an empty response", response, err)
	}
}

func TestFinishedNeedsTheProof(t *testing.T) {
	if err := Finished(nil); err != nil {
		t.Errorf("Finished(nil) = %v", err)
	}
	if err := Refusal(nil); err != nil {
		t.Errorf("Refusal(nil) = %v", err)
	}
	for _, auth := range everyMechanism {
		choice := choose(t, strings.ToLower(auth))
		err := Finished(choice.Client)
		if strings.HasPrefix(auth, "SCRAM") {
			checkError(t, err, true, "without proving that it knows the password")
		} else if err != nil {
			t.Errorf("%s: Finished() = %v", auth, err)
		}
	}
}

func TestT52APOP(t *testing.T) {
	got, err := APOP("<1896.697170952@dbc.mtview.ca.us>", "tanstaaf") // RFC 1939 section 7
	if want := "c4c9334bac560ecc979e58001b3e22fb"; err != nil || got != want {
		t.Errorf("APOP() = %q, %v; want %q", got, err, want)
	}
	if _, err := APOP("<4f2a.1.65b1f0c2.Zm9v+/bar==@mail.example.org>", "tanstaaf"); err != nil {
		t.Error(err)
	}
	for _, timestamp := range []string{
		"", "<>", "<@>", "<a@>", "<@b>", "<ab>", "a@b", "<a@b", "a@b>", "<a@b>x", "x<a@b>", "<a@b@c>", "<<a@b>", "<a@b>>", "<a>@<b>",
		"<a b@c>", "<a@b\x00>", "<a@b\x7f>", "<a@b\x80>", "<\xe9@b>", "<a@b\r\n>", "<a@ü>", "<a\x1b@b>",
		"<" + strings.Repeat("a", maxChallenge) + "@b>",
	} {
		_, err := APOP(timestamp, hunter)
		checkError(t, err, true, "not a message id")
		if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < 0x20 || r > 0x7e }) {
			t.Errorf("server text is raw in %q", err)
		}
	}
	for _, password := range []string{"", hunter + "\x00", hunter + "\r\n"} {
		_, err := APOP("<a@b>", password)
		checkError(t, err, true, "password")
	}
}

// The servers of the libraries take what we send.
func TestAgainstServers(t *testing.T) {
	check := func(user, password string) error {
		if user != "ada" || password != hunter {
			return errors.New("wrong user or password")
		}
		return nil
	}
	servers := map[string]sasl.Server{
		"plain": sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }),
		"oauthbearer": sasl.NewOAuthBearerServer(func(o sasl.OAuthBearerOptions) *sasl.OAuthBearerError {
			if check(o.Username, o.Token) != nil || o.Host != "mail.example.org" || o.Port != 995 {
				return &sasl.OAuthBearerError{Status: "invalid_token"}
			}
			return nil
		}),
		"external":      sasl.NewExternalServer(func(identity string) error { return check(identity, hunter) }),
		"scram-sha-1":   scramServer(t, scram.SHA1, "ada", hunter),
		"scram-sha-256": scramServer(t, scram.SHA256, "ada", hunter),
	}
	for auth, server := range servers {
		client := choose(t, auth).Client
		_, response, err := client.Start()
		for done := false; !done; {
			var challenge []byte
			if err == nil {
				challenge, done, err = server.Next(response)
			}
			if err == nil && !done {
				response, err = client.Next(challenge)
			}
			if err != nil {
				t.Fatalf("%s: %v", auth, err)
			}
		}
		if err := Finished(client); err != nil {
			t.Errorf("%s: %v", auth, err)
		}
	}
}
