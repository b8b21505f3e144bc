package systemd

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// statusLimit is far below the 4096 octets that a message may have, and as much
// as anybody reads.
const statusLimit = 512

// statusLine returns "" for an empty status. A line end would begin another
// assignment, of which a server's text could make any; the manager drops what
// is not UTF-8; and systemctl shows the rest in a terminal.
func statusLine(status string) string {
	if status == "" {
		return ""
	}
	var b strings.Builder
	b.WriteString("STATUS=")
	for i := 0; i < len(status); {
		r, n := utf8.DecodeRuneInString(status[i:])
		piece := status[i : i+n]
		switch {
		case r == utf8.RuneError && n == 1:
			piece = fmt.Sprintf(`\x%02x`, status[i])
		case unicode.IsControl(r):
			piece = fmt.Sprintf(`\x%02x`, r)
		case unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp):
			piece = fmt.Sprintf(`\u%04x`, r)
		}
		if b.Len()+len(piece) > statusLimit {
			b.WriteString("...")
			break
		}
		b.WriteString(piece)
		i += n
	}
	return b.String()
}
