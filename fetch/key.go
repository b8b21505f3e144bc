package fetch

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"strconv"

	"postrider/ledger"
)

// origins makes keys for the messages of one remote mailbox.
type origins struct {
	prefix []byte
	hash   hash.Hash
	sum    [sha256.Size]byte
	text   []byte
}

func newOrigins(protocol, account, mailbox string) *origins {
	o := &origins{hash: sha256.New()}
	for _, s := range []string{protocol, account, mailbox} {
		o.prefix = append(append(o.prefix, s...), 0)
	}
	return o
}

// byUID is the key of a message that the server identifies; occurrence counts
// messages with the same identifier.
func (o *origins) byUID(uid []byte, occurrence int) ledger.Key { return o.key('u', uid, occurrence) }

// byNumber is the key of a message whose number lasts within an epoch.
func (o *origins) byNumber(epoch, n uint32) ledger.Key {
	id := strconv.AppendUint(make([]byte, 0, 24), uint64(epoch), 10)
	return o.key('n', strconv.AppendUint(append(id, '.'), uint64(n), 10), 0)
}

// byContent is the key of a message that the server does not identify;
// occurrence counts messages of the same content.
func (o *origins) byContent(d ledger.Digest, occurrence int) ledger.Key {
	return o.key('c', d[:], occurrence)
}

func (o *origins) key(kind byte, id []byte, occurrence int) ledger.Key {
	o.text = append(o.text[:0], o.prefix...)
	o.text = append(o.text, kind)
	o.text = append(o.text, id...)
	o.text = append(o.text, 0)
	o.text = binary.AppendUvarint(o.text, uint64(occurrence))
	o.hash.Reset()
	o.hash.Write(o.text)
	return ledger.Key(o.hash.Sum(o.sum[:0])[:16])
}
