package maildir

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestScan(t *testing.T) {
	f := openFolder(t)
	for _, path := range []string{"tmp/a:2,S", "tmp/b", "new/c", "new/d:2,", "cur/e:2,FS", "cur/f"} {
		os.WriteFile(filepath.Join(f.Dir(), path), nil, 0o600)
	}
	n, err := Scan(f.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(n.Tmp)); !slices.Equal(got, []string{"a:2,S", "b"}) {
		t.Errorf("tmp/: %v", got)
	}
	if got := slices.Sorted(maps.Keys(n.Delivered)); !slices.Equal(got, []string{"c", "d", "e", "f"}) {
		t.Errorf("new/ and cur/: %v", got)
	}
	if n, err := Scan(filepath.Join(f.Dir(), "gone")); err != nil || len(n.Tmp)+len(n.Delivered) > 0 {
		t.Errorf("a folder that is not there: %v, %v", n, err)
	}
	os.RemoveAll(f.path("new", ""))
	os.WriteFile(f.path("new", ""), nil, 0o600)
	if _, err := Scan(f.Dir()); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a part that cannot be read: %v", err)
	}
}

func TestContent(t *testing.T) {
	f := openFolder(t)
	file := finished(t, f, "t", []byte("a\r\nb"))
	file.sync()
	octets, sum := file.Octets(), file.Sum()
	other := sha256.Sum256([]byte("other"))
	check := func(what string, got bool, err error, want bool) {
		t.Helper()
		if got != want || err != nil {
			t.Errorf("%s: %t, %v", what, got, err)
		}
	}
	ok, err := f.Intact("t", octets, sum)
	check("intact", ok, err, true)
	ok, err = f.Intact("t", octets+1, sum)
	check("other size", ok, err, false)
	ok, err = f.Intact("t", octets, other)
	check("other sum", ok, err, false)
	if _, err := f.Intact("gone", octets, sum); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("gone: %v", err)
	}
	ok, err = f.SameContent("n", octets, sum)
	check("not there", ok, err, false)
	for _, place := range []string{"new/n", "cur/n:2,S", "cur/n,U=1:2,"} {
		os.Rename(f.path("tmp", "t"), filepath.Join(f.Dir(), place))
		name := "n"
		if place == "cur/n,U=1:2," {
			name = "n,U=1:2,S" // the name may come with flags of its own
		}
		ok, err = f.SameContent(name, octets, sum)
		check(place, ok, err, true)
		ok, err = f.SameContent(name, octets, other)
		check(place+", other sum", ok, err, false)
		os.Rename(filepath.Join(f.Dir(), place), f.path("tmp", "t"))
	}
}

// TestT2ResumeTwice: recovery that is itself cut off comes to the same end.
func TestT2ResumeTwice(t *testing.T) {
	for _, cur := range []bool{false, true} {
		f := openFolder(t)
		finished(t, f, "t", []byte("x"))
		for range 2 {
			if err := f.Resume("t", "n", cur, time.Time{}); err != nil {
				t.Errorf("cur %t: %v", cur, err)
			}
		}
		if err := f.SyncAll(); err != nil {
			t.Error(err)
		}
		if n := len(names(t, f, map[bool]string{false: "new", true: "cur"}[cur])); n != 1 {
			t.Errorf("cur %t: %d", cur, n)
		}
	}
}

func TestSweep(t *testing.T) {
	f := openFolder(t)
	dead, live := NewNamer("h"), NewNamer("h")
	now := time.Now()
	orphan := Temporary(dead.Unique(now), key(1))
	final := Final(dead.Unique(now), 7, key(2))
	intent := Temporary(dead.Unique(now), key(3))
	arriving := Temporary(live.Unique(now), key(4))
	foreign := []string{"1.M2P3.h", "1.M2P3.h,K=", "1.M2P3.h,S=1", probeName, "note"}
	for _, name := range append(foreign, orphan, final, intent, arriving) {
		os.WriteFile(f.path("tmp", name), nil, 0o600)
	}
	for _, sub := range []string{"new", "cur"} {
		os.WriteFile(f.path(sub, orphan), nil, 0o600)
	}
	n, err := f.Sweep(map[string]bool{intent: true}, live)
	if n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	want := append(slices.Clone(foreign), intent, arriving)
	slices.Sort(want)
	if got := names(t, f, "tmp"); !slices.Equal(got, want) {
		t.Errorf("left %v\nnot  %v", got, want)
	}
	if len(names(t, f, "new"))+len(names(t, f, "cur")) != 2 {
		t.Error("it took delivered messages away")
	}
	if n, err := f.Sweep(map[string]bool{intent: true}, live); n != 0 || err != nil {
		t.Errorf("second time: %d, %v", n, err)
	}
}

