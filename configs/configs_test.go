package configs

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// world is what the tests expand paths with.
func world() Env {
	return Env{
		Home: "/home/ada", Dir: "/etc/mail",
		Getenv: func(name string) string {
			return map[string]string{"SPOOL": "/srv/spool", "EMPTY": "", "SUB": "a/b"}[name]
		},
	}
}

// parsed is the configuration of text, which has to be right.
func parsed(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("c.yaml", []byte(text), world())
	if err != nil {
		t.Fatalf("parse:\n%s\n%v", text, err)
	}
	return c
}

// mistakes is what is said of text, one a line, without the name of the file.
func mistakes(t *testing.T, text string) []string {
	t.Helper()
	c, err := Parse("c.yaml", []byte(text), world())
	if err == nil {
		return nil
	}
	if c != nil {
		t.Error("a configuration and an error at once")
	}
	errs, ok := err.(*Errors)
	if !ok {
		t.Fatalf("error is a %T", err)
	}
	var lines []string
	for _, e := range errs.List {
		if e.File != "c.yaml" || e.Line < 1 {
			t.Errorf("no place: %+v", e)
		}
		lines = append(lines, strings.TrimPrefix(e.Error(), "c.yaml:"))
	}
	return lines
}

func TestDefaults(t *testing.T) {
	got := parsed(t, `
maildir: ~/Mail
accounts:
  i: {address: ada@example.org, password: s3cret, imap: {host: imap.example.org}, smtp: {host: smtp.example.org}}
  p: {user: ada, password: {env: PW}, pop3: {host: pop.example.org, tls: starttls}}
`)
	server := func(host string, port int, tls string) Server {
		return Server{Host: host, Port: port, TLS: tls, Auth: "auto", Timeout: time.Minute}
	}
	want := &Config{
		File: "c.yaml", Maildir: "/home/ada/Mail",
		Log:    Log{Level: slog.LevelInfo, Format: "auto"},
		Outbox: Outbox{Path: "/home/ada/Outbox", RetryFor: 120 * time.Hour, Uncertain: "hold"},
		Accounts: []Account{
			{
				Name: "i", Address: "ada@example.org", User: "ada@example.org", Password: Secret{Literal: "s3cret"},
				IMAP: &Mailbox{
					Server: server("imap.example.org", 993, "implicit"), Folders: []string{"INBOX"}, DeliverTo: "{account}/{folder}",
					Schedule: Schedule{Every: 5 * time.Minute}, Push: true, Connections: 4,
				},
				SMTP: &Submission{Server: server("smtp.example.org", 465, "implicit"), Sent: "{account}/Sent"},
			},
			{
				Name: "p", User: "ada", Password: Secret{Env: "PW"},
				POP3: &Mailbox{
					Server: server("pop.example.org", 110, "starttls"), Folders: []string{"INBOX"}, DeliverTo: "{account}/{folder}",
					Schedule: Schedule{Every: 5 * time.Minute}, Connections: 1,
				},
			},
		},
	}
	same(t, got, want)
}

