package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// version is that of the store's layout. A store of a later version is refused.
const version = 1

var (
	bucketMeta      = []byte("meta")      // version, root identity, epoch
	bucketIntents   = []byte("intents")   // number -> batch of open intents
	bucketMailboxes = []byte("mailboxes") // mailbox id -> {known, content, aside}
	bucketFound     = []byte("found")     // keys found in folders when a lost ledger was rebuilt
	bucketMemory    = []byte("memory")    // name -> what a caller wants to know again next time

	keyVersion = []byte("version")
	keyRoot    = []byte("root")
	keyEpoch   = []byte("epoch")
)

// Ledger is an open store. Its methods may be called from many goroutines at
// once; a Mailbox belongs to one goroutine.
type Ledger struct {
	db       *bbolt.DB
	path     string
	torn     bool // the file's last commit may be missing
	requests chan request
	stop     chan struct{} // closed when nothing more is to be committed
	done     chan struct{} // closed when nothing more is

	mu     sync.Mutex
	failed error            // after a failed commit the memory and the disk may differ: nothing more is done
	open   map[uint64]Batch // intents that are not delivered yet
	found  map[Key]bool     // nil when nothing was rebuilt
	next   uint64           // number of the next batch of intents
}

type request struct {
	change func(*Tx) error
	result chan<- error
}

// Tx is a change to the ledger that becomes durable as a whole.
type Tx struct {
	tx    *bbolt.Tx
	after []func() // run when the change is durable
}

// openStore opens the store at path, which must exist.
func openStore(path string) (*Ledger, error) {
	if st, err := os.Stat(path); err != nil {
		return nil, err
	} else if st.Size() == 0 {
		return nil, &DamageError{path, errors.New("the file is empty")}
	}
	l := &Ledger{path: path, requests: make(chan request), stop: make(chan struct{}), done: make(chan struct{}), open: map[uint64]Batch{}}
	err := l.guard(func() (err error) {
		if l.torn, err = inspect(path); err != nil {
			return err
		}
		// The lock of the root is held: nobody else has the store open for longer than it takes to end.
		l.db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockPatience, FreelistType: bbolt.FreelistMapType})
		if err != nil {
			return err
		}
		return l.db.View(l.load)
	})
	if err != nil {
		if l.db != nil {
			_ = l.guard(l.db.Close)
		}
		if errors.Is(err, bolterrors.ErrTimeout) {
			err = ErrLocked // the lock file was removed under a running instance
		}
		return nil, fmt.Errorf("open ledger: %w", storeError(path, err))
	}
	go l.write()
	return l, nil
}

// storeError tells a store that is wrong from a disk that fails.
func storeError(path string, err error) error {
	for _, e := range []error{bolterrors.ErrInvalid, bolterrors.ErrChecksum, bolterrors.ErrVersionMismatch, errFormat} {
		if errors.Is(err, e) {
			return &DamageError{path, err}
		}
	}
	return err
}

func (l *Ledger) load(tx *bbolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return fmt.Errorf("%w: it is no ledger of postrider", errFormat)
	}
	v, err := unseal(meta.Get(keyVersion), bucketMeta, keyVersion)
	if err != nil {
		return err
	}
	if len(v) != 4 || binary.BigEndian.Uint32(v) != version {
		return fmt.Errorf("the ledger %s has layout %x, this postrider knows layout %d: use the postrider that wrote it, or a later one", l.path, v, version)
	}
	for _, name := range [][]byte{bucketIntents, bucketMailboxes, bucketFound, bucketMemory} {
		if tx.Bucket(name) == nil {
			return fmt.Errorf("%w: %s is missing", errFormat, name)
		}
	}
	err = tx.Bucket(bucketIntents).ForEach(func(k, v []byte) error {
		batch, err := decodeBatch(k, v)
		if err != nil {
			return err
		}
		batch.number = binary.BigEndian.Uint64(k)
		l.open[batch.number] = batch
		l.next = max(l.next, batch.number+1)
		return nil
	})
	if err != nil {
		return err
	}
	if err := tx.Bucket(bucketMailboxes).ForEachBucket(func(id []byte) error { return verifyName(tx, id) }); err != nil {
		return err
	}
	err = tx.Bucket(bucketMemory).ForEach(func(k, v []byte) error {
		_, err := unseal(v, bucketMemory, k)
		return err
	})
	if err != nil {
		return err
	}
	return l.loadFound(tx)
}

