package ledger

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"
)

// Records lie in blocks in the order of their arrival, so that a batch changes
// one or two pages whatever the size of the mailbox, and a poll reads them as
// one run. Digests lie apart, as a poll does not need them. Block sizes are
// chosen so that four fill a page.
const (
	blockRecords = 30
	recordSize   = 16 + 8 + 4 + 1 + 2 + 1 // key, octets, time, state and use, day since it is gone, unused
	digestSize   = len(Digest{})

	// releaseEvery is after how many records that were read their pages are
	// given back.
	releaseEvery = 1000 * blockRecords
)

var (
	bucketKnown   = []byte("known")
	bucketContent = []byte("content")
	bucketAside   = []byte("aside")
)

// partsOf returns the three buckets of a mailbox that is in the store.
func partsOf(tx *bbolt.Tx, id []byte) (parts [3]*bbolt.Bucket, err error) {
	b := tx.Bucket(bucketMailboxes).Bucket(id)
	for i, name := range [][]byte{bucketKnown, bucketContent, bucketAside} {
		if parts[i] = b.Bucket(name); parts[i] == nil {
			return parts, fmt.Errorf("%w: mailbox %q has no %s", errFormat, id, name)
		}
	}
	return parts, nil
}

// verifyName finds out whether the bucket of a mailbox has the name under which
// its contents were sealed: under a wrong one nothing would be known of it.
func verifyName(tx *bbolt.Tx, id []byte) error {
	parts, err := partsOf(tx, id)
	if err != nil {
		return err
	}
	for i, name := range map[int][]byte{0: bucketKnown, 2: bucketAside} {
		if k, v := parts[i].Cursor().First(); k != nil {
			if _, err := unseal(v, id, name, k); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Mailbox) loadKnown(b *bbolt.Bucket, size int64) error {
	c := b.Cursor()
	if k, _ := c.Last(); len(k) == 4 && int64(binary.BigEndian.Uint32(k)) < size/(blockRecords*recordSize) {
		n := (int(binary.BigEndian.Uint32(k)) + 1) * blockRecords
		m.keys, m.facts = make([]Key, 0, n), make([]fact, 0, n)
	}
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if len(m.keys)%releaseEvery == 0 {
			releasePages(b.Tx())
		}
		v, err := unseal(v, []byte(m.id), bucketKnown, k)
		if err != nil {
			return err
		}
		if len(k) != 4 || int(binary.BigEndian.Uint32(k)) != len(m.keys)/blockRecords || len(v) != blockRecords*recordSize {
			return fmt.Errorf("%w: mailbox %q, block %x", errFormat, m.id, k)
		}
		for ; len(v) > 0; v = v[recordSize:] {
			m.keys = append(m.keys, Key(v[:16]))
			m.facts = append(m.facts, fact{
				octets: int64(binary.BigEndian.Uint64(v[16:])),
				time:   binary.BigEndian.Uint32(v[24:]),
				gone:   binary.BigEndian.Uint16(v[29:]),
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

func (m *Mailbox) loadAside(b *bbolt.Bucket) error {
	return b.ForEach(func(k, v []byte) error {
		text, err := unseal(v, []byte(m.id), bucketAside, k)
		if err != nil {
			return err
		}
		var a Aside
		if err := json.Unmarshal(text, &a); err != nil || len(k) != len(Key{}) {
			return fmt.Errorf("%w: mailbox %q, message set aside: %v", errFormat, m.id, err)
		}
		m.aside[Key(k)] = a
		return nil
	})
}

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
	for _, k := range m.told {
		if err := t.tx.Bucket(bucketFound).Delete(k[:]); err != nil {
			return err
		}
	}
	t.after = append(t.after, func() {
		clear(m.dirty)
		clear(m.digests)
		clear(m.changes)
		for _, k := range m.told {
			delete(m.ledger.found, k)
		}
		m.told = nil
	})
	return nil
}

func (m *Mailbox) saveBlocks(known, content *bbolt.Bucket) error {
	for n := range m.dirty {
		block := blockKey(n)
		if err := known.Put(block, seal(m.encode(n), []byte(m.id), bucketKnown, block)); err != nil {
			return err
		}
		old, err := m.content(content, block)
		if err != nil {
			return err
		}
		digests := make([]byte, blockRecords*digestSize)
		copy(digests, old)
		for i := range blockRecords {
			if d, ok := m.digests[n*blockRecords+i]; ok {
				copy(digests[i*digestSize:], d[:])
			}
		}
		if string(old) == string(digests) {
			continue
		}
		if err := content.Put(block, seal(digests, []byte(m.id), bucketContent, block)); err != nil {
			return err
		}
	}
	return nil
}

func blockKey(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// content returns the digests of a block; none if it was never written.
func (m *Mailbox) content(b *bbolt.Bucket, block []byte) ([]byte, error) {
	v := b.Get(block)
	if v == nil {
		return nil, nil
	}
	v, err := unseal(v, []byte(m.id), bucketContent, block)
	if err == nil && len(v) != blockRecords*digestSize {
		err = fmt.Errorf("%w: mailbox %q, digests %x", errFormat, m.id, block)
	}
	return v, err
}

func (m *Mailbox) encode(block int) []byte {
	v := make([]byte, 0, blockRecords*recordSize)
	for i := block * blockRecords; i < (block+1)*blockRecords; i++ {
		f := m.facts[i]
		state := byte(f.state)
		if f.used {
			state |= 0x80
		}
		v = append(v, m.keys[i][:]...)
		v = binary.BigEndian.AppendUint64(v, uint64(f.octets))
		v = binary.BigEndian.AppendUint32(v, f.time)
		v = append(v, state)
		v = binary.BigEndian.AppendUint16(v, f.gone)
		v = append(v, 0)
	}
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
		if err := b.Put(k[:], seal(v, []byte(m.id), bucketAside, k[:])); err != nil {
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
		var parts [3]*bbolt.Bucket
		if tx.Bucket(bucketMailboxes).Bucket([]byte(m.id)) != nil {
			var err error
			if parts, err = partsOf(tx, []byte(m.id)); err != nil {
				return err
			}
		}
		blocks := map[int][]byte{}
		for i, place := range places {
			if d, ok := m.digests[place]; ok {
				digests[i] = d
				continue
			}
			n := place / blockRecords
			if _, ok := blocks[n]; !ok {
				if parts[1] == nil {
					return fmt.Errorf("%w: mailbox %q has no digests", errFormat, m.id)
				}
				v, err := m.content(parts[1], blockKey(n))
				if err != nil {
					return err
				}
				if v == nil {
					return fmt.Errorf("%w: mailbox %q has no digests %d", errFormat, m.id, n)
				}
				blocks[n] = v
			}
			digests[i] = Digest(blocks[n][place%blockRecords*digestSize:])
		}
		return nil
	})
	return digests, err
}
