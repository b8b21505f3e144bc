//go:build linux

package powercut

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	inside   = "POSTRIDER_POWERCUT_ISOLATED"
	socketFD = 3 // the first of exec.Cmd.ExtraFiles
)

// Isolated reports whether the test runs in a mount namespace of its own. The
// first time it does not: then Isolated runs the whole top-level test again, in
// a copy of the test binary that has one, passes or fails t by the outcome, and
// returns false, upon which the test returns. When the copy ends, even by a
// crash, the kernel takes all its mounts and loop devices back.
//
// It skips the test with the reason where power cannot be cut.
func Isolated(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) != "" {
		unix.CloseOnExec(socketFD)
		return true
	}
	if why := missing(); why != "" {
		t.Skip("power cuts need " + why)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "server"), os.NewFile(uintptr(pair[1]), "recorder")
	defer ours.Close()
	served := make(chan error, 1)
	go func() { served <- serveRecorders(ours) }()

	out, err := runAndClose(again(t), theirs)
	if err := <-served; err != nil {
		t.Errorf("serve the disks: %v", err)
	}
	if errors.Is(err, os.ErrPermission) {
		t.Skip("power cuts need the right to make mounts (CAP_SYS_ADMIN)")
	}
	t.Logf("in its own mount namespace:\n%s", out)
	if err != nil {
		t.Errorf("in its own mount namespace: %v", err)
	}
	return false
}

// again is the command that runs t alone, in a mount namespace of its own.
func again(t *testing.T) *exec.Cmd {
	args := []string{"-test.run=^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$", "-test.count=1", "-test.v"}
	if deadline, ok := t.Deadline(); ok {
		// It shall give up, and say where, before this process does.
		args = append(args, "-test.timeout="+time.Until(deadline.Add(-5*time.Second)).String())
	}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// runAndClose runs cmd with file, and closes this process's copy as soon as the
// other has it: else nobody would see that the other has ended.
func runAndClose(cmd *exec.Cmd, file *os.File) ([]byte, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &out, &out, []*os.File{file}
	err := cmd.Start()
	file.Close()
	if err == nil {
		err = cmd.Wait()
	}
	return out.Bytes(), err
}

// serverSocket returns the socket on which the process that started this one
// takes disks to serve.
func serverSocket() (*os.File, error) {
	if os.Getenv(inside) == "" {
		return nil, errors.New("make recorder: the test is not isolated")
	}
	fd, err := unix.FcntlInt(socketFD, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make recorder: %w", err)
	}
	return os.NewFile(uintptr(fd), "server"), nil
}

// missing names what this machine lacks, or "".
func missing() string {
	if os.Geteuid() != 0 {
		return "root"
	}
	for _, device := range []string{"/dev/fuse", "/dev/loop-control"} {
		fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return device + ": " + err.Error()
		}
		unix.Close(fd)
	}
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		return "mkfs.ext4"
	}
	return ""
}
