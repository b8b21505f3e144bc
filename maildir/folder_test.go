package maildir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestT23ModesUnderUmask0(t *testing.T) {
	defer unix.Umask(unix.Umask(0))
	root := t.TempDir()
	f, err := Open(root, filepath.Join(root, "a", "b", "INBOX"), NewSyncer(1))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	publish(t, f, finished(t, f, "one", []byte("x")), "one", false)
	publish(t, f, finished(t, f, "two", []byte("x")), "two:2,S", true)
	finished(t, f, "three", []byte("x"))
	seen := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		seen++
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if st.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, st.Mode())
		}
		return nil
	})
	if err != nil || seen != 9 {
		t.Errorf("%d entries, %v", seen, err)
	}
}

// publish walks one finished file through the rest of the order.
func publish(t testing.TB, f *Folder, file *File, name string, cur bool) {
	t.Helper()
	file.Name, file.Cur = name, cur
	b := f.NewBatch([]*File{file})
	drop := func(_ *File, err error) { t.Errorf("dropped: %v", err) }
	b.SyncFiles(drop)
	if err := b.SyncTmp(); err != nil {
		t.Fatal(err)
	}
	b.Publish(drop)
	if err := b.SyncNew(); err != nil {
		t.Fatal(err)
	}
}

// TestOpenRefuses opens folders where something is wrong, and finds that
// nothing was changed.
func TestOpenRefuses(t *testing.T) {
	file := func(path string) { os.WriteFile(path, []byte("x"), 0o600) }
	for _, c := range []struct {
		name    string
		prepare func(root string)
		dir     string
		want    error
	}{
		{"T9 missing root", func(root string) { os.Remove(root) }, "work/INBOX", fs.ErrNotExist},
		{"T9 missing root that is the folder", func(root string) { os.Remove(root) }, ".", fs.ErrNotExist},
		{"file as root", func(root string) { os.Remove(root); file(root) }, "INBOX", syscall.ENOTDIR},
		{"file above the folder", func(root string) { file(filepath.Join(root, "work")) }, "work/INBOX", syscall.ENOTDIR},
		{"file as folder", func(root string) { file(filepath.Join(root, "INBOX")) }, "INBOX", syscall.ENOTDIR},
		{"file as tmp", func(root string) { file(filepath.Join(root, "tmp")) }, ".", syscall.ENOTDIR},
		{"file as new", func(root string) { file(filepath.Join(root, "new")) }, ".", syscall.ENOTDIR},
		{"FIFO as cur", func(root string) { syscall.Mkfifo(filepath.Join(root, "cur"), 0o600) }, ".", syscall.ENOTDIR},
		{"link to nowhere", func(root string) { os.Symlink("gone", filepath.Join(root, "work")) }, "work/INBOX", fs.ErrNotExist},
		{"link to itself", func(root string) { os.Symlink("new", filepath.Join(root, "new")) }, ".", syscall.ELOOP},
		{"above the root", func(string) {}, "..", nil},
		{"beside the root", func(string) {}, "../other", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "root")
			os.Mkdir(root, 0o700)
			c.prepare(root)
			f, err := Open(root, filepath.Join(root, c.dir), NewSyncer(1))
			if err == nil {
				f.Close()
				t.Fatal("it was opened")
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%v", err)
			}
			if _, err := os.Lstat(filepath.Join(filepath.Dir(root), "other")); err == nil {
				t.Error("something was made outside of the root")
			}
			if strings.HasPrefix(c.name, "T9") {
				if _, err := os.Lstat(root); err == nil {
					t.Error("the root was made")
				}
			}
		})
	}
}

func TestOpenCompletesAFolder(t *testing.T) {
	for _, there := range []string{"", "a", "a/b", "a/b/tmp", "a/b/new", "a/b/cur"} {
		root := t.TempDir()
		if err := os.MkdirAll(filepath.Join(root, there), 0o700); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			f, err := Open(root, filepath.Join(root, "a", "b"), NewSyncer(1))
			if err != nil {
				t.Fatalf("%q: %v", there, err)
			}
			if err := f.Probe(); err != nil {
				t.Errorf("%q: %v", there, err)
			}
			f.Close()
		}
	}
}

// TestOpenThroughALink: a user may keep a folder on another disk.
func TestOpenThroughALink(t *testing.T) {
	root, disk := t.TempDir(), t.TempDir()
	if err := os.Symlink(disk, filepath.Join(root, "work")); err != nil {
		t.Fatal(err)
	}
	f, err := Open(root, filepath.Join(root, "work", "INBOX"), NewSyncer(1))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	publish(t, f, finished(t, f, "one", []byte("x")), "one", false)
	if _, err := os.Stat(filepath.Join(disk, "INBOX", "new", "one")); err != nil {
		t.Error(err)
	}
}

func TestOpenAndCloseLeakNothing(t *testing.T) {
	root := t.TempDir()
	os.WriteFile(filepath.Join(root, "cur"), nil, 0o600)
	before := descriptors(t)
	for range 20 {
		if _, err := Open(root, root, NewSyncer(1)); err == nil {
			t.Fatal("opened")
		}
		f, err := Open(root, filepath.Join(root, "x"), NewSyncer(1))
		if err != nil {
			t.Fatal(err)
		}
		f.Probe()
		f.Close()
		f.Close()
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func descriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("no /proc here: %v", err)
	}
	return len(entries)
}

func TestProbeLeavesNothing(t *testing.T) {
	f := openFolder(t)
	// What a crash in an earlier probe may have left.
	for _, sub := range []string{"tmp", "new", "cur"} {
		os.WriteFile(f.path(sub, probeName), nil, 0o600)
	}
	other, err := Open(filepath.Dir(f.dir), f.dir, f.syncer)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if err := []*Folder{f, other}[i%2].Probe(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, sub := range []string{"tmp", "new", "cur"} {
		if got := names(t, f, sub); len(got) > 0 {
			t.Errorf("left in %s/: %v", sub, got)
		}
	}
}
