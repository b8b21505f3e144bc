//go:build linux

package powercut

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Cut is what a power failure left of a Recorder's disks.
type Cut struct {
	dir    string
	disks  map[string]Disk
	mounts mounts
}

// block is what a disk writes as a whole or not at all. Larger writes that were
// not flushed may survive in part.
const block = 4096

// build makes the images from the disks' first state and the log.
func (c *Cut) build(r *Recorder, pos int64, rng *rand.Rand) error {
	files := make([]*os.File, len(r.names))
	for i, name := range r.names {
		if err := copySparse(c.image(name), r.first(name)); err != nil {
			return err
		}
		file, err := os.OpenFile(c.image(name), os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("build image: %w", err)
		}
		defer file.Close()
		files[i] = file
	}
	past, err := readIndex(r.index, pos)
	if err != nil {
		return err
	}
	flushed := make([]int, len(files)) // each disk's last flush
	for i, e := range past {
		if e.flush {
			flushed[e.disk] = i
		}
	}
	buf := make([]byte, maxRequest)
	for i, e := range past {
		octets := buf[:e.length]
		if _, err := r.data.ReadAt(octets, e.data); err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		if err := apply(files[e.disk], octets, e.offset, i < flushed[e.disk], rng); err != nil {
			return fmt.Errorf("build image: %w", err)
		}
	}
	return nil
}

// apply writes what is durable, and of the rest each block or not, by the toss
// of a coin.
func apply(file *os.File, octets []byte, offset int64, durable bool, rng *rand.Rand) error {
	for len(octets) > 0 {
		part := octets[:min(block, len(octets))]
		if durable || rng.IntN(2) == 1 {
			if _, err := file.WriteAt(part, offset); err != nil {
				return err
			}
		}
		octets, offset = octets[len(part):], offset+int64(len(part))
	}
	return nil
}

func (c *Cut) image(name string) string { return filepath.Join(c.dir, name) }

// Mount mounts what is left of the named disk, as Recorder.Mount does; the file
// system repairs itself on the way. An error tells that it could not.
func (c *Cut) Mount(name, at string) error {
	d, ok := c.disks[name]
	if !ok {
		return fmt.Errorf("mount disk %s: no such disk", name)
	}
	return c.mounts.loop(c.image(name), at, d.Type)
}

// Close unmounts the disks, last first, and removes their images.
func (c *Cut) Close() error {
	return errors.Join(c.mounts.undo(), os.RemoveAll(c.dir))
}

// copySparse copies a file and keeps its holes.
func copySparse(to, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy image: %w", err)
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("copy image: %w", err)
	}
	defer dst.Close()
	end, err := src.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("copy image: %w", err)
	}
	for at := int64(0); at < end; {
		data, err := unix.Seek(int(src.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // only a hole is left
		}
		if err != nil {
			return fmt.Errorf("copy image: %w", err)
		}
		if at, err = unix.Seek(int(src.Fd()), data, unix.SEEK_HOLE); err != nil {
			return fmt.Errorf("copy image: %w", err)
		}
		if _, err := io.Copy(io.NewOffsetWriter(dst, data), io.NewSectionReader(src, data, at-data)); err != nil {
			return fmt.Errorf("copy image: %w", err)
		}
	}
	if err := dst.Truncate(end); err != nil {
		return fmt.Errorf("copy image: %w", err)
	}
	return dst.Close()
}
