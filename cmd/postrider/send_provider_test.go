package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/mailtest"
)

// ownAddress makes the user's name the account's address, as most providers have it.
func ownAddress(o mailtest.SMTPOptions) mailtest.SMTPOptions {
	o.Users = map[string]string{"ada@example.org": sendPassword}
	return o
}

// provided has an account at such a server.
func provided(t *testing.T, o mailtest.SMTPOptions) (*sendingHome, *mailtest.SMTP) {
	t.Helper()
	s := startSMTP(t, o)
	h := newSender(t, []sendAccount{{port: s.Port()}})
	if _, ok := o.Users["ada@example.org"]; ok {
		h.replace("    user: ada\n", "")
	}
	return h, s
}

// settled returns when the server has seen the end of every session: clients do
// not wait for what comes of their QUIT.
func settled(s *mailtest.SMTP) {
	for deadline := time.Now().Add(10 * time.Second); s.Counts().Open > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

// TestProvidersGood sends a few messages to each kind of server, in one session
// and again in another: all arrive, once, in order, and EHLO is said once.
func TestProvidersGood(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]mailtest.SMTPOptions{
		"sina": mailtest.ProfileSinaSMTP(), "strato": mailtest.ProfileStratoSMTP(), "m365": mailtest.ProfileM365SMTP(), "gmail": mailtest.ProfileGmailSMTP(),
		"qq": mailtest.ProfileQQSMTP(), "163": mailtest.ProfileNetEaseSMTP(), "several lines": mailtest.ProfileSMTPMultiline(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, s := provided(t, ownAddress(o))
			for round := range 2 {
				for i := range 4 {
					h.pipe(noteTo(fmt.Sprintf("%d", 4*round+i), "bob@example.com", "carol@example.com"), "sendmail", "-t").wants(exitOK)
				}
				h.sends(exitOK).says("^4 messages sent in ")
			}
			for i, m := range got(t, s, 8) {
				if want := fmt.Sprintf("<%d@example.org>", i); m.MessageID() != want || len(m.To) != 2 {
					t.Errorf("message %d is %s to %v", i, m.MessageID(), m.To)
				}
			}
			settled(s)
			if c := s.Counts(); c.Sessions != 2 || c.Commands["EHLO"] != 2 || c.Logins != 2 || c.Refused != 0 || c.Commands["QUIT"] != 2 {
				t.Errorf("%+v", c)
			}
			faultless(t, s)
			h.queued("")
		})
	}
	t.Run("strato with STARTTLS", func(t *testing.T) {
		t.Parallel()
		ca, options := newCA(t)
		o := mailtest.ProfileStratoSMTP()
		o.TLS = options.TLS
		s := startSMTP(t, o)
		h := newSender(t, []sendAccount{{port: s.Port(), tls: "starttls", ca: ca}})
		h.drop("a.eml", noteTo("a", "bob@example.com"))
		h.sends(exitOK)
		got(t, s, 1)
		if c := s.Counts(); c.Commands["EHLO"] != 2 { // before TLS, and after it
			t.Errorf("%+v", c)
		}
		faultless(t, s)
	})
}

