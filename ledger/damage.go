package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// bbolt trusts its file: on a damaged one it may crash, run in circles, or take
// a page that is in use for a free one and write over it. So the frame of the
// file (its pages and how they hang together) is inspected before bbolt opens
// it, and what lies in the frame is sealed.

var errFormat = errors.New("unexpected content")

// DamageError says that the store cannot be trusted.
type DamageError struct {
	Path string
	Err  error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("the ledger %s is damaged: %v (move it away and run `postrider fetch --new-root`: the ledger is then rebuilt from the names in the folders)", e.Path, e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }

const sealSize = 4

// seal puts a checksum before a value, over it and the place where it is kept:
// so a value that turns up in a wrong place is found out as well.
func seal(value []byte, place ...[]byte) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, sealSize+len(value)), checksum(value, place)), value...)
}

// unseal returns the value, which is part of sealed.
func unseal(sealed []byte, place ...[]byte) ([]byte, error) {
	if len(sealed) < sealSize || binary.BigEndian.Uint32(sealed) != checksum(sealed[sealSize:], place) {
		return nil, fmt.Errorf("%w: wrong checksum at %q", errFormat, place)
	}
	return sealed[sealSize:], nil
}

func checksum(value []byte, place [][]byte) uint32 {
	var sum uint32
	for _, p := range place {
		sum = crc32.Update(sum, crc32.IEEETable, p)
		sum = crc32.Update(sum, crc32.IEEETable, []byte{byte(len(p))})
	}
	return crc32.Update(sum, crc32.IEEETable, value)
}

// The frame of a bbolt file, version 2, in the byte order of the machine. A
// page begins with id (8), flags (2), count (2) and overflow (4), the number of
// pages that it goes on for. Its elements follow, 16 octets each, then their
// keys and values without a gap.
const (
	headerSize  = 16
	elementSize = 16
	bucketSize  = 16 // root page (8), sequence (8)
	metaSize    = 64
	metaSum     = 56 // where its checksum is

	pageBranch   = 0x01
	pageLeaf     = 0x02
	pageFreelist = 0x10

	boltMagic, boltVersion = 0xED0CDAED, 2
)

type meta struct {
	pageSize             int
	root, freelist, next uint64 // next: one more than the highest page
	tx                   uint64
}

// readMeta reads one of the two copies of the head, which commits write in
// turn. One that is not valid is no error.
func readMeta(f io.ReaderAt, at int64, which uint64) (m meta, ok bool, err error) {
	b := make([]byte, headerSize+metaSize)
	if _, err := f.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
		return m, false, fmt.Errorf("read its head: %w", err)
	}
	word, long := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	id := long(b)
	b = b[headerSize:]
	sum := fnv.New64a()
	sum.Write(b[:metaSum])
	m = meta{pageSize: int(word(b[8:])), root: long(b[16:]), freelist: long(b[32:]), next: long(b[40:]), tx: long(b[48:])}
	ok = word(b) == boltMagic && word(b[4:]) == boltVersion && long(b[metaSum:]) == sum.Sum64()
	if ok && (id != which || m.tx%2 != which) {
		// bbolt does not look at these, and would take this copy where we take the other.
		return m, false, fmt.Errorf("%w: head of page %d", errFormat, which)
	}
	return m, ok, nil
}

// frame walks through the pages of a bbolt file.
type frame struct {
	f    io.ReaderAt
	meta meta
	seen []bool   // by page
	bufs [][]byte // by depth
}

// inspect reads the file at path and returns an error if its frame is not
// whole. torn: one of the two copies of its head is not valid, so that the
// last commit may be missing.
func inspect(path string) (torn bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	// While somebody has the store open it changes, and may look damaged.
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(lockPatience / 40) {
		if err = flock(f, unix.LOCK_SH); err == nil {
			return inspectFrame(f)
		}
		if !errors.Is(err, ErrLocked) || time.Now().After(deadline) {
			return false, err
		}
	}
}