func (l *Ledger) loadFound(tx *bbolt.Tx) error {
	return tx.Bucket(bucketFound).ForEach(func(k, v []byte) error {
		if _, err := unseal(v, bucketFound, k); err != nil || len(k) != len(Key{}) {
			return fmt.Errorf("%w: key %x of a message that was found", errFormat, k)
		}
		if l.found == nil {
			l.found = map[Key]bool{}
		}
		l.found[Key(k)] = true
		return nil
	})
}

// guard turns what bbolt does on a damaged file (a panic, or a fault in the
// mapped memory) into an error.
func (l *Ledger) guard(f func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		if r := recover(); r != nil {
			err = &DamageError{l.path, fmt.Errorf("%v", r)}
		}
	}()
	return f()
}

// Commit makes the change durable. Changes that are asked for at the same time
// are made together. change runs on the ledger's own goroutine and must only
// use its Tx; it must not wait. After an error the ledger accepts nothing
// more: what is on disk is then the truth, and a new start recovers from it.
// change must therefore fail for nothing less than that.
func (l *Ledger) Commit(change func(*Tx) error) error {
	result := make(chan error, 1)
	select {
	case l.requests <- request{change, result}:
		return <-result
	case <-l.done:
		return errors.New("the ledger is closed")
	}
}

// write owns all writing. Requests that it has taken are carried out, also
// when stop is closed meanwhile.
func (l *Ledger) write() {
	defer close(l.done)
	for {
		var requests []request
		select {
		case r := <-l.requests:
			requests = append(requests, r)
		case <-l.stop:
			return
		}
		for more := true; more; {
			select {
			case r := <-l.requests:
				requests = append(requests, r)
			default:
				more = false
			}
		}
		err := l.commit(requests)
		for _, r := range requests {
			r.result <- err
		}
	}
}

func (l *Ledger) commit(requests []request) error {
	if err := l.Err(); err != nil {
		return err
	}
	t := &Tx{}
	err := l.guard(func() error {
		return l.db.Update(func(tx *bbolt.Tx) error {
			t.tx = tx
			for _, r := range requests {
				if err := r.change(t); err != nil {
					return err
				}
			}
			return nil
		})
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed = fmt.Errorf("write ledger %s: %w", l.path, storeError(l.path, err))
		return l.failed
	}
	for _, f := range t.after {
		f()
	}
	return nil
}

// Err is the error after which the ledger accepts nothing more, or nil.
func (l *Ledger) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

func (l *Ledger) view(f func(*bbolt.Tx) error) error {
	if err := l.Err(); err != nil {
		return err
	}
	if err := l.guard(func() error { return l.db.View(f) }); err != nil {
		return fmt.Errorf("read ledger: %w", storeError(l.path, err))
	}
	return nil
}

// Close waits for the commits under way. What comes later is refused. It is
// called once.
func (l *Ledger) Close() error {
	close(l.stop)
	<-l.done
	if err := l.guard(l.db.Close); err != nil {
		return fmt.Errorf("close ledger: %w", err)
	}
	return nil
}

// Memory returns what was last remembered under name, or nil.
func (l *Ledger) Memory(name string) (value []byte, err error) {
	err = l.view(func(tx *bbolt.Tx) error {
		v := tx.Bucket(bucketMemory).Get([]byte(name))
		if v == nil {
			return nil
		}
		v, err := unseal(v, bucketMemory, []byte(name))
		value = append(value, v...) // v itself lives no longer than tx
		return err
	})
	return value, err
}

// Memories calls each with everything that is remembered under names that begin
// with prefix, in the order of the names. The value is each's to keep.
func (l *Ledger) Memories(prefix string, each func(name string, value []byte) error) error {
	return l.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketMemory).Cursor()
		for k, v := c.Seek([]byte(prefix)); k != nil && strings.HasPrefix(string(k), prefix); k, v = c.Next() {
			v, err := unseal(v, bucketMemory, k)
			if err != nil {
				return err
			}
			if err := each(string(k), append([]byte(nil), v...)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Remember keeps value under name: a fact that spares work next time, such as
// what a server can do, or that calls for more care.
func (t *Tx) Remember(name string, value []byte) error {
	if len(value) == 0 {
		return t.tx.Bucket(bucketMemory).Delete([]byte(name))
	}
	return t.tx.Bucket(bucketMemory).Put([]byte(name), seal(value, bucketMemory, []byte(name)))
}
