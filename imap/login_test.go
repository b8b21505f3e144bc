package imap

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
)

func TestT65Login(t *testing.T) {
	for name, tt := range map[string]struct{ caps, password, said, want string }{
		"quoted":    {"IMAP4rev1", `a"b\c d`, `C: B LOGIN "ada" "a\"b\\c d"`, ""},
		"literal":   {"IMAP4rev1", "pässwort", "C: B LOGIN \"ada\" {9}\nS: + go\nC+ pässwort", ""},
		"unwaited":  {"IMAP4rev1 LITERAL-", "pässwort", "C: B LOGIN \"ada\" {9+}\nC+ pässwort", ""},
		"empty":     {"IMAP4rev1", "", `C: B LOGIN "ada" ""`, ""},
		"disabled":  {"IMAP4rev1 LOGINDISABLED", "x", "", "send LOGIN: the server does not allow LOGIN on this connection"},
		"line end":  {"", "secret\r\nX DELETE INBOX", "", "log in: the password contains a line end or NUL"},
		"NUL":       {"", "secret\x00", "", "log in: the password contains a line end or NUL"},
		"refused":   {"IMAP4rev1", "x", "C: B LOGIN \"ada\" \"x\"\nS: B NO [AUTHENTICATIONFAILED] no", "server refused LOGIN: [AUTHENTICATIONFAILED] no"},
		"echoed":    {"IMAP4rev1", "geheim", "C: B LOGIN \"ada\" \"geheim\"\nS: B BAD what is \"geheim\"?", `server did not understand LOGIN: what is "***"?`},
		"exchange":  {"IMAP4rev1", "x", "C: B LOGIN \"ada\" \"x\"\nS: B NO [Error=\"a b\" AuthResultFromPopImapEnd=0] LOGIN failed.", `server refused LOGIN: [ERROR] LOGIN failed.`},
		"no before": {"IMAP4rev1", "ä", "C: B LOGIN \"ada\" {2}\nS: B NO too long", "server refused LOGIN: too long"},
	} {
		t.Run(name, func(t *testing.T) {
			script := "S: * OK"
			if tt.caps != "" {
				script = "S: * OK [CAPABILITY " + tt.caps + "] x"
			}
			script += "\n" + tt.said
			if tt.want == "" {
				script += "\nS: B OK"
			}
			dialogue(t, Options{}, script, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				err = c.Login(context.Background(), "ada", tt.password)
				got := ""
				if err != nil {
					got = err.Error()
				}
				if got != tt.want || c.Authenticated() != (err == nil) {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		})
	}
}

func TestLoginRefused(t *testing.T) {
	for _, tt := range []struct {
		e                  ResponseError
		refused, permanent bool
	}{
		{ResponseError{Command: "LOGIN", Status: "NO", Code: "AUTHENTICATIONFAILED"}, true, true},
		{ResponseError{Command: "LOGIN", Status: "NO", Text: "bad password"}, true, false},
		{ResponseError{Command: "LOGIN", Status: "NO", Code: "UNAVAILABLE"}, false, false},
		{ResponseError{Command: "AUTHENTICATE", Status: "NO", Code: "ALERT", Text: "Too many simultaneous connections. (Failure)"}, false, false},
		{ResponseError{Command: "LOGIN", Status: "BAD", Text: "Request is throttled."}, false, false},
		{ResponseError{Command: "SELECT", Status: "NO"}, false, false},
	} {
		if tt.e.LoginRefused() != tt.refused || tt.e.Permanent() != tt.permanent {
			t.Errorf("%v: refused %t, permanent %t", &tt.e, tt.e.LoginRefused(), tt.e.Permanent())
		}
	}
}

// mechanism is one with answers as given.
type mechanism struct {
	initial []byte
	answers []string
	asked   []string
}

func (m *mechanism) Start() (string, []byte, error) { return "X-TEST", m.initial, nil }

func (m *mechanism) Next(challenge []byte) ([]byte, error) {
	m.asked = append(m.asked, string(challenge))
	if len(m.answers) == 0 {
		return nil, errors.New("no answer")
	}
	a := m.answers[0]
	m.answers = m.answers[1:]
	return []byte(a), nil
}

func TestT63Authenticate(t *testing.T) {
	for name, tt := range map[string]struct {
		caps, said, want string
		sasl             sasl.Client
	}{
		"plain at once": {"SASL-IR", "C: B AUTHENTICATE PLAIN AGFkYQB4\nS: B OK", "", sasl.NewPlainClient("", "ada", "x")},
		"plain asked":   {"", "C: B AUTHENTICATE PLAIN\nS: +\nC+ AGFkYQB4\nS: B OK", "", sasl.NewPlainClient("", "ada", "x")},
		"empty at once": {"SASL-IR", "C: B AUTHENTICATE X-TEST =\nS: B OK", "", &mechanism{initial: []byte{}}},
		"empty asked":   {"", "C: B AUTHENTICATE X-TEST\nS: +\nC+ \nS: B OK", "", &mechanism{initial: []byte{}}},
		// The last step of SCRAM, and the error step of XOAUTH2.
		"empty answer": {"SASL-IR", "C: B AUTHENTICATE X-TEST YQ==\nS: + eyJ9\nC+ \nS: B NO [AUTHENTICATIONFAILED] no",
			"server refused AUTHENTICATE: [AUTHENTICATIONFAILED] no", &mechanism{initial: []byte("a"), answers: []string{""}}},
		"challenges":    {"", "C: B AUTHENTICATE X-TEST\nS: + Yg==\nC+ Yw==\nS: +\nC+ ZA==\nS: B OK", "", &mechanism{answers: []string{"c", "d"}}},
		"bad challenge": {"", "C: B AUTHENTICATE X-TEST\nS: + ?\nC+ *\nS: B BAD", "authenticate with X-TEST: the server's challenge is not base64", &mechanism{}},
		"no answer":     {"", "C: B AUTHENTICATE X-TEST\nS: + Yg==\nC+ *\nS: B NO", "authenticate with X-TEST: no answer", &mechanism{}},
		"OK for naught": {"", "C: B AUTHENTICATE PLAIN\nS: B OK", "read response to AUTHENTICATE: OK before any credentials were sent", sasl.NewPlainClient("", "ada", "x")},
		"endless": {"", "C: B AUTHENTICATE X-TEST\n" + strings.Repeat("S: +\nC+ YQ==\n", maxChallenges) + "S: +\nC+ *\nS: B NO",
			"authenticate with X-TEST: the server never stops asking", &mechanism{answers: strings.Split(strings.Repeat("a", 99), "")}},
	} {
		t.Run(name, func(t *testing.T) {
			dialogue(t, Options{}, "S: * OK [CAPABILITY IMAP4rev1 "+tt.caps+"] x\n"+tt.said, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				used := tt.sasl
				if m, ok := used.(*mechanism); ok {
					used = &mechanism{initial: m.initial, answers: m.answers}
				}
				err = c.Authenticate(context.Background(), used)
				got := ""
				if err != nil {
					got = err.Error()
				}
				if got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		})
	}
}