func inspectFrame(f *os.File) (torn bool, err error) {
	st, err := f.Stat()
	if err != nil {
		return false, err
	}
	m, torn, err := head(f)
	if err != nil {
		return false, err
	}
	// Division, as the product of two damaged numbers could be anything.
	if m.next > uint64(st.Size())/uint64(m.pageSize) {
		return false, fmt.Errorf("%w: %d pages are missing at its end", errFormat, m.next-uint64(st.Size())/uint64(m.pageSize))
	}
	w := &frame{f: f, meta: m, seen: make([]bool, m.next)}
	if err := w.walk(m.root, nil, nil, 0); err != nil {
		return false, err
	}
	if err := w.freelist(); err != nil {
		return false, err
	}
	for id := 2; id < len(w.seen); id++ {
		if !w.seen[id] {
			return false, fmt.Errorf("%w: page %d is neither used nor free", errFormat, id)
		}
	}
	return torn, nil
}

// head returns the later of the two copies of the file's head. The second
// stands at the beginning of the second page, however large pages are.
func head(f io.ReaderAt) (m meta, torn bool, err error) {
	first, ok, err := readMeta(f, 0, 0)
	var second meta
	ok2 := false
	for size := int64(1 << 10); size <= 1<<16 && !ok2 && err == nil; size *= 2 {
		second, ok2, err = readMeta(f, size, 1)
		ok2 = ok2 && int64(second.pageSize) == size
	}
	if err != nil {
		return m, false, err
	}
	switch {
	case !ok && !ok2:
		return m, false, fmt.Errorf("%w: it has no valid head", errFormat)
	case ok && ok2 && first.pageSize != second.pageSize || ok && (first.pageSize < 1<<10 || first.pageSize > 1<<16):
		return m, false, fmt.Errorf("%w: pages of %d octets", errFormat, first.pageSize)
	case !ok2 || ok && first.tx > second.tx:
		return first, !ok2, nil
	}
	return second, !ok, nil
}

// page reads a page that nothing else may refer to.
func (w *frame) page(id uint64, depth int) ([]byte, error) {
	for len(w.bufs) <= depth {
		w.bufs = append(w.bufs, make([]byte, w.meta.pageSize))
	}
	if id < 2 || id >= w.meta.next {
		return nil, fmt.Errorf("%w: there is no page %d", errFormat, id)
	}
	b := w.bufs[depth][:w.meta.pageSize]
	if _, err := w.f.ReadAt(b, int64(id)*int64(w.meta.pageSize)); err != nil {
		return nil, fmt.Errorf("read page %d: %w", id, err)
	}
	more := uint64(binary.NativeEndian.Uint32(b[12:]))
	if binary.NativeEndian.Uint64(b) != id || more >= w.meta.next-id {
		return nil, fmt.Errorf("%w: head of page %d", errFormat, id)
	}
	for i := id; i <= id+more; i++ {
		if w.seen[i] {
			return nil, fmt.Errorf("%w: page %d is in use twice", errFormat, i)
		}
		w.seen[i] = true
	}
	if more == 0 {
		return b, nil
	}
	size := int(more+1) * w.meta.pageSize
	if cap(b) < size {
		b = append(b, make([]byte, size-len(b))...)
	}
	b = b[:size]
	w.bufs[depth] = b
	_, err := w.f.ReadAt(b, int64(id)*int64(w.meta.pageSize))
	return b, err
}

