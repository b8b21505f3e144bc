package auth

import (
	"os"
	"strconv"
	"syscall"
)

// closeListed marks every descriptor that dir lists, standard ones excepted,
// to be closed on exec. Go opens all of its own that way; what is left is what
// a careless parent let through to us.
func closeListed(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // no such list here: nothing of ours leaks all the same
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}
