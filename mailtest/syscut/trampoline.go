//go:build linux && (amd64 || arm64)

package syscut

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	marker       = "POSTRIDER_SYSCUT_TRAMPOLINE=1"
	trampolineFD = 3 // the first of exec.Cmd.ExtraFiles
)

// Trampoline must be called first in TestMain. In an ordinary test process it
// returns at once. In the copy of the test binary that this package starts it
// installs the filter, hands its listener to the supervisor, executes the
// program under test, and never returns.
func Trampoline() {
	if !slices.Contains(os.Environ(), marker) {
		return
	}
	runtime.LockOSThread() // the filter belongs to this thread, and so must the exec
	_ = unix.Send(trampolineFD, []byte(jump().Error()), 0)
	os.Exit(126)
}

// ErrUnsupported says that the kernel, or a sandbox around this process, does
// not allow calls to be supervised.
var ErrUnsupported = errors.New("system calls cannot be supervised here (Linux 5.19 or later is needed)")

// Require skips a test where calls cannot be supervised.
func Require(tb testing.TB) {
	tb.Helper()
	_, _, err := Count(tb.Context(), Run{Argv: []string{"/proc/self/exe", "-test.run=^$"}, Roots: []string{"/nonexistent"}})
	switch {
	case errors.Is(err, ErrUnsupported):
		tb.Skip(err)
	case err != nil:
		tb.Fatal(err)
	}
}

// jump returns only when it failed.
func jump() error {
	at := slices.Index(os.Args, "--")
	if at < 0 || at+1 == len(os.Args) {
		return errors.New("start trampoline: no program given")
	}
	argv := os.Args[at+1:]
	env := slices.DeleteFunc(os.Environ(), func(s string) bool { return s == marker })
	unix.CloseOnExec(trampolineFD)
	l, err := install()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if err := unix.Sendmsg(trampolineFD, []byte("ok"), unix.UnixRights(int(l)), nil, 0); err != nil {
		return fmt.Errorf("hand over listener: %w", err)
	}
	return fmt.Errorf("execute %s: %w", argv[0], unix.Exec(argv[0], argv, env))
}

// command prepares the copy of this binary that becomes r's program, and
// returns the socket on which its listener will come. The arguments before --
// make a test binary whose TestMain forgot Trampoline run nothing at all.
func command(r Run) (*exec.Cmd, *os.File, error) {
	if len(r.Argv) == 0 {
		return nil, nil, errors.New("start program: empty argv")
	}
	program, err := exec.LookPath(r.Argv[0])
	if err != nil {
		return nil, nil, fmt.Errorf("start program: %w", err)
	}
	if program, err = filepath.Abs(program); err != nil {
		return nil, nil, fmt.Errorf("start program: %w", err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "supervisor"), os.NewFile(uintptr(pair[1]), "trampoline")
	env := r.Env
	if env == nil {
		env = os.Environ()
	}
	cmd := &exec.Cmd{
		Path:       "/proc/self/exe",
		Args:       append([]string{"syscut", "-test.run=^$", "--", program}, r.Argv[1:]...),
		Env:        append(slices.Clone(env), marker),
		Dir:        r.Dir,
		Stdout:     r.Stdout,
		Stderr:     r.Stderr,
		ExtraFiles: []*os.File{theirs},
	}
	return cmd, ours, nil
}

// complaint returns what went wrong after the handover, or nil: the socket is
// closed without a word when the program is executed. It is asked for at the end
// of the run because the exec itself may need an answer from the supervisor.
func complaint(socket *os.File) error {
	text := make([]byte, 4096)
	n, _, err := unix.Recvfrom(int(socket.Fd()), text, unix.MSG_DONTWAIT)
	if err != nil || n == 0 {
		return nil
	}
	return fmt.Errorf("trampoline: %s", text[:n])
}

// handover waits for the listener. The peer's end must be closed in this
// process, so that a trampoline that dies is seen as the end of the stream.
func handover(socket *os.File) (listener, error) {
	text, control := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	fd := int(socket.Fd()) // blocking, as wanted: the trampoline answers or dies
	n, cn, _, _, err := unix.Recvmsg(fd, text, control, unix.MSG_CMSG_CLOEXEC)
	for err == unix.EINTR {
		n, cn, _, _, err = unix.Recvmsg(fd, text, control, unix.MSG_CMSG_CLOEXEC)
	}
	if err != nil {
		return -1, fmt.Errorf("receive listener: %w", err)
	}
	if cn == 0 {
		if n == 0 {
			return -1, errors.New("receive listener: the copy of this binary ended early; does TestMain call syscut.Trampoline first?")
		}
		if reason, ok := strings.CutPrefix(string(text[:n]), ErrUnsupported.Error()); ok {
			return -1, fmt.Errorf("%w%s", ErrUnsupported, reason)
		}
		return -1, fmt.Errorf("trampoline: %s", text[:n])
	}
	messages, err := unix.ParseSocketControlMessage(control[:cn])
	if err != nil {
		return -1, fmt.Errorf("receive listener: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, fmt.Errorf("receive listener: %w", err)
	}
	return listener(fds[0]), nil
}
