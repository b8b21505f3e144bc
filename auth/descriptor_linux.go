package auth

import (
	"math"

	"golang.org/x/sys/unix"
)

// closeInherited keeps descriptors that this process has inherited from its
// own children. Kernels before 5.11 do not know the call's flag.
func closeInherited() {
	if unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) != nil {
		closeListed("/proc/self/fd")
	}
}
