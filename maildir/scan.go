package maildir

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Names is what the three directories of a folder hold, read once for recovery.
type Names struct {
	Tmp       map[string]bool // full names
	Delivered map[string]bool // names in new/ and cur/, without flags
}

// Scan reads the names of all files in the folder at dir. A folder that does
// not exist has none.
func Scan(dir string) (*Names, error) {
	n := &Names{Tmp: map[string]bool{}, Delivered: map[string]bool{}}
	// tmp/ is read first: a file that moves meanwhile is then seen at least once.
	for _, sub := range []string{"tmp", "new", "cur"} {
		err := eachName(filepath.Join(dir, sub), func(name string) {
			if sub == "tmp" {
				n.Tmp[name] = true
			} else {
				n.Delivered[Base(name)] = true
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return n, nil
}

func eachName(dir string, each func(name string)) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(4096)
		for _, name := range names {
			each(name)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", dir, err)
		}
	}
}

// Intact tells whether tmp/NAME has the given size and SHA-256.
func (f *Folder) Intact(name string, octets int64, sum [sha256.Size]byte) (bool, error) {
	fd, err := openat(f.tmp, name, unix.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, &os.PathError{Op: "open", Path: f.path("tmp", name), Err: err}
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	h := sha256.New()
	n, err := io.Copy(h, file)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", f.path("tmp", name), err)
	}
	return n == octets && [sha256.Size]byte(h.Sum(nil)) == sum, nil
}

// SameContent tells whether NAME in new/ or cur/ is the file that was tmp/TMP,
// or one with the same octets, by size and SHA-256.
func (f *Folder) SameContent(name string, octets int64, sum [sha256.Size]byte) (bool, error) {
	for _, sub := range []string{"new", "cur"} {
		found := ""
		err := eachName(f.path(sub, ""), func(n string) {
			if Base(n) == Base(name) {
				found = n
			}
		})
		if err != nil {
			return false, err
		}
		if found == "" {
			continue
		}
		h := sha256.New()
		file, err := os.Open(f.path(sub, found))
		if errors.Is(err, fs.ErrNotExist) {
			continue // the reader moved it just now
		}
		if err != nil {
			return false, err
		}
		n, err := io.Copy(h, file)
		file.Close()
		if err != nil {
			return false, fmt.Errorf("read %s: %w", f.path(sub, found), err)
		}
		return n == octets && [sha256.Size]byte(h.Sum(nil)) == sum, nil
	}
	return false, nil
}

// Resume carries an intent out that a crash interrupted: it moves tmp/TMP, the
// content of which the caller has verified, to NAME in new/ or cur/.
func (f *Folder) Resume(tmp, name string, cur bool) error { return f.publish(tmp, name, cur) }

// SyncAll puts the entries of new/ and cur/ on disk.
func (f *Folder) SyncAll() error { return f.syncPublished(true, true) }

// Remove removes tmp/NAME; that it is gone already is no error.
func (f *Folder) Remove(name string) error {
	if err := f.removeTmp(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Sweep removes the files in tmp/ that are ours by name, that keep does not
// hold, and that were not made by the process of live, as those may be on
// their way at this moment. It returns how many it removed.
func (f *Folder) Sweep(keep map[string]bool, live *Namer) (int, error) {
	var orphans []string
	err := eachName(f.path("tmp", ""), func(name string) {
		if _, ours := ParseKey(name); (ours || name == probeName) && !keep[name] && !live.made(name) {
			orphans = append(orphans, name)
		}
	})
	if err != nil {
		return 0, err
	}
	for _, name := range orphans {
		if err := f.Remove(name); err != nil {
			return 0, err
		}
	}
	return len(orphans), nil
}

// Keys calls each with the key of every delivered message of ours in all
// folders below root, at any depth: what a lost ledger is rebuilt from. The
// state's own directory and links are not followed.
func Keys(root string, each func(key [KeySize]byte)) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			parent := filepath.Base(filepath.Dir(path))
			if parent != "new" && parent != "cur" {
				return nil
			}
			if key, ok := ParseKey(d.Name()); ok {
				each(key)
			}
			return nil
		}
		if path != root && (d.Name() == ".postrider" || strings.HasPrefix(d.Name(), ".notmuch")) {
			return fs.SkipDir
		}
		return nil
	})
}
