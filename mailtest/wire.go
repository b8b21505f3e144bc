package mailtest

import (
	"bytes"
	"io"
)

// Wire returns a message as a server sends it, before dot-stuffing: a bare LF
// becomes CRLF, and a CRLF is added at the end if there is none. A CRLF and a
// lone CR stay as they are. No octets stay no octets.
func Wire(lf []byte) []byte {
	if len(lf) == 0 {
		return []byte{}
	}
	wire := make([]byte, 0, len(lf)+bytes.Count(lf, []byte{'\n'})+2)
	for i, c := range lf {
		if c == '\n' && (i == 0 || lf[i-1] != '\r') {
			wire = append(wire, '\r')
		}
		wire = append(wire, c)
	}
	if !bytes.HasSuffix(wire, []byte("\r\n")) {
		wire = append(wire, '\r', '\n')
	}
	return wire
}

// Local returns what the file in the Maildir must hold when wire was sent:
// each CRLF is an LF, a lone CR and a lone LF stay.
func Local(wire []byte) []byte {
	return bytes.ReplaceAll(wire, []byte("\r\n"), []byte("\n"))
}

// writeStuffed writes a message in multi-line form: a dot is put before a line
// that begins with one (RFC 1939 section 3). Only CRLF ends a line, so a dot
// after a lone LF is text. It adds the CRLF that the last line may lack, but
// not the terminating dot.
func writeStuffed(w io.Writer, wire []byte) error {
	var failed error
	write := func(p []byte) {
		if failed == nil && len(p) > 0 {
			_, failed = w.Write(p)
		}
	}
	dot := []byte{'.'}
	open := unfinished(wire)
	if bytes.HasPrefix(wire, dot) {
		write(dot)
	}
	for failed == nil {
		i := bytes.Index(wire, []byte("\r\n."))
		if i < 0 {
			break
		}
		write(wire[:i+2])
		write(dot)
		write(dot)
		wire = wire[i+3:]
	}
	write(wire)
	if open {
		write([]byte("\r\n"))
	}
	return failed
}

// top returns the header of a message, the empty line, and the first lines of
// the body, as TOP gives them (RFC 1939 section 7).
func top(wire []byte, lines int) []byte {
	at := 0
	if !bytes.HasPrefix(wire, []byte("\r\n")) {
		i := bytes.Index(wire, []byte("\r\n\r\n"))
		if i < 0 {
			return wire
		}
		at = i + 2
	}
	at += 2
	for ; lines > 0 && at < len(wire); lines-- {
		i := bytes.Index(wire[at:], []byte("\r\n"))
		if i < 0 {
			return wire
		}
		at += i + 2
	}
	return wire[:at]
}
