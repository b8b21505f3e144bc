//go:build linux

package powercut

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// mounts remembers what was mounted, to unmount it in the opposite order.
type mounts struct {
	mu    sync.Mutex
	paths []string
}

func (m *mounts) add(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.paths = append(m.paths, path)
}

// loop mounts an image at a folder through a loop device that detaches itself
// when the file system is unmounted.
func (m *mounts) loop(image, at, fstype string) error {
	if err := os.MkdirAll(at, 0o700); err != nil {
		return fmt.Errorf("make mount point: %w", err)
	}
	device, err := attach(image)
	if err != nil {
		return err
	}
	defer device.Close() // the mount holds it from now on, or it detaches
	if fstype == "" {
		fstype = "ext4"
	}
	options := ""
	if fstype == "xfs" {
		options = "nouuid" // two states of one disk may be mounted at once
	}
	if err := unix.Mount(device.Name(), at, fstype, unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount %s at %s: %w", image, at, err)
	}
	m.add(at)
	return nil
}

// undo unmounts everything, last first. A loop device lets go of its image a
// moment after its file system is unmounted, hence the patience.
func (m *mounts) undo() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs error
	for _, path := range slices.Backward(m.paths) {
		errs = errors.Join(errs, unmount(path))
	}
	m.paths = nil
	return errs
}

func unmount(path string) error {
	var err error
	for range 500 {
		if err = unix.Unmount(path, 0); err != unix.EBUSY {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		_ = unix.Unmount(path, unix.MNT_DETACH)
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return nil
}

// attach gives an image a free loop device. The caller closes the file; the
// device goes with its last user.
func attach(image string) (*os.File, error) {
	fd, err := unix.Open(image, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open image %s: %w", image, err)
	}
	defer unix.Close(fd)
	control, err := unix.Open("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/loop-control: %w", err)
	}
	defer unix.Close(control)
	config := &unix.LoopConfig{Fd: uint32(fd), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
	copy(config.Info.File_name[:63], image)
	for range 100 {
		number, err := unix.IoctlRetInt(control, unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find a free loop device: %w", err)
		}
		device, err := openLoop(number)
		if err != nil {
			return nil, err
		}
		err = unix.IoctlLoopConfigure(int(device.Fd()), config)
		if err == nil {
			return device, nil
		}
		device.Close()
		if err != unix.EBUSY { // another process was faster
			return nil, fmt.Errorf("attach %s to %s: %w", image, device.Name(), err)
		}
	}
	return nil, fmt.Errorf("attach %s: no free loop device", image)
}

// openLoop opens loop device number n and makes its file where /dev is static.
func openLoop(n int) (*os.File, error) {
	name := fmt.Sprintf("/dev/loop%d", n)
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		if err = unix.Mknod(name, unix.S_IFBLK|0o600, int(unix.Mkdev(7, uint32(n)))); err == nil {
			fd, err = unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
