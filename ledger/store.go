package ledger

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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
		meta := tx.Bucket(bucketMeta)
		if err := meta.Put([]byte("version"), binary.BigEndian.AppendUint32(nil, version)); err != nil {
			return err
		}
		if err := meta.Put([]byte("root"), []byte(hex.EncodeToString(id[:]))); err != nil {
			return err
		}
		found, err = putFound(tx, root, keys)
		return err
	})
	if err == nil {
		err = db.Sync()
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return 0, err
	}
	if err := os.Rename(tmp, path); err != nil {
		return 0, err
	}
	return found, syncDir(filepath.Dir(path))
}

func putFound(tx *bbolt.Tx, root string, keys func(string, func([16]byte)) error) (n int, err error) {
	if keys == nil {
		return 0, nil
	}
	b := tx.Bucket(bucketFound)
	scan := keys(root, func(k [16]byte) {
		if err == nil {
			err = b.Put(k[:], nil)
			n++
		}
	})
	if err = errors.Join(scan, err); err != nil {
		return n, fmt.Errorf("look for delivered messages: %w", err)
	}
	return n, nil
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
		id = string(meta.Get([]byte("root")))
		if v := meta.Get([]byte("epoch")); len(v) == 8 {
			epoch = binary.BigEndian.Uint64(v)
		}
		if id == "" {
			return fmt.Errorf("%w: it has no identity", errFormat)
		}
		return nil
	})
	return id, epoch, err
}

func (t *Tx) setEpoch(n uint64) error {
	return t.tx.Bucket(bucketMeta).Put([]byte("epoch"), number(n))
}

// identityName is the name of the file that keeps the identity of the root at
// dir.
func identityName(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:12]) + ".json"
}
