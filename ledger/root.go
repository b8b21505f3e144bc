package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// lockPatience is how long an ending process may still hold the store.
const lockPatience = 2 * time.Second

const (
	stateDir  = ".postrider"
	storeName = "state.db"
	lockName  = "lock"
)

// Root is a directory of folders that this process has for itself.
type Root struct {
	Dir     string
	Ledger  *Ledger
	Rebuilt int  // keys taken from the folders' names, where the ledger had to be made new or was an old copy
	Behind  bool // the ledger is an older copy of itself: nothing may be removed on servers in this run

	lock     *os.File
	identity string // path of the file outside the root
	id       string

	mu     sync.Mutex
	epoch  uint64
	raised time.Time // the last time in this run
}

// raiseEvery is how old a copy of a ledger may become in a long run before it
// can be told from the ledger itself.
const raiseEvery = time.Hour

// ErrLocked says that another instance holds the root.
var ErrLocked = errors.New("another postrider is using it")

// LostError says that a root that was known has not its own state any more.
type LostError struct {
	Dir   string
	Cause string
}

func (e *LostError) Error() string {
	return fmt.Sprintf("%s is not as postrider left it: %s. Is its disk mounted? Nothing was fetched. If it is right as it is, run `postrider fetch --new-root`", e.Dir, e.Cause)
}

// RootOptions say how a root is opened.
type RootOptions struct {
	// Identities is the directory outside of all roots in which the identity
	// of each known root is kept, usually $XDG_STATE_HOME/postrider/roots.
	Identities string
	// Accept takes a root that was known and has lost its state for a new one.
	Accept bool
	// Keys calls back with the key in the name of every message of ours below
	// the root. It is asked when a ledger is made, or is an old copy.
	Keys func(root string, each func([16]byte)) error
}

// OpenRoot locks the root at dir, verifies that it is the one that was there
// before, and opens its ledger. A root that was never known is made.
func OpenRoot(dir string, o RootOptions) (*Root, error) {
	r := &Root{Dir: dir}
	err := r.openAll(o)
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Root) openAll(o RootOptions) error {
	r.identity = filepath.Join(o.Identities, identityName(r.Dir))
	known, err := readIdentity(r.identity)
	if err != nil {
		return err
	}
	store := filepath.Join(r.Dir, stateDir, storeName)
	_, err = os.Stat(store)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return fmt.Errorf("open ledger: %w", err)
	}
	if missing && known != nil && !o.Accept {
		return &LostError{r.Dir, store + " is missing"}
	}
	if err := makeDir(filepath.Join(r.Dir, stateDir)); err != nil {
		return fmt.Errorf("make state directory: %w", err)
	}
	if r.lock, err = lock(filepath.Join(r.Dir, stateDir, lockName)); err != nil {
		return fmt.Errorf("lock %s: %w", r.Dir, err)
	}
	if missing {
		// Another instance may have made it while we waited for nothing but the lock.
		if _, err := os.Stat(store); errors.Is(err, fs.ErrNotExist) {
			if r.Rebuilt, err = createStore(store, r.Dir, o.Keys); err != nil {
				return fmt.Errorf("make ledger: %w", err)
			}
		}
	}
	if r.Ledger, err = openStore(store); err != nil {
		return err
	}
	if r.id, r.epoch, err = r.Ledger.identity(); err != nil {
		return err
	}
	return r.verify(known, o)
}

// verify compares the ledger's identity with the one kept outside.
func (r *Root) verify(known *identity, o RootOptions) error {
	same := known != nil && known.ID == r.id
	if known != nil && !same && !o.Accept {
		return &LostError{r.Dir, "it has the state of another root"}
	}
	// A restored backup, or one that lacks its last commit: what was delivered
	// since then is only in the folders' names.
	r.Behind = r.Ledger.torn || same && r.epoch < known.Epoch
	if r.Behind {
		epoch := r.epoch
		if same {
			epoch = max(epoch, known.Epoch)
		}
		var err error
		if r.Rebuilt, err = r.Ledger.rebuild(r.Dir, epoch, o.Keys); err != nil {
			return err
		}
		r.epoch = epoch
	}
	if same {
		return nil
	}
	return writeIdentity(r.identity, identity{Path: r.Dir, ID: r.id, Epoch: r.epoch})
}

// Raise notes, in the ledger and outside the root, that this run delivers. It
// is called before deliveries, and does its work at the first of a run and
// every hour, so that a ledger that is put back from a backup is recognised as
// older than the deliveries it lacks.
func (r *Root) Raise() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.raised.IsZero() && time.Since(r.raised) < raiseEvery {
		return nil
	}
	next := r.epoch + 1
	if err := r.Ledger.Commit(func(t *Tx) error { return t.setEpoch(next) }); err != nil {
		return err
	}
	if err := writeIdentity(r.identity, identity{Path: r.Dir, ID: r.id, Epoch: next}); err != nil {
		return err
	}
	r.epoch, r.raised = next, time.Now()
	return nil
}

// Close gives the root back.
func (r *Root) Close() error {
	var err error
	if r.Ledger != nil {
		err = r.Ledger.Close()
	}
	if r.lock != nil {
		// A password command that is just being started may still hold the descriptor for a moment.
		_ = unix.Flock(int(r.lock.Fd()), unix.LOCK_UN)
		err = errors.Join(err, r.lock.Close())
	}
	return err
}

// makeDir makes a directory and what is missing above it, durably up to the
// first directory that was there.
func makeDir(dir string) error {
	if st, err := os.Stat(dir); err == nil && st.IsDir() {
		return nil
	}
	first := dir
	for {
		parent := filepath.Dir(first)
		if _, err := os.Stat(parent); err == nil || parent == first {
			break
		}
		first = parent
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if err := syncDir(at); err != nil {
			return err
		}
		if at == filepath.Dir(first) {
			return nil
		}
	}
}

// lock takes the root for this process. The lock ends with the process,
// however it ends.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f, unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func flock(f *os.File, how int) error {
	err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

// identity is what is kept of a root outside of it.
type identity struct {
	Path  string `json:"path"`
	ID    string `json:"id"`
	Epoch uint64 `json:"epoch"`
}

func readIdentity(path string) (*identity, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read identity of the root: %w", err)
	}
	id := &identity{}
	if err := json.Unmarshal(text, id); err != nil || id.ID == "" {
		return nil, fmt.Errorf("read identity of the root: %s is damaged (remove it if the root is in order)", path)
	}
	return id, nil
}

func writeIdentity(path string, id identity) error {
	text, err := json.Marshal(id)
	if err != nil {
		return err
	}
	if err := makeDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("keep identity of the root: %w (set XDG_STATE_HOME to a directory that can be written)", err)
	}
	if err := writeFile(path, append(text, '\n')); err != nil {
		return fmt.Errorf("keep identity of the root: %w", err)
	}
	return nil
}

// writeFile replaces a small file durably: temporary file, fsync, rename,
// fsync of the directory.
func writeFile(path string, text []byte) error {
	tmp := path + ".tmp" // the root's lock is held: nobody else writes it
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
