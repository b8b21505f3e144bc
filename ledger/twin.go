package ledger

import (
	"fmt"

	"go.etcd.io/bbolt"
)

// bucketTwins: set -> number -> nothing. It is made when the first twin is
// noted.
var bucketTwins = []byte("twins")

// AddTwins notes that messages were delivered that their server calls by these
// numbers in whatever mailbox they are.
func (t *Tx) AddTwins(set string, numbers ...uint64) error {
	b, err := t.tx.CreateBucketIfNotExists(bucketTwins)
	if err != nil {
		return err
	}
	if b, err = b.CreateBucketIfNotExists([]byte(set)); err != nil {
		return err
	}
	for _, n := range numbers {
		k := number(n)
		if err := b.Put(k, seal(nil, bucketTwins, []byte(set), k)); err != nil {
			return err
		}
	}
	return nil
}

// HasTwin tells whether a message of this number was delivered from any
// mailbox of any of the sets.
func (l *Ledger) HasTwin(sets []string, n uint64) (has bool, err error) {
	err = l.view(func(tx *bbolt.Tx) error {
		twins := tx.Bucket(bucketTwins)
		if twins == nil {
			return nil
		}
		for _, set := range sets {
			b := twins.Bucket([]byte(set))
			if b == nil {
				continue
			}
			k := number(n)
			v := b.Get(k)
			if v == nil {
				continue
			}
			if _, err := unseal(v, bucketTwins, []byte(set), k); err != nil {
				return fmt.Errorf("%w: twin %d", errFormat, n)
			}
			has = true
		}
		return nil
	})
	return has, err
}
