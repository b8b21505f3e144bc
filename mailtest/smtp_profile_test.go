package mailtest

import (
	"strings"
	"testing"
)

const adaPlain = "AGFkYQBzZWNyZXQ=" // ada, secret

func TestSMTPLogin(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	mechanisms := []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2"}
	o := SMTPOptions{TLS: config, Users: map[string]string{"ada": "secret"}, Mechanisms: mechanisms, RequireAuth: true}
	s := startSMTP(t, o)
	c := dialSMTP(t, s)
	c.say("S: 220 *\nC: EHLO client.example")
	if got := strings.Join(c.reply(), " "); !strings.Contains(got, "STARTTLS") || strings.Contains(got, "AUTH") {
		t.Errorf("before TLS: %q", got)
	}
	c.say("C: AUTH PLAIN\nS: 538 *\nC: STARTTLS\nS: 220 *")
	c.secure(ca.ClientTLS("localhost"))
	c.say("C: MAIL FROM:<>\nS: 503 *\nC: EHLO client.example")
	if got := strings.Join(c.reply(), " "); strings.Contains(got, "STARTTLS") || !strings.Contains(got, "AUTH "+strings.Join(mechanisms, " ")) {
		t.Errorf("after TLS: %q", got)
	}
	c.say(`
		C: MAIL FROM:<>
		S: 530 *
		C: AUTH NTLM
		S: 504 *
		C: AUTH PLAIN
		S: 334*
		C: *
		S: 501 *
		C: AUTH PLAIN !
		S: 501 *
		C: AUTH PLAIN AGFkYQB3cm9uZw==
		S: 535 *
		C: AUTH LOGIN
		S: 334 VXNlcm5hbWU6
		C: YWRh
		S: 334 UGFzc3dvcmQ6
		C: c2VjcmV0
		S: 235 *
		C: AUTH PLAIN ` + adaPlain + `
		S: 503 *` + smtpFlight + `S: 250 *`)
	if m := s.Messages()[0]; m.User != "ada" {
		t.Errorf("sent by %q", m.User)
	}
	faults := strings.Join(s.Faults(), "\n")
	for _, want := range []string{"AUTH without TLS", "MAIL before EHLO", "not base64", "AUTH after AUTH"} {
		if !strings.Contains(faults, want) {
			t.Errorf("no %q among the faults:\n%s", want, faults)
		}
	}
	if counts := s.Counts(); counts.Logins != 1 || counts.Refused != 1 || counts.Cleartext != 1 {
		t.Errorf("counts %+v", counts)
	}
	s.SetPassword("ada", "other")
	o.Implicit = true
	s = startSMTP(t, o)
	c = dialSMTP(t, s)
	c.secure(ca.ClientTLS("localhost"))
	c.greet()
	c.say("C: AUTH PLAIN " + adaPlain + "\nS: 235 *")
	c.say("C: EHLO again")
	c.reply()
	c.say("C: MAIL FROM:<>\nS: 250 *") // the login is not forgotten
	if got := strings.Join(s.Faults(), ""); !strings.Contains(got, "EHLO after AUTH") {
		t.Errorf("faults %q", got)
	}
}

// asAda gives a profile its user.
func asAda(o SMTPOptions) SMTPOptions {
	o.Users = map[string]string{"ada": "secret"}
	return o
}

func TestSMTPProfilesOfProviders(t *testing.T) {
	for name, o := range map[string]SMTPOptions{"sina": ProfileSinaSMTP(), "strato": ProfileStratoSMTP()} {
		s := startSMTP(t, asAda(o))
		c := dialSMTP(t, s)
		c.greet()
		c.say("C: AUTH PLAIN " + adaPlain + "\nS: 235 *\nC: MAIL FROM:<>\nS: 250 *\nC: RSET\nS: 250 *\nC: EHLO again")
		if got := strings.Join(c.reply(), " "); strings.Contains(got, "PIPELINING") != (name == "strato") {
			t.Errorf("%s: %q", name, got)
		}
		c.say("C: MAIL FROM:<>\nS: 530 *")
	}

	s := startSMTP(t, asAda(ProfileM365SMTP()))
	var c *smtpClient
	for n := range 4 {
		c = dialSMTP(t, s)
		c.greet()
		c.say("C: AUTH LOGIN YWRh\nS: 501 *\nC: AUTH LOGIN\nS: 334 *\nC: YWRh\nS: 334 *\nC: c2VjcmV0\nS: 235 *" + smtpFlight)
		if n < 3 {
			c.say("S: 250 *")
		} else {
			c.say("S: 432 4.3.2 Concurrent connections *")
		}
	}
	s.Cut()
	c = dialSMTP(t, startSMTP(t, asAda(ProfileM365Disabled())))
	c.greet()
	c.say("C: AUTH LOGIN\nS: 334 *\nC: YWRh\nS: 334 *\nC: c2VjcmV0\nS: 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled *")

	s = startSMTP(t, asAda(ProfileGmailSMTP()))
	for range 10 {
		c = dialSMTP(t, s)
		c.greet()
		c.say("C: AUTH PLAIN " + adaPlain + "\nS: 235 *\nC: QUIT\nS: 221 *")
	}
	c = dialSMTP(t, s)
	c.greet()
	c.say("C: AUTH PLAIN " + adaPlain + "\nS: 454 4.7.0 Too many login attempts*\nC: AUTH PLAIN AAA=\nS: 535-5.7.8 *\nS: 535 5.7.8 *")

	c = dialSMTP(t, startSMTP(t, asAda(ProfileQQSMTP())))
	c.greet()
	c.say("C: AUTH PLAIN AAA=\nS: 535 Login fail. *\nC: AUTH PLAIN " + adaPlain + "\nS: 235 *\nC: MAIL FROM:<eve@b.example>\nS: 501 *")
	c = dialSMTP(t, startSMTP(t, asAda(ProfileNetEaseSMTP())))
	c.greet()
	c.say("C: AUTH PLAIN AAA=\nS: 535 Error: authentication failed")
}

