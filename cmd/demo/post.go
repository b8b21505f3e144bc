package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"postrider/mailtest"
)

const password = "demo: not a secret"

// post is the mail servers, and what has to arrive from them.
type post struct {
	imap  *mailtest.IMAP
	pop3  *mailtest.POP3
	smtp  *mailtest.SMTP
	want  map[string][]letter // by folder below the root
	total int                 // messages that the servers have had
}

// letter is a message as its file has to be.
type letter struct {
	octets []byte
	flags  string    // behind its name; none: it lies in new/
	date   time.Time // of its modification; zero: any
}

// startPost starts the servers on free loopback ports, and writes the
// certificate of their authority to ca.pem in dir.
func startPost(dir string) (*post, error) {
	ca, err := mailtest.NewCA()
	if err != nil {
		return nil, err
	}
	config, err := ca.Server()
	if err != nil {
		return nil, err
	}
	if _, err := ca.WriteFile(dir); err != nil {
		return nil, err
	}
	mechanisms := []string{"PLAIN", "SCRAM-SHA-256"}
	p := &post{
		imap: mailtest.NewIMAP(mailtest.IMAPOptions{TLS: config, Implicit: true, Users: map[string]string{"work": password}, Mechanisms: mechanisms}),
		pop3: mailtest.NewPOP3(mailtest.POP3Options{TLS: config, Implicit: true, Users: map[string]string{"home": password}, Mechanisms: mechanisms}),
		smtp: mailtest.NewSMTP(mailtest.SMTPOptions{TLS: config, Implicit: true, Users: map[string]string{"work": password}, Mechanisms: mechanisms, RequireAuth: true}),
		want: map[string][]letter{},
	}
	if err := errors.Join(p.imap.Start(), p.pop3.Start(), p.smtp.Start()); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// close stops the servers.
func (p *post) close() error { return errors.Join(p.imap.Close(), p.pop3.Close(), p.smtp.Close()) }

// fill puts the messages on the servers: those of every odd kind by IMAP, and
// everyday mail by POP3.
func (p *post) fill() {
	for i, m := range mailtest.Embedded() {
		mailbox := mailboxOf(m.Name)
		flags := ""
		if mailbox == "INBOX" {
			flags = [...]string{"", "S", "RS", "FS"}[i%4]
		}
		p.mail(mailbox, m.Octets, flags, time.Date(2026, time.January, 1+i, 8, 30, i, 0, time.UTC))
	}
	// A mailbox that no entry of folders wants.
	p.imap.Account("work").Mailbox("Old").Add(mailtest.Wire(mailtest.Generate(3, 1, 4000)[0].Octets))
	for _, m := range mailtest.Generate(1, generated, 100_000) {
		p.total++
		wire := mailtest.Wire(m.Octets)
		p.pop3.Mailbox("home").Add(fmt.Sprintf("demo-%d", p.total), wire)
		p.expect("home/INBOX", letter{octets: mailtest.Local(wire)})
	}
}

// mailboxOf is where on the IMAP server a message lies.
func mailboxOf(name string) string {
	switch name {
	case "list-patch", "list-reply":
		return "Lists/patches"
	case "chinese-gb2312-encoded", "chinese-utf8", "japanese-iso2022jp":
		return "Lists/Bücher & 书"
	}
	return "INBOX"
}

// mail puts one message into a mailbox of work. The flags are letters, as in the
// names of files.
func (p *post) mail(mailbox string, octets []byte, flags string, date time.Time) {
	m := mailtest.IMAPMessage{Octets: mailtest.Wire(octets), Date: date}
	for _, f := range flags {
		m.Flags = append(m.Flags, map[rune]string{'F': `\Flagged`, 'R': `\Answered`, 'S': `\Seen`}[f])
	}
	p.total++
	p.imap.Account("work").Mailbox(mailbox).Put(m)
	p.expect("work/"+mailbox, letter{mailtest.Local(m.Octets), flags, date})
}

func (p *post) expect(folder string, l letter) { p.want[folder] = append(p.want[folder], l) }

// take removes one message from what a folder has to hold.
func (p *post) take(folder string, octets []byte) (taken letter) {
	for i, l := range p.want[folder] {
		if string(l.octets) == string(octets) && l.flags == "" {
			p.want[folder] = append(p.want[folder][:i:i], p.want[folder][i+1:]...)
			return l
		}
	}
	return letter{}
}

// carried is how many messages the servers have put on the line for us.
func (p *post) carried() int { return p.imap.Counts().Messages + p.pop3.Counts().Commands["RETR"] }

// opened is how often a mailbox was opened on the IMAP server.
func (p *post) opened() int {
	counts := p.imap.Counts()
	return counts.Commands["SELECT"] + counts.Commands["EXAMINE"]
}

// configure writes the configuration, as a user would. Paths in it are relative
// to it.
func (d *demo) configure(p *post) error {
	if err := os.WriteFile(d.path("password"), []byte(password+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the password: %w", err)
	}
	text := fmt.Sprintf(`maildir: Mail
outbox: {path: Outbox}
accounts:
  work:
    address: %s
    user: work
    password: {file: password}
    imap:
      host: 127.0.0.1
      port: %d
      ca_file: ca.pem
      folders: [INBOX, "Lists/*"]
      on_server: keep
    smtp:
      host: 127.0.0.1
      port: %d
      ca_file: ca.pem
      sent: "{account}/Sent"
  home:
    user: home
    password: {file: password}
    pop3:
      host: 127.0.0.1
      port: %d
      ca_file: ca.pem
      on_server: delete
`, sender, p.imap.Port(), p.smtp.Port(), p.pop3.Port())
	if err := os.WriteFile(d.path("config.yaml"), []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}
