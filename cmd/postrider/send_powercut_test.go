//go:build linux && (amd64 || arm64)

package main_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"postrider/mailtest/powercut"
)

// postingOutage is a run in which letters are given and sent, on recorded disks
// of which the power can be cut at any moment that it had.
type postingOutage struct {
	*outage // its disks
	posting *posting
	exits   map[string]int64 // when sendmail had ended well, by letter
	events  []postingEvent
}

// postingEvent is an acceptance and when it was.
type postingEvent struct {
	accepted
	position int64
	octets   []byte
}

// The outbox lies on the first disk with all else, or the Maildir root has a disk
// of its own, or the ledger.
var sendingDisks = map[string][]string{
	"one disk": oneDisk, "two disks": {".", "Mail"}, "three disks": {".", "Mail", "Mail/.postrider"},
}

// newPostingOutage runs the program to its end: letters are dropped, given to
// sendmail, sent, and sent again when they are due.
func newPostingOutage(t *testing.T, binary, fstype string, disks []string) *postingOutage {
	t.Helper()
	dir := t.TempDir()
	o := &postingOutage{
		outage: &outage{t: t, promise: &promise{}, fstype: fstype, disks: disks, base: filepath.Join(dir, "disk")},
		exits:  map[string]int64{},
	}
	p := &posting{binary: binary, dir: dir, uncertain: "hold", letters: mailToSend()}
	p.place(o.base)
	o.posting = p
	sizes := map[string]powercut.Disk{}
	for i := range disks {
		octets := map[string]int64{"ext4": diskBytes, "xfs": 300 << 20, "btrfs": 128 << 20}[fstype]
		sizes[diskName(i)] = powercut.Disk{Bytes: octets, Type: fstype}
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
	o.run()
	if err := o.recorder.Unmount(); err != nil {
		t.Fatal(err)
	}
	return o
}

// run is the user's day. What he drops is on disk; what sendmail takes is for
// sendmail to put there.
func (o *postingOutage) run() {
	p, t := o.posting, o.t
	p.watch = func(a accepted) {
		octets := slices.Clone(p.octets[a.letter])
		o.events = append(o.events, postingEvent{a, o.position(), octets})
	}
	given := func(given bool) {
		for i := range p.letters {
			if l := &p.letters[i]; l.name == "" {
				l.given = given
			}
		}
	}
	given(false)
	if err := p.serve(); err != nil {
		t.Fatal(err)
	}
	if err := p.drop(0); err != nil {
		t.Fatal(err)
	}
	o.syncDisks()
	given(true)
	o.first = o.position()
	for i := range p.letters {
		l := &p.letters[i]
		if l.name != "" {
			continue
		}
		if err := p.put(l); err != nil {
			t.Fatal(err)
		}
		o.exits[l.id] = o.position()
	}
	for range 2 {
		output, err := p.send(t.Context())
		if err == nil {
			err = p.flush(t.Context())
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
	}
	o.last = o.position()
	if err := p.fulfilled(); err != nil {
		t.Fatal(err)
	}
	if err := p.server.Close(); err != nil {
		t.Error(err)
	}
}

// cut cuts the power at a position, and goes on with what is left of the disks
// and what the server had by then.
func (o *postingOutage) cut(position int64, seed uint64) error {
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
	before := o.posting
	after := &posting{
		binary: before.binary, dir: before.dir, uncertain: "hold", faults: 1, letters: slices.Clone(before.letters),
		begun: maps.Clone(before.begun), refused: map[string]int{}, octets: map[string][]byte{},
	}
	after.place(o.base)
	for _, e := range o.events {
		if e.position <= position {
			after.accepted = append(after.accepted, e.accepted)
			after.octets[e.letter] = e.octets
		}
	}
	for i := range after.letters {
		if l := &after.letters[i]; l.name == "" {
			l.given = o.exits[l.id] <= position
		}
	}
	if err := after.serve(); err != nil {
		o.t.Fatal(err)
	}
	defer after.server.Close()
	if err := after.kept(); err != nil {
		return fmt.Errorf("right after it: %w", err)
	}
	return after.settle(o.t.Context())
}

// everywhere cuts the power once at each position of the run.
func (o *postingOutage) everywhere() error {
	for position := o.first; position <= o.last; position++ {
		if err := o.cut(position, uint64(position)); err != nil {
			return fmt.Errorf("power cut at %d of %d to %d: %w", position, o.first, o.last, err)
		}
	}
	return nil
}

// random cuts the power n times, and returns after how many cuts the promise was
// broken, and how.
func (o *postingOutage) random(n int) (int, error) {
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range n {
		position := o.first + rng.Int64N(o.last-o.first+1)
		if err := o.cut(position, uint64(i)); err != nil {
			return i + 1, fmt.Errorf("power cut at %d of %d to %d: %w", position, o.first, o.last, err)
		}
	}
	return 0, nil
}

func TestT3PowerCutsWhileSending(t *testing.T) {
	if !powercut.Isolated(t) {
		return
	}
	binary := buildPostrider(t)
	for _, fstype := range []string{"ext4", "xfs", "btrfs"} {
		for _, name := range slices.Sorted(maps.Keys(sendingDisks)) {
			t.Run(fstype+", "+name, func(t *testing.T) {
				if !whole() && (fstype != "ext4" || name == "three disks") {
					t.Skip("belongs to the whole form: POSTRIDER_WHOLE=1")
				}
				if _, err := exec.LookPath("mkfs." + fstype); err != nil {
					t.Skipf("mkfs.%s is not installed", fstype)
				}
				o := newPostingOutage(t, binary, fstype, sendingDisks[name])
				if !whole() {
					if _, err := o.random(shortCuts); err != nil {
						t.Error(err)
					}
					return
				}
				if err := o.everywhere(); err != nil {
					t.Error(err)
				}
				t.Logf("%d cuts", o.last-o.first+1)
			})
		}
	}
}

// Mistakes that lose mail only with the power.
func TestT3MistakesAreFoundInSending(t *testing.T) {
	if !powercut.Isolated(t) {
		return
	}
	for _, c := range []struct {
		name, disks string
		plants      []plant
	}{
		{"sendmail without fsync", "one disk", []plant{submitUnsynced()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newPostingOutage(t, planted(t, c.plants...), "ext4", sendingDisks[c.disks])
			n, err := o.random(60)
			if err == nil {
				t.Error("the mistake was not found in 60 cuts")
			}
			t.Logf("found by cut %d: %v", n, err)
		})
	}
}
