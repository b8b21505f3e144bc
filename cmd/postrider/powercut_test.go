//go:build linux && (amd64 || arm64)

package main_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"postrider/mailtest/powercut"
	"postrider/mailtest/syscut"
)

// outage is a run of the program on recorded disks, of which the power can be
// cut at any moment that it had.
type outage struct {
	*promise
	t        *testing.T
	fstype   string
	disks    []string // where each is mounted, relative to the first one's folder
	kills    []int    // calls at which the program is killed first, one run after the other
	base     string   // the first disk's folder
	recorder *powercut.Recorder
	first    int64 // positions between which the program ran
	last     int64
	removals []removal
}

// removal is what the server was told to remove at once.
type removal struct {
	position int64
	uids     map[string]bool
}

// The Maildir root and XDG_STATE_HOME lie on the first disk; the ledger does so
// too, or has a disk of its own that is mounted inside the root.
var (
	oneDisk  = []string{"."}
	twoDisks = []string{".", "Mail/.postrider"}
)

const diskBytes = 48 << 20

// newOutage runs the program to its end, after it was killed at the given calls.
func newOutage(t *testing.T, p promise, fstype string, disks []string, kills ...int) *outage {
	t.Helper()
	p.dir = t.TempDir()
	o := &outage{t: t, promise: &p, fstype: fstype, disks: disks, kills: kills, base: filepath.Join(p.dir, "disk")}
	p.root, p.state = filepath.Join(o.base, "Mail"), filepath.Join(o.base, "state")
	sizes := map[string]powercut.Disk{}
	for i := range disks {
		sizes[diskName(i)] = powercut.Disk{Bytes: diskBytes, Type: fstype}
		switch fstype {
		case "xfs":
			sizes[diskName(i)] = powercut.Disk{Bytes: 300 << 20, Type: fstype}
		case "btrfs":
			sizes[diskName(i)] = powercut.Disk{Bytes: 128 << 20, Type: fstype}
		}
	}
	var err error
	if o.recorder, err = powercut.NewRecorder(t.TempDir(), sizes); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.recorder.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := o.mount(o.recorder.Mount); err != nil {
		t.Fatal(err)
	}
	o.syncDisks()
	o.first = o.position()
	o.run()
	o.last = o.position()
	if err := o.recorder.Unmount(); err != nil {
		t.Fatal(err)
	}
	return o
}

func diskName(i int) string { return fmt.Sprintf("disk%d", i) }

func (o *outage) mount(mount func(name, at string) error) error {
	for i, at := range o.disks {
		if err := mount(diskName(i), filepath.Join(o.base, at)); err != nil {
			return err
		}
	}
	return nil
}

// syncDisks makes the mount points durable.
func (o *outage) syncDisks() {
	for _, at := range o.disks {
		dir, err := os.Open(filepath.Join(o.base, at))
		if err != nil {
			o.t.Fatal(err)
		}
		err = errors.Join(unix.Syncfs(int(dir.Fd())), dir.Close())
		if err != nil {
			o.t.Fatal(err)
		}
	}
}

func (o *outage) position() int64 {
	position, err := o.recorder.Position()
	if err != nil {
		o.t.Error(err)
	}
	return position
}

// run runs the program and notes at which position the server removed what.
func (o *outage) run() {
	var mu sync.Mutex
	watch := func(what told) {
		mu.Lock()
		defer mu.Unlock()
		if what.final {
			o.removals = append(o.removals, removal{o.position(), what.uids})
		}
	}
	if err := o.serve(watch, o.messages); err != nil {
		o.t.Fatal(err)
	}
	for _, n := range o.kills {
		r, output := o.supervised()
		if res, err := syscut.At(o.t.Context(), r, n, syscut.Kill); err != nil || !res.Killed {
			o.t.Fatalf("kill at call %d of %d: %v\n%s", n, len(res.Calls), err, output)
		}
	}
	code, output := o.tryFetch(o.t.Context())
	if err := o.office.Close(); err != nil {
		o.t.Error(err)
	}
	if code != 0 {
		o.t.Fatalf("fetch ended with %d:\n%s", code, output)
	}
	if n := len(o.removals); n == 0 || len(o.removals[n-1].uids) == 0 {
		o.t.Fatal("the server was told to remove nothing")
	}
}

