package smtp

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

func TestAuth(t *testing.T) {
	what := errors.New("what?")
	fits := 512 - 2 - len("AUTH PLAIN ") - 1 // 498 is no multiple of 4; 496 is the longest base64
	octets := fits / 4 * 3
	long := strings.Repeat("x", octets+1)
	for _, tt := range []struct {
		name, transcript string
		m                mechanism
		heard            []string
		err              string
	}{
		{name: "initial response", transcript: "C: AUTH PLAIN AGFkYQBzZWNyZXQ=\nS: 235 in", m: mechanism{name: "PLAIN", initial: []byte("\x00ada\x00secret")}},
		{name: "empty one", transcript: "C: AUTH EXTERNAL =\nS: 235 in", m: mechanism{name: "EXTERNAL", initial: []byte{}}},
		{name: "longest in the line", transcript: "C: AUTH PLAIN " + strings.Repeat("eHh4", octets/3) + "\nS: 235 in", m: mechanism{name: "PLAIN", initial: []byte(long[:octets])}},
		{name: "too long for it", transcript: "C: AUTH PLAIN\nS: 334\nC: " + strings.Repeat("eHh4", octets/3) + "eA==\nS: 235 in", m: mechanism{name: "PLAIN", initial: []byte(long)}},
		{name: "too long and let in", transcript: "C: AUTH PLAIN\nS: 235 in", m: mechanism{name: "PLAIN", initial: []byte(long)}, err: `that is no answer to it: "235 in"`},
		{name: "too long for SMTP", m: mechanism{name: "PLAIN", initial: make([]byte, 9300)}, err: "authenticate with PLAIN: the response is too long for SMTP"},
		{name: "error challenge", transcript: "C: AUTH XOAUTH2 dG9rZW4=\nS: 334 eyJzdGF0dXMiOiI0MDEifQ==\nC: \nS: 535 5.7.8 no",
			m: mechanism{name: "XOAUTH2", initial: []byte("token"), answers: []string{""}}, heard: []string{`{"status":"401"}`}, err: "server refused AUTH: 535 5.7.8 no"},
		{name: "server first", transcript: "C: AUTH CRAM-MD5\nS: 334 PDFAYj4=\nC: YWRhIDQy\nS: 235 in",
			m: mechanism{name: "CRAM-MD5", answers: []string{"ada 42"}}, heard: []string{"<1@b>"}},
		{name: "empty challenges", transcript: "C: AUTH LOGIN\nS: 334\nC: YWRh\nS: 334 \nC: cHc=\nS: 235 in",
			m: mechanism{name: "LOGIN", answers: []string{"ada", "pw"}}, heard: []string{"", ""}},
		{name: "nil is an empty answer", transcript: "C: AUTH X\nS: 334 \nC: \nS: 235", m: mechanism{name: "X"}, heard: []string{""}},
		{name: "T63 success before the start", transcript: "C: AUTH LOGIN\nS: 235 welcome", m: mechanism{name: "LOGIN"}, err: `that is no answer to it: "235 welcome"`},
		{name: "only 235 is success", transcript: "C: AUTH PLAIN AAA=\nS: 250 welcome", m: mechanism{name: "PLAIN", initial: []byte{0, 0}}, err: `that is no answer to it: "250 welcome"`},
		{name: "challenge of two lines", transcript: "C: AUTH X\nS: 334-AAAA\nS: 334 AAAA", m: mechanism{name: "X"}, err: `that is no answer to it: "334 AAAA AAAA"`},
		{name: "T63 no base64", transcript: "C: AUTH LOGIN\nS: 334 Username:\nC: *\nS: 501 cancelled", m: mechanism{name: "LOGIN"}, err: "authenticate with LOGIN: the server's challenge is not base64"},
		{name: "T63 mechanism fails", transcript: "C: AUTH PLAIN AAA=\nS: 334 AAAA\nC: *\nS: 501 cancelled",
			m: mechanism{name: "PLAIN", initial: []byte{0, 0}, err: what}, heard: []string{"\x00\x00\x00"}, err: "authenticate with PLAIN: what?"},
		{name: "T63 cancelled and let in", transcript: "C: AUTH PLAIN AAA=\nS: 334 AAAA\nC: *\nS: 235 in",
			m: mechanism{name: "PLAIN", initial: []byte{0, 0}, err: what}, heard: []string{"\x00\x00\x00"}, err: "authenticate with PLAIN: what?"},
		{name: "T63 endless challenges", transcript: "C: AUTH X\n" + strings.Repeat("S: 334\nC: \n", maxChallenges) + "S: 334\nC: *\nS: 501 no", m: mechanism{name: "X"},
			heard: make([]string, maxChallenges), err: "authenticate with X: the server never stops asking"},
		{name: "T63 huge challenge", transcript: "C: AUTH X\nS: 334 " + strings.Repeat("A", maxLine) + "\nSTALL", m: mechanism{name: "X"}, err: "read reply to AUTH: line longer than 16 KiB"},
		{name: "bad name", m: mechanism{name: "x"}, err: "start SASL mechanism: its name is not one"},
		{name: "no stray line after a refusal", transcript: "C: AUTH PLAIN AAA=\nS: 535 no\nC: AUTH PLAIN AAA=\nS: 454 later", m: mechanism{name: "PLAIN", initial: []byte{0, 0}}, err: "server refused AUTH: 535 no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dialogue(t, Options{}, greeted("AUTH X")+tt.transcript, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				m := tt.m
				err = c.Auth(context.Background(), &m)
				if got := fmt.Sprint(err); tt.err == "" && err != nil || !strings.HasSuffix(got, tt.err) && tt.err != "" {
					t.Errorf("got error %v, want %q", err, tt.err)
				}
				if fmt.Sprint(m.heard) != fmt.Sprint(tt.heard) {
					t.Errorf("the mechanism heard %q, want %q", m.heard, tt.heard)
				}
				var class interface{ LoginRefused() bool }
				switch {
				case err == nil && c.Auth(context.Background(), &m) == nil:
					t.Error("a second login succeeded")
				case errors.As(err, &class) && strings.Contains(tt.transcript, "454"):
					if e := refusal(t, c.Auth(context.Background(), &m)); e.LoginRefused() || e.Permanent() {
						t.Errorf("%v counts as a refusal of the login", e)
					}
				}
			})
		})
	}
}

