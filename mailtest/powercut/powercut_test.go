//go:build linux

package powercut_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/mailtest/powercut"
)

// run is a finished workload, ready to be cut.
type run struct {
	model
	recorder    *powercut.Recorder
	first, last int64
	promises    []promise
}

// layout says which disks there are and where they are mounted below a folder.
type layout struct {
	name   string
	mounts [][2]string // disk, folder; in the order of mounting
	fstype string
	bytes  int64
}

func oneDisk(fstype string, bytes int64) layout {
	return layout{"one disk", [][2]string{{"mail", "mail"}}, fstype, bytes}
}

// twoDisks has the state on a disk that is mounted inside the other one.
func twoDisks(fstype string, bytes int64) layout {
	return layout{"two disks", [][2]string{{"mail", "mail"}, {"state", "mail/state"}}, fstype, bytes}
}

func (l layout) mount(base string, mount func(name, at string) error) error {
	for _, m := range l.mounts {
		if err := mount(m[0], filepath.Join(base, m[1])); err != nil {
			return err
		}
	}
	return nil
}

func perform(t *testing.T, l layout, m model) *run {
	t.Helper()
	disks := map[string]powercut.Disk{}
	for _, mount := range l.mounts {
		disks[mount[0]] = powercut.Disk{Bytes: l.bytes, Type: l.fstype}
	}
	r, err := powercut.NewRecorder(t.TempDir(), disks)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	base := t.TempDir()
	if err := l.mount(base, r.Mount); err != nil {
		t.Fatal(err)
	}
	m.mail, m.state = filepath.Join(base, "mail"), filepath.Join(base, "mail/state")
	if err := m.prepare(); err != nil {
		t.Fatal(err)
	}
	first := position(t, r)
	promises, err := m.run(r)
	if err != nil {
		t.Fatal(err)
	}
	return &run{m, r, first, position(t, r), promises}
}

