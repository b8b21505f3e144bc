package pop3

import (
	"bytes"
	"errors"
)

var errLoneDot = errors.New("a lone dot ended by a bare LF: the end of the message cannot be told")

// dots undoes the dot-stuffing of a message as it streams by (RFC 1939
// section 3) and finds its end.
//
// A line begins after CRLF and nowhere else. "LF . LF" and "LF . CRLF" inside a
// message are text: whoever takes them for its end lets the sender of a
// message forge the replies and messages that follow. Only when the server
// ended its own reply line in a bare LF, which no sender can make it do, are its
// lines taken to end so, and the last one too.
//
// A lone dot after CRLF but before a bare LF is no text that a server would send,
// since it has to double the dot, and no end either. It cannot be passed on: were
// it meant as the end, then the next message would be joined to this one.
type dots struct {
	bare bool // lines end in LF
	text bool // not at the start of a line
	cr   bool // the last octet was a CR
}

// undo takes the dots out of b in place, from the start of a message or where
// the last call ended. The first kept octets of b are text then, and stand for
// the first used octets of the message. What is behind them is unread: another
// reply if this was the end of the message, and otherwise the beginning of a
// line that needs more octets to be understood.
func (d *dots) undo(b []byte) (kept, used int, end bool, err error) {
	for used < len(b) {
		if !d.text {
			rest := b[used:]
			n, short := d.lastLine(rest)
			switch {
			case short:
				return kept, used, false, nil
			case n > 0:
				return kept, used + n, true, nil
			case rest[0] == '.' && rest[1] == '\n':
				return kept, used, false, errLoneDot
			case rest[0] == '.':
				used++
			}
			d.text, d.cr = true, false
		}
		n := d.run(b[used:])
		if kept != used {
			copy(b[kept:], b[used:used+n])
		}
		kept, used = kept+n, used+n
	}
	return kept, used, false, nil
}

// lastLine returns the length of the line that ends a message if b begins with
// it, or that b is too short to tell.
func (d *dots) lastLine(b []byte) (n int, short bool) {
	switch {
	case b[0] != '.':
		return 0, false
	case len(b) == 1:
		return 0, true
	case d.bare && b[1] == '\n':
		return 2, false
	case b[1] != '\r':
		return 0, false
	case len(b) == 2:
		return 0, true
	case b[2] == '\n':
		return 3, false
	}
	return 0, false
}

// run returns how far b goes without a dot at the start of a line.
func (d *dots) run(b []byte) int {
	if d.bare {
		if i := bytes.Index(b, []byte("\n.")); i >= 0 {
			d.text = false
			return i + 1
		}
		d.text = b[len(b)-1] != '\n'
		return len(b)
	}
	if d.cr && b[0] == '\n' {
		d.text, d.cr = false, false
		return 1
	}
	if i := bytes.Index(b, []byte("\r\n.")); i >= 0 {
		d.text = false
		return i + 2
	}
	d.text = !bytes.HasSuffix(b, []byte("\r\n"))
	d.cr = b[len(b)-1] == '\r'
	return len(b)
}
