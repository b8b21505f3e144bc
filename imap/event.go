package imap

// EventKind says what an Event is about.
type EventKind int

const (
	EventExists   EventKind = iota // the mailbox holds Number messages
	EventExpunge                   // message Number is gone; the numbers behind it shift
	EventVanished                  // the messages UIDs are gone (RFC 7162)
	EventMessage                   // Message has changed, or is new (RFC 5465)
	EventStatus                    // Mailbox, maybe another one, has Status (RFC 5465)
	EventMailbox                   // Mailbox was made, renamed, deleted or subscribed to (RFC 5465)
	EventOverflow                  // the server stopped telling: look at everything (RFC 5465)
	EventAlert                     // Text is for the user's eyes (RFC 9051 section 7.1)
	EventWarning                   // the server said NO or BAD to nothing in particular: Text
)

// Event is what the server says on its own. An event only wakes: what it says may
// be late, doubled or wrong. What it points to is valid during the call.
type Event struct {
	Kind    EventKind
	Number  uint32
	UIDs    UIDSet
	Message *Message
	Mailbox *Mailbox
	Status  *Status
	Text    string // escaped by nobody, at most 1 KiB
}

// unsolicited reads a response that no command has asked for.
func (c *Client) unsolicited(u *untagged) (taken bool, err error) {
	switch u.name {
	case "OK", "NO", "BAD":
		c.notice(u.reply)
		return true, nil
	case "CAPABILITY":
		return true, c.readCapabilities()
	case "EXISTS":
		c.events(Event{Kind: EventExists, Number: u.number})
		return true, nil
	case "EXPUNGE":
		c.events(Event{Kind: EventExpunge, Number: u.number})
		return true, nil
	case "VANISHED":
		uids, _, err := c.readVanished()
		if err == nil {
			c.events(Event{Kind: EventVanished, UIDs: uids})
		}
		return true, err
	case "FETCH", "UIDFETCH":
		m := &Message{}
		if err = c.readMessage(u, m, nil); err == nil {
			c.events(Event{Kind: EventMessage, Message: m})
		}
		return true, err
	case "STATUS":
		name, s, err := c.readStatus()
		if err == nil {
			c.events(Event{Kind: EventStatus, Mailbox: &Mailbox{Wire: name, Name: c.text(name)}, Status: &s})
		}
		return true, err
	case "LIST":
		m, err := c.readMailbox()
		if err == nil {
			c.events(Event{Kind: EventMailbox, Mailbox: &m})
		}
		return true, err
	}
	return false, nil
}

// notice passes on what a status response says that concerns no command.
func (c *Client) notice(r reply) {
	e := Event{Text: clip(r.text, maxText)}
	switch {
	case r.code == "ALERT":
		e.Kind = EventAlert
	case r.code == "NOTIFICATIONOVERFLOW":
		e.Kind = EventOverflow
	case r.code == "CAPABILITY" && r.status == "OK":
		c.learn(r.args)
		return
	case r.status != "OK":
		e.Kind = EventWarning
	default:
		return
	}
	c.events(e)
}

// readVanished reads a VANISHED (RFC 7162 section 3.2.10). Earlier is whether the
// messages were gone before the mailbox was opened. A malformed one ends the
// session: what it said would never be said again.
func (c *Client) readVanished() (uids UIDSet, earlier bool, err error) {
	if next, err := c.p.peek(); err != nil {
		return nil, false, err
	} else if next == '(' {
		err = c.p.words(func(b []byte) { earlier = earlier || equalFold(b, "EARLIER") })
		if err == nil {
			err = c.p.spaces()
		}
		if err != nil {
			return nil, false, strict(err)
		}
	}
	g := gatherer{most: maxVanishedRanges}
	if err := c.p.uids(&g); err != nil {
		return nil, false, strict(err)
	}
	return g.set(), earlier, nil
}

// strict makes an error of syntax one that ends the session.
func strict(err error) error {
	if isSyntax(err) {
		return &ProtocolError{Detail: err.Error()}
	}
	return err
}
