package pop3

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// mechanism is a SASL mechanism that says what it is told to say.
type mechanism struct {
	name    string
	initial []byte // nil: the server speaks first
	answers []string
	heard   []string
	err     error // in place of an answer
}

func (m *mechanism) Start() (string, []byte, error) { return m.name, m.initial, nil }

func (m *mechanism) Next(challenge []byte) ([]byte, error) {
	m.heard = append(m.heard, string(challenge))
	if len(m.answers) == 0 {
		return nil, m.err
	}
	a := m.answers[0]
	m.answers = m.answers[1:]
	return []byte(a), nil
}

func plain(user, password string) *mechanism {
	return &mechanism{name: "PLAIN", initial: []byte("\x00" + user + "\x00" + password), err: errors.New("no more to say")}
}

func TestAuth(t *testing.T) {
	long := strings.Repeat("x", 200)
	fits := strings.Repeat("x", 180) // AUTH PLAIN and 240 in base64: 253 octets
	for _, tt := range []struct {
		name, transcript string
		m                mechanism
		heard            []string
		err              string
	}{
		{name: "initial response", transcript: "C: AUTH PLAIN AGFkYQBzZWNyZXQ=\nS: +OK", m: *plain("ada", "secret")},
		{name: "empty one", transcript: "C: AUTH EXTERNAL =\nS: +OK", m: mechanism{name: "EXTERNAL", initial: []byte{}}},
		{name: "longest in the line", transcript: "C: AUTH PLAIN " + strings.Repeat("eHh4", 60) + "\nS: +OK", m: mechanism{name: "PLAIN", initial: []byte(fits)}},
		{name: "too long for it", transcript: "C: AUTH PLAIN\nS: +\nC: " + strings.Repeat("eHh4", 66) + "eHg=\nS: +OK", m: mechanism{name: "PLAIN", initial: []byte(long)}},
		{name: "one more is too long", transcript: "C: AUTH EXTERNAL\nS: +\nC: " + strings.Repeat("eHh4", 60) + "\nS: +OK", m: mechanism{name: "EXTERNAL", initial: []byte(fits)}},
		{name: "two lines", transcript: "C: AUTH XOAUTH2\nS: +\nC: dG9rZW4=\nS: +OK", m: mechanism{name: "XOAUTH2", initial: []byte("token")}},
		{name: "two lines, +OK for +", transcript: "C: AUTH XOAUTH2\nS: +OK go on\nC: dG9rZW4=\nS: +OK", m: mechanism{name: "XOAUTH2", initial: []byte("token")}},
		{name: "two lines, refused", transcript: "C: AUTH OAUTHBEARER\nS: -ERR no", m: mechanism{name: "OAUTHBEARER", initial: []byte("token")}, err: "server refused AUTH: no"},
		{name: "error challenge", transcript: "C: AUTH XOAUTH2\nS: + \nC: dG9rZW4=\nS: + eyJzdGF0dXMiOiI0MDEifQ==\nC: \nS: -ERR [AUTH] no",
			m: mechanism{name: "XOAUTH2", initial: []byte("token"), answers: []string{""}}, heard: []string{`{"status":"401"}`}, err: "server refused AUTH: [AUTH] no"},
		{name: "server first", transcript: "C: AUTH CRAM-MD5\nS: + PDFAYj4=\nC: YWRhIDQy\nS: +OK",
			m: mechanism{name: "CRAM-MD5", answers: []string{"ada 42"}}, heard: []string{"<1@b>"}},
		{name: "no space", transcript: "C: AUTH LOGIN\nS: +VXNlcjo=\nC: YWRh\nS: +\nC: cHc=\nS: +OK",
			m: mechanism{name: "LOGIN", answers: []string{"ada", "pw"}}, heard: []string{"User:", ""}},
		{name: "nil is an empty answer", transcript: "C: AUTH X\nS: + \nC: \nS: +OK", m: mechanism{name: "X"}, heard: []string{""}},
		{name: "T63 success before the start", transcript: "C: AUTH LOGIN\nS: +OK welcome", m: mechanism{name: "LOGIN"}, err: "+OK before any credentials were sent"},
		{name: "T63 no base64", transcript: "C: AUTH LOGIN\nS: + Username:\nC: *\nS: -ERR cancelled", m: mechanism{name: "LOGIN"}, err: "authenticate with LOGIN: the server's challenge is not base64"},
		{name: "T63 mechanism fails", transcript: "C: AUTH PLAIN AAA=\nS: + AAAA\nC: *\nS: -ERR cancelled",
			m: mechanism{name: "PLAIN", initial: []byte{0, 0}, err: errors.New("what?")}, heard: []string{"\x00\x00\x00"}, err: "authenticate with PLAIN: what?"},
		{name: "T63 cancelled and let in", transcript: "C: AUTH PLAIN AAA=\nS: + AAAA\nC: *\nS: +OK",
			m: mechanism{name: "PLAIN", initial: []byte{0, 0}, err: errors.New("what?")}, heard: []string{"\x00\x00\x00"}, err: "authenticate with PLAIN: what?"},
		{name: "T63 endless challenges", transcript: "C: AUTH X\n" + strings.Repeat("S: +\nC: \n", maxChallenges) + "S: +\nC: *\nS: -ERR", m: mechanism{name: "X"},
			heard: make([]string, maxChallenges), err: "authenticate with X: the server never stops asking"},
		{name: "T63 huge challenge", transcript: "C: AUTH X\nS: + " + strings.Repeat("A", maxLine) + "\nSTALL", m: mechanism{name: "X"}, err: "read reply to AUTH: line longer than 64 KiB"},
		{name: "odd line", transcript: "C: AUTH X\nS: 334 AAAA", m: mechanism{name: "X"}, err: `read reply to AUTH: neither +OK nor -ERR: "334 AAAA"`},
		{name: "bad name", m: mechanism{name: "x"}, err: "start SASL mechanism: its name is not one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// The transcript's lines are trimmed, and so is an empty line's colon.
			dialogue(t, Options{}, "S: +OK\n"+tt.transcript, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				m := tt.m
				err = c.Auth(context.Background(), &m)
				if got := fmt.Sprint(err); tt.err == "" && err != nil || !strings.HasSuffix(got, tt.err) && tt.err != "" {
					t.Errorf("got error %v, want %q", err, tt.err)
				}
				if fmt.Sprint(m.heard) != fmt.Sprint(tt.heard) {
					t.Errorf("the mechanism heard %q, want %q", m.heard, tt.heard)
				}
			})
		})
	}
}

// After a cancelled exchange the session can be used further, but not where the
// server let us in all the same.
func TestAuthAfterCancel(t *testing.T) {
	ctx := context.Background()
	dialogue(t, Options{}, "S: +OK\nC: AUTH PLAIN AAA=\nS: + AAAA\nC: *\nS: -ERR\nC: AUTH PLAIN AGEAYg==\nS: +OK", func(t *testing.T, c *Client, err error) {
		noError(t, err)
		if err := c.Auth(ctx, &mechanism{name: "PLAIN", initial: []byte{0, 0}, err: errors.New("what?")}); err == nil {
			t.Error("no error")
		}
		noError(t, c.Auth(ctx, plain("a", "b")))
	})
	dialogue(t, Options{}, "S: +OK\nC: AUTH PLAIN AAA=\nS: + AAAA\nC: *\nS: +OK", func(t *testing.T, c *Client, err error) {
		noError(t, err)
		broken(t, c, c.Auth(ctx, &mechanism{name: "PLAIN", initial: []byte{0, 0}, err: errors.New("what?")}), nil)
	})
}
