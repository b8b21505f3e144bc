package ledger

import (
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// residentWorth is the size of a store from which giving its pages back is
// worth a call.
const residentWorth = 1 << 20

// releasePages gives the memory back that reading the store has mapped: what
// was read is copied, and the pages stay in the page cache for whoever needs
// them again. It is called within the transaction tx, during which the mapping
// cannot move. That it fails costs nothing but memory.
func releasePages(tx *bbolt.Tx) {
	if tx.Size() < residentWorth {
		return
	}
	// The mapping is at least as long as the file, and read-only: no content can be lost by this.
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, tx.DB().Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED)
}
