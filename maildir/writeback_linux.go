package maildir

import "golang.org/x/sys/unix"

func startWriteback(fd int, offset, octets int64) {
	_ = unix.SyncFileRange(fd, offset, octets, unix.SYNC_FILE_RANGE_WRITE)
}
