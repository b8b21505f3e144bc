package maildir

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestT12BindMount runs itself again in name spaces of its own, where a plain
// user too may mount.
func TestT12BindMount(t *testing.T) {
	if part := os.Getenv("POSTRIDER_TEST_MOUNT"); part != "" {
		f := openFolder(t)
		if err := unix.Mount(f.path(part, ""), f.path(part, ""), "", unix.MS_BIND, ""); err != nil {
			t.Skipf("cannot mount: %v", err)
		}
		defer unix.Unmount(f.path(part, ""), unix.MNT_DETACH)
		mounted, err := Open(filepath.Dir(f.dir), f.dir, NewSyncer(1))
		if err != nil {
			t.Fatal(err)
		}
		defer mounted.Close()
		err = mounted.Probe()
		if err == nil || !strings.Contains(err.Error(), "different mounts") {
			t.Errorf("%s/ is a mount: %v", part, err)
		}
		if left := append(names(t, f, "tmp"), names(t, f, "new")...); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
		return
	}
	for _, part := range []string{"tmp", "new", "cur"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestT12BindMount$", "-test.v")
		cmd.Env = append(os.Environ(), "POSTRIDER_TEST_MOUNT="+part)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		switch {
		case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSPC):
			t.Skipf("no name spaces of one's own here: %v", err)
		case err != nil:
			t.Errorf("%s: %v\n%s", part, err, out)
		case strings.Contains(string(out), "--- SKIP"):
			t.Skipf("no mounts in a name space of one's own here:\n%s", out)
		}
	}
}
