package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"postrider/mailtest"
)

// accounts are both those of the configuration and the users of the server.
var accounts = [...]struct{ name, onServer string }{{"work", "keep"}, {"home", "delete"}}

const password = "demo: not a secret"

// post is the mail server, and what has to arrive from it.
type post struct {
	server *mailtest.POP3
	want   map[string][][]byte // by account: each message as its file has to be
	total  int                 // messages that the server has had
}

// startPost starts a server on a free loopback port, and writes the
// certificate of its authority to ca.pem in dir.
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
	users := map[string]string{}
	for _, account := range accounts {
		users[account.name] = password
	}
	p := &post{want: map[string][][]byte{}, server: mailtest.NewPOP3(mailtest.POP3Options{
		TLS: config, Implicit: true, Users: users, Mechanisms: []string{"PLAIN", "SCRAM-SHA-256"},
	})}
	return p, p.server.Start()
}

// fill puts the messages on the server.
func (p *post) fill() {
	for _, m := range mailtest.Embedded() {
		p.add("work", m.Octets)
	}
	for _, m := range mailtest.Generate(1, generated, 100_000) {
		p.add("home", m.Octets)
	}
}

// add puts one message on the server and notes how it has to arrive.
func (p *post) add(account string, octets []byte) {
	wire := mailtest.Wire(octets)
	p.total++
	p.server.Mailbox(account).Add(fmt.Sprintf("demo-%d", p.total), wire)
	p.want[account] = append(p.want[account], mailtest.Local(wire))
}

// configure writes the configuration, as a user would. Paths in it are relative
// to it.
func (d *demo) configure(p *post) error {
	if err := os.WriteFile(d.path("password"), []byte(password+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the password: %w", err)
	}
	var b strings.Builder
	b.WriteString("maildir: Mail\noutbox: off\naccounts:\n")
	for _, account := range accounts {
		fmt.Fprintf(&b, `  %s:
    user: %s
    password: {file: password}
    pop3:
      host: 127.0.0.1
      port: %d
      ca_file: ca.pem
      on_server: %s
`, account.name, account.name, p.server.Port(), account.onServer)
	}
	if err := os.WriteFile(filepath.Join(d.dir, "config.yaml"), []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}
