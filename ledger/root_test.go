package ledger

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// place is where a test keeps a root and what is known of it outside.
type place struct {
	dir     string
	options RootOptions
}

func newPlace(t testing.TB) *place {
	t.Helper()
	base := fastDir(t)
	return &place{dir: filepath.Join(base, "Mail"), options: RootOptions{Identities: filepath.Join(base, "state", "roots")}}
}

// fastDir returns a temporary directory, in memory where there is one.
func fastDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "ledger")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (p *place) store() string { return filepath.Join(p.dir, stateDir, storeName) }

func (p *place) open(t testing.TB) *Root {
	t.Helper()
	r, err := OpenRoot(p.dir, p.options)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (p *place) close(t testing.TB, r *Root) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// fails opens the root, which must be refused.
func (p *place) fails(t testing.TB) error {
	t.Helper()
	r, err := OpenRoot(p.dir, p.options)
	if err == nil {
		r.Close()
		t.Fatal("the root was opened")
	}
	return err
}

func commit(t testing.TB, l *Ledger, change func(*Tx) error) {
	t.Helper()
	if err := l.Commit(change); err != nil {
		t.Fatal(err)
	}
}

func keyOf(n int) (k Key) {
	binary.LittleEndian.PutUint64(k[:], uint64(n)*0x9e3779b97f4a7c15)
	binary.LittleEndian.PutUint64(k[8:], uint64(n))
	return k
}

// tree lists everything below a directory.
func tree(t testing.TB, dir string) string {
	t.Helper()
	var list []string
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		list = append(list, path)
		return nil
	})
	return strings.Join(list, "\n")
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestRootIsMadeAndFoundAgain(t *testing.T) {
	defer unix.Umask(unix.Umask(0))
	p := newPlace(t)
	p.dir = filepath.Join(p.dir, "a", "b")
	id := ""
	for range 3 {
		r := p.open(t)
		if id != "" && r.id != id || r.Behind || r.Rebuilt != 0 {
			t.Errorf("%+v", r)
		}
		id = r.id
		p.close(t, r)
	}
	for path, want := range map[string]fs.FileMode{
		p.dir: 0o700, filepath.Dir(p.store()): 0o700, p.store(): 0o600,
		filepath.Join(p.dir, stateDir, lockName): 0o600,
		p.options.Identities:                     0o700, filepath.Join(p.options.Identities, identityName(p.dir)): 0o600,
	} {
		st, err := os.Stat(path)
		if err != nil || st.Mode().Perm() != want {
			t.Errorf("T23: %s: %v, %v", path, st.Mode(), err)
		}
	}
	if got := tree(t, filepath.Dir(p.store())); strings.Count(got, "\n") != 2 {
		t.Errorf("more than the store and the lock:\n%s", got)
	}
}

func TestT17SecondInstance(t *testing.T) {
	p := newPlace(t)
	r := p.open(t)
	start := time.Now()
	if err := p.fails(t); !errors.Is(err, ErrLocked) || time.Since(start) > lockPatience/2 {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	// The lock file is removed under the running instance: its store is still held.
	os.Remove(filepath.Join(p.dir, stateDir, lockName))
	if err := p.fails(t); !errors.Is(err, ErrLocked) {
		t.Errorf("without the lock file: %v", err)
	}
	p.close(t, r)
	p.close(t, p.open(t))
}

// TestT9 opens roots that are not what they were. What is refused is left as
// it was found.
func TestT9(t *testing.T) {
	state := func(p *place) string { return filepath.Join(p.dir, stateDir) }
	for _, c := range []struct {
		name   string
		change func(t *testing.T, p *place)
	}{
		{"directory gone", func(t *testing.T, p *place) { os.RemoveAll(p.dir) }},
		{"empty directory, its disk is not mounted", func(t *testing.T, p *place) { os.RemoveAll(p.dir); os.Mkdir(p.dir, 0o700) }},
		{"made anew, with mail", func(t *testing.T, p *place) {
			os.RemoveAll(p.dir)
			os.MkdirAll(filepath.Join(p.dir, "work", "INBOX", "new"), 0o700)
		}},
		{"state directory emptied", func(t *testing.T, p *place) { os.RemoveAll(state(p)); os.Mkdir(state(p), 0o700) }},
		{"store gone", func(t *testing.T, p *place) { os.Remove(p.store()) }},
		{"other root mounted there", func(t *testing.T, p *place) {
			other := newPlace(t)
			other.close(t, other.open(t))
			copyFile(t, other.store(), p.store())
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t)
			r := p.open(t)
			id := r.id
			p.close(t, r)
			c.change(t, p)
			before := tree(t, p.dir)
			identity, _ := os.ReadFile(r.identity)
			var lost *LostError
			for range 2 { // the first refusal does not open the way for a second try
				err := p.fails(t)
				if !errors.As(err, &lost) || !strings.Contains(err.Error(), "--new-root") || !strings.Contains(err.Error(), p.dir) {
					t.Fatalf("%v", err)
				}
			}
			after, _ := os.ReadFile(r.identity)
			if string(after) != string(identity) {
				t.Error("the identity outside was changed")
			}
			if now := tree(t, p.dir); now != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, now)
			}
			p.options.Accept = true
			r = p.open(t)
			if r.id == id {
				t.Error("a root that was lost has its old identity")
			}
			id = r.id
			p.close(t, r)
			p.options.Accept = false // accepted once and for all
			r = p.open(t)
			if r.id != id {
				t.Error("another identity again")
			}
			p.close(t, r)
		})
	}
}

