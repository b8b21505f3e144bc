package main

import "golang.org/x/sys/unix"

// noCore keeps passwords from getting into a core dump, and other processes of
// the same user from reading them in this one's memory. Where the kernel does
// not let us, the program is as safe as any other.
func noCore() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
