package maildir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// probeName is a file that readers do not see, as they skip names with a
// leading dot. It is always the same one, so that none is left after crashes.
const probeName = ".postrider-probe"

// Folder is an open Maildir folder. Its methods may be called from many
// goroutines at once.
type Folder struct {
	dir           string
	tmp, new, cur int
	syncer        *Syncer
	buffers       buffers
}

// Open opens the Maildir folder at dir. What is missing of dir and its tmp/,
// new/ and cur/ is made durably, mode 0700, below root, which must exist: a
// root that is gone (a disk not mounted) is never made anew here.
func Open(root, dir string, s *Syncer) (*Folder, error) {
	if err := makeFolder(root, dir); err != nil {
		return nil, err
	}
	f := &Folder{dir: dir, tmp: -1, new: -1, cur: -1, syncer: s}
	for _, part := range []struct {
		name string
		fd   *int
	}{{"tmp", &f.tmp}, {"new", &f.new}, {"cur", &f.cur}} {
		fd, err := openat(unix.AT_FDCWD, filepath.Join(dir, part.name), unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			f.Close()
			return nil, &os.PathError{Op: "open", Path: filepath.Join(dir, part.name), Err: err}
		}
		*part.fd = fd
	}
	return f, nil
}

// Dir is the path of the folder.
func (f *Folder) Dir() string { return f.dir }

// Close releases the folder. Files made in it must be published or aborted
// before.
func (f *Folder) Close() error {
	for _, fd := range []*int{&f.tmp, &f.new, &f.cur} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
	return nil
}

// Probe finds out whether a rename from tmp/ to new/ and cur/ works. It does
// not where one of them is a mount of its own, not even for two mounts of one
// file system; a copy in place of the rename would not be safe.
func (f *Folder) Probe() error {
	// One at a time, as two folders that are open may be the same directory.
	f.syncer.probing.Lock()
	defer f.syncer.probing.Unlock()
	fd, err := openat(f.tmp, probeName, unix.O_CREAT|unix.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: f.path("tmp", probeName), Err: err}
	}
	unix.Close(fd)
	if err := f.probe("tmp", f.tmp, "new", f.new); err != nil {
		return err
	}
	if err := f.probe("new", f.new, "cur", f.cur); err != nil {
		return err
	}
	if err := unlinkat(f.cur, probeName); err != nil {
		return &os.PathError{Op: "remove", Path: f.path("cur", probeName), Err: err}
	}
	return nil
}

func (f *Folder) probe(from string, fromDir int, to string, toDir int) error {
	_, err := ignoringEINTR(func() (int, error) { return 0, unix.Renameat(fromDir, probeName, toDir, probeName) })
	if err == nil {
		return nil
	}
	_ = unlinkat(fromDir, probeName)
	if errors.Is(err, unix.EXDEV) {
		return fmt.Errorf("%s: %s and %s are different mounts, so that a message cannot be moved from one to the other in one step: mount the folder as a whole", f.dir, from, to)
	}
	return &os.PathError{Op: "rename to " + to + "/", Path: f.path(from, probeName), Err: err}
}

func (f *Folder) path(sub, name string) string { return filepath.Join(f.dir, sub, name) }

func (f *Folder) removeTmp(name string) error {
	if err := unlinkat(f.tmp, name); err != nil {
		return &os.PathError{Op: "remove", Path: f.path("tmp", name), Err: err}
	}
	return nil
}

// makeFolder makes the directories of a folder that do not exist yet, and
// syncs each directory that got a new entry. tmp/ comes last, when everything
// else is on disk: a folder that looks complete needs no sync.
func makeFolder(root, dir string) error {
	rel, err := filepath.Rel(root, dir)
	if err != nil || !filepath.IsLocal(rel) {
		return fmt.Errorf("folder %s does not lie in %s", dir, root)
	}
	if complete(dir) {
		return nil
	}
	var parents []string
	at := root
	for _, part := range splitPath(rel) {
		parents = append(parents, at)
		at = filepath.Join(at, part)
		if err := makeDir(at); err != nil {
			return err
		}
	}
	for _, sub := range []string{"new", "cur"} {
		if err := makeDir(filepath.Join(dir, sub)); err != nil {
			return err
		}
	}
	for _, parent := range append(parents, dir) {
		if err := SyncDir(parent); err != nil {
			return err
		}
	}
	if err := makeDir(filepath.Join(dir, "tmp")); err != nil {
		return err
	}
	return SyncDir(dir)
}

func complete(dir string) bool {
	for _, sub := range []string{"tmp", "new", "cur"} {
		if st, err := os.Stat(filepath.Join(dir, sub)); err != nil || !st.IsDir() {
			return false
		}
	}
	return true
}

func splitPath(rel string) []string {
	if rel == "." {
		return nil
	}
	return strings.Split(rel, string(filepath.Separator))
}

// makeDir makes a directory. That it is there is no error; that something else
// is, shows when the folder is opened.
func makeDir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make folder: %w", err)
	}
	return nil
}

// SyncDir puts the entries of a directory on disk.
func SyncDir(path string) error {
	fd, err := openat(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	return syncFD(fd, path)
}

func syncFD(fd int, path string) error {
	_, err := ignoringEINTR(func() (int, error) { return 0, unix.Fsync(fd) })
	if err != nil {
		return &os.PathError{Op: "fsync", Path: path, Err: err}
	}
	return nil
}

func openat(dir int, name string, flags int, mode uint32) (int, error) {
	return ignoringEINTR(func() (int, error) { return unix.Openat(dir, name, flags|unix.O_CLOEXEC, mode) })
}

func unlinkat(dir int, name string) error {
	_, err := ignoringEINTR(func() (int, error) { return 0, unix.Unlinkat(dir, name, 0) })
	return err
}

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}
