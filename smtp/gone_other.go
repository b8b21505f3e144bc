//go:build !unix

package smtp

// gone cannot be known here.
func (l *line) gone() bool { return false }
