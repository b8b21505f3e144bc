//go:build linux

package syscut

import "golang.org/x/sys/unix"

// legacyShapes lists the calls without a directory descriptor that amd64 still
// has. Go does not use them, but a program started by the one under test may.
func legacyShapes() map[int32]shape {
	return map[int32]shape{
		unix.SYS_OPEN:    onPath("open", arg{cwd, 0}),
		unix.SYS_CREAT:   onPath("creat", arg{cwd, 0}),
		unix.SYS_RENAME:  onPath("rename", arg{cwd, 0}, arg{cwd, 1}),
		unix.SYS_LINK:    onPath("link", arg{cwd, 0}, arg{cwd, 1}),
		unix.SYS_SYMLINK: onPath("symlink", arg{cwd, 1}),
		unix.SYS_UNLINK:  onPath("unlink", arg{cwd, 0}),
		unix.SYS_MKDIR:   onPath("mkdir", arg{cwd, 0}),
		unix.SYS_RMDIR:   onPath("rmdir", arg{cwd, 0}),
		unix.SYS_CHMOD:   onPath("chmod", arg{cwd, 0}),
	}
}

const auditArch = unix.AUDIT_ARCH_X86_64
