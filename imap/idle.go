package imap

import (
	"context"
	"time"
)

// renewal is how long IDLE goes on unrenewed: servers end it after 30 minutes,
// and what stands between us and them forgets a silent line much sooner.
const renewal = 9 * time.Minute

// Idle waits for news of the mailbox that is open (RFC 2177). It passes events to
// each until that returns false, or ctx ends: then it ends IDLE in order, and the
// session can be used further. That takes a round trip, and no longer than
// Options.Timeout; Close ends it at once.
//
// IDLE is renewed every so often, 0 for each 9 minutes, which is also how a line is
// found out that died in silence. ErrIdleEnded says that the server ended it by
// itself.
func (c *Client) Idle(ctx context.Context, renew time.Duration, each func(Event) (more bool)) error {
	if renew <= 0 {
		renew = renewal
	}
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	leave()
	// From here the context must not cut the line.
	if leave, err = c.enter(context.Background()); err != nil {
		return err
	}
	defer leave()
	if err := c.need("IDLE", "IDLE"); err != nil {
		return err
	}
	more, before := true, c.events
	c.events = func(e Event) {
		before(e)
		more = more && each(e)
	}
	defer func() { c.events = before }()
	for more && ctx.Err() == nil {
		if err := c.idle(ctx, renew, &more); err != nil {
			return err
		}
	}
	return nil
}

// idle is one IDLE from its begin to its end.
func (c *Client) idle(ctx context.Context, renew time.Duration, more *bool) error {
	tag, err := c.start(c.command("IDLE"), nil)
	if err != nil {
		return err
	}
	// News may come before the server says that it is idle.
	r, err := c.next("IDLE", nil)
	if err != nil {
		return err
	}
	if r.kind == tagged {
		return c.idled(tag, r, true)
	}
	until := time.Now().Add(renew)
	for *more {
		ready, err := c.line.await(ctx, until)
		if err != nil {
			return c.fatal("IDLE", err)
		}
		if !ready {
			break
		}
		r, err := c.one("IDLE", nil)
		if err != nil {
			return c.fatal("IDLE", err)
		}
		if r.kind == tagged {
			return c.idled(tag, r, true)
		}
		if c.seen++; c.seen > maxListed {
			return c.fatal("IDLE", errResponseTooLarge)
		}
	}
	return c.done(tag)
}

// done ends IDLE.
func (c *Client) done(tag string) error {
	if err := c.write("DONE", []byte("DONE\r\n")); err != nil {
		return err
	}
	for {
		r, err := c.next("IDLE", nil)
		if err != nil {
			return err
		}
		if r.kind == tagged {
			return c.idled(tag, r, false)
		}
	}
}

func (c *Client) idled(tag string, r response, early bool) error {
	if _, err := c.finish("IDLE", tag, r); err != nil {
		return err
	}
	if early {
		return ErrIdleEnded
	}
	return nil
}
