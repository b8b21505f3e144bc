package ledger

import (
	"time"

	"go.etcd.io/bbolt"
)

// Mailbox is what the ledger knows of one remote mailbox. It is loaded whole
// and belongs to one goroutine. Its changes are in memory at once and become
// durable with the Tx that Save gets.
type Mailbox struct {
	ledger  *Ledger
	id      string
	keys    []Key
	facts   []fact
	free    []int // places of removed records
	index   index
	dirty   map[int]bool   // blocks
	digests map[int]Digest // by place, to be written
	aside   map[Key]Aside
	changes map[Key]bool // of aside
	told    []Key        // found in a folder, and recorded or forgotten here since
	present int          // number of records
}

// Aside is a message that could not be fetched. It is tried again.
type Aside struct {
	UID    string    `json:"uid"`
	Reason string    `json:"reason"`
	Tries  int       `json:"tries"`
	Breaks bool      `json:"breaks,omitempty"` // the session broke at it, more than once
	Since  time.Time `json:"since"`
}

// Mailbox loads what is known of a remote mailbox.
func (l *Ledger) Mailbox(id string) (*Mailbox, error) {
	m := &Mailbox{ledger: l, id: id, dirty: map[int]bool{}, digests: map[int]Digest{}, aside: map[Key]Aside{}, changes: map[Key]bool{}}
	err := l.view(func(tx *bbolt.Tx) error {
		if tx.Bucket(bucketMailboxes).Bucket([]byte(id)) == nil {
			return nil
		}
		parts, err := partsOf(tx, []byte(id))
		if err != nil {
			return err
		}
		if err := m.loadKnown(parts[0], tx.Size()); err != nil {
			return err
		}
		err = m.loadAside(parts[2])
		releasePages(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Len is the number of known messages.
func (m *Mailbox) Len() int { return m.present }

// Places is one more than the highest place that Find can return.
func (m *Mailbox) Places() int { return len(m.keys) }

// Find returns the place of a message in the mailbox's memory, which stays the
// same until the message is forgotten.
func (m *Mailbox) Find(k Key) (place int, ok bool) { return m.index.find(m.keys, k) }

// At returns the record at a place, without its digest.
func (m *Mailbox) At(place int) (Record, bool) {
	f := m.facts[place]
	r := Record{Key: m.keys[place], Octets: f.octets, Time: time.Unix(int64(f.time), 0), State: f.state}
	if f.gone != 0 {
		r.Gone = time.Unix(int64(f.gone)*int64(day/time.Second), 0)
	}
	return r, f.used
}

// Adopt records a message of which the key was found in a folder when a lost
// ledger was rebuilt. It returns false if it was not.
func (m *Mailbox) Adopt(k Key, octets int64, now time.Time) (place int, ok bool) {
	if !m.ledger.wasFound(k) {
		return 0, false
	}
	return m.Add(Record{Key: k, Octets: octets, Time: now}), true
}

// Add records a message and returns its place. A message with the same key is
// replaced.
func (m *Mailbox) Add(r Record) int {
	place, known := m.Find(r.Key)
	if !known {
		place = m.place()
		m.present++
		m.index.reserve(m.keys, m.facts)
		m.keys[place] = r.Key
		m.index.insert(m.keys, place)
	}
	m.facts[place] = fact{octets: r.Octets, time: uint32(r.Time.Unix()), state: r.State, used: true}
	m.digests[place] = r.Content
	m.touch(place)
	m.tell(r.Key)
	return place
}

// tell notes that the mailbox knows better of a message than the list of what
// was found in folders: when the server uses its identifier again, after it was
// forgotten here, that is a new message.
func (m *Mailbox) tell(k Key) {
	if m.ledger.wasFound(k) {
		m.told = append(m.told, k)
	}
}

// place returns a free one, making a block of them if there is none.
func (m *Mailbox) place() int {
	if len(m.free) == 0 {
		n := len(m.keys)
		m.keys = append(m.keys, make([]Key, blockRecords)...)
		m.facts = append(m.facts, make([]fact, blockRecords)...)
		for i := n + blockRecords - 1; i >= n; i-- {
			m.free = append(m.free, i)
		}
	}
	place := m.free[len(m.free)-1]
	m.free = m.free[:len(m.free)-1]
	return place
}

// SetState changes the state of the message at a place.
func (m *Mailbox) SetState(place int, s State) {
	m.facts[place].state = s
	m.touch(place)
}

// SetGone notes that the server does not list the message at a place any more.
func (m *Mailbox) SetGone(place int, now time.Time) {
	m.facts[place].gone = uint16(now.Unix() / int64(day/time.Second))
	m.touch(place)
}

// SetThere notes that the server lists the message at a place, with the
// announced size.
func (m *Mailbox) SetThere(place int, octets int64) {
	m.facts[place].gone, m.facts[place].octets = 0, octets
	m.touch(place)
}

// Forget removes the message at a place.
func (m *Mailbox) Forget(place int) {
	if !m.facts[place].used {
		return
	}
	m.tell(m.keys[place])
	m.index.remove(m.keys, place)
	m.facts[place] = fact{}
	m.keys[place] = Key{}
	m.free = append(m.free, place)
	m.present--
	m.touch(place)
}

// SetAside notes that a message could not be fetched.
func (m *Mailbox) SetAside(k Key, uid, reason string, breaks bool, now time.Time) Aside {
	a := m.aside[k]
	if a.Tries == 0 {
		a.Since = now
	}
	a.UID, a.Reason, a.Breaks, a.Tries = uid, reason, breaks, a.Tries+1
	m.aside[k] = a
	m.changes[k] = true
	return a
}

// ClearAside forgets that a message could not be fetched.
func (m *Mailbox) ClearAside(k Key) {
	if _, ok := m.aside[k]; ok {
		delete(m.aside, k)
		m.changes[k] = true
	}
}

// Aside returns what is noted of a message that was set aside.
func (m *Mailbox) Aside(k Key) (Aside, bool) { a, ok := m.aside[k]; return a, ok }

// EachAside calls each with every message that is set aside.
func (m *Mailbox) EachAside(each func(Key, Aside)) {
	for k, a := range m.aside {
		each(k, a)
	}
}

func (m *Mailbox) touch(place int) { m.dirty[place/blockRecords] = true }

// Changed tells whether there is anything to save.
func (m *Mailbox) Changed() bool { return len(m.dirty) > 0 || len(m.changes) > 0 }
