package ledger

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/bbolt"
)

// createStore makes a new store with an identity of its own, holding the keys
// that are found in the names below root. It is built under another name and
// renamed, as a power cut in its first moments could leave a store that is
// neither empty nor valid.
func createStore(path, root string, keys func(string, func([16]byte)) error) (found int, err error) {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	db, err := bbolt.Open(tmp, 0o600, &bbolt.Options{Timeout: lockPatience, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return 0, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketIntents, bucketMailboxes, bucketFound, bucketMemory} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		var id [16]byte
		rand.Read(id[:])
		t := &Tx{tx: tx}
		err := errors.Join(
			t.setMeta(keyVersion, binary.BigEndian.AppendUint32(nil, version)),
			t.setMeta(keyRoot, []byte(hex.EncodeToString(id[:]))),
			t.setEpoch(0))
		if err != nil {
			return err
		}
		found, err = putFound(tx, root, keys)
		return err
	})
	if err == nil {
		err = db.Sync()
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return 0, errors.Join(err, os.Remove(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return 0, err
	}
	// The state's own directory too: its maker may have been killed before it was synced.
	return found, errors.Join(syncDir(filepath.Dir(path)), syncDir(root))
}

func putFound(tx *bbolt.Tx, root string, keys func(string, func([16]byte)) error) (n int, err error) {
	if keys == nil {
		return 0, nil
	}
	var found []Key
	if err := keys(root, func(k [16]byte) { found = append(found, k) }); err != nil {
		return 0, fmt.Errorf("look for delivered messages: %w", err)
	}
	// In order, as bbolt takes time that is quadratic in the number of keys otherwise.
	slices.SortFunc(found, func(a, b Key) int { return bytes.Compare(a[:], b[:]) })
	found = slices.Compact(found)
	b := tx.Bucket(bucketFound)
	for _, k := range found {
		if err := b.Put(k[:], seal(nil, bucketFound, k[:])); err != nil {
			return 0, err
		}
	}
	return len(found), nil
}

// rebuild adds what the names below root say was delivered, and sets the
// epoch.
func (l *Ledger) rebuild(root string, epoch uint64, keys func(string, func([16]byte)) error) (n int, err error) {
	err = l.Commit(func(t *Tx) error {
		if n, err = putFound(t.tx, root, keys); err != nil {
			return err
		}
		return t.setEpoch(epoch)
	})
	if err != nil {
		return n, err
	}
	return n, l.view(l.loadFound)
}

func (l *Ledger) wasFound(k Key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.found[k]
}

func (l *Ledger) identity() (id string, epoch uint64, err error) {
	err = l.view(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		v, err := unseal(meta.Get(keyRoot), bucketMeta, keyRoot)
		if err != nil {
			return err
		}
		id = string(v)
		if v, err = unseal(meta.Get(keyEpoch), bucketMeta, keyEpoch); err != nil || len(v) != 8 {
			return fmt.Errorf("%w: epoch", errFormat)
		}
		epoch = binary.BigEndian.Uint64(v)
		return nil
	})
	return id, epoch, err
}

func (t *Tx) setEpoch(n uint64) error { return t.setMeta(keyEpoch, number(n)) }

func (t *Tx) setMeta(key, value []byte) error {
	return t.tx.Bucket(bucketMeta).Put(key, seal(value, bucketMeta, key))
}

// identityName is the name of the file that keeps the identity of the root at
// dir.
func identityName(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:12]) + ".json"
}
