package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestT6FullAndReadOnlyDisk runs itself again in name spaces of its own, with
// a small disk in memory.
func TestT6FullAndReadOnlyDisk(t *testing.T) {
	if dir := os.Getenv("POSTRIDER_TEST_DISK"); dir != "" {
		onSmallDisk(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestT6FullAndReadOnlyDisk$", "-test.v")
	cmd.Env = append(os.Environ(), "POSTRIDER_TEST_DISK="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSPC):
		t.Skipf("no name spaces of one's own here: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("no mounts in a name space of one's own here:\n%s", out)
	}
}

func onSmallDisk(t *testing.T, dir string) {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	p := &place{dir: filepath.Join(dir, "Mail"), options: RootOptions{Identities: filepath.Join(dir, "roots")}}
	r := p.open(t)
	confirmed := 0
	var err error
	for ; confirmed < 1000 && err == nil; confirmed++ {
		err = r.Ledger.Commit(func(t *Tx) error { return t.Remember(fmt.Sprint(confirmed), bytes.Repeat([]byte("x"), 10_000)) })
	}
	confirmed-- // the last one
	var damage *DamageError
	if !errors.Is(err, unix.ENOSPC) || errors.As(err, &damage) {
		t.Fatalf("%d commits, then %v", confirmed, err)
	}
	if again := r.Ledger.Commit(func(*Tx) error { return nil }); again != err {
		t.Errorf("%v", again)
	}
	p.close(t, r)

	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := p.fails(t); !errors.Is(err, unix.EROFS) || errors.As(err, &damage) {
		t.Errorf("read-only disk: %v", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	r = p.open(t)
	for i := range confirmed {
		if v, err := r.Ledger.Memory(fmt.Sprint(i)); err != nil || len(v) != 10_000 {
			t.Fatalf("%d of %d: %d octets, %v", i, confirmed, len(v), err)
		}
	}
	commit(t, r.Ledger, func(t *Tx) error { return t.Remember("more", []byte("x")) })
	p.close(t, r)
}
