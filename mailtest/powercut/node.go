//go:build linux

package powercut

import (
	"context"
	"os"
	"strconv"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// folder is the root of a recorder's file system: one file per disk, named by
// its number.
type folder struct {
	fs.Inode
	disks []*node
}

// OnAdd implements fs.NodeOnAdder.
func (f *folder) OnAdd(ctx context.Context) {
	for i, n := range f.disks {
		f.AddChild(strconv.Itoa(i), f.NewPersistentInode(ctx, n, fs.StableAttr{Mode: fuse.S_IFREG}), false)
	}
}

// node is one disk. The kernel does not hold writes to it back (there is no
// write-back cache), so a write that the loop device was told is done is in the
// log.
type node struct {
	fs.Inode
	number int
	size   int64
	file   *os.File // what was written, durable or not
	log    *logWriter
}

// Getattr implements fs.NodeGetattrer.
func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = fuse.S_IFREG|0o600, uint64(n.size)
	return 0
}

// Open implements fs.NodeOpener.
func (n *node) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

// Read implements fs.NodeReader.
func (n *node) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	got, _ := n.file.ReadAt(dest, off) // short at the end, as it should be
	return fuse.ReadResultData(dest[:got]), 0
}

// Write implements fs.NodeWriter.
func (n *node) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if off+int64(len(data)) > n.size {
		return 0, syscall.ENOSPC
	}
	if _, err := n.file.WriteAt(data, off); err != nil {
		return 0, fs.ToErrno(err)
	}
	if err := n.log.write(n.number, off, data); err != nil {
		return 0, fs.ToErrno(err)
	}
	return uint32(len(data)), 0
}

// Fsync implements fs.NodeFsyncer; the loop device asks for it when the file
// system flushes the disk's cache.
func (n *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	if err := n.log.flush(n.number); err != nil {
		return fs.ToErrno(err)
	}
	return 0
}
