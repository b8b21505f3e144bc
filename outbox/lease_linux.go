package outbox

import "golang.org/x/sys/unix"

// lease tells whether nobody has the file open for writing, or that this cannot
// be known: leases are for local file systems and for a file's owner. It is
// given back at once, as a writer would have to wait for it.
func lease(fd int) (closed, known bool) {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
	switch err {
	case nil:
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
		return err == nil, err == nil
	case unix.EAGAIN:
		return false, true
	}
	return false, false
}
