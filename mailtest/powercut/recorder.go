//go:build linux

package powercut

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Disk describes one disk of a Recorder.
type Disk struct {
	Bytes int64  // size of the image
	Type  string // of the file system: ext4 (also for ""), xfs, btrfs; mkfs.TYPE must be there
}

// Recorder owns some disks and the log of what was written to them. Its methods
// may be called from several goroutines.
type Recorder struct {
	dir    string
	disks  map[string]Disk
	names  []string // of the disks, in the order of their numbers
	index  *os.File // of the log
	data   *os.File
	served mounts // the memory file system and the disks' images
	mounts mounts // the disks
	cuts   atomic.Int64
}

// NewRecorder makes disks by their names. Their images lie in a memory file
// system of at most 2 GiB that is mounted on dir, an empty folder. The test must
// be Isolated; the caller must Close the Recorder.
func NewRecorder(dir string, disks map[string]Disk) (*Recorder, error) {
	if len(disks) > maxDisks {
		return nil, fmt.Errorf("make recorder: %d disks are more than %d", len(disks), maxDisks)
	}
	r := &Recorder{dir: dir, disks: disks, names: slices.Sorted(maps.Keys(disks))}
	if err := r.open(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Recorder) open() error {
	socket, err := serverSocket()
	if err != nil {
		return err
	}
	defer socket.Close()
	if err := unix.Mount("powercut", r.dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=2g,mode=0755"); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", r.dir, err)
	}
	r.served.add(r.dir)
	for name, file := range map[string]**os.File{"index": &r.index, "data": &r.data} {
		if *file, err = os.OpenFile(filepath.Join(r.dir, name), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600); err != nil {
			return fmt.Errorf("make log: %w", err)
		}
	}
	images, err := r.makeImages()
	defer closeAll(images)
	if err != nil {
		return err
	}
	device, err := r.mountServed()
	if err != nil {
		return err
	}
	defer device.Close()
	return askForService(socket, append([]*os.File{device, r.index, r.data}, images...))
}

// makeImages makes the first state of each disk, which is kept for the cuts,
// and opens its copy for use.
func (r *Recorder) makeImages() ([]*os.File, error) {
	var images []*os.File
	for _, name := range r.names {
		if err := makeImage(r.first(name), r.disks[name]); err != nil {
			return images, err
		}
		live := filepath.Join(r.dir, name+".live")
		if err := copySparse(live, r.first(name)); err != nil {
			return images, err
		}
		image, err := os.OpenFile(live, os.O_RDWR, 0)
		if err != nil {
			return images, fmt.Errorf("open disk %s: %w", name, err)
		}
		images = append(images, image)
	}
	return images, nil
}

// mountServed mounts the file system that will offer the disks, and returns
// the descriptor to serve it by.
func (r *Recorder) mountServed() (*os.File, error) {
	at := filepath.Join(r.dir, "served")
	if err := os.Mkdir(at, 0o700); err != nil {
		return nil, fmt.Errorf("make mount point: %w", err)
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/fuse: %w", err)
	}
	device := os.NewFile(uintptr(fd), "/dev/fuse")
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,max_read=%d", fd, maxRequest)
	if err := unix.Mount("powercut", at, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		device.Close()
		return nil, fmt.Errorf("mount disks at %s: %w", at, err)
	}
	r.served.add(at)
	return device, nil
}

func (r *Recorder) first(name string) string { return filepath.Join(r.dir, name+".first") }

// Mount mounts the named disk at a folder, which it makes if it is missing. It
// may lie on a disk that was mounted before.
func (r *Recorder) Mount(name, at string) error {
	number := slices.Index(r.names, name)
	if number < 0 {
		return fmt.Errorf("mount disk %s: no such disk", name)
	}
	return r.mounts.loop(filepath.Join(r.dir, "served", strconv.Itoa(number)), at, r.disks[name].Type)
}

// Unmount unmounts the disks, last first, so that a Cut can be mounted in the
// same places. They can still be cut.
func (r *Recorder) Unmount() error { return r.mounts.undo() }

// Position is the number of writes and flushes so far. What was promised to the
// outside at position p has happened in every cut at p or later.
func (r *Recorder) Position() (int64, error) {
	info, err := r.index.Stat()
	if err != nil {
		return 0, fmt.Errorf("read log: %w", err)
	}
	return info.Size() / recordSize, nil
}

// Cut builds the disks as they may be after a power failure at position pos,
// from 0 to Position. The same numbers from rng
// give the same disks. The caller must Close the Cut.
func (r *Recorder) Cut(pos int64, rng *rand.Rand) (*Cut, error) {
	if end, err := r.Position(); err != nil {
		return nil, err
	} else if pos < 0 || pos > end {
		return nil, fmt.Errorf("cut at position %d of %d", pos, end)
	}
	c := &Cut{dir: filepath.Join(r.dir, fmt.Sprintf("cut%d", r.cuts.Add(1))), disks: r.disks}
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make cut: %w", err)
	}
	if err := c.build(r, pos, rng); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close unmounts everything, last first, and so removes the images and the log.
func (r *Recorder) Close() error {
	closeAll([]*os.File{r.index, r.data}) // nil when open failed, which is harmless
	return errors.Join(r.Unmount(), r.served.undo())
}

// makeImage makes an empty file system in a new sparse file. What mkfs would
// leave to the kernel to do later is done now, so that the log holds the
// workload's writes and few others.
func makeImage(path string, d Disk) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return fmt.Errorf("make image: %w", err)
	}
	if err := os.Truncate(path, d.Bytes); err != nil {
		return fmt.Errorf("make image: %w", err)
	}
	var argv []string
	switch d.Type {
	case "", "ext4":
		argv = []string{"mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", path}
	case "xfs", "btrfs":
		argv = []string{"mkfs." + d.Type, "-q", "-f", path}
	default:
		return fmt.Errorf("make image: no such file system type %q", d.Type)
	}
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", argv[0], err, out)
	}
	return nil
}