// TestRootFromElsewhere: a root that comes with its state from another machine
// is taken as it is.
func TestRootFromElsewhere(t *testing.T) {
	p := newPlace(t)
	r := p.open(t)
	if err := r.Raise(); err != nil {
		t.Fatal(err)
	}
	id := r.id
	p.close(t, r)
	os.RemoveAll(p.options.Identities)
	r = p.open(t)
	if r.id != id || r.Behind || r.epoch != 1 {
		t.Errorf("%+v", r)
	}
	p.close(t, r)
	os.Remove(p.store())
	var lost *LostError
	if err := p.fails(t); !errors.As(err, &lost) {
		t.Errorf("it was not noted: %v", err)
	}
}

func TestRootRefusals(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(p *place)
	}{
		{"damaged identity", "identity", func(p *place) {
			os.WriteFile(filepath.Join(p.options.Identities, identityName(p.dir)), []byte("{"), 0o600)
		}},
		{"empty identity", "identity", func(p *place) {
			os.WriteFile(filepath.Join(p.options.Identities, identityName(p.dir)), nil, 0o600)
		}},
		{"file as root", "not a directory", func(p *place) { os.RemoveAll(p.dir); os.WriteFile(p.dir, nil, 0o600) }},
		{"file as state directory", "not a directory", func(p *place) {
			os.RemoveAll(filepath.Dir(p.store()))
			os.WriteFile(filepath.Dir(p.store()), nil, 0o600)
		}},
		{"directory as store", "directory", func(p *place) { os.Remove(p.store()); os.Mkdir(p.store(), 0o700) }},
		{"empty store", "empty", func(p *place) { os.Truncate(p.store(), 0) }},
		{"no store at all", "damaged", func(p *place) { os.WriteFile(p.store(), []byte(strings.Repeat("text\n", 10_000)), 0o600) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t)
			p.close(t, p.open(t))
			c.change(p)
			before := tree(t, p.dir)
			if err := p.fails(t); !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
			if after := tree(t, p.dir); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// found makes a Keys function of a list.
func found(keys ...Key) func(string, func([16]byte)) error {
	return func(_ string, each func([16]byte)) error {
		for _, k := range keys {
			each(k)
		}
		return nil
	}
}

func TestT14LostLedgerIsRebuilt(t *testing.T) {
	p := newPlace(t)
	p.close(t, p.open(t))
	os.Remove(p.store())
	p.options.Accept = true
	p.options.Keys = found(keyOf(3), keyOf(1), keyOf(2), keyOf(1))
	r := p.open(t)
	if r.Rebuilt != 3 || r.Behind {
		t.Errorf("rebuilt %d, behind %t", r.Rebuilt, r.Behind)
	}
	p.close(t, r)
	p.options = RootOptions{Identities: p.options.Identities}

	// The keys stay until a mailbox has them, over any number of starts.
	r = p.open(t)
	m := mailbox(t, r, "a")
	if _, ok := m.Adopt(keyOf(9), 5, time.Unix(7, 0)); ok {
		t.Error("a message was adopted that was not found")
	}
	place, ok := m.Adopt(keyOf(2), 5, time.Unix(7, 0))
	if got, used := m.At(place); !ok || !used || got != (Record{Key: keyOf(2), Octets: 5, Time: time.Unix(7, 0)}) {
		t.Errorf("%+v", got)
	}
	save(t, r, m)
	p.close(t, r)

	r = p.open(t)
	if want := map[Key]bool{keyOf(1): true, keyOf(3): true}; !maps.Equal(r.Ledger.found, want) {
		t.Errorf("left: %v", r.Ledger.found)
	}
	m = mailbox(t, r, "a")
	place, ok = m.Find(keyOf(2))
	if !ok || m.Len() != 1 {
		t.Error("what was adopted is not known")
	}
	// Once it was forgotten, the server may use the identifier for another message.
	m.Forget(place)
	m.Add(Record{Key: keyOf(1)})
	save(t, r, m)
	for _, k := range []Key{keyOf(1), keyOf(2)} {
		if r.Ledger.wasFound(k) {
			t.Errorf("%x would be adopted again", k)
		}
	}
	p.close(t, r)
}

// TestT14AnUnreadableFolderStopsTheRebuild, as its messages would come again.
func TestT14AnUnreadableFolderStopsTheRebuild(t *testing.T) {
	p := newPlace(t)
	p.options.Keys = func(string, func([16]byte)) error { return fs.ErrPermission }
	if err := p.fails(t); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v", err)
	}
	p.options.Keys = found(keyOf(1))
	r := p.open(t)
	if r.Rebuilt != 1 {
		t.Errorf("rebuilt %d", r.Rebuilt)
	}
	p.close(t, r)
}

func TestT14RebuildOfMany(t *testing.T) {
	const n = 100_000
	p := newPlace(t)
	p.options.Keys = func(_ string, each func([16]byte)) error {
		for i := range n {
			each(keyOf(i))
		}
		return nil
	}
	start := time.Now()
	r := p.open(t)
	defer r.Close()
	if took := time.Since(start); r.Rebuilt != n || took > 5*time.Second {
		t.Errorf("%d keys in %v", r.Rebuilt, took)
	}
}

func TestT15OlderCopy(t *testing.T) {
	p := newPlace(t)
	r := p.open(t)
	if err := r.Raise(); err != nil {
		t.Fatal(err)
	}
	m := mailbox(t, r, "a")
	m.Add(Record{Key: keyOf(1)})
	save(t, r, m)
	p.close(t, r)
	backup := filepath.Join(filepath.Dir(p.dir), "backup")
	copyFile(t, p.store(), backup)

	// A run that delivers nothing does not make the copy old.
	p.close(t, p.open(t))
	copyFile(t, backup, p.store())
	r = p.open(t)
	if r.Behind {
		t.Error("nothing was delivered since, and yet it counts as old")
	}
	if err := errors.Join(r.Raise(), r.Raise()); err != nil {
		t.Fatal(err)
	}
	m = mailbox(t, r, "a")
	m.Add(Record{Key: keyOf(2)})
	save(t, r, m)
	p.close(t, r)

	copyFile(t, backup, p.store())
	p.options.Keys = found(keyOf(1), keyOf(2))
	r = p.open(t)
	if !r.Behind || r.Rebuilt != 2 || r.epoch != 2 {
		t.Errorf("behind %t, rebuilt %d, epoch %d", r.Behind, r.Rebuilt, r.epoch)
	}
	m = mailbox(t, r, "a")
	if _, known := m.Find(keyOf(2)); known {
		t.Error("this is no old copy")
	}
	if _, ok := m.Adopt(keyOf(2), 1, time.Now()); !ok {
		t.Error("what was delivered since then would come again")
	}
	place, _ := m.Find(keyOf(1))
	m.Forget(place) // the server may use its identifier for another message now
	save(t, r, m)
	if r.Ledger.wasFound(keyOf(1)) {
		t.Error("what was forgotten would be adopted again")
	}
	p.close(t, r)
	r = p.open(t)
	if r.Behind {
		t.Error("it still counts as old")
	}
	p.close(t, r)
}

// TestT15LongRun: a run of many days must not make all copies of its time look
// alike.
func TestT15LongRun(t *testing.T) {
	p := newPlace(t)
	r := p.open(t)
	for range 3 {
		if err := r.Raise(); err != nil {
			t.Fatal(err)
		}
	}
	if r.epoch != 1 {
		t.Errorf("epoch %d in the first hour", r.epoch)
	}
	r.raised = r.raised.Add(-raiseEvery)
	if err := r.Raise(); err != nil || r.epoch != 2 {
		t.Errorf("epoch %d after an hour, %v", r.epoch, err)
	}
	p.close(t, r)
	r = p.open(t)
	known, err := readIdentity(r.identity)
	if err != nil || known.Epoch != 2 || r.epoch != 2 {
		t.Errorf("%+v, %d, %v", known, r.epoch, err)
	}
	p.close(t, r)
}

// TestRaiseThatIsCutOff: the ledger is raised, the identity outside is not yet.
func TestRaiseThatIsCutOff(t *testing.T) {
	p := newPlace(t)
	r := p.open(t)
	commit(t, r.Ledger, func(t *Tx) error { return t.setEpoch(1) })
	p.close(t, r)
	r = p.open(t)
	if err := r.Raise(); r.Behind || err != nil || r.epoch != 2 {
		t.Errorf("behind %t, epoch %d, %v", r.Behind, r.epoch, err)
	}
	p.close(t, r)
}

// TestH20LeftoverOfACreation: a crash while the store was made.
func TestH20LeftoverOfACreation(t *testing.T) {
	p := newPlace(t)
	os.MkdirAll(filepath.Dir(p.store()), 0o700)
	os.WriteFile(p.store()+".new", []byte("half a store"), 0o600)
	p.close(t, p.open(t))
	if _, err := os.Stat(p.store() + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