func TestSMTPProfilesOfFaults(t *testing.T) {
	s := startSMTP(t, ProfileSMTPLost250())
	c := dialSMTP(t, s)
	c.greet()
	c.say(smtpFlight)
	if got := c.rest(); got != "" || len(s.Messages()) != 1 {
		t.Errorf("%q, and %d messages were kept", got, len(s.Messages()))
	}

	c = dialSMTP(t, startSMTP(t, ProfileSMTPMixed()))
	c.greet()
	c.say("C: MAIL FROM:<>\nC: RCPT TO:<ok-a@b.example>\nC: RCPT TO:<soft-a@b.example>\nC: RCPT TO:<hard-a@b.example>\n" +
		"S: 250 *\nS: 250 *\nS: 450 4.2.0 *\nS: 550 5.1.1 *")

	s = startSMTP(t, ProfileSMTPGreylist())
	for _, code := range []string{"450", "250"} {
		c = dialSMTP(t, s)
		c.greet()
		c.say("C: MAIL FROM:<a@b.example>\nS: 250 *\nC: RCPT TO:<a@b.example>\nS: " + code + " *\nC: RSET\nS: 250 *\n" +
			"C: MAIL FROM:<" + code + "@b.example>\nS: 250 *\nC: RCPT TO:<a@b.example>\nS: 450 *")
	}

	c = dialSMTP(t, startSMTP(t, ProfileSMTPMultiline()))
	c.say("S: 220-*\nS: 220-*\nS: 220 *\nC: HELO me\nS: 250-*\nS: 250-*\nS: 250 *\nC: MAIL FROM:<>\nS: 250-*\nS: 250-*\nS: 250 *")

	s = startSMTP(t, ProfileSMTPSmall(5))
	c = dialSMTP(t, s)
	c.greet()
	c.say("C: MAIL FROM:<> SIZE=6\nS: 552 5.3.4 *" + smtpFlight + "S: 250 *" + strings.Replace(smtpFlight, "C: x", "C: xxxx", 1) + "S: 552 5.3.4 *")
	if n := len(s.Messages()); n != 1 {
		t.Errorf("%d messages were kept", n)
	}

	c = dialSMTP(t, startSMTP(t, ProfileSMTPNoUTF8()))
	c.greet()
	c.say("C: MAIL FROM:<> SMTPUTF8\nS: 555 *\nC: MAIL FROM:<ä@b.example>\nS: 553 5.6.7 *")

	c = dialSMTP(t, startSMTP(t, ProfileSMTPNo8Bit()))
	c.greet()
	c.say("C: MAIL FROM:<> BODY=8BITMIME\nS: 555 *" + strings.Replace(smtpFlight, "C: x", "C: ä", 1) + "S: 554 5.6.1 *")

	c = dialSMTP(t, startSMTP(t, ProfileSMTPBare()))
	c.say("S: 220 *\nC: EHLO me\nS: 502 *\nC: HELO me\nS: 250 *\n" + smtpFlight + "S: 250 kept")

	s = startSMTP(t, SMTPOptions{Quirks: SMTPQuirks{EmptyData: true}})
	c = dialSMTP(t, s)
	c.greet()
	c.say("C: MAIL FROM:<>\nS: 250 *\nC: DATA\nS: 354 *\nC: .\nS: 554 *")

	s = startSMTP(t, ProfileSMTPNoQuit())
	c = dialSMTP(t, s)
	c.greet()
	c.say(smtpFlight + "S: 250 *\nC: QUIT")
	_ = c.conn.Close() // what ends the session
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	s = startSMTP(t, SMTPOptions{MaxSessions: 1})
	first := dialSMTP(t, s)
	first.greet()
	dialSMTP(t, s).say("S: 421 4.7.0 *\nS: (end)")
}
