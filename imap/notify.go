package imap

import "context"

// NotifyRequest says what to be told of (RFC 5465). Anything asked for before is
// forgotten.
type NotifyRequest struct {
	Personal  bool   // new and removed messages in all mailboxes of one's own
	Mailboxes []Name // the same, in these
	Status    bool   // and how these are now
}

// Notify has the server tell of mailboxes that are not open. It tells by
// EventStatus, EventMailbox and EventOverflow during any call, but best during
// Idle. The mailbox that is open it tells of as ever. An empty request switches
// it off.
func (c *Client) Notify(ctx context.Context, want NotifyRequest) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := c.need("NOTIFY", "NOTIFY"); err != nil {
		return err
	}
	return c.exec(c.notifyCommand(want), nil)
}

func (c *Client) notifyCommand(want NotifyRequest) *command {
	const events = " (MessageNew MessageExpunge)"
	m := c.command("NOTIFY")
	if !want.Personal && len(want.Mailboxes) == 0 {
		return m.raw(" NONE")
	}
	m.raw(" SET")
	if want.Status {
		m.raw(" STATUS")
	}
	m.raw(" (selected (MessageNew MessageExpunge FlagChange))")
	if want.Personal {
		m.raw(" (personal (MessageNew MessageExpunge MailboxName))")
	}
	if len(want.Mailboxes) > 0 {
		m.raw(" (mailboxes").open()
		for _, name := range want.Mailboxes {
			m.name(name)
		}
		m.raw(")" + events + ")")
	}
	return m
}
