package mailtest

import (
	"slices"
	"sort"
	"strings"
	"time"
)

// IMAPMailbox is one mailbox on an [IMAP] server. It lives as long as the server
// or until it is deleted, and may be used from any goroutine while sessions run:
// they are told what changed as soon as RFC 3501 section 5.2 allows it, and at
// once when they idle.
type IMAPMailbox struct {
	account *IMAPAccount // whose lock guards what follows

	name       string
	attributes []string // special use, as LIST shows it
	subscribed bool
	deleted    bool

	validity uint32
	next     uint32 // the next UID
	modseq   uint64
	messages []*imapMessage // by UID
	gone     []imapGone     // what was expunged, oldest first
	changes  uint64         // so that a session knows at a glance whether to look
	era      int            // of the numbering; sessions of another era must end
}

// IMAPMessage is a message in a mailbox.
type IMAPMessage struct {
	UID     uint32
	Octets  []byte    // as FETCH sends them; not to be changed
	Flags   []string  // without \Recent
	Date    time.Time // INTERNALDATE
	ModSeq  uint64    // of its last change (RFC 7162)
	GmailID uint64    // X-GM-MSGID
	Labels  []string  // X-GM-LABELS besides those that its mailboxes make
}

type imapMessage struct {
	IMAPMessage
	gone bool // from the mailbox, though sessions may still number it
}

// imapGone is what QRESYNC needs to know of an expunged message.
type imapGone struct {
	uid    uint32
	modseq uint64
}

// Name is the mailbox's name in UTF-8.
func (m *IMAPMailbox) Name() string {
	defer m.account.lock()()
	return m.name
}

// Add appends a message that arrives now, and returns its UID. octets are what
// the client shall see, line ends included: usually [Wire] of a file. The
// mailbox keeps the slice.
func (m *IMAPMailbox) Add(octets []byte, flags ...string) (uid uint32) {
	return m.Put(IMAPMessage{Octets: octets, Flags: flags})
}

// Put appends a message with all its attributes. The UID is taken if it is not
// below UIDNEXT, else the next one is; a date that is not set is now; ModSeq is
// the mailbox's to give, and so is GmailID if it is 0 and the server has such.
func (m *IMAPMailbox) Put(message IMAPMessage) (uid uint32) {
	defer m.account.lock()()
	return m.put(message).UID
}

func (m *IMAPMailbox) put(message IMAPMessage) *imapMessage {
	if message.UID < m.next {
		message.UID = m.next
	}
	if message.Date.IsZero() {
		message.Date = time.Now()
	}
	if message.GmailID == 0 && m.account.gmail {
		m.account.gmailID++
		message.GmailID = m.account.gmailID
	}
	message.Flags = slices.Clone(message.Flags)
	m.next = message.UID + 1
	m.modseq++
	message.ModSeq = m.modseq
	stored := &imapMessage{IMAPMessage: message}
	m.messages = append(m.messages, stored)
	m.account.label(m, stored, 1)
	m.changed()
	return stored
}

// Remove expunges a message, as another client would, and says whether there
// was one.
func (m *IMAPMailbox) Remove(uid uint32) bool {
	defer m.account.lock()()
	i, found := m.find(uid)
	if found {
		m.expunge(map[*imapMessage]bool{m.messages[i]: true})
	}
	return found
}

// expunge removes messages, all in one change.
func (m *IMAPMailbox) expunge(gone map[*imapMessage]bool) {
	if len(gone) == 0 {
		return
	}
	m.modseq++
	kept := make([]*imapMessage, 0, len(m.messages))
	for _, message := range m.messages {
		if !gone[message] {
			kept = append(kept, message)
			continue
		}
		message.gone = true
		m.gone = append(m.gone, imapGone{message.UID, m.modseq})
		m.account.label(m, message, -1)
	}
	m.messages = kept
	m.changed()
}

// Messages returns what is in the mailbox now, by UID.
func (m *IMAPMailbox) Messages() []IMAPMessage {
	defer m.account.lock()()
	list := make([]IMAPMessage, len(m.messages))
	for i, message := range m.messages {
		list[i] = message.IMAPMessage
	}
	return list
}

// Len is the number of messages in the mailbox now.
func (m *IMAPMailbox) Len() int {
	defer m.account.lock()()
	return len(m.messages)
}

// SetFlags gives a message these flags and no others, and says whether there is
// such a message.
func (m *IMAPMailbox) SetFlags(uid uint32, flags ...string) bool {
	defer m.account.lock()()
	i, found := m.find(uid)
	if found {
		m.setFlags(m.messages[i], slices.Clone(flags))
		m.changed()
	}
	return found
}

// setFlags takes the slice; those that are in use already are never changed.
func (m *IMAPMailbox) setFlags(message *imapMessage, flags []string) {
	m.modseq++
	message.Flags, message.ModSeq = flags, m.modseq
}

// UIDValidity is the mailbox's UIDVALIDITY.
func (m *IMAPMailbox) UIDValidity() uint32 {
	defer m.account.lock()()
	return m.validity
}

// SetUIDValidity changes the UIDVALIDITY and leaves the UIDs as they are. A
// session that has the mailbox open gets a BYE at its next command.
func (m *IMAPMailbox) SetUIDValidity(validity uint32) {
	defer m.account.lock()()
	m.validity = validity
	m.era++
	m.changed()
}

// Renumber is SetUIDValidity with new UIDs, from 1 on in the same order. What was
// expunged is forgotten.
func (m *IMAPMailbox) Renumber(validity uint32) {
	defer m.account.lock()()
	m.validity = validity
	m.era++
	m.gone = nil
	list := make([]*imapMessage, len(m.messages))
	for i, old := range m.messages {
		message := *old
		message.UID = uint32(i) + 1
		list[i] = &message
	}
	m.messages, m.next = list, uint32(len(list))+1
	m.changed()
}

// UIDNext is the UID that the next message will have.
func (m *IMAPMailbox) UIDNext() uint32 {
	defer m.account.lock()()
	return m.next
}

// SkipUIDs leaves a gap of n UIDs.
func (m *IMAPMailbox) SkipUIDs(n uint32) {
	defer m.account.lock()()
	m.next += n
	m.changed()
}

// HighestModSeq is the mailbox's HIGHESTMODSEQ (RFC 7162 section 3.1.2.1).
func (m *IMAPMailbox) HighestModSeq() uint64 {
	defer m.account.lock()()
	return m.modseq
}

// find returns the index of the first message whose UID is not below uid.
func (m *IMAPMailbox) find(uid uint32) (i int, found bool) {
	i = sort.Search(len(m.messages), func(i int) bool { return m.messages[i].UID >= uid })
	return i, i < len(m.messages) && m.messages[i].UID == uid
}

// changed wakes the sessions of the account, for they may idle.
func (m *IMAPMailbox) changed() {
	m.changes++
	m.account.wake()
}

// hasFlag reports whether a flag is among flags; case does not matter. Flags are
// ASCII, so that their length decides most of it.
func hasFlag(flags []string, flag string) bool {
	return slices.ContainsFunc(flags, func(f string) bool { return len(f) == len(flag) && strings.EqualFold(f, flag) })
}
