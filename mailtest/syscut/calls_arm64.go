//go:build linux

package syscut

import "golang.org/x/sys/unix"

// legacyShapes is empty: arm64 has only the calls with a directory descriptor.
func legacyShapes() map[int32]shape { return nil }

const auditArch = unix.AUDIT_ARCH_AARCH64
