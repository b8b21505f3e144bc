//go:build linux

package powercut

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"sync"
)

// A log is two files: the index, to which the server of the disks appends a
// record for each write and each flush, and the data of all writes, one after
// the other. A position is a number of records.

// entry is one record of the index.
type entry struct {
	disk   int
	flush  bool  // all that the disk was given before is durable
	offset int64 // on the disk
	length int
	data   int64 // where the octets begin in the data file
}

const recordSize = 22

// logWriter appends entries; it is safe for several goroutines.
type logWriter struct {
	mu    sync.Mutex
	index *os.File // both opened for appending
	data  *os.File
	size  int64 // of data
}

func (l *logWriter) write(disk int, offset int64, octets []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.data.Write(octets); err != nil {
		return err
	}
	e := entry{disk: disk, offset: offset, length: len(octets), data: l.size}
	l.size += int64(len(octets))
	return l.append(e)
}

func (l *logWriter) flush(disk int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.append(entry{disk: disk, flush: true})
}

// append comes after the data is there, so that a reader who sees a record
// finds what it speaks of.
func (l *logWriter) append(e entry) error {
	var b [recordSize]byte
	b[0] = byte(e.disk)
	if e.flush {
		b[1] = 1
	}
	binary.LittleEndian.PutUint64(b[2:], uint64(e.offset))
	binary.LittleEndian.PutUint32(b[10:], uint32(e.length))
	binary.LittleEndian.PutUint64(b[14:], uint64(e.data))
	_, err := l.index.Write(b[:])
	return err
}

// readIndex reads the first n records of an index.
func readIndex(index io.ReaderAt, n int64) ([]entry, error) {
	r := bufio.NewReader(io.NewSectionReader(index, 0, n*recordSize))
	entries := make([]entry, n)
	for i := range entries {
		var b [recordSize]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		entries[i] = entry{
			disk:   int(b[0]),
			flush:  b[1] == 1,
			offset: int64(binary.LittleEndian.Uint64(b[2:])),
			length: int(binary.LittleEndian.Uint32(b[10:])),
			data:   int64(binary.LittleEndian.Uint64(b[14:])),
		}
	}
	return entries, nil
}