func TestRemove(t *testing.T) {
	f := openFolder(t)
	finished(t, f, "t", nil)
	for range 2 {
		if err := f.Remove("t"); err != nil {
			t.Error(err)
		}
	}
	os.Mkdir(f.path("tmp", "dir"), 0o700)
	if err := f.Remove("dir"); err == nil {
		t.Error("a directory was removed")
	}
}

func TestKeys(t *testing.T) {
	root := t.TempDir()
	elsewhere := t.TempDir()
	put := func(dir string, b byte, suffix string) {
		t.Helper()
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(root, dir)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, Final("1.R.h", 1, key(b))+suffix), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// These count.
	put("new", 1, "")
	put("cur", 2, ":2,S")
	put("work/INBOX/new", 3, "")
	put("work/INBOX/cur", 4, ",U=3:2,S")
	put("a/b/c/d/e/new", 5, "")
	put(".Sent/cur", 6, ":2,S")
	put("work/.hidden/.deep/new", 7, "")
	put("new/cur/new", 8, "")
	put("other/cur", 3, ":2,") // the same message twice
	// These do not.
	put("work/INBOX/tmp", 20, "")
	put(".postrider/new", 21, "")
	put(".notmuch/xapian/cur", 22, "")
	put("lost+found/new", 23, "")
	put("work/INBOX", 24, "")
	put("work/news", 25, "")
	put(filepath.Join(elsewhere, "new"), 26, "")
	if err := os.Symlink(elsewhere, filepath.Join(root, "work", "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(root, filepath.Join(root, "work", "loop")); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(root, "new", "1.M2P3.h"), nil, 0o600)

	got := map[byte]int{}
	if err := Keys(root, func(k [KeySize]byte) { got[k[0]]++ }); err != nil {
		t.Fatal(err)
	}
	want := map[byte]int{1: 1, 2: 1, 3: 2, 4: 1, 5: 1, 6: 1, 7: 1, 8: 1}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if err := Keys(filepath.Join(root, "gone"), func([KeySize]byte) {}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a root that is not there: %v", err)
	}
}

// TestKeysOfWhatCannotBeRead: a part that is skipped without a word would make
// its messages come again. Only the lost+found of a file system is nobody's.
func TestKeysOfWhatCannotBeRead(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything: this one needs a plain user")
	}
	root := t.TempDir()
	for _, name := range []string{"lost+found", "work"} {
		os.Mkdir(filepath.Join(root, name), 0)
		defer os.Chmod(filepath.Join(root, name), 0o700)
		err := Keys(root, func([KeySize]byte) {})
		if name == "lost+found" && err != nil || name == "work" && !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKeysSeesWhatAReaderMoves: new/ is read before cur/.
func TestKeysSeesWhatAReaderMoves(t *testing.T) {
	f := openFolder(t)
	var a, b = Final("1.R.h", 1, key(1)), Final("2.R.h", 1, key(2))
	os.WriteFile(f.path("new", a), nil, 0o600)
	os.WriteFile(f.path("new", b), nil, 0o600)
	os.WriteFile(f.path("cur", Final("3.R.h", 1, key(3))+":2,"), nil, 0o600)
	seen := map[byte]bool{}
	err := Keys(f.Dir(), func(k [KeySize]byte) {
		if len(seen) == 0 { // the reader comes just now
			os.Rename(f.path("new", a), f.path("cur", a+":2,S"))
			os.Rename(f.path("new", b), f.path("cur", b+":2,S"))
		}
		seen[k[0]] = true
	})
	if err != nil || len(seen) != 3 {
		t.Errorf("%v, %v", seen, err)
	}
}
