package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/mailtest"
)

// generated is how many made-up messages the account home has, besides the
// embedded ones of the account work.
const generated = 25

// receive is the part in which mail comes in over POP3.
func (d *demo) receive(ctx context.Context) error {
	d.title("1. A mail server with two accounts")
	p, err := startPost(d.dir)
	if err != nil {
		return err
	}
	defer p.server.Close()
	p.fill()
	d.say("POP3 over TLS on %s, with a certificate authority of its own.", p.server.Addr())
	d.say("work: %d messages of every odd kind, which stay on the server (on_server: keep).", len(p.want["work"]))
	d.say("home: %d messages of everyday mail, which go from the server once they are safe here (on_server: delete).", len(p.want["home"]))
	if err := d.configure(p); err != nil {
		return err
	}
	d.say("The configuration for them is %s.", d.path("config.yaml"))

	d.title("2. The first fetch, as `postrider fetch` does it")
	if err := d.fetchExactly(ctx, p, len(p.want["work"])+len(p.want["home"])); err != nil {
		return err
	}
	d.say("Every message is here, octet for octet but for the line ends, which are LF; work still has %d on the server and home %d.",
		p.server.Mailbox("work").Len(), p.server.Mailbox("home").Len())

	d.title("3. What arrived")
	for _, account := range accounts {
		if err := d.show(account.name); err != nil {
			return err
		}
	}

	d.title("4. The second fetch: nothing comes twice")
	if err := d.fetchExactly(ctx, p, 0); err != nil {
		return err
	}

	d.title("5. A reader at work, and one new message")
	if err := d.readSome(p); err != nil {
		return err
	}
	p.add("work", mailtest.Generate(2, 1, 4000)[0].Octets)
	if err := d.fetchExactly(ctx, p, 1); err != nil {
		return err
	}
	d.say("What was read, moved or deleted here did not come again.")

	d.title("6. The server stops")
	if n := p.server.Counts().Commands["RETR"]; n != p.total {
		return fmt.Errorf("the server was asked for a message %d times, and has had %d messages", n, p.total)
	}
	if err := p.server.Close(); err != nil {
		return fmt.Errorf("stop the mail server: %w", err)
	}
	d.say("It was asked for each of its %d messages once.", p.total)
	return nil
}

// fetchExactly runs a fetch that has to deliver so many messages, and compares
// the folders and the server with what has to be in them.
func (d *demo) fetchExactly(ctx context.Context, p *post, messages int) error {
	start := time.Now()
	delivered, err := d.fetch(ctx)
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	d.say("%s in %v.", count(delivered, "new message"), time.Since(start).Round(time.Millisecond))
	if delivered != messages {
		return fmt.Errorf("fetch delivered %s instead of %d", count(delivered, "message"), messages)
	}
	var wrong []error
	for _, account := range accounts {
		if err := compare(d.folder(account.name), p.want[account.name]); err != nil {
			wrong = append(wrong, err)
		}
	}
	if n := p.server.Mailbox("home").Len(); n != 0 {
		wrong = append(wrong, fmt.Errorf("%d messages of home are still on the server", n))
	}
	return errors.Join(wrong...)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
