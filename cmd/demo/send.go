package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"postrider/mailtest"
)

// The people of the letter that is sent.
const (
	sender   = "ada@demo.example"
	openly   = "bert@demo.example"
	secretly = "cleo@demo.example"
)

// dropped is the letter as its writer leaves it in the outbox: without a date,
// without a Message-ID, and with the recipients that nobody else shall see.
const dropped = `From: Ada <` + sender + `>
To: Bert <` + openly + `>, ` + sender + `
Bcc: ` + secretly + `
Subject: A file is all it takes

..and a line with a dot in front comes through as it is.
`

// send is the part in which a message goes out, and comes back.
func (d *demo) send(ctx context.Context, p *post) error {
	d.title("5. A file is dropped into the outbox, and `postrider send` is called")
	if err := d.drop("hello.eml", dropped); err != nil {
		return err
	}
	start := time.Now()
	if err := d.sendExactly(ctx, 1); err != nil {
		return err
	}
	took := time.Since(start).Round(time.Millisecond)
	m, err := p.accepted()
	if err != nil {
		return err
	}
	d.say("The submission server %s has it after %v, for %s.", p.smtp.Addr(), took, strings.Join(m.To, ", "))
	if err := checkSent(m); err != nil {
		return err
	}
	d.say("Message-ID and Date were added, Bcc is taken out, no other octet has changed.")
	if err := d.sendExactly(ctx, 0); err != nil {
		return err
	}
	if _, err := p.accepted(); err != nil {
		return err
	}
	d.say("A second `postrider send` sends nothing.")
	p.expect("work/Sent", letter{octets: mailtest.Local(m.Octets), flags: "S"})
	if err := d.show("work/Sent"); err != nil {
		return err
	}

	d.title("6. Ada wrote to herself too: the message comes back")
	p.mail("INBOX", m.Octets, "", time.Now().Truncate(time.Second))
	if err := d.fetchExactly(ctx, p, 1); err != nil {
		return err
	}
	d.say("It lies in Mail/work/INBOX, octet for octet as it was sent.")
	return nil
}

// drop puts a message into the outbox as a program would: under a name that says
// that it is not ready, and then under its own.
func (d *demo) drop(name, message string) error {
	if err := os.MkdirAll(d.path("Outbox"), 0o700); err != nil {
		return fmt.Errorf("make the outbox: %w", err)
	}
	draft := d.path("Outbox", name+".tmp")
	if err := os.WriteFile(draft, []byte(message), 0o600); err != nil {
		return fmt.Errorf("write a message: %w", err)
	}
	if err := os.Rename(draft, d.path("Outbox", name)); err != nil {
		return fmt.Errorf("drop a message: %w", err)
	}
	return nil
}

// sendExactly runs a pass of sending that has to send so many messages and leave
// none, neither in the outbox nor in the queue.
func (d *demo) sendExactly(ctx context.Context, messages int) error {
	sent, queued, err := d.sendAll(ctx)
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if sent != messages || queued != 0 {
		return fmt.Errorf("send sent %s instead of %d, and left %d in the queue", count(sent, "message"), messages, queued)
	}
	entries, err := os.ReadDir(d.path("Outbox"))
	if err != nil {
		return fmt.Errorf("read the outbox: %w", err)
	}
	for _, e := range entries {
		if e.Name() != ".spool" {
			return fmt.Errorf("%s was left in the outbox", e.Name())
		}
	}
	return nil
}

// accepted returns the one message that the submission server has.
func (p *post) accepted() (mailtest.SMTPMessage, error) {
	all := p.smtp.Messages()
	if len(all) != 1 {
		return mailtest.SMTPMessage{}, fmt.Errorf("the submission server has accepted %s instead of 1", count(len(all), "message"))
	}
	if faults := p.smtp.Faults(); len(faults) > 0 {
		return mailtest.SMTPMessage{}, fmt.Errorf("the submission server complains: %s", strings.Join(faults, "; "))
	}
	return all[0], nil
}

// checkSent finds out whether a message at the server is the letter: its octets
// without Bcc, behind the two fields that it lacked.
func checkSent(m mailtest.SMTPMessage) error {
	var wrong []error
	if to := []string{openly, sender, secretly}; m.From != sender || !slices.Equal(m.To, to) {
		wrong = append(wrong, fmt.Errorf("the envelope is from %q to %q instead of %q to %q", m.From, m.To, sender, to))
	}
	rest := string(mailtest.Local(m.Octets))
	for _, name := range []string{"Date: ", "Message-ID: "} {
		line, after, _ := strings.Cut(rest, "\n")
		if !strings.HasPrefix(line, name) {
			wrong = append(wrong, fmt.Errorf("%q stands where %s has to", line, name))
		}
		rest = after
	}
	if want := strings.Replace(dropped, "Bcc: "+secretly+"\n", "", 1); rest != want {
		wrong = append(wrong, fmt.Errorf("the server got %q, want %q", rest, want))
	}
	if bytes.Count(m.Octets, []byte("\n")) != bytes.Count(m.Octets, []byte("\r\n")) {
		wrong = append(wrong, errors.New("a line has not ended in CRLF"))
	}
	return errors.Join(wrong...)
}
