package ledger

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"time"

	"go.etcd.io/bbolt"
)

// Records lie in blocks in the order of their arrival, so that a batch changes
// one or two pages whatever the size of the mailbox, and a poll reads them as
// one run. Digests lie apart, as a poll does not need them. Block sizes are
// chosen so that four fill a page.
const (
	blockRecords = 30
	recordSize   = 16 + 8 + 4 + 1 + 3 // key, octets, time, state and use, unused
	digestSize   = len(Digest{})
)

var (
	bucketKnown   = []byte("known")
	bucketContent = []byte("content")
	bucketAside   = []byte("aside")
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
	adopted []Key        // found in a folder, recorded here now
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
		b := tx.Bucket(bucketMailboxes).Bucket([]byte(id))
		if b == nil {
			return nil
		}
		if err := m.loadKnown(b.Bucket(bucketKnown)); err != nil {
			return fmt.Errorf("mailbox %s: %w", id, err)
		}
		return b.Bucket(bucketAside).ForEach(func(k, v []byte) error {
			var a Aside
			if err := json.Unmarshal(v, &a); err != nil || len(k) != len(Key{}) {
				return fmt.Errorf("%w: message set aside: %v", errFormat, err)
			}
			m.aside[Key(k)] = a
			return nil
		})
	})
	return m, err
}

func (m *Mailbox) loadKnown(b *bbolt.Bucket) error {
	c := b.Cursor()
	if k, _ := c.Last(); len(k) == 4 {
		n := (int(binary.BigEndian.Uint32(k)) + 1) * blockRecords
		m.keys, m.facts = make([]Key, 0, n), make([]fact, 0, n)
	}
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if len(k) != 4 || int(binary.BigEndian.Uint32(k)) != len(m.keys)/blockRecords || len(v) != blockRecords*recordSize+4 ||
			crc32.ChecksumIEEE(v[4:]) != binary.BigEndian.Uint32(v) {
			return fmt.Errorf("%w: block %x", errFormat, k)
		}
		for v = v[4:]; len(v) > 0; v = v[recordSize:] {
			m.keys = append(m.keys, Key(v[:16]))
			m.facts = append(m.facts, fact{
				octets: int64(binary.BigEndian.Uint64(v[16:])),
				time:   binary.BigEndian.Uint32(v[24:]),
				state:  State(v[28] & 0x7f),
				used:   v[28]&0x80 != 0,
			})
		}
	}
	for i := range m.facts {
		if m.facts[i].used {
			m.present++
		} else {
			m.free = append(m.free, i)
		}
	}
	m.index.reserve(m.keys, m.facts)
	return nil
}

// ID is the identifier under which the mailbox is kept.
func (m *Mailbox) ID() string { return m.id }

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
	return Record{Key: m.keys[place], Octets: f.octets, Time: time.Unix(int64(f.time), 0), State: f.state}, f.used
}

// Adopt records a message of which the key was found in a folder when a lost
// ledger was rebuilt. It returns false if it was not.
func (m *Mailbox) Adopt(k Key, octets int64, now time.Time) (place int, ok bool) {
	if !m.ledger.wasFound(k) {
		return 0, false
	}
	m.adopted = append(m.adopted, k)
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
	return place
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

// SetOctets changes the size that the server announced for the message at a
// place.
func (m *Mailbox) SetOctets(place int, octets int64) {
	m.facts[place].octets = octets
	m.touch(place)
}

// Forget removes the message at a place.
func (m *Mailbox) Forget(place int) {
	if !m.facts[place].used {
		return
	}
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

// Save writes the changes. The mailbox must not be changed until the Tx is
// committed.
func (m *Mailbox) Save(t *Tx) error {
	if !m.Changed() {
		return nil
	}
	b, err := t.tx.Bucket(bucketMailboxes).CreateBucketIfNotExists([]byte(m.id))
	if err != nil {
		return err
	}
	var parts [3]*bbolt.Bucket
	for i, name := range [][]byte{bucketKnown, bucketContent, bucketAside} {
		if parts[i], err = b.CreateBucketIfNotExists(name); err != nil {
			return err
		}
		parts[i].FillPercent = 1 // blocks are only added at the end: full pages stay full
	}
	if err := m.saveBlocks(parts[0], parts[1]); err != nil {
		return err
	}
	if err := m.saveAside(parts[2]); err != nil {
		return err
	}
	for _, k := range m.adopted {
		if err := t.tx.Bucket(bucketFound).Delete(k[:]); err != nil {
			return err
		}
	}
	t.after = append(t.after, func() {
		clear(m.dirty)
		clear(m.digests)
		clear(m.changes)
		for _, k := range m.adopted {
			delete(m.ledger.found, k)
		}
		m.adopted = nil
	})
	return nil
}

func (m *Mailbox) saveBlocks(known, content *bbolt.Bucket) error {
	for n := range m.dirty {
		block := binary.BigEndian.AppendUint32(nil, uint32(n))
		if err := known.Put(block, m.encode(n)); err != nil {
			return err
		}
		digests := make([]byte, blockRecords*digestSize)
		old := content.Get(block)
		copy(digests, old)
		for i := range blockRecords {
			if d, ok := m.digests[n*blockRecords+i]; ok {
				copy(digests[i*digestSize:], d[:])
			}
		}
		if string(old) == string(digests) {
			continue
		}
		if err := content.Put(block, digests); err != nil {
			return err
		}
	}
	return nil
}

func (m *Mailbox) encode(block int) []byte {
	v := make([]byte, 4, 4+blockRecords*recordSize)
	for i := block * blockRecords; i < (block+1)*blockRecords; i++ {
		f := m.facts[i]
		state := byte(f.state)
		if f.used {
			state |= 0x80
		}
		v = append(v, m.keys[i][:]...)
		v = binary.BigEndian.AppendUint64(v, uint64(f.octets))
		v = binary.BigEndian.AppendUint32(v, f.time)
		v = append(v, state, 0, 0, 0)
	}
	binary.BigEndian.PutUint32(v, crc32.ChecksumIEEE(v[4:]))
	return v
}

func (m *Mailbox) saveAside(b *bbolt.Bucket) error {
	for k := range m.changes {
		a, ok := m.aside[k]
		if !ok {
			if err := b.Delete(k[:]); err != nil {
				return err
			}
			continue
		}
		v, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("encode message set aside: %w", err)
		}
		if err := b.Put(k[:], v); err != nil {
			return err
		}
	}
	return nil
}

// Digests returns the digests of the messages at the given places; zero where
// none is known.
func (m *Mailbox) Digests(places []int) ([]Digest, error) {
	digests := make([]Digest, len(places))
	err := m.ledger.view(func(tx *bbolt.Tx) error {
		var content *bbolt.Bucket
		if b := tx.Bucket(bucketMailboxes).Bucket([]byte(m.id)); b != nil {
			content = b.Bucket(bucketContent)
		}
		for i, place := range places {
			if d, ok := m.digests[place]; ok {
				digests[i] = d
				continue
			}
			if content == nil {
				continue
			}
			v := content.Get(binary.BigEndian.AppendUint32(nil, uint32(place/blockRecords)))
			if at := place % blockRecords * digestSize; len(v) >= at+digestSize {
				digests[i] = Digest(v[at:])
			}
		}
		return nil
	})
	return digests, err
}