// Servers are not asked again after the login, not even by Send.
func TestNoHelloAfterAuth(t *testing.T) {
	dialogue(t, Options{}, greeted("AUTH PLAIN", "PIPELINING")+"C: AUTH PLAIN AAA=\nS: 235 in\n"+envelope1+"S: 250 ok\nS: 250 ok\nS: 354 go\nC: x\nC: .\nS: 250 ok\n", func(t *testing.T, c *Client, err error) {
		noError(t, err)
		noError(t, c.Auth(context.Background(), &mechanism{name: "PLAIN", initial: []byte{0, 0}}))
		if caps, err := c.Capabilities(context.Background()); err != nil || !caps.Pipelining {
			t.Errorf("%+v, %v", caps, err)
		}
		noError(t, c.Send(context.Background(), newOutbox(letter("x", "b@b.example"))))
	})
}

func TestLoginRefusals(t *testing.T) {
	for _, tt := range []struct {
		command, reply             string
		refused, policy, permanent bool
	}{
		{"AUTH", "535 5.7.8 Username and Password not accepted", true, false, true},
		{"AUTH", "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant", true, true, true},
		{"AUTH", "535 5.7.139 Authentication unsuccessful, basic authentication is disabled", true, true, true},
		{"AUTH", "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect", true, false, true},
		{"AUTH", "534 5.7.9 Application-specific password required", true, true, true},
		{"AUTH", "538 5.7.11 Encryption required", true, true, true},
		{"AUTH", "530 5.7.0 Must issue a STARTTLS command first", true, true, true},
		{"AUTH", "550 User is locked", true, false, true},
		{"AUTH", "504 5.5.4 Unrecognized authentication type", true, false, true},
		{"AUTH", "454 4.7.0 Too many login attempts", false, false, false},
		{"AUTH", "421 4.7.0 Try again later", false, false, false},
		{"AUTH", "432 4.3.2 Concurrent connections limit exceeded", false, false, false},
		{"AUTH", "451 disabled for now", false, false, false},
		{"MAIL", "530 5.7.57 Client not authenticated to send mail", true, true, false},
		{"MAIL", "535 5.7.0 log in", true, false, false},
		{"MAIL", "550 5.7.1 not your address", false, false, true},
		{"MAIL", "452 4.2.2 disk", false, false, false},
		{"RCPT", "552 too many recipients", false, false, false},
		{".", "552 5.3.4 too big", false, false, true},
		{"", "554 no", false, false, true},
		{"", "421 later", false, false, false},
	} {
		code, _, text, _ := parseReplyLine([]byte(tt.reply))
		enhanced, rest := splitEnhanced(code, text)
		e := &ReplyError{Command: tt.command, Reply: Reply{code, string(enhanced), string(rest)}}
		if e.LoginRefused() != tt.refused || e.Policy() != tt.policy || e.Permanent() != tt.permanent {
			t.Errorf("%s %s: refused %t, policy %t, permanent %t", tt.command, tt.reply, e.LoginRefused(), e.Policy(), e.Permanent())
		}
	}
	ended := sessionError{&ReplyError{Command: "", Reply: Reply{Code: 554}}}
	var class interface{ Permanent() bool }
	if !errors.As(error(ended), &class) || class.Permanent() {
		t.Error("the end of a session is permanent for a message")
	}
	var login interface{ LoginRefused() bool }
	ended = sessionError{&ReplyError{Command: "EHLO", Reply: Reply{Code: 530}}}
	if !errors.As(error(ended), &login) || !login.LoginRefused() {
		t.Error("the end of a session hides that a login is wanted")
	}
}
