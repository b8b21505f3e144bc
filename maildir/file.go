package maildir

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// writebackStep is how much of a large message is written before the kernel is
// asked to begin with putting it on disk, so that the fsync at its end does not
// have everything left to do.
const writebackStep = 8 << 20

// File is one message on its way through tmp/. It is written by one goroutine
// and belongs to its creator until it is in a Batch.
type File struct {
	Tmp    string    // its name in tmp/
	Name   string    // its name after Publish; set by the owner before the intent is recorded
	Cur    bool      // publish into cur/ instead of new/; Name then ends in its flags
	Date   time.Time // modification time that it gets when it is published; zero: none
	folder *Folder
	fd     int
	buf    *buffer
	octets int64
	begun  int64 // up to here the kernel was asked to write back
	heldCR bool
	sum    [sha256.Size]byte
	err    error
}

// buffer is what a File needs only while it is written.
type buffer struct {
	b    []byte
	hash hash.Hash
}

// buffers are shared, as a first fetch writes thousands of small files.
type buffers struct{ pool sync.Pool }

func (p *buffers) get() *buffer {
	if b, ok := p.pool.Get().(*buffer); ok {
		b.b = b.b[:0]
		b.hash.Reset()
		return b
	}
	return &buffer{b: make([]byte, 0, 64<<10), hash: sha256.New()}
}

// Create makes the file tmp/NAME, mode 0600, that did not exist before.
func (f *Folder) Create(name string) (*File, error) {
	fd, err := openat(f.tmp, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "create", Path: f.path("tmp", name), Err: err}
	}
	return &File{Tmp: name, folder: f, fd: fd, buf: f.buffers.get()}, nil
}

// Write takes octets as they are on the wire and stores them with CRLF turned
// into LF; a lone CR or LF stays. The first error stays with the file.
func (f *File) Write(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n := len(p)
	for len(p) > 0 {
		if f.heldCR {
			f.heldCR = false
			if p[0] != '\n' {
				f.put([]byte{'\r'})
			}
		}
		i := bytes.IndexByte(p, '\r')
		if i < 0 {
			f.put(p)
			break
		}
		f.put(p[:i])
		// Whether this CR is kept is decided by the next octet, which may be in the next Write.
		f.heldCR = true
		p = p[i+1:]
	}
	if f.err != nil {
		return 0, f.err
	}
	return n, nil
}

func (f *File) put(p []byte) {
	for len(p) > 0 && f.err == nil {
		if len(f.buf.b) == cap(f.buf.b) {
			f.flush()
		}
		k := min(len(p), cap(f.buf.b)-len(f.buf.b))
		f.buf.b = append(f.buf.b, p[:k]...)
		p = p[k:]
	}
}

func (f *File) flush() {
	if f.err != nil || len(f.buf.b) == 0 {
		return
	}
	f.buf.hash.Write(f.buf.b)
	for rest := f.buf.b; len(rest) > 0; {
		n, err := ignoringEINTR(func() (int, error) { return unix.Write(f.fd, rest) })
		if err == nil && n == 0 {
			err = errors.New("nothing was written")
		}
		if err != nil {
			f.fail("write", err)
			return
		}
		rest = rest[n:]
	}
	f.octets += int64(len(f.buf.b))
	f.buf.b = f.buf.b[:0]
	if f.octets-f.begun >= writebackStep {
		f.startWriteback()
	}
}

// startWriteback is a hint: fsync reports what goes wrong.
func (f *File) startWriteback() {
	startWriteback(f.fd, f.begun, f.octets-f.begun)
	f.begun = f.octets
}

func (f *File) fail(op string, err error) {
	f.err = &os.PathError{Op: op, Path: f.folder.path("tmp", f.Tmp), Err: err}
}

// Finish writes out what is left. After it, Octets and Sum are known and the
// file may go into a Batch; after an error only Abort is allowed.
func (f *File) Finish() error {
	if f.heldCR {
		f.heldCR = false
		f.put([]byte{'\r'})
	}
	f.flush()
	if f.err != nil {
		return f.err
	}
	copy(f.sum[:], f.buf.hash.Sum(nil))
	f.release()
	return nil
}

func (f *File) release() {
	if f.buf != nil {
		f.folder.buffers.pool.Put(f.buf)
		f.buf = nil
	}
}

// Octets is the size of the stored message.
func (f *File) Octets() int64 { return f.octets }

// Sum is the SHA-256 of the stored octets.
func (f *File) Sum() [sha256.Size]byte { return f.sum }

// Abort closes the file and removes it from tmp/. It may be called in any
// state before Publish, and twice.
func (f *File) Abort() error {
	f.release()
	f.close()
	if f.Tmp == "" {
		return nil
	}
	name := f.Tmp
	f.Tmp = ""
	if err := f.folder.removeTmp(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove unfinished message: %w", err)
	}
	return nil
}

func (f *File) close() error {
	if f.fd < 0 {
		return nil
	}
	fd := f.fd
	f.fd = -1
	return unix.Close(fd)
}

// sync puts the octets of the file on disk and closes it. An fsync that failed
// is not tried again: the kernel may by then call the lost pages clean.
func (f *File) sync() error {
	_, err := ignoringEINTR(func() (int, error) { return 0, unix.Fsync(f.fd) })
	if err != nil {
		f.fail("fsync", err)
	}
	if err := f.close(); err != nil && f.err == nil {
		f.fail("close", err)
	}
	return f.err
}
