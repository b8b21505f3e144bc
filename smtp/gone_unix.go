//go:build unix

package smtp

import "syscall"

// gone reports whether the server has ended the connection. It does not wait,
// and sees it only when nothing else is left to be read, such as the word of TLS
// that it is over.
func (l *line) gone() bool {
	c, ok := l.raw.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	ended := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		ended = n == 0 && err == nil || err == syscall.ECONNRESET
	})
	return err == nil && ended
}
