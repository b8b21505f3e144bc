package mailtest

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/xdg-go/scram"
)

// The SCRAM server is judged by a client that others wrote.
func TestPOP3Scram(t *testing.T) {
	hashes := map[string]scram.HashGeneratorFcn{"SCRAM-SHA-1": scram.SHA1, "SCRAM-SHA-256": scram.SHA256}
	for name, hash := range hashes {
		for _, inline := range []bool{true, false} {
			for password, want := range map[string]string{"secret": "+OK", "wrong": "-ERR [AUTH]"} {
				s := startPOP3(t, POP3Options{
					Users:      map[string]string{"a,d=a": "secret"},
					Mechanisms: []string{name},
				})
				scramLogin(t, s, name, hash, inline, password, want)
			}
		}
	}
}

func scramLogin(t *testing.T, s *POP3, name string, hash scram.HashGeneratorFcn, inline bool, password, want string) {
	t.Helper()
	sc, err := hash.NewClient("a,d=a", password, "")
	if err != nil {
		t.Fatal(err)
	}
	talk := sc.NewConversation()
	step := func(challenge string) string {
		octets, err := base64.StdEncoding.DecodeString(challenge)
		if err != nil {
			t.Fatal(err)
		}
		response, err := talk.Step(string(octets))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return base64.StdEncoding.EncodeToString([]byte(response))
	}
	c := dial(t, s)
	c.expect("+OK")
	line := "AUTH " + name
	if inline {
		line += " " + step("")
	} else {
		c.cmd("+ ", "%s", line)
		line = step("")
	}
	first := c.cmd("+ ", "%s", line)
	proof := step(strings.TrimPrefix(first, "+ "))
	if password == "wrong" {
		c.cmd(want, "%s", proof)
		return
	}
	signature := c.cmd("+ ", "%s", proof)
	c.cmd(want, "%s", step(strings.TrimPrefix(signature, "+ ")))
	if !talk.Valid() {
		t.Errorf("%s: the client does not accept the server's signature", name)
	}
}