func position(t *testing.T, r *powercut.Recorder) int64 {
	t.Helper()
	p, err := r.Position()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// cutAt cuts the power at a position and counts what recovery finds.
func (u *run) cutAt(t *testing.T, l layout, position int64, seed uint64) outcome {
	t.Helper()
	c, err := u.recorder.Cut(position, rand.New(rand.NewPCG(seed, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	base := t.TempDir()
	if err := l.mount(base, c.Mount); err != nil {
		t.Fatalf("after a cut at %d: %v", position, err)
	}
	m := u.model
	m.mail, m.state = filepath.Join(base, "mail"), filepath.Join(base, "mail/state")
	promised := map[int]bool{}
	for _, p := range u.promises {
		promised[p.batch] = p.position <= position
	}
	o, err := m.recover(promised)
	if err != nil {
		t.Fatalf("recover after a cut at %d: %v", position, err)
	}
	return o
}

// firstBad cuts the power at random positions until messages are lost, doubled
// or torn, and returns after how many cuts that was, or 0.
func (u *run) firstBad(t *testing.T, l layout, cuts int) (cut int, what outcome) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range cuts {
		position := u.first + rng.Int64N(u.last-u.first+1)
		if o := u.cutAt(t, l, position, uint64(i)); o != (outcome{}) {
			return i + 1, o
		}
	}
	return 0, outcome{}
}

func TestT3PowerCutsOfAModel(t *testing.T) {
	if !powercut.Isolated(t) {
		return
	}
	const size = 32 << 20
	one, two := oneDisk("ext4", size), twoDisks("ext4", size)
	for _, c := range []struct {
		name   string
		layout layout
		model  model
		sound  bool
	}{
		{"right order", one, model{}, true},
		{"right order", two, model{}, true},
		{"no fsync of the file", one, model{noFileSync: true}, false},
		{"no fsync of the file", two, model{noFileSync: true}, false},
		{"no fsync of new", two, model{noDirSync: true}, false},
		{"done before rename", one, model{doneEarly: true}, false},
		{"done before rename", two, model{doneEarly: true}, false},
	} {
		t.Run(c.name+", "+c.layout.name, func(t *testing.T) {
			start := time.Now()
			c.model.batches = 12
			u := perform(t, c.layout, c.model)
			limit := 60
			if !c.sound {
				limit = 240 // one cut in ten or twenty finds it
			}
			bad, what := u.firstBad(t, c.layout, limit)
			t.Logf("first bad cut %d %+v; %d log entries; %v", bad, what, u.last-u.first, time.Since(start).Round(time.Millisecond))
			if c.sound && bad > 0 || !c.sound && bad == 0 {
				t.Errorf("first bad cut of %d: %d %+v", limit, bad, what)
			}
		})
	}
}

func TestT3OtherFileSystems(t *testing.T) {
	if !powercut.Isolated(t) {
		return
	}
	for _, l := range []layout{twoDisks("xfs", 300<<20), twoDisks("btrfs", 128<<20)} {
		t.Run(l.fstype, func(t *testing.T) {
			if _, err := exec.LookPath("mkfs." + l.fstype); err != nil {
				t.Skip("mkfs." + l.fstype + " is not installed")
			}
			start := time.Now()
			sound := perform(t, l, model{batches: 6})
			if bad, what := sound.firstBad(t, l, 20); bad > 0 {
				t.Errorf("the right order: cut %d: %+v", bad, what)
			}
			planted := perform(t, l, model{batches: 6, noFileSync: true})
			if bad, _ := planted.firstBad(t, l, 60); bad == 0 {
				t.Error("no fsync of the file was not found in 60 cuts")
			}
			t.Log(time.Since(start).Round(time.Millisecond))
		})
	}
}

// What was flushed is in every cut; at the end of the log nothing else need be.
func TestCutKeepsWhatWasFlushed(t *testing.T) {
	if !powercut.Isolated(t) {
		return
	}
	l := oneDisk("ext4", 16<<20)
	u := perform(t, l, model{batches: 2})
	for seed := range uint64(10) {
		if o := u.cutAt(t, l, u.last, seed); o != (outcome{}) {
			t.Errorf("seed %d: %+v", seed, o)
		}
	}
	early := u.cutAt(t, l, u.first, 0)
	if early != (outcome{}) {
		t.Errorf("before the first message: %+v", early)
	}
	if _, err := u.recorder.Cut(position(t, u.recorder)+1, nil); err == nil {
		t.Error("a cut in the future succeeded")
	}
}

// The same numbers give the same disks, other numbers others.
func TestCutIsRepeatable(t *testing.T) {
	if !powercut.Isolated(t) {
		return
	}
	l := oneDisk("ext4", 16<<20)
	u := perform(t, l, model{batches: 3, noFileSync: true})
	seen := map[outcome]bool{}
	for seed := range uint64(12) {
		position := u.first + (u.last-u.first)*int64(seed+1)/12
		a, b := u.cutAt(t, l, position, seed), u.cutAt(t, l, position, seed)
		if a != b {
			t.Errorf("seed %d at %d: %+v, then %+v", seed, position, a, b)
		}
		seen[a] = true
	}
	if len(seen) < 2 {
		t.Error("all cuts were alike")
	}
}

// The disks stay readable and complete while they are in use: the recorder
// itself loses nothing, and what is too large does not fit.
func TestRecorderIsADisk(t *testing.T) {
	if !powercut.Isolated(t) {
		return
	}
	r, err := powercut.NewRecorder(t.TempDir(), map[string]powercut.Disk{"a": {Bytes: 16 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), "at")
	if err := r.Mount("a", at); err != nil {
		t.Fatal(err)
	}
	if err := r.Mount("b", at); err == nil {
		t.Error("a disk that does not exist was mounted")
	}
	want := map[string][]byte{}
	for i := range 20 {
		name := fmt.Sprint(i)
		want[name] = octets(name)
		if err := os.WriteFile(filepath.Join(at, name), want[name], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(at, "large"), make([]byte, 20<<20), 0o600); err == nil {
		t.Error("20 MiB fit on a disk of 16 MiB")
	}
	if err := syncPath(at); err != nil {
		t.Fatal(err)
	}
	for name, octets := range want {
		if got, err := os.ReadFile(filepath.Join(at, name)); err != nil || string(got) != string(octets) {
			t.Errorf("%s: %d octets, %v", name, len(got), err)
		}
	}
	if position(t, r) == 0 {
		t.Error("nothing was recorded")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	var s unix.Statfs_t
	if err := unix.Statfs(at, &s); err != nil || s.Type == unix.EXT4_SUPER_MAGIC && fileExists(filepath.Join(at, "0")) {
		t.Errorf("%s is still mounted: %v", at, err)
	}
}

func fileExists(path string) bool { _, err := os.Stat(path); return err == nil }
