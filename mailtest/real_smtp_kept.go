//go:build linux

package mailtest

import (
	"bytes"
	"net/mail"
	"strings"
)

// What servers make of headers that are none: each is a function from the message
// as it was sent, lines ended in LF, to what is stored below the trace.

// wellFormed says whether each line of wire ends in CRLF, and has no other CR or
// LF, nor a NUL.
func wellFormed(wire []byte) bool {
	rest := bytes.ReplaceAll(wire, []byte("\r\n"), nil)
	return !bytes.ContainsAny(rest, "\r\n\x00") && (len(wire) == 0 || bytes.HasSuffix(wire, []byte("\r\n")))
}

// closedHeader puts an empty line before the first line that cannot be in a
// header, if the header has not ended by then. Name returns the length of the name
// at the beginning of a field, and that of what stands before its colon; 0 for a
// line that is no field.
func closedHeader(local []byte, name func(line []byte) (length, colon int), field func(line []byte, length, colon int) []byte) []byte {
	var out []byte
	rest := local
	for first := true; len(rest) > 0; first = false {
		line := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line = rest[:i+1]
		}
		folded := line[0] == ' ' || line[0] == '\t'
		if line[0] == '\n' {
			break
		}
		if length, colon := name(line); length > 0 && !folded {
			line = field(line, length, colon)
		} else if !folded || first {
			out = append(out, '\n')
			break
		}
		out = append(out, line...)
		rest = rest[bytes.IndexByte(rest, '\n')+1:]
	}
	return append(out, rest...)
}

// fieldName finds the name of a field as Postfix does: printable ASCII, then
// perhaps spaces, then a colon.
func fieldName(line []byte) (length, colon int) {
	if length, colon = fieldName8(line); !isASCII(string(line[:length])) {
		return 0, 0
	}
	return length, colon
}

// fieldName8 finds it as Exim does, which takes octets above 127, too.
func fieldName8(line []byte) (length, colon int) {
	for length < len(line) && line[length] > ' ' && line[length] != 0x7f && line[length] != ':' {
		length++
	}
	colon = length
	for colon < len(line) && (line[colon] == ' ' || line[colon] == '\t') {
		colon++
	}
	if length == 0 || colon == len(line) || line[colon] != ':' {
		return 0, 0
	}
	return length, colon
}

func (p *postfix) kept(wire []byte) ([]byte, bool) {
	rest := Local(wire)
	var lines []byte
	for {
		line := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line = rest[:i+1]
		}
		if !bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
			break
		}
		lines = append(append(lines, "X-Mailbox-Line: "...), line...)
		rest = rest[len(line):]
	}
	if len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
		lines = append(lines, '\n')
	}
	return closedHeader(append(lines, rest...), fieldName, func(line []byte, length, colon int) []byte {
		return append(line[:length:length], line[colon:]...)
	}), wellFormed(wire)
}

func (x *exim) kept(wire []byte) ([]byte, bool) {
	closed := closedHeader(Local(wire), fieldName8, func(line []byte, _, _ int) []byte { return line })
	var out, blank []byte // blank are folded lines of nothing but spaces
	for rest := closed; ; {
		i := bytes.IndexByte(rest, '\n')
		if i <= 0 {
			if i < 0 {
				out = append(out, '\n')
			}
			return append(out, rest...), wellFormed(wire)
		}
		line := rest[:i+1]
		rest = rest[i+1:]
		switch folded := line[0] == ' ' || line[0] == '\t'; {
		case folded && len(bytes.TrimSpace(line)) == 0:
			blank = append(blank, line...)
			continue
		case folded:
			out = append(out, blank...)
		}
		out, blank = append(out, line...), nil
	}
}

// A header that OpenSMTPD leaves as it is has Date and Message-ID, and whole
// addresses; it has no Bcc, which the server takes out at some times and at others
// not.
func (o *opensmtpd) kept(wire []byte) ([]byte, bool) {
	local := Local(wire)
	header, _, ended := bytes.Cut(local, []byte("\n\n"))
	closed := closedHeader(local, fieldName, func(line []byte, _, _ int) []byte { return line })
	if !wellFormed(wire) || !ended || !bytes.Equal(closed, local) || local[0] == '\n' {
		return nil, false
	}
	for line := range bytes.Lines(local) {
		if len(line) > 2000 {
			return nil, false
		}
	}
	seen := make(map[string]int)
	for rest := append(header[:len(header):len(header)], '\n'); len(rest) > 0; {
		var field string
		field, rest = cutField(rest)
		name, value, _ := strings.Cut(field, ":")
		name = strings.ToLower(name)
		seen[name]++
		switch name {
		case "bcc":
			return nil, false
		case "from", "to", "cc", "sender", "reply-to":
			if _, err := mail.ParseAddressList(strings.TrimSpace(value)); err != nil {
				return nil, false
			}
		}
	}
	return local, seen["date"] > 0 && seen["message-id"] > 0 && seen["from"] > 0 && seen["received"] < 50
}
