package mailtest

import (
	"slices"
	"strings"
	"sync"
)

// IMAPAccount is one user's mailboxes on an [IMAP] server. Names are UTF-8, with
// the server's delimiter between their levels. INBOX always exists.
type IMAPAccount struct {
	mu        sync.Mutex // guards all of it, and all mailboxes
	delimiter string
	gmail     bool // messages have X-GM-MSGIDs
	gmailID   uint64
	validity  uint32 // the UIDVALIDITY that was given out last
	mailboxes map[string]*IMAPMailbox
	labels    map[uint64]map[*IMAPMailbox]int // by X-GM-MSGID: where such messages are
	sessions  map[*imapSession]struct{}
}

func newIMAPAccount(delimiter string, gmail bool) *IMAPAccount {
	a := &IMAPAccount{
		delimiter: delimiter,
		gmail:     gmail,
		gmailID:   1_000_000_000_000,
		validity:  1000,
		mailboxes: make(map[string]*IMAPMailbox),
		labels:    make(map[uint64]map[*IMAPMailbox]int),
		sessions:  make(map[*imapSession]struct{}),
	}
	a.create("INBOX")
	return a
}

// lock locks the account and returns what unlocks it.
func (a *IMAPAccount) lock() (unlock func()) {
	a.mu.Lock()
	return a.mu.Unlock
}

// wake tells every session that something changed. A session that is busy
// finds the news by itself.
func (a *IMAPAccount) wake() {
	for s := range a.sessions {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// Mailbox returns a mailbox, and creates it if need be.
func (a *IMAPAccount) Mailbox(name string) *IMAPMailbox {
	defer a.lock()()
	if m := a.get(name); m != nil {
		return m
	}
	return a.create(name)
}

// Create makes a mailbox with attributes such as \Sent or \Noselect, which LIST
// will show. If there is one by that name it gets the attributes.
func (a *IMAPAccount) Create(name string, attributes ...string) *IMAPMailbox {
	defer a.lock()()
	m := a.get(name)
	if m == nil {
		m = a.create(name)
	}
	m.attributes = slices.Clone(attributes)
	return m
}

// Delete removes a mailbox and what is in it, and says whether there was one. One
// of the same name that is made later has another UIDVALIDITY. INBOX stays.
func (a *IMAPAccount) Delete(name string) bool {
	defer a.lock()()
	return a.delete(name)
}

// Rename gives a mailbox, and those below it, another name. UIDs and UIDVALIDITY
// stay. It says whether there was such a mailbox, and none by the new name.
func (a *IMAPAccount) Rename(old, name string) bool {
	defer a.lock()()
	return a.rename(old, name)
}

// Mailboxes returns the names of all mailboxes, INBOX first and then in order.
func (a *IMAPAccount) Mailboxes() []string {
	defer a.lock()()
	return a.names()
}

// canonical spells INBOX in capitals.
func canonical(name string) string {
	if strings.EqualFold(name, "INBOX") {
		return "INBOX"
	}
	return name
}

func (a *IMAPAccount) get(name string) *IMAPMailbox { return a.mailboxes[canonical(name)] }

func (a *IMAPAccount) create(name string) *IMAPMailbox {
	a.validity++
	m := &IMAPMailbox{account: a, name: canonical(name), validity: a.validity, next: 1, modseq: 1, subscribed: true}
	a.mailboxes[m.name] = m
	a.wake()
	return m
}

func (a *IMAPAccount) delete(name string) bool {
	m := a.get(name)
	if m == nil || m.name == "INBOX" {
		return false
	}
	for _, message := range m.messages {
		a.label(m, message, -1)
	}
	m.deleted = true
	m.era++
	m.changed()
	delete(a.mailboxes, m.name)
	return true
}

func (a *IMAPAccount) rename(old, name string) bool {
	m := a.get(old)
	if m == nil || m.name == "INBOX" || a.get(name) != nil {
		return false
	}
	below := m.name + a.delimiter
	for _, from := range a.names() {
		rest, inside := strings.CutPrefix(from, below)
		if from != m.name && !inside {
			continue
		}
		to := name
		if inside {
			to += a.delimiter + rest
		}
		moved := a.mailboxes[from]
		delete(a.mailboxes, from)
		moved.name = to
		a.mailboxes[to] = moved
	}
	a.wake()
	return true
}

func (a *IMAPAccount) names() []string {
	names := make([]string, 0, len(a.mailboxes))
	for name := range a.mailboxes {
		if name != "INBOX" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return append([]string{"INBOX"}, names...)
}

// label counts a message in or out of the mailboxes that hold its X-GM-MSGID.
func (a *IMAPAccount) label(m *IMAPMailbox, message *imapMessage, by int) {
	if message.GmailID == 0 {
		return
	}
	held := a.labels[message.GmailID]
	if held == nil {
		held = make(map[*IMAPMailbox]int)
		a.labels[message.GmailID] = held
	}
	held[m] += by
	if held[m] == 0 {
		delete(held, m)
	}
}

// gmailLabels are a message's own labels and those that the other mailboxes it
// is in make; the one it is seen in is not told of.
func (a *IMAPAccount) gmailLabels(m *IMAPMailbox, message *imapMessage) []string {
	labels := slices.Clone(message.Labels)
	for other := range a.labels[message.GmailID] {
		if other == m || hasFlag(other.attributes, `\All`) {
			continue
		}
		label := other.name
		if other.name == "INBOX" {
			label = `\Inbox`
		}
		for _, attribute := range other.attributes {
			switch attribute {
			case `\Flagged`:
				label = `\Starred`
			case `\Sent`, `\Important`:
				label = attribute
			}
		}
		if !slices.Contains(labels, label) {
			labels = append(labels, label)
		}
	}
	slices.Sort(labels)
	return labels
}

// Deliver puts one message into several mailboxes under one new X-GM-MSGID, as
// Gmail's labels do, and into the \All mailbox if there is one. It returns the
// X-GM-MSGID.
func (a *IMAPAccount) Deliver(message IMAPMessage, mailboxes ...string) (gmailID uint64) {
	defer a.lock()()
	a.gmailID++
	message.GmailID, message.UID = a.gmailID, 0
	for _, name := range a.names() {
		if hasFlag(a.mailboxes[name].attributes, `\All`) && !slices.Contains(mailboxes, name) {
			mailboxes = append([]string{name}, mailboxes...)
		}
	}
	for _, name := range mailboxes {
		m := a.get(name)
		if m == nil {
			m = a.create(name)
		}
		m.put(message)
	}
	return message.GmailID
}

// bin takes messages that were moved to Gmail's Trash or Spam out of all other
// mailboxes, as happens there.
func (a *IMAPAccount) bin(to *IMAPMailbox, moved map[*imapMessage]bool) {
	if !a.gmail || !hasFlag(to.attributes, `\Trash`) && !hasFlag(to.attributes, `\Junk`) {
		return
	}
	for _, m := range a.mailboxes {
		gone := make(map[*imapMessage]bool)
		for message := range moved {
			if m == to || a.labels[message.GmailID][m] == 0 {
				continue
			}
			for _, other := range m.messages {
				if other.GmailID == message.GmailID {
					gone[other] = true
				}
			}
		}
		m.expunge(gone)
	}
}
