//go:build linux && (amd64 || arm64)

package syscut

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// shape says which arguments of a call lead to a path: either one descriptor,
// or one or two pairs of directory descriptor and path.
type shape struct {
	name  string
	fd    int   // index of the descriptor; unused when paths are given
	paths []arg // at most two
}

type arg struct {
	dir  int // index of the directory descriptor, or cwd
	path int // index of the pointer to the path
}

const cwd = -1 // the path is relative to the working directory

func onFD(name string, fd int) shape         { return shape{name: name, fd: fd} }
func onPath(name string, paths ...arg) shape { return shape{name: name, paths: paths} }

// shapes lists the calls that change a file system, or open what will be
// changed, by their number. A copy that ends in a file (sendfile, splice,
// copy_file_range) is there too: Go's io.Copy uses them behind the scenes.
func shapes() map[int32]shape {
	m := map[int32]shape{
		unix.SYS_WRITE:           onFD("write", 0),
		unix.SYS_PWRITE64:        onFD("pwrite64", 0),
		unix.SYS_WRITEV:          onFD("writev", 0),
		unix.SYS_PWRITEV:         onFD("pwritev", 0),
		unix.SYS_PWRITEV2:        onFD("pwritev2", 0),
		unix.SYS_SENDFILE:        onFD("sendfile", 0),
		unix.SYS_SPLICE:          onFD("splice", 2),
		unix.SYS_COPY_FILE_RANGE: onFD("copy_file_range", 2),
		unix.SYS_FSYNC:           onFD("fsync", 0),
		unix.SYS_FDATASYNC:       onFD("fdatasync", 0),
		unix.SYS_SYNCFS:          onFD("syncfs", 0),
		unix.SYS_SYNC_FILE_RANGE: onFD("sync_file_range", 0),
		unix.SYS_FTRUNCATE:       onFD("ftruncate", 0),
		unix.SYS_FALLOCATE:       onFD("fallocate", 0),
		unix.SYS_FCHMOD:          onFD("fchmod", 0),
		unix.SYS_OPENAT:          onPath("openat", arg{0, 1}),
		unix.SYS_OPENAT2:         onPath("openat2", arg{0, 1}),
		unix.SYS_MKDIRAT:         onPath("mkdirat", arg{0, 1}),
		unix.SYS_UNLINKAT:        onPath("unlinkat", arg{0, 1}),
		unix.SYS_SYMLINKAT:       onPath("symlinkat", arg{1, 2}),
		unix.SYS_FCHMODAT:        onPath("fchmodat", arg{0, 1}),
		unix.SYS_UTIMENSAT:       onPath("utimensat", arg{0, 1}),
		unix.SYS_TRUNCATE:        onPath("truncate", arg{cwd, 0}),
		unix.SYS_RENAMEAT2:       onPath("renameat2", arg{0, 1}, arg{2, 3}),
		unix.SYS_RENAMEAT:        onPath("renameat", arg{0, 1}, arg{2, 3}),
		unix.SYS_LINKAT:          onPath("linkat", arg{0, 1}, arg{2, 3}),
	}
	for nr, s := range legacyShapes() {
		m[nr] = s
	}
	return m
}

// roots decides which paths count.
type roots []string

// newRoots takes each folder as given and with its symbolic links resolved,
// because paths come in the one form from arguments and in the other from
// descriptors.
func newRoots(dirs []string) (roots, error) {
	var rs roots
	for _, d := range dirs {
		abs, err := filepath.Abs(d)
		if err != nil {
			return nil, fmt.Errorf("resolve root %s: %w", d, err)
		}
		rs = append(rs, abs)
		if real, err := filepath.EvalSymlinks(abs); err == nil && real != abs {
			rs = append(rs, real)
		}
	}
	return rs, nil
}

func (rs roots) count(path string) bool {
	if !strings.HasPrefix(path, "/") {
		return false // socket:[1], pipe:[2], anon_inode:[eventpoll]
	}
	if len(rs) == 0 {
		return !below(path, "/dev") && !below(path, "/proc") && !below(path, "/sys")
	}
	for _, r := range rs {
		if below(path, r) {
			return true
		}
	}
	return false
}

func below(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir) && path[len(dir)] == '/'
}

// resolve names what a waiting call is about, and reports whether it counts. A
// path that cannot be read (the kernel will answer EFAULT, or the thread is
// gone) does not count.
func (s shape) resolve(thread int, args [6]uint64, rs roots) (path string, counts bool) {
	if len(s.paths) == 0 {
		path = descriptor(thread, int32(args[s.fd]))
		return path, rs.count(path)
	}
	names := make([]string, len(s.paths))
	for i, a := range s.paths {
		dir := int32(unix.AT_FDCWD)
		if a.dir != cwd {
			dir = int32(args[a.dir])
		}
		names[i] = absolute(thread, dir, uintptr(args[a.path]))
		counts = counts || rs.count(names[i])
	}
	return strings.Join(names, " -> "), counts
}

// absolute resolves a path argument lexically: a symbolic link inside the roots
// that leads out of them is still counted, and the other way round it is not.
func absolute(thread int, dir int32, pointer uintptr) string {
	name := ""
	if pointer != 0 { // utimensat(fd, NULL, ...) is about the descriptor
		var err error
		if name, err = readString(thread, pointer); err != nil {
			return ""
		}
	}
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(descriptor(thread, dir), name)
}

func descriptor(thread int, fd int32) string {
	link := "cwd"
	if fd != unix.AT_FDCWD {
		link = "fd/" + strconv.Itoa(int(fd))
	}
	path, err := os.Readlink("/proc/" + strconv.Itoa(thread) + "/" + link)
	if err != nil {
		return ""
	}
	return path
}

// readString reads a NUL-terminated string from another process, page by page:
// the page after the string need not be mapped.
func readString(thread int, pointer uintptr) (string, error) {
	const page = 4096
	var s []byte
	for len(s) < unix.PathMax {
		buf := make([]byte, page-pointer%page)
		local := []unix.Iovec{{Base: &buf[0]}}
		local[0].SetLen(len(buf))
		remote := []unix.RemoteIovec{{Base: pointer, Len: len(buf)}}
		n, err := unix.ProcessVMReadv(thread, local, remote, 0)
		if err != nil {
			return "", fmt.Errorf("read memory of thread %d: %w", thread, err)
		}
		if i := bytes.IndexByte(buf[:n], 0); i >= 0 {
			return string(append(s, buf[:i]...)), nil
		}
		s = append(s, buf[:n]...)
		pointer += uintptr(n)
	}
	return "", unix.ENAMETOOLONG
}