// cut cuts the power at a position, and fetches again on what is left of the
// disks from what is left on the server.
func (o *outage) cut(position int64, seed uint64) error {
	c, err := o.recorder.Cut(position, rand.New(rand.NewPCG(seed, 0)))
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			o.t.Fatal(err)
		}
	}()
	if err := o.mount(c.Mount); err != nil {
		return err
	}
	after := *o.promise
	after.pause = 0
	if err := after.serve(nil, o.messages); err != nil {
		o.t.Fatal(err)
	}
	defer after.office.Close()
	for _, r := range o.removals {
		if r.position <= position {
			after.office.remove(r.uids)
		}
	}
	if err := after.kept(); err != nil {
		return fmt.Errorf("right after it: %w", err)
	}
	return after.settle(o.t.Context())
}

// everywhere cuts the power once at each position of the run.
func (o *outage) everywhere() error {
	for position := o.first; position <= o.last; position++ {
		if err := o.cut(position, uint64(position)); err != nil {
			return fmt.Errorf("power cut at %d of %d to %d: %w", position, o.first, o.last, err)
		}
	}
	return nil
}

// random cuts the power n times, the first time at the very end, and returns
// after how many cuts the promise was broken, and how.
func (o *outage) random(n int) (int, error) {
	rng := rand.New(rand.NewPCG(3, 4))
	position := o.last
	for i := range n {
		if err := o.cut(position, uint64(i)); err != nil {
			return i + 1, fmt.Errorf("power cut at %d of %d to %d: %w", position, o.first, o.last, err)
		}
		position = o.first + rng.Int64N(o.last-o.first+1)
	}
	return 0, nil
}

// shortCuts is how many cuts the short form makes of each run.
const shortCuts = 8

// cutting is a run of the program during which the power is cut.
type cutting struct {
	name  string
	run   promise
	disks []string
	kills []int
	short bool // belongs to the short form too
}

func TestT3PowerCuts(t *testing.T) {
	if !powercut.Isolated(t) {
		return
	}
	run := removingRun(buildPostrider(t))
	powerCuts(t, []cutting{
		{"one disk", run, oneDisk, nil, true},
		{"two disks", run, twoDisks, nil, true},
		{"two disks, in recovery", run, twoDisks, []int{110, 80}, false},
	})
}

// removingRun is one over POP3 that removes on the server.
func removingRun(binary string) promise {
	return promise{binary: binary, onServer: "delete", pause: longPause, post: newMaildrop, messages: promisedMail()}
}

func powerCuts(t *testing.T, cuttings []cutting) {
	for _, fstype := range []string{"ext4", "xfs", "btrfs"} {
		for _, c := range cuttings {
			t.Run(fstype+", "+c.name, func(t *testing.T) {
				if !whole() && (fstype != "ext4" || !c.short) {
					t.Skip("belongs to the whole form: POSTRIDER_WHOLE=1")
				}
				if _, err := exec.LookPath("mkfs." + fstype); err != nil {
					t.Skipf("mkfs.%s is not installed", fstype)
				}
				o := newOutage(t, c.run, fstype, c.disks, c.kills...)
				if !whole() {
					if _, err := o.random(shortCuts); err != nil {
						t.Error(err)
					}
					return
				}
				if err := o.everywhere(); err != nil {
					t.Error(err)
				}
				if n := o.last - o.first + 1; n < 60 {
					t.Errorf("only %d cuts", n)
				} else {
					t.Logf("%d cuts", n)
				}
			})
		}
	}
}

func TestT3PlantedMistakesAreFound(t *testing.T) {
	if !powercut.Isolated(t) {
		return
	}
	for _, c := range []struct {
		name  string
		plant plant
		disks []string
	}{
		{"no fsync of new", noFsyncOfNew(), twoDisks},
		{"no fsync of the file", noFsyncOfTheFile(), oneDisk},
		{"no fsync of the file", noFsyncOfTheFile(), twoDisks},
	} {
		t.Run(fmt.Sprintf("%s, %d disks", c.name, len(c.disks)), func(t *testing.T) {
			o := newOutage(t, removingRun(planted(t, c.plant)), "ext4", c.disks)
			n, err := o.random(60)
			if err == nil {
				t.Error("the mistake was not found in 60 cuts")
			}
			t.Logf("found by cut %d: %v", n, err)
		})
	}
}
