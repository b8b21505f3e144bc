//go:build !linux

package main

import "golang.org/x/sys/unix"

// noCore keeps passwords from getting into a core dump.
func noCore() { _ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }
