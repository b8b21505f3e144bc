package mailtest

import "sync"

// Maildrop is one user's mail on a server. It lives as long as the server and
// may be used from any goroutine, while sessions run or between them: a session
// sees what was there at its login, and its deletes take effect at QUIT.
type Maildrop struct {
	mu     sync.Mutex
	stored []*stored

	lock chan struct{} // holds one token: the session that owns the maildrop
}

// MaildropMessage is a message in a maildrop.
type MaildropMessage struct {
	UID    string
	Octets []byte // as Add got them; not to be changed
	Popped bool   // retrieved in an earlier session: see POP3Quirks.Popped
}

type stored struct {
	uid    string
	octets []byte
	popped bool
}

// listed is a message as one session sees it.
type listed struct {
	*stored
	uid string
}

func newMaildrop() *Maildrop {
	return &Maildrop{lock: make(chan struct{}, 1)}
}

// Add appends a message under the unique-id uid. octets are what the client
// shall see, line ends included, before dot-stuffing: usually [Wire] of a file.
// The maildrop keeps the slice. Two messages may have the same uid.
func (m *Maildrop) Add(uid string, octets []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stored = append(m.stored, &stored{uid: uid, octets: octets})
}

// Messages returns what is in the maildrop now, oldest first.
func (m *Maildrop) Messages() []MaildropMessage {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]MaildropMessage, len(m.stored))
	for i, s := range m.stored {
		list[i] = MaildropMessage{UID: s.uid, Octets: s.octets, Popped: s.popped}
	}
	return list
}

// Len is the number of messages in the maildrop now.
func (m *Maildrop) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.stored)
}

// Remove takes the first message with this uid away, as another client would,
// and says whether there was one.
func (m *Maildrop) Remove(uid string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, s := range m.stored {
		if s.uid == uid {
			m.stored = append(m.stored[:i:i], m.stored[i+1:]...)
			return true
		}
	}
	return false
}

// SetUIDs gives each message a new uid; number counts from 1. A session that
// is open goes on with the uids of its login.
func (m *Maildrop) SetUIDs(rename func(number int, uid string) string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, s := range m.stored {
		s.uid = rename(i+1, s.uid)
	}
}

// snapshot returns what a new session sees; all includes what was popped, and
// window, if not 0, is the most that is shown.
func (m *Maildrop) snapshot(all bool, window int) []listed {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]listed, 0, len(m.stored))
	for _, s := range m.stored {
		if s.popped && !all {
			continue
		}
		if window > 0 && len(list) == window {
			break
		}
		list = append(list, listed{stored: s, uid: s.uid})
	}
	return list
}

// update is the UPDATE state: gone are removed, popped are hidden from now on.
func (m *Maildrop) update(gone, popped map[*stored]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var kept []*stored
	for _, s := range m.stored {
		if gone[s] {
			continue
		}
		if popped[s] {
			s.popped = true
		}
		kept = append(kept, s)
	}
	m.stored = kept
}