// TestProvidersRefuseLogin: the account is paused after one try, its mail stays
// queued, and the user reads the server's words and what to do, in three places.
func TestProvidersRefuseLogin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		o        mailtest.SMTPOptions
		password string
		says     string
	}{
		{"m365 disabled", mailtest.ProfileM365Disabled(), sendPassword, "SmtpClientAuthentication is disabled for the Tenant"},
		{"m365", mailtest.ProfileM365SMTP(), "wrong", "5.7.3 Authentication unsuccessful"},
		{"gmail", mailtest.ProfileGmailSMTP(), "wrong", "app password"},
		{"qq", mailtest.ProfileQQSMTP(), "wrong", "service is not open"},
		{"163", mailtest.ProfileNetEaseSMTP(), "wrong", "authentication failed"},
		{"no AUTH at all", mailtest.SMTPOptions{Without: []string{"AUTH"}}, sendPassword, "login|AUTH|offer"},
		{"no EHLO at all", mailtest.ProfileSMTPBare(), sendPassword, "login|AUTH|offer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h, s := provided(t, ownAddress(tt.o))
			s.SetPassword("ada@example.org", "x"+tt.password)
			if tt.password == sendPassword {
				s.SetPassword("ada@example.org", sendPassword)
			}
			for i := range 3 {
				h.drop(fmt.Sprintf("%d.eml", i), noteTo(fmt.Sprint(i), "bob@example.com"))
			}
			o := h.sends(exitNoPerm, tt.says)
			if strings.HasSuffix(tt.name, "at all") {
				t.Log(o.stderr)
			} else if !strings.Contains(o.stderr, "(check user and password; some providers want SMTP switched on first") {
				t.Errorf("no remedy in %q", o.stderr)
			}
			tried := s.Counts().Commands["AUTH"]
			if tried > 1 {
				t.Errorf("%d logins were tried", tried)
			}
			h.drop("later.eml", noteTo("later", "bob@example.com"))
			h.sends(exitOK)
			if n := s.Counts().Sessions; n != 1 {
				t.Errorf("%d sessions", n)
			}
			got(t, s, 0)
			h.queued("active active active active")
			if r := h.reports("work"); len(r) != 1 || !strings.Contains(r[0], "3 of your messages wait") || !strings.Contains(r[0], "postrider queue flush") {
				t.Errorf("%d letters: %s", len(r), r)
			}
			if o := h.pipe("", "queue"); strings.Count(o.stdout, "log in") != 4 && !strings.HasSuffix(tt.name, "at all") {
				t.Errorf("the queue is\n%s", o.stdout)
			}
			faultless(t, s)
		})
	}
}

// TestProviderM365Connections: others hold the three connections; the 432 to the
// final dot puts the message off, and it is sent once when there is room.
func TestProviderM365Connections(t *testing.T) {
	t.Parallel()
	h, s := provided(t, ownAddress(mailtest.ProfileM365SMTP()))
	var others []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Read(make([]byte, 512)); err != nil {
			t.Fatal(err)
		}
		others = append(others, c)
	}
	h.drop("a.eml", noteTo("a", "bob@example.com"))
	h.drop("b.eml", noteTo("b", "bob@example.com"))
	h.sends(exitTemporary, "2 messages put off")
	got(t, s, 0)
	h.queued("deferred deferred")
	h.pipe("", "queue").says("432 4.3.2 Concurrent connections limit exceeded")
	for _, c := range others {
		c.Close()
	}
	settled(s)
	h.due()
	h.sends(exitOK)
	got(t, s, 2)
	faultless(t, s)
}

// TestProviderGmailTooManyLogins: a 454 to AUTH is no refusal of the password:
// nothing is paused for hours, and nobody is alarmed.
func TestProviderGmailTooManyLogins(t *testing.T) {
	t.Parallel()
	h, s := provided(t, ownAddress(mailtest.ProfileGmailSMTP()))
	for i := range 10 {
		h.drop("a.eml", noteTo(fmt.Sprint(i), "bob@example.com"))
		h.sends(exitOK)
	}
	h.drop("a.eml", noteTo("10", "bob@example.com"))
	h.sends(exitTemporary, "454 4.7.0")
	h.queued("deferred")
	got(t, s, 10)
	if n := len(h.reports("work")); n > 0 {
		t.Errorf("%d letters", n)
	}
	h.pipe("", "queue").says(` in \d+[sm] `)
}

// TestProviderGmailRecipients: of 250 recipients 100 are taken at a time; all get
// it once.
func TestProviderGmailRecipients(t *testing.T) {
	t.Parallel()
	h, s := provided(t, ownAddress(mailtest.ProfileGmailSMTP()))
	var to []string
	for i := range 250 {
		to = append(to, fmt.Sprintf("r%d@example.com", i))
	}
	h.drop("a.eml", noteTo("many", to...))
	for range 3 {
		h.pipe("", "send")
		h.due()
	}
	count := map[string]int{}
	for _, m := range got(t, s, 3) {
		for _, to := range m.To {
			count[to]++
		}
	}
	if len(count) != 250 {
		t.Errorf("%d recipients", len(count))
	}
	for to, n := range count {
		if n != 1 {
			t.Errorf("%s got %d", to, n)
		}
	}
	h.queued("")
	if n := len(h.copies("work")); n != 1 {
		t.Errorf("%d copies", n)
	}
}

