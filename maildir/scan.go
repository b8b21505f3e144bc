package maildir

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

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
	return hasContent(os.NewFile(uintptr(fd), f.path("tmp", name)), octets, sum)
}

// SameContent tells whether NAME in new/ or cur/ has the given size and
// SHA-256, and so is the message that was to get that name.
func (f *Folder) SameContent(name string, octets int64, sum [sha256.Size]byte) (bool, error) {
	for {
		path, err := f.find(Base(name))
		if err != nil || path == "" {
			return false, err
		}
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a reader gave it other flags just now
		}
		if err != nil {
			return false, err
		}
		return hasContent(file, octets, sum)
	}
}

// find returns the path of the delivered message with the given base name, or
// "".
func (f *Folder) find(base string) (path string, err error) {
	for _, sub := range []string{"new", "cur"} {
		err := eachName(f.path(sub, ""), func(name string) {
			if Base(name) == base {
				path = f.path(sub, name)
			}
		})
		if err != nil || path != "" {
			return path, err
		}
	}
	return "", nil
}

// hasContent closes the file.
func hasContent(file *os.File, octets int64, sum [sha256.Size]byte) (bool, error) {
	defer file.Close()
	h := sha256.New()
	n, err := io.Copy(h, file)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", file.Name(), err)
	}
	return n == octets && [sha256.Size]byte(h.Sum(nil)) == sum, nil
}

// Resume carries an intent out that a crash interrupted: it moves tmp/TMP, the
// content of which the caller has verified, to NAME in new/ or cur/, and gives
// it its date unless that is zero.
func (f *Folder) Resume(tmp, name string, cur bool, date time.Time) error {
	if err := f.publish(tmp, name, cur); err != nil {
		return err
	}
	f.setDate(name, cur, date)
	return nil
}

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
		if _, ours := ParseKey(name); ours && !keep[name] && !live.made(name) {
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
// state's own directory and links are not followed, and lost+found of a file
// system belongs to nobody.
func Keys(root string, each func(key [KeySize]byte)) error {
	dirs, err := keysIn(root, each)
	if err != nil {
		return err
	}
	for _, name := range dirs {
		if name == ".postrider" || name == "lost+found" || strings.HasPrefix(name, ".notmuch") {
			continue
		}
		// A directory that is gone by now holds nothing.
		if err := Keys(filepath.Join(root, name), each); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// keysIn reads one directory and returns those in it, new/ before cur/: a
// message that a reader moves from one to the other meanwhile is then seen.
func keysIn(dir string, each func(key [KeySize]byte)) (dirs []string, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	base := filepath.Base(dir)
	delivered := base == "new" || base == "cur"
	for {
		entries, err := d.ReadDir(4096)
		for _, e := range entries {
			if e.IsDir() {
				dirs = append(dirs, e.Name())
			} else if key, ok := ParseKey(e.Name()); ok && delivered {
				each(key)
			}
		}
		if errors.Is(err, io.EOF) {
			slices.SortFunc(dirs, func(a, b string) int { return strings.Compare(b, a) })
			return dirs, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", dir, err)
		}
	}
}
