package maildir

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openFolder returns a folder below a new root.
func openFolder(t testing.TB) *Folder {
	t.Helper()
	root := t.TempDir()
	f, err := Open(root, filepath.Join(root, "work", "INBOX"), NewSyncer(4))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func create(t testing.TB, f *Folder, name string) *File {
	t.Helper()
	file, err := f.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// finished returns a file in tmp/ that was written in the given pieces.
func finished(t testing.TB, f *Folder, name string, pieces ...[]byte) *File {
	t.Helper()
	file := create(t, f, name)
	for _, p := range pieces {
		if n, err := file.Write(p); n != len(p) || err != nil {
			t.Fatalf("write: %d, %v", n, err)
		}
	}
	if err := file.Finish(); err != nil {
		t.Fatal(err)
	}
	return file
}

// names returns what is in a part of a folder.
func names(t testing.TB, f *Folder, sub string) []string {
	t.Helper()
	entries, err := os.ReadDir(f.path(sub, ""))
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// checkStored compares a finished file with what the simplest code would store.
func checkStored(t testing.TB, f *Folder, file *File, wire []byte) {
	t.Helper()
	want := bytes.ReplaceAll(wire, []byte("\r\n"), []byte("\n"))
	got, err := os.ReadFile(f.path("tmp", file.Tmp))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		if len(wire) < 100 {
			t.Fatalf("%q is stored as %q", wire, got)
		}
		t.Fatalf("%d octets are stored as %d, not as %d that should be there", len(wire), len(got), len(want))
	}
	if file.Octets() != int64(len(want)) || file.Sum() != sha256.Sum256(want) {
		t.Fatalf("%q: octets %d, sum %x", wire, file.Octets(), file.Sum())
	}
}

// TestT32LineEnds stores every string of up to five of the octets that matter,
// cut in every place.
func TestT32LineEnds(t *testing.T) {
	f := openFolder(t)
	var try func(wire []byte)
	try = func(wire []byte) {
		for cut := 0; cut <= len(wire); cut++ {
			file := finished(t, f, "f", wire[:cut], nil, wire[cut:])
			checkStored(t, f, file, wire)
			if err := file.Abort(); err != nil {
				t.Fatal(err)
			}
		}
		if len(wire) < 5 {
			for _, c := range []byte("a\r\n\x00") {
				try(append(wire[:len(wire):len(wire)], c))
			}
		}
	}
	try(nil)
}

func TestT32EverySplitInThree(t *testing.T) {
	f := openFolder(t)
	wire := []byte("a\r\n\r\r\n\n\r\x00\r\nb\r")
	for i := range wire {
		for k := i; k < len(wire); k++ {
			file := finished(t, f, "f", wire[:i], wire[i:k], wire[k:])
			checkStored(t, f, file, wire)
			file.Abort()
		}
	}
}

// TestFileLargerThanItsBuffer puts line ends around every place where the
// buffer is emptied, and passes the mark for early writing back.
func TestFileLargerThanItsBuffer(t *testing.T) {
	f := openFolder(t)
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{64<<10 - 1, 64 << 10, 64<<10 + 1, 200_000, writebackStep + 100_000} {
		wire := make([]byte, size)
		for i := range wire {
			wire[i] = "abc\r\n"[random.IntN(5)]
		}
		file := create(t, f, "f")
		for rest := wire; len(rest) > 0; {
			n := min(1+random.IntN(9000), len(rest))
			if _, err := file.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := file.Finish(); err != nil {
			t.Fatal(err)
		}
		checkStored(t, f, file, wire)
		if err := file.sync(); err != nil {
			t.Fatal(err)
		}
		file.Abort()
	}
}

func TestCreateNeverTakesAnotherFile(t *testing.T) {
	f := openFolder(t)
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, f.path("tmp", "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside+"2", f.path("tmp", "dangling")); err != nil {
		t.Fatal(err)
	}
	finished(t, f, "file", []byte("mine"))
	for _, name := range []string{"file", "link", "dangling"} {
		if _, err := f.Create(name); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, _ := os.ReadFile(outside); string(got) != "mine" {
		t.Errorf("the file at the end of a link is now %q", got)
	}
	if _, err := os.Stat(outside + "2"); err == nil {
		t.Error("a file was made at the end of a link")
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	for name, prepare := range map[string]func(*File){
		"new":      func(*File) {},
		"written":  func(f *File) { f.Write([]byte("a\r")) },
		"finished": func(f *File) { f.Write([]byte("a")); f.Finish() },
		"synced":   func(f *File) { f.Write([]byte("a")); f.Finish(); f.sync() },
		"removed":  func(f *File) { os.Remove(f.folder.path("tmp", f.Tmp)) },
	} {
		t.Run(name, func(t *testing.T) {
			f := openFolder(t)
			file := create(t, f, "f")
			fd := file.fd
			prepare(file)
			for range 2 {
				if err := file.Abort(); err != nil {
					t.Error(err)
				}
			}
			if got := names(t, f, "tmp"); len(got) > 0 {
				t.Errorf("left in tmp/: %v", got)
			}
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
				t.Errorf("the file is still open: %v", err)
			}
		})
	}
}

// TestT6WriteThatFails has a device in the place of the file that is always
// full.
func TestT6WriteThatFails(t *testing.T) {
	full, err := unix.Open("/dev/full", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no /dev/full here: %v", err)
	}
	f := openFolder(t)
	file := create(t, f, "f")
	unix.Close(file.fd)
	file.fd = full
	if n, err := file.Write(bytes.Repeat([]byte("a\r\n"), 100_000)); n != 0 || !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("%d, %v", n, err)
	}
	_, again := file.Write([]byte("a"))
	if err := file.Finish(); err == nil || err != again || !strings.Contains(err.Error(), f.path("tmp", "f")) {
		t.Errorf("the first error does not stay: %v, %v", again, err)
	}
	if err := file.Abort(); err != nil || len(names(t, f, "tmp")) > 0 {
		t.Errorf("%v, left: %v", err, names(t, f, "tmp"))
	}
	// The buffer goes back to the others: nothing of the lost message may be in it.
	checkStored(t, f, finished(t, f, "g", []byte("b\r\n")), []byte("b\r\n"))
}

func FuzzFile(f *testing.F) {
	f.Add([]byte("a\r\n\r\r\n"), uint8(1))
	f.Add([]byte("\r\r\n\n\x00\r"), uint8(2))
	folder := openFolder(f)
	f.Fuzz(func(t *testing.T, wire []byte, step uint8) {
		var pieces [][]byte
		for rest := wire; len(rest) > 0; {
			n := min(int(step)+1, len(rest))
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		file := finished(t, folder, "f", pieces...)
		defer file.Abort()
		checkStored(t, folder, file, wire)
	})
}
