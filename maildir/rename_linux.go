package maildir

import "golang.org/x/sys/unix"

// renameNoReplace renames without taking the place of another file.
func renameNoReplace(oldDir int, oldName string, newDir int, newName string) error {
	return unix.Renameat2(oldDir, oldName, newDir, newName, unix.RENAME_NOREPLACE)
}
