//go:build !linux

package auth

// closeInherited keeps descriptors that this process has inherited from its
// own children.
func closeInherited() { closeListed("/dev/fd") }
