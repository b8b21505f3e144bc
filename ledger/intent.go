package ledger

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sort"
	"time"
	"unicode/utf8"
)

// Key says where a message came from: a hash of account, mailbox and the
// server's own identifier. It stands in the name of the message's file too.
type Key [16]byte

// Digest is the beginning of the SHA-256 of a message as it was stored. Zero
// means not known.
type Digest [16]byte

// Batch is a set of messages that are to be moved from tmp/ into one folder.
type Batch struct {
	Mailbox string    `json:"mailbox"`         // id of the remote mailbox
	Folder  string    `json:"folder"`          // path below the root
	Twins   string    `json:"twins,omitempty"` // the set that the twins belong to
	Time    time.Time `json:"time"`
	Intents []Intent  `json:"intents"`
	number  uint64
}

// Intent is one message of a Batch.
type Intent struct {
	Key    Key      `json:"key"`
	Tmp    string   `json:"tmp"`  // name in tmp/
	Name   string   `json:"name"` // name in new/ or cur/
	Cur    bool     `json:"cur,omitempty"`
	Octets int64    `json:"octets"`         // of the stored file
	Sum    [32]byte `json:"sum"`            // SHA-256 of the stored file
	Listed int64    `json:"listed"`         // octets that the server announced, -1 if none
	State  State    `json:"state"`          // what the record will say
	Date   int64    `json:"date,omitempty"` // modification time of the file, in Unix seconds; 0: that of its writing
	Twin   uint64   `json:"twin,omitempty"` // what the message is called in every mailbox of the server; 0: nothing
}

// Intend records a batch before its messages are published. The returned
// handle goes to Deliver. It may be used as soon as the Tx is committed.
func (t *Tx) Intend(l *Ledger, b Batch) (Batch, error) {
	l.mu.Lock()
	b.number = l.next
	l.next++
	l.mu.Unlock()
	value, err := encodeBatch(b)
	if err != nil {
		return b, err
	}
	t.after = append(t.after, func() { l.open[b.number] = b })
	return b, t.tx.Bucket(bucketIntents).Put(number(b.number), value)
}

// Settle takes a batch out of the open intents: its messages were delivered,
// which the Mailbox records in the same Tx, or given up.
func (t *Tx) Settle(l *Ledger, b Batch) error {
	t.after = append(t.after, func() { delete(l.open, b.number) })
	return t.tx.Bucket(bucketIntents).Delete(number(b.number))
}

// Open returns the batches of a mailbox that are not settled, oldest first; of
// all mailboxes if it is "".
func (l *Ledger) Open(mailbox string) []Batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	var open []Batch
	for _, b := range l.open {
		if mailbox == "" || b.Mailbox == mailbox {
			open = append(open, b)
		}
	}
	sort.Slice(open, func(i, k int) bool { return open[i].number < open[k].number })
	return open
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func encodeBatch(b Batch) ([]byte, error) {
	// JSON would change other names without a word, and recovery would not find the files.
	for _, in := range b.Intents {
		if !utf8.ValidString(in.Tmp) || !utf8.ValidString(in.Name) {
			return nil, fmt.Errorf("encode intents: name %q is not UTF-8", in.Tmp)
		}
	}
	if !utf8.ValidString(b.Mailbox) || !utf8.ValidString(b.Folder) {
		return nil, fmt.Errorf("encode intents: name of mailbox %q or folder %q is not UTF-8", b.Mailbox, b.Folder)
	}
	text, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encode intents: %w", err)
	}
	return seal(text, bucketIntents, number(b.number)), nil
}

func decodeBatch(k, v []byte) (b Batch, err error) {
	text, err := unseal(v, bucketIntents, k)
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(text, &b); err != nil || len(k) != 8 {
		return b, fmt.Errorf("%w: intents %x: %v", errFormat, k, err)
	}
	return b, nil
}
