package maildir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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

// Probe finds out whether a rename from tmp/ to new/ works. It does not where
// one of them is a mount of its own, not even for two mounts of one file
// system; a copy in place of the rename would not be safe.
func (f *Folder) Probe() error {
	fd, err := openat(f.tmp, probeName, unix.O_CREAT|unix.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: f.path("tmp", probeName), Err: err}
	}
	unix.Close(fd)
	if err := unix.Renameat(f.tmp, probeName, f.new, probeName); err != nil {
		_ = unix.Unlinkat(f.tmp, probeName, 0)
		if errors.Is(err, unix.EXDEV) {
			return fmt.Errorf("%s: tmp and new are different mounts, so that a message cannot be moved from one to the other in one step: mount the folder as a whole", f.dir)
		}
		return &os.PathError{Op: "rename to new/", Path: f.path("tmp", probeName), Err: err}
	}
	if err := unix.Unlinkat(f.new, probeName, 0); err != nil {
		return &os.PathError{Op: "remove", Path: f.path("new", probeName), Err: err}
	}
	return nil
}

func (f *Folder) path(sub, name string) string { return filepath.Join(f.dir, sub, name) }

func (f *Folder) removeTmp(name string) error {
	if err := unix.Unlinkat(f.tmp, name, 0); err != nil {
		return &os.PathError{Op: "remove", Path: f.path("tmp", name), Err: err}
	}
	return nil
}

// makeFolder makes the directories of a folder that do not exist yet, and
// syncs each directory that got a new entry.
func makeFolder(root, dir string) error {
	rel, err := filepath.Rel(root, dir)
	if err != nil || !filepath.IsLocal(rel) {
		return fmt.Errorf("folder %s does not lie in %s", dir, root)
	}
	if complete(dir) {
		return nil
	}
	made := map[string]bool{}
	at := root
	for _, part := range append(splitPath(rel), "tmp") {
		if err := makeDir(at, part, made); err != nil {
			return err
		}
		at = filepath.Join(at, part)
	}
	for _, sub := range []string{"new", "cur"} {
		if err := makeDir(dir, sub, made); err != nil {
			return err
		}
	}
	for parent := range made {
		if err := SyncDir(parent); err != nil {
			return err
		}
	}
	return nil
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
	var parts []string
	for rel != "." && rel != "" {
		parent, last := filepath.Split(rel)
		parts = append([]string{last}, parts...)
		rel = filepath.Clean(parent)
		if parent == "" {
			break
		}
	}
	return parts
}

func makeDir(parent, name string, made map[string]bool) error {
	path := filepath.Join(parent, name)
	switch err := os.Mkdir(path, 0o700); {
	case err == nil:
		made[parent] = true
	case errors.Is(err, fs.ErrExist):
		// An entry whose maker died before the sync below may not be on disk.
		made[parent] = true
	default:
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

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}