// walk inspects the tree whose root is the given page. Its keys are not below
// from, and below to; nil: no bound.
func (w *frame) walk(id uint64, from, to []byte, depth int) error {
	b, err := w.page(id, depth)
	if err != nil {
		return err
	}
	branch := binary.NativeEndian.Uint16(b[8:]) == pageBranch
	elements, err := readElements(b, branch)
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	if branch && len(elements) == 0 {
		return fmt.Errorf("%w: page %d leads nowhere", errFormat, id)
	}
	for i, e := range elements {
		inOrder := i > 0 && bytes.Compare(elements[i-1].key, e.key) < 0 || i == 0 && bytes.Compare(from, e.key) <= 0
		if !inOrder || to != nil && bytes.Compare(e.key, to) >= 0 {
			return fmt.Errorf("%w: page %d: keys out of order", errFormat, id)
		}
		end := to
		if i+1 < len(elements) {
			end = elements[i+1].key
		}
		switch {
		case branch:
			err = w.walk(e.page, e.key, end, depth+1)
		case e.bucket:
			err = w.bucket(e.value, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket inspects a bucket: one with a tree of its own, or a small one that is
// kept like a page in the value itself.
func (w *frame) bucket(v []byte, depth int) error {
	if len(v) < bucketSize {
		return fmt.Errorf("%w: a bucket of %d octets", errFormat, len(v))
	}
	if root := binary.NativeEndian.Uint64(v); root != 0 {
		return w.walk(root, nil, nil, depth)
	}
	elements, err := readElements(v[bucketSize:], false)
	if err != nil {
		return fmt.Errorf("small bucket: %w", err)
	}
	used := bucketSize + headerSize
	for i, e := range elements {
		if e.bucket || i > 0 && bytes.Compare(elements[i-1].key, e.key) >= 0 {
			return fmt.Errorf("%w: small bucket out of order", errFormat)
		}
		used += elementSize + len(e.key) + len(e.value)
	}
	if used != len(v) {
		return fmt.Errorf("%w: small bucket of %d octets, not %d", errFormat, len(v), used)
	}
	return nil
}

// freelist inspects the list of free pages.
func (w *frame) freelist() error {
	b, err := w.page(w.meta.freelist, 0)
	if err != nil {
		return fmt.Errorf("list of free pages: %w", err)
	}
	ids := b[headerSize:]
	n := uint64(binary.NativeEndian.Uint16(b[10:]))
	if n == 0xffff { // so many do not fit the head
		n, ids = binary.NativeEndian.Uint64(ids), ids[8:]
	}
	if binary.NativeEndian.Uint16(b[8:]) != pageFreelist || n > uint64(len(ids)/8) {
		return fmt.Errorf("%w: head of the list of free pages", errFormat)
	}
	for ; n > 0; n, ids = n-1, ids[8:] {
		id := binary.NativeEndian.Uint64(ids)
		if id < 2 || id >= w.meta.next || w.seen[id] {
			return fmt.Errorf("%w: page %d is in the list of free pages", errFormat, id)
		}
		w.seen[id] = true
	}
	return nil
}

type element struct {
	key, value []byte
	page       uint64 // of a branch
	bucket     bool
}

// readElements reads the elements of a branch or leaf page.
func readElements(b []byte, branch bool) ([]element, error) {
	if len(b) < headerSize || !branch && binary.NativeEndian.Uint16(b[8:]) != pageLeaf {
		return nil, fmt.Errorf("%w: it is no leaf", errFormat)
	}
	n := int(binary.NativeEndian.Uint16(b[10:]))
	at := headerSize + n*elementSize
	if at > len(b) || n == 0 && len(bytes.Trim(b[headerSize:min(len(b), headerSize+elementSize)], "\x00")) > 0 {
		return nil, fmt.Errorf("%w: %d elements", errFormat, n)
	}
	elements := make([]element, n)
	for i := range elements {
		start := headerSize + i*elementSize
		word := func(at int) int { return int(binary.NativeEndian.Uint32(b[start+at:])) }
		var e element
		var pos, key, value int
		if branch {
			pos, key, e.page = word(0), word(4), binary.NativeEndian.Uint64(b[start+8:])
		} else {
			e.bucket = word(0) == 1
			pos, key, value = word(4), word(8), word(12)
		}
		if start+pos != at || key > len(b)-at || value > len(b)-at-key || !branch && word(0) > 1 {
			return nil, fmt.Errorf("%w: element %d", errFormat, i)
		}
		e.key, e.value = b[at:at+key], b[at+key:at+key+value]
		at += key + value
		elements[i] = e
	}
	return elements, nil
}