func TestEveryKey(t *testing.T) {
	got := parsed(t, `
x-base: &base {tls: none, timeout: 90s}
maildir: $SPOOL/mail
log: {level: debug, format: json}
metrics: {listen: "0.0.0.0:9427", public: true}
on_new_mail: [notmuch, new, ""]
outbox: {path: "${SPOOL}/out", retry_for: 1d12h, hold: 10s, uncertain: resend}
accounts:
  x-more: &more {<<: *base, timeout: 2m, x-note: 1, connections: 9}
  zed:
    address: ada@example.org
    aliases: [ada@example.com, "*@ada.example"]
    user: 007
    password: {command: [pass, show, mail/work]}
    imap:
      <<: [*more, {timeout: 3m, port: 1143}]
      host: "::1"
      connections: 2
      folders: [INBOX, "Lists/*", "!Lists/spam"]
      deliver_to: "mail/{account}.{folder}"
      schedule: "*/5 8-18 * * 1-5"
      push: false
      on_server: move Old Mail
      max_size: 50MB
      auth: scram-sha-256
  a:
    address: eve@example.org
    password: {file: pw}
    smtp:
      host: smtp.example.org
      tls: starttls
      ca_file: own.pem
      pins: ["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
      client_cert: ~/cert.pem
      client_key: /key.pem
      auth: external
      sent: ""
  Ext: {user: x, pop3: {host: h, client_cert: c, client_key: k, on_server: delete after 30d, schedule: manual}}
  clear: {user: x, password: no, pop3: {host: h, tls: none, allow_cleartext: true, auth: apop, schedule: "@daily", on_server: delete}}
`)
	pin := [32]byte{0x9f, 0x86, 0xd0, 0x81, 0x88, 0x4c, 0x7d, 0x65, 0x9a, 0x2f, 0xea, 0xa0, 0xc5, 0x5a, 0xd0, 0x15,
		0xa3, 0xbf, 0x4f, 0x1b, 0x2b, 0x0b, 0x82, 0x2c, 0xd1, 0x5d, 0x6c, 0x15, 0xb0, 0xf0, 0x0a, 0x08}
	pop := func(s Server, d Disposal, at Schedule) *Mailbox {
		return &Mailbox{Server: s, Folders: []string{"INBOX"}, DeliverTo: "{account}/{folder}", Schedule: at, OnServer: d, Connections: 1}
	}
	want := &Config{
		File: "c.yaml", Maildir: "/srv/spool/mail", Log: Log{Level: slog.LevelDebug, Format: "json"},
		Metrics: "0.0.0.0:9427", OnNewMail: []string{"notmuch", "new", ""},
		Outbox: Outbox{Path: "/srv/spool/out", RetryFor: 36 * time.Hour, Hold: 10 * time.Second, Uncertain: "resend"},
		Accounts: []Account{
			{
				Name: "zed", Address: "ada@example.org", Aliases: []string{"ada@example.com", "*@ada.example"}, User: "007",
				Password: Secret{Command: []string{"pass", "show", "mail/work"}},
				IMAP: &Mailbox{
					Server:  Server{Host: "::1", Port: 1143, TLS: "none", Auth: "scram-sha-256", Timeout: 2 * time.Minute},
					Folders: []string{"INBOX", "Lists/*", "!Lists/spam"}, DeliverTo: "mail/{account}.{folder}",
					Schedule: Schedule{Cron: "*/5 8-18 * * 1-5"}, OnServer: Disposal{Action: Move, Folder: "Old Mail"},
					MaxSize: 50_000_000, Connections: 2,
				},
			},
			{
				Name: "a", Address: "eve@example.org", User: "eve@example.org", Password: Secret{File: "/etc/mail/pw"},
				SMTP: &Submission{Server: Server{
					Host: "smtp.example.org", Port: 587, TLS: "starttls", CAFile: "/etc/mail/own.pem", Pins: [][32]byte{pin},
					ClientCert: "/home/ada/cert.pem", ClientKey: "/key.pem", Auth: "external", Timeout: time.Minute,
				}},
			},
			{
				Name: "Ext", User: "x",
				POP3: pop(Server{
					Host: "h", Port: 995, TLS: "implicit", ClientCert: "/etc/mail/c", ClientKey: "/etc/mail/k", Auth: "auto", Timeout: time.Minute,
				}, Disposal{Action: Delete, After: 720 * time.Hour}, Schedule{Manual: true}),
			},
			{
				Name: "clear", User: "x", Password: Secret{Literal: "no"},
				POP3: pop(Server{Host: "h", Port: 110, TLS: "none", Auth: "apop", AllowCleartext: true, Timeout: time.Minute},
					Disposal{Action: Delete}, Schedule{Cron: "@daily"}),
			},
		},
	}
	same(t, got, want)
}

// same compares two configurations, account by account so that the difference can be read.
func same(t *testing.T, got, want *Config) {
	t.Helper()
	if reflect.DeepEqual(got, want) {
		return
	}
	show := func(c Config) (lines []string) {
		for _, a := range c.Accounts {
			lines = append(lines, fmt.Sprintf("%+v", a), fmt.Sprintf("  imap %+v", a.IMAP), fmt.Sprintf("  pop3 %+v", a.POP3), fmt.Sprintf("  smtp %+v", a.SMTP))
		}
		c.Accounts = nil
		return append(lines, fmt.Sprintf("%+v", c))
	}
	g, w := show(*got), show(*want)
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) {
			t.Errorf("%d accounts, want %d", len(got.Accounts), len(want.Accounts))
			return
		}
		if g[i] != w[i] {
			t.Errorf("got  %s\nwant %s", g[i], w[i])
		}
	}
	t.Error("the configurations differ")
}

func TestOutboxOff(t *testing.T) {
	for _, word := range []string{"off", "false"} {
		// With an outbox this would be refused: the default path lies in the maildir.
		c := parsed(t, "maildir: /home/ada\noutbox: "+word+"\naccounts: {a: {user: u, password: p, pop3: {host: h}}}\n")
		if !c.Outbox.Off {
			t.Errorf("%s: the outbox is on", word)
		}
	}
}

// TestMergedAccounts has a merge key among the accounts: what is written out comes first and is not displaced.
func TestMergedAccounts(t *testing.T) {
	c := parsed(t, `
x-all: &all
  a: {user: merged, password: p, pop3: {host: h}}
  b: {user: merged, password: p, pop3: {host: h}}
maildir: /m
accounts:
  <<: *all
  c: {user: own, password: p, pop3: {host: h}}
  a: {user: own, password: p, pop3: {host: h}}
`)
	var got []string
	for _, a := range c.Accounts {
		got = append(got, a.Name+" "+a.User)
	}
	if want := []string{"c own", "a own", "b merged"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
