package outbox

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postrider/maildir"
)

// State is where an item is on its way; each is a directory of the spool, and an
// item goes from one to another by a rename.
type State string

const (
	Incoming  State = "incoming"  // being made
	Active    State = "active"    // queued, and due
	Deferred  State = "deferred"  // put off until its time
	Held      State = "held"      // until its time, or until it is released
	Uncertain State = "uncertain" // the line broke after the final dot
	Corrupt   State = "corrupt"   // not what it was when it was queued
)

func states() []State { return []State{Incoming, Active, Deferred, Held, Uncertain, Corrupt} }

// spoolName is the spool's directory, in the outbox, as an item goes from one to the
// other by a rename.
const (
	spoolName   = ".spool"
	messageName = "message"
	recordName  = "envelope"
	lockName    = "lock"
)

// ErrLocked says that another process sends from the spool.
var ErrLocked = errors.New("another postrider is sending from it")

// Spool is where messages wait to be sent: a directory for each state, in it one
// for each item. Adding an item needs no lock, everything else does.
type Spool struct {
	dir  string
	lock *os.File
}

// OpenSpool opens the spool of the outbox at dir. What is missing of the outbox
// and its spool is made durably, mode 0700.
func OpenSpool(dir string) (*Spool, error) {
	s := &Spool{dir: filepath.Join(dir, spoolName)}
	// Incoming comes last, when everything else is on disk: a spool that has it needs no sync.
	last := filepath.Join(s.dir, string(Incoming))
	_, err := os.Lstat(last)
	made := errors.Is(err, fs.ErrNotExist)
	for _, path := range append([]string{dir, s.dir}, s.dirs()...) {
		if path == last {
			continue
		}
		err := os.Mkdir(path, 0o700)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make outbox: %w", err)
		}
		made = made || err == nil
	}
	if !made {
		return s, nil
	}
	if err := syncDirs(filepath.Dir(dir), dir, s.dir); err != nil {
		return nil, fmt.Errorf("make outbox: %w", err)
	}
	if err := os.Mkdir(last, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make outbox: %w", err)
	}
	if err := maildir.SyncDir(s.dir); err != nil {
		return nil, fmt.Errorf("make outbox: %w", err)
	}
	return s, nil
}

// syncDirs puts the entries of directories on disk, one after the other.
func syncDirs(paths ...string) error {
	for _, path := range paths {
		if err := maildir.SyncDir(path); err != nil {
			return err
		}
	}
	return nil
}

func (s *Spool) dirs() []string {
	var dirs []string
	for _, state := range states() {
		dirs = append(dirs, filepath.Join(s.dir, string(state)))
	}
	return dirs
}

// Lock makes this process the one that sends from the spool, until Close. It
// is ErrLocked if another one is.
func (s *Spool) Lock() error {
	f, err := os.OpenFile(filepath.Join(s.dir, lockName), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("lock spool: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
		return fmt.Errorf("lock spool %s: %w", s.dir, err)
	}
	s.lock = f
	return nil
}

// Close gives the spool back.
func (s *Spool) Close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

// newID returns the name of an item: it grows with the time, so that messages go
// out in the order in which they came, and nothing else has it.
func newID(now time.Time) string {
	var b [10]byte
	binary.BigEndian.PutUint64(b[:], uint64(now.UnixMicro()-1_700_000_000_000_000)/10<<16) // 89 years of 10 µs in 48 bits
	rand.Read(b[6:])
	return strings.ToLower(base32.HexEncoding.EncodeToString(b[:]))
}

// validID tells whether a text can be the name of an item.
func validID(id string) bool {
	return len(id) == 16 && !strings.ContainsFunc(id, func(r rune) bool { return (r < 'a' || r > 'v') && (r < '0' || r > '9') })
}

func (s *Spool) path(state State, id string, name ...string) string {
	return filepath.Join(append([]string{s.dir, string(state), id}, name...)...)
}

// list returns the items in a state, oldest first. What has no name of an item
// is not ours.
func (s *Spool) list(state State) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, string(state)))
	if err != nil {
		return nil, fmt.Errorf("read spool: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && validID(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// find returns the state that an item is in. The beginning of its name is
// enough if no other begins so.
func (s *Spool) find(id string) (State, string, error) {
	var found State
	var name string
	for _, state := range states()[1:] {
		ids, err := s.list(state)
		if err != nil {
			return "", "", err
		}
		for _, other := range ids {
			switch {
			case other == id:
				return state, id, nil
			case id == "" || !strings.HasPrefix(other, id):
			case found != "":
				return "", "", &UnknownItemError{id, "is the beginning of more than one"}
			default:
				found, name = state, other
			}
		}
	}
	if found == "" {
		return "", "", &UnknownItemError{id, "is not in the queue"}
	}
	return found, name, nil
}

// UnknownItemError is the name of an item that there is not, or not only once.
type UnknownItemError struct{ ID, Problem string }

func (e *UnknownItemError) Error() string { return fmt.Sprintf("message %q %s", e.ID, e.Problem) }

// move takes an item from one state to another. It is on disk after sync of both,
// the new one first.
func (s *Spool) move(id string, from, to State) error {
	// A directory takes the place of an empty one at most.
	if err := os.Rename(s.path(from, id), s.path(to, id)); err != nil {
		return fmt.Errorf("move message to %s: %w", to, err)
	}
	return nil
}

// remove removes an item. Done again after a crash it comes to the same end.
func (s *Spool) remove(state State, id string) error {
	entries, err := os.ReadDir(s.path(state, id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove from spool: %w", err)
	}
	// The envelope last: with it the item can still be told from one that is damaged.
	slices.SortFunc(entries, func(a, b fs.DirEntry) int {
		return boolean(a.Name() == recordName) - boolean(b.Name() == recordName)
	})
	for _, e := range entries {
		if err := os.Remove(s.path(state, id, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove from spool: %w", err)
		}
	}
	if err := os.Remove(s.path(state, id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove from spool: %w", err)
	}
	return nil
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

// sync puts the entries of states on disk, one after the other: where items go to
// has to stand before where they came from.
func (s *Spool) sync(which ...State) error {
	for _, state := range which {
		if err := maildir.SyncDir(filepath.Join(s.dir, string(state))); err != nil {
			return err
		}
	}
	return nil
}
