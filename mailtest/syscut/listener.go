//go:build linux && (amd64 || arm64)

package syscut

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notification is struct seccomp_notif.
type notification struct {
	ID     uint64
	Thread uint32
	Flags  uint32
	Number int32
	Arch   uint32
	IP     uint64
	Args   [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	ID    uint64
	Value int64
	Error int32 // minus errno
	Flags uint32
}

// Requests that x/sys does not name.
const (
	notifIDValid  = 0x40082102 // SECCOMP_IOCTL_NOTIF_ID_VALID
	notifSetFlags = 0x40082104 // SECCOMP_IOCTL_NOTIF_SET_FLAGS
)

// listener is the supervisor's end of a filter.
type listener int

// install puts the filter on the calling thread, which must be locked, and
// returns its listener. Killable waits (Linux 5.19) are required: Go interrupts
// its threads with signals, and an interrupted call would be counted twice.
func install() (listener, error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, fmt.Errorf("set no_new_privs: %w", err)
	}
	program := filter()
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
		uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return -1, fmt.Errorf("install seccomp filter: %w", errno)
	}
	return listener(fd), nil
}

// receive takes the next notification; it may fail with ENOENT when the thread
// died in the meantime.
func (l listener) receive(n *notification) error {
	*n = notification{} // the kernel insists on zeroes
	return l.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(n))
}

// valid reports whether the call still waits, so that what was read from the
// thread since receive belongs to it and not to a successor with its number.
func (l listener) valid(id uint64) bool {
	return l.ioctl(notifIDValid, unsafe.Pointer(&id)) == nil
}

// send answers a call: 0 lets it run, anything else is returned to the caller.
func (l listener) send(id uint64, errno unix.Errno) error {
	r := response{ID: id, Flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if errno != 0 {
		r = response{ID: id, Error: -int32(errno)}
	}
	return l.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
}

// wakeTogether asks the kernel (6.6 or later) to hand the processor over
// directly, which halves the cost of a call; older kernels refuse, no harm done.
func (l listener) wakeTogether() {
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(l), notifSetFlags, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
}

func (l listener) ioctl(request uint, p unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(l), uintptr(request), uintptr(p))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
			continue
		default:
			return errno
		}
	}
}
