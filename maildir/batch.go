package maildir

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Syncer bounds how many fsyncs run at once in the process. Many at once let
// the file system write its journal once for all of them; without a bound,
// many accounts would each hold a thread for every file.
type Syncer struct {
	slots   chan struct{}
	probing sync.Mutex // held by Folder.Probe
}

// NewSyncer returns a Syncer that lets n fsyncs run at once.
func NewSyncer(n int) *Syncer { return &Syncer{slots: make(chan struct{}, max(n, 1))} }

func (s *Syncer) do(f func() error) error {
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	return f()
}

// Batch is a set of finished files of one folder that become durable and
// visible together. It is used by one goroutine.
type Batch struct {
	folder *Folder
	files  []*File
}

// NewBatch returns a batch of the given finished files, which belong to it
// from now on.
func (f *Folder) NewBatch(files []*File) *Batch { return &Batch{folder: f, files: files} }

// Files are the files that are still in the batch.
func (b *Batch) Files() []*File { return b.files }

// SyncFiles puts the octets of every file on disk. Files for which that failed
// are removed and leave the batch; drop is called for each with its error.
func (b *Batch) SyncFiles(drop func(*File, error)) {
	errs := make([]error, len(b.files))
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(cap(b.folder.syncer.slots), len(b.files)) {
		wg.Go(func() {
			for i := range next {
				errs[i] = b.folder.syncer.do(b.files[i].sync)
			}
		})
	}
	for i := range b.files {
		next <- i
	}
	close(next)
	wg.Wait()

	kept := b.files[:0]
	for i, f := range b.files {
		if errs[i] == nil {
			kept = append(kept, f)
			continue
		}
		drop(f, errors.Join(errs[i], f.Abort()))
	}
	clear(b.files[len(kept):])
	b.files = kept
}

// SyncTmp puts the entries of tmp/ on disk, without which an intent could name
// a file that a power cut takes away.
func (b *Batch) SyncTmp() error {
	return b.folder.syncer.do(func() error { return syncFD(b.folder.tmp, b.folder.path("tmp", "")) })
}

// Publish moves every file to its place in new/ or cur/, never over another
// one. Files for which that failed leave the batch, and drop is called for
// each with its error; they stay in tmp/, as an intent names them there and
// only recovery can tell a failure from a crash.
func (b *Batch) Publish(drop func(*File, error)) {
	kept := b.files[:0]
	for _, f := range b.files {
		if err := b.folder.publish(f.Tmp, f.Name, f.Cur); err != nil {
			drop(f, err)
			continue
		}
		b.folder.setDate(f.Name, f.Cur, f.Date)
		f.Tmp = ""
		kept = append(kept, f)
	}
	clear(b.files[len(kept):])
	b.files = kept
}

// SyncNew puts the entries of new/, and of cur/ where the batch published into
// it, on disk. Only after it may a delivery be recorded.
func (b *Batch) SyncNew() error {
	var inNew, inCur bool
	for _, f := range b.files {
		inNew = inNew || !f.Cur
		inCur = inCur || f.Cur
	}
	return b.folder.syncPublished(inNew, inCur)
}

func (f *Folder) syncPublished(inNew, inCur bool) error {
	return f.syncer.do(func() error {
		if inNew {
			if err := syncFD(f.new, f.path("new", "")); err != nil {
				return err
			}
		}
		if inCur {
			return syncFD(f.cur, f.path("cur", ""))
		}
		return nil
	})
}

// publish renames tmp/TMP to its place without replacing. File systems without
// such a rename get a link and an unlink.
func (f *Folder) publish(tmp, name string, cur bool) error {
	dir, sub := f.new, "new"
	if cur {
		dir, sub = f.cur, "cur"
	}
	_, err := ignoringEINTR(func() (int, error) { return 0, renameNoReplace(f.tmp, tmp, dir, name) })
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) {
		err = f.linkUnlink(tmp, dir, name)
	}
	if err != nil && !errors.Is(err, unix.EEXIST) && f.arrived(tmp, dir, name) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: fmt.Sprintf("publish into %s/", sub), Path: f.path(sub, name), Err: err}
	}
	return nil
}

// setDate sets the modification time of a published message. Before that the file
// must look new: cleaners of tmp/ remove what looks old. Its failure costs a
// date and no mail; and a reader may have moved the message already.
func (f *Folder) setDate(name string, cur bool, date time.Time) {
	at, err := unix.TimeToTimespec(date)
	now, odd := unix.TimeToTimespec(time.Now())
	if date.IsZero() || err != nil || odd != nil {
		return
	}
	dir := f.new
	if cur {
		dir = f.cur
	}
	_ = unix.UtimesNanoAt(dir, name, []unix.Timespec{now, at}, unix.AT_SYMLINK_NOFOLLOW)
}

// RenameNoReplace renames a file or directory that must not take the place of
// another; names are below the directories that the descriptors are for. File
// systems without such a rename get a link and an unlink, which is for files.
func RenameNoReplace(oldDir int, oldName string, newDir int, newName string) error {
	_, err := ignoringEINTR(func() (int, error) { return 0, renameNoReplace(oldDir, oldName, newDir, newName) })
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) {
		if _, err = ignoringEINTR(func() (int, error) { return 0, unix.Linkat(oldDir, oldName, newDir, newName, 0) }); err == nil {
			err = unlinkat(oldDir, oldName)
		}
	}
	return err
}

func (f *Folder) linkUnlink(tmp string, dir int, name string) error {
	if _, err := ignoringEINTR(func() (int, error) { return 0, unix.Linkat(f.tmp, tmp, dir, name, 0) }); err != nil {
		if !errors.Is(err, unix.EEXIST) || !f.sameFile(tmp, dir, name) {
			return err
		}
	}
	return unlinkat(f.tmp, tmp)
}

// arrived tells whether the move took place although an error was reported, as
// NFS does when the answer to the first try is lost.
func (f *Folder) arrived(tmp string, dir int, name string) bool {
	var st unix.Stat_t
	gone := unix.Fstatat(f.tmp, tmp, &st, unix.AT_SYMLINK_NOFOLLOW) == unix.ENOENT
	return gone && unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

func (f *Folder) sameFile(tmp string, dir int, name string) bool {
	var a, b unix.Stat_t
	return unix.Fstatat(f.tmp, tmp, &a, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		unix.Fstatat(dir, name, &b, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		a.Dev == b.Dev && a.Ino == b.Ino
}
