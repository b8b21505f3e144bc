//go:build !linux

package maildir

import "golang.org/x/sys/unix"

func renameNoReplace(oldDir int, oldName string, newDir int, newName string) error {
	return unix.ENOSYS
}

func startWriteback(fd int, offset, octets int64) {}
