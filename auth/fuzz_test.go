package auth

import (
	"strings"
	"testing"
)

// FuzzNext lets a server say anything to every mechanism. "NONCE" in a
// challenge stands for the client's own, so that SCRAM gets past its first
// step.
func FuzzNext(f *testing.F) {
	for i := range everyMechanism {
		f.Add(uint8(i), "Username:", "Password:", "")
		f.Add(uint8(i), "<1896.697170952@postoffice.reston.mci.net>", "", "x")
		f.Add(uint8(i), "r=NONCEx,s=QSXCR+Q6sek8bf92,i=4096", "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=", "")
		f.Add(uint8(i), "r=NONCEx,s=QSXCR+Q6sek8bf92,i=2147483648", "e=other-error", "")
		f.Add(uint8(i), "", "", "0")
		f.Add(uint8(i), `{"status":"invalid_token","scope":["a",1]}`, `{"status":401}`, "")
	}
	f.Fuzz(func(t *testing.T, which uint8, first, second, third string) {
		name := everyMechanism[int(which)%len(everyMechanism)]
		client := choose(t, strings.ToLower(name)).Client
		_, ir, err := client.Start()
		if err != nil {
			t.Fatal(err)
		}
		_, nonce, _ := strings.Cut(string(ir), ",r=")
		for step, challenge := range []string{first, second, third} {
			challenge = strings.ReplaceAll(challenge, "NONCE", nonce)
			if s, err := parseServerFirst(challenge); err == nil && s.iterations > 10000 && s.iterations <= maxIterations {
				t.Skip("takes long to compute")
			}
			response, err := client.Next([]byte(challenge))
			checkStep(t, name, step, challenge, response, err)
		}
		if strings.HasPrefix(name, "SCRAM") && Finished(client) == nil {
			t.Fatalf("%s: a server without the password has proved that it knows it", name)
		}
		if err := Refusal(client); err != nil && strings.Contains(err.Error(), hunter) {
			t.Fatalf("%s: refusal tells the secret: %q", name, err)
		}
	})
}

func checkStep(t *testing.T, name string, step int, challenge string, response []byte, err error) {
	t.Helper()
	switch {
	case err == nil && response == nil:
		t.Fatalf("%s: Next(%q) returned neither response nor error", name, challenge)
	case err == nil && step == 2:
		t.Fatalf("%s: answered a third challenge with %q", name, response)
	case err != nil && response != nil:
		t.Fatalf("%s: Next(%q) returned both %q and %v", name, challenge, response, err)
	case err != nil && strings.Contains(err.Error(), hunter) && !strings.Contains(challenge, hunter):
		t.Fatalf("%s: error tells the secret: %q", name, err)
	case name != login && strings.Contains(string(response), hunter):
		t.Fatalf("%s: response %q tells the secret", name, response)
	}
	if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		t.Fatalf("%s: error holds raw text of the server: %q", name, err)
	}
}

// FuzzAPOP: whatever passes is printable and has the form of a msg-id.
func FuzzAPOP(f *testing.F) {
	for _, seed := range []string{"<1896.697170952@dbc.mtview.ca.us>", "<a@b@c>", "<\x80@b>", "<>", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, timestamp string) {
		digest, err := APOP(timestamp, hunter)
		if err != nil {
			return
		}
		at := strings.IndexByte(timestamp, '@')
		if len(digest) != 32 || at < 2 || at > len(timestamp)-3 || !isVisible(timestamp) || timestamp[0] != '<' || timestamp[len(timestamp)-1] != '>' {
			t.Fatalf("APOP(%q) = %q", timestamp, digest)
		}
	})
}
