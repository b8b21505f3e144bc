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

// receive is the part in which mail comes in, over IMAP and POP3.
func (d *demo) receive(ctx context.Context, p *post) error {
	d.title("1. Two accounts, on mail servers of the demo's own")
	p.fill()
	d.say("work  IMAP  %s  %d messages of every odd kind; they stay there (on_server: keep)", p.imap.Addr(), p.total-generated)
	d.say("home  POP3  %s  %d messages of everyday mail; they go once they are safe here (on_server: delete)", p.pop3.Addr(), generated)
	if err := d.configure(p); err != nil {
		return err
	}

	d.title("2. The first fetch, as `postrider fetch` does it")
	if err := d.fetchExactly(ctx, p, p.total); err != nil {
		return err
	}
	d.say("Each is here octet for octet but for the line ends, those of work with their flags and dates.")
	for _, folder := range []string{"work/INBOX", "work/Lists/patches", "work/Lists/Bücher & 书", "home/INBOX"} {
		if err := d.show(folder); err != nil {
			return err
		}
	}

	d.title("3. The second fetch: nothing comes twice")
	opened := p.opened()
	if err := d.fetchExactly(ctx, p, 0); err != nil {
		return err
	}
	if n := p.opened() - opened; n > 0 {
		return fmt.Errorf("%d mailboxes were opened, in which nothing was new", n)
	}
	d.say("One question tells what has changed in the mailboxes of work. None was opened.")
	return d.readAndWrite(ctx, p)
}

// readAndWrite is what happens in the folders and on the server between two
// fetches.
func (d *demo) readAndWrite(ctx context.Context, p *post) error {
	d.title("4. A reader at work, and new mail")
	if err := d.readSome(p); err != nil {
		return err
	}
	fresh := mailtest.Generate(2, 2, 4000)
	now := time.Now().Truncate(time.Second)
	p.mail("Lists/patches", fresh[0].Octets, "", now)
	p.mail("Lists/regatta", fresh[1].Octets, "S", now)
	d.say("On the server there is one more in Lists/patches, and one in Lists/regatta, a mailbox that was not there before.")
	if err := d.fetchExactly(ctx, p, 2); err != nil {
		return err
	}
	d.say("What was read, moved or deleted here did not come again.")
	return nil
}

// fetchExactly runs a fetch that has to deliver so many messages, and compares
// the folders and the servers with what has to be in them.
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
	for folder, letters := range p.want {
		if err := compare(d.folder(folder), letters); err != nil {
			wrong = append(wrong, err)
		}
	}
	if n := p.pop3.Mailbox("home").Len(); n != 0 {
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
