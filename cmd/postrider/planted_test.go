//go:build linux && (amd64 || arm64)

package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// plant is a mistake: in a source file, a text that must be there once is
// replaced.
type plant struct{ file, text, by string }

// planted builds the program with mistakes in it. The sources stay as they are.
func planted(t *testing.T, plants ...plant) string {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	for i, p := range plants {
		path, err := filepath.Abs(filepath.Join("../..", p.file))
		if err != nil {
			t.Fatal(err)
		}
		source := path
		if earlier, ok := replace[path]; ok {
			source = earlier
		}
		octets, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(octets, []byte(p.text)); n != 1 {
			t.Fatalf("plant a mistake: %s has %d times, not once, the text %q: the test must follow the code", p.file, n, p.text)
		}
		replace[path] = filepath.Join(dir, strconv.Itoa(i)+".go")
		if err := os.WriteFile(replace[path], bytes.Replace(octets, []byte(p.text), []byte(p.by), 1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	binary, file := filepath.Join(dir, "postrider"), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-overlay", file, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the program with a mistake: %v\n%s", err, out)
	}
	return binary
}

// The mistakes that the tests of this folder must be able to find.
func noFsyncOfNew() plant {
	return plant{"fetch/deliver.go", "return d.keep(items, b), b.SyncNew()", "return d.keep(items, b), nil"}
}

func noFsyncOfTheFile() plant {
	return plant{"maildir/file.go", "_, err := ignoringEINTR(func() (int, error) { return 0, unix.Fsync(f.fd) })", "var err error"}
}

// removedTooEarly tells the server to remove what was retrieved while it is
// still being delivered.
func removedTooEarly() plant {
	return plant{"fetch/retrieve.go", "	local := r.delivery.finish()", `	var numbers []int
	for i := range p.want {
		numbers = append(numbers, p.want[i].Number)
	}
	_ = src.Dispose(ctx, numbers, func(int, error) {})
	_ = src.Close(ctx)
	local := r.delivery.finish()`}
}

// removedUnrecorded tells the server to remove what is in new/, but not yet
// recorded as delivered.
func removedUnrecorded() []plant {
	return []plant{
		{"fetch/deliver.go", "err := d.line.commit(func(t *ledger.Tx) error { return d.settle(t, p) })", "var err error"},
		{"fetch/line.go", "	if !l.known.Changed() && !l.markChanged && len(l.twins) == 0 {", "	if true {"},
	}
}

// markedTooEarly takes all that is listed for settled before it was retrieved.
func markedTooEarly() plant {
	return plant{"fetch/line.go", "	if err := l.retrieve(ctx, src, p, total); err != nil {", `	l.setMark(Mark{
		Epoch: p.listing.Epoch, Next: p.listing.Next, Told: p.listing.Told, ModSeq: p.listing.ModSeq,
		Counted: time.Now().Unix(), Policy: l.job.policy(),
	})
	if err := l.retrieve(ctx, src, p, total); err != nil {`}
}

// twinTooEarly takes a message for delivered from whatever mailbox when it is
// listed in one.
func twinTooEarly() plant {
	return plant{"fetch/numbered.go", "	if l.isComing(p, it.Twin) {", "	l.noteTwin(it.Twin)\n	if l.isComing(p, it.Twin) {"}
}