// TestProviderOwnSender: smtp.qq.com takes the account's own address only; what
// goes out by an alias is refused for good, and the reason says it.
func TestProviderOwnSender(t *testing.T) {
	t.Parallel()
	h, s := provided(t, ownAddress(mailtest.ProfileQQSMTP()))
	h.drop("alias.eml", strings.Replace(noteTo("alias", "bob@example.com"), "ada@example.org", "ada@work.example", 1))
	h.drop("own.eml", noteTo("own", "bob@example.com"))
	h.sends(exitFailed)
	if m := got(t, s, 1); len(m) == 1 && m[0].From != "ada@example.org" {
		t.Errorf("from %s", m[0].From)
	}
	if why := h.why("alias.eml"); !strings.Contains(why, "501") {
		t.Errorf("%s", why)
	}
	h.queued("")
}

// TestProviderLost250: several messages to a server that keeps each and cuts the
// line: none is sent twice.
func TestProviderLost250(t *testing.T) {
	t.Parallel()
	h, s := provided(t, mailtest.ProfileSMTPLost250())
	for i := range 3 {
		h.drop(fmt.Sprintf("%d.eml", i), noteTo(fmt.Sprint(i), "bob@example.com"))
	}
	for range 5 {
		h.pipe("", "send").says("messages? sent")
		h.due()
	}
	got(t, s, 3)
	h.queued("uncertain uncertain uncertain")
	h.sends(exitOK)
	if n := len(h.copies("work")); n > 0 {
		t.Errorf("%d copies", n)
	}
	for _, r := range h.reports("work") {
		if !strings.Contains(r, "postrider queue retry") {
			t.Errorf("%s", r)
		}
	}
}

// TestProviderNoQuit: what comes of QUIT makes no difference.
func TestProviderNoQuit(t *testing.T) {
	t.Parallel()
	h, s := provided(t, mailtest.ProfileSMTPNoQuit())
	h.drop("a.eml", noteTo("a", "bob@example.com"))
	start := time.Now()
	h.sends(exitOK)
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
	h.queued("")
	h.sends(exitOK)
	got(t, s, 1)
}

func TestProviderGreylist(t *testing.T) {
	t.Parallel()
	h, s := provided(t, mailtest.ProfileSMTPGreylist())
	h.drop("a.eml", noteTo("a", "bob@example.com", "carol@example.com"))
	h.sends(exitTemporary, "1 message put off")
	h.pipe("", "queue").says("45[01] ")
	h.sends(exitOK)
	got(t, s, 0)
	h.due()
	h.sends(exitOK)
	got(t, s, 1)
	h.queued("")
	if n := len(h.reports("work")); n > 0 {
		t.Errorf("%d reports", n)
	}
}

// TestProviderSmall: a message larger than the server takes is not uploaded; the
// others are sent.
func TestProviderSmall(t *testing.T) {
	t.Parallel()
	h, s := provided(t, mailtest.ProfileSMTPSmall(10_000))
	h.drop("large.eml", noteTo("large", "bob@example.com")+strings.Repeat("0123456789\n", 2000))
	h.drop("small.eml", noteTo("small", "bob@example.com"))
	h.sends(exitFailed)
	got(t, s, 1)
	if n := s.Counts().Octets; n > 1000 {
		t.Errorf("%d octets were uploaded", n)
	}
	if why := h.why("large.eml"); !strings.Contains(why, "and the server takes 10000") {
		t.Errorf("%s", why)
	}
	if r := h.reports("work"); len(r) != 1 || !strings.Contains(r[0], "and the server takes 10000") {
		t.Errorf("%s", r)
	}
	faultless(t, s)
}
