//go:build linux && (amd64 || arm64)

package syscut

import (
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data. Both architectures are little-endian, so the
// low half of an argument comes first.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArg0   = 16
)

// filter builds the classic BPF program: calls of another architecture run,
// listed calls ask the supervisor, and prctl(PR_SET_DUMPABLE) is answered with
// success but not done, because the supervisor could not look into a process
// that is not dumpable. All else runs.
func filter() []unix.SockFilter {
	numbers := slices.Sorted(maps.Keys(shapes()))
	program := []unix.SockFilter{
		load(offsetArch),
		jumpIf(auditArch, 1, 0),
		result(unix.SECCOMP_RET_ALLOW),
		load(offsetNumber),
	}
	for i, nr := range numbers {
		// Over the rest of the list and the four instructions after it.
		program = append(program, jumpIf(uint32(nr), uint8(len(numbers)-1-i+5), 0))
	}
	return append(program,
		jumpIf(unix.SYS_PRCTL, 0, 2),
		load(offsetArg0),
		jumpIf(unix.PR_SET_DUMPABLE, 1, 0),
		result(unix.SECCOMP_RET_ALLOW),
		result(unix.SECCOMP_RET_ERRNO), // with error number 0
		result(unix.SECCOMP_RET_USER_NOTIF),
	)
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

// jumpIf skips yes instructions when the loaded word is k, else no.
func jumpIf(k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: yes, Jf: no}
}

func result(value uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: value}
}
