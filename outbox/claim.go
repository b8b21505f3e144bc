package outbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"postrider/maildir"
)

// claimedPrefix is put before a file's name while its item is being made, so
// that a crash does not lose what the user called it.
const claimedPrefix = "="

// dropped is a file in the outbox that may be a message.
type dropped struct {
	name  string
	wait  time.Duration // until it counts as complete; 0: it does
	state unix.Stat_t
}

// look finds out whether a file of the outbox is one to send, and whether it is
// complete: regular, ours, with one name, and nobody has it open for writing. A
// read lease tells the latter at once (fcntl(2)); where there are none, the
// file must have been quiet. With patience it must be in any case, since its
// writer may come back.
func look(dir *os.File, name string, patience bool, now time.Time) (d dropped, ok bool, err error) {
	// Opening a device or a FIFO may already do something.
	if err := unix.Fstatat(int(dir.Fd()), name, &d.state, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if err == unix.ENOENT {
			return d, false, nil
		}
		return d, false, &os.PathError{Op: "stat", Path: filepath.Join(dir.Name(), name), Err: err}
	}
	if !sendable(&d.state) {
		return d, false, nil
	}
	fd, err := openIn(dir, name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
		return d, false, nil // gone, or exchanged for a link or a socket
	}
	if err != nil {
		return d, false, err
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &d.state); err != nil {
		return d, false, &os.PathError{Op: "stat", Path: filepath.Join(dir.Name(), name), Err: err}
	}
	if !sendable(&d.state) {
		return d, false, nil
	}
	d.name = name
	quiet := now.Sub(time.Unix(d.state.Mtim.Unix()))
	if quiet < 0 {
		quiet = quietFor // its date is in the future, which says nothing
	}
	switch closed, known := lease(fd); {
	case known && !closed:
		d.wait = quietFor
	case known && !patience:
	default:
		d.wait = max(quietFor-quiet, 0)
	}
	return d, true, nil
}

// sendable: a file of another user, or one with a second name, could be made to
// say something else after it was looked at. One without octets is about to be
// written.
func sendable(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFREG && st.Uid == uint32(os.Geteuid()) && st.Nlink == 1 && st.Size > 0
}

// openIn opens a file for reading without waiting for a writer of a FIFO.
func openIn(dir *os.File, name string) (int, error) {
	for {
		fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return -1, &os.PathError{Op: "open", Path: filepath.Join(dir.Name(), name), Err: err}
		}
		return fd, nil
	}
}

// claim takes a file out of the outbox into an item of its own, with one rename.
// Its octets are still what its writer may not have put on disk. It is nothing
// if the file is not any more what was looked at.
func (s *Spool) claim(dir *os.File, d dropped, now time.Time) (claim, error) {
	c := claim{newID(now), shorten(d.name, unix.NAME_MAX-len(claimedPrefix))}
	if err := os.Mkdir(s.path(Incoming, c.id), 0o700); err != nil {
		return claim{}, &os.PathError{Op: "take from the outbox", Path: filepath.Join(dir.Name(), d.name), Err: err}
	}
	to := s.path(Incoming, c.id, claimedPrefix+c.name)
	if err := maildir.RenameNoReplace(int(dir.Fd()), d.name, unix.AT_FDCWD, to); err != nil {
		_ = os.Remove(s.path(Incoming, c.id))
		if errors.Is(err, unix.ENOENT) {
			return claim{}, nil // its owner has taken it back
		}
		return claim{}, &os.PathError{Op: "take from the outbox", Path: filepath.Join(dir.Name(), d.name), Err: err}
	}
	var st unix.Stat_t
	if err := unix.Lstat(to, &st); err == nil && st.Ino == d.state.Ino && st.Dev == d.state.Dev && sendable(&st) {
		return c, nil
	}
	// It is another file than the one that was looked at, or has a second name by now: it goes back.
	err := maildir.RenameNoReplace(unix.AT_FDCWD, to, int(dir.Fd()), d.name)
	if err == nil {
		err = os.Remove(s.path(Incoming, c.id))
	}
	if err != nil {
		return claim{}, &os.PathError{Op: "put back into the outbox", Path: filepath.Join(dir.Name(), d.name), Err: err}
	}
	return claim{}, nil
}
