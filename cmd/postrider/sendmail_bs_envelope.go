package main

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"postrider/outbox"
)

// begin carries out MAIL (RFC 5321 section 4.1.1.2).
func (d *dialogueServer) begin(arg string) (reply string) {
	switch {
	case !d.greeted:
		return "503 5.5.1 EHLO comes first"
	case d.mail != nil:
		return "503 5.5.1 there is a sender; RSET forgets it"
	}
	path, rest, ok := cutPath(arg, "FROM:")
	if !ok {
		return "501 5.5.4 it is MAIL FROM:<ada@example.org>"
	}
	mail := &dialogueMail{}
	if reply := eachParameter(rest, mail.parameter); reply != "" {
		return reply
	}
	if path != "" {
		address, reply := readPath("the sender", path, mail.utf8)
		if reply != "" {
			return reply
		}
		mail.from = address
	}
	d.mail = mail
	return "250 2.1.0 sender noted"
}

// parameter takes a parameter of MAIL: SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8
// (RFC 6531), RET and ENVID (RFC 3461).
func (m *dialogueMail) parameter(key, value string) (known, ok bool) {
	switch key {
	case "SIZE":
		_, err := strconv.ParseUint(value, 10, 63)
		ok = err == nil
	case "BODY":
		m.body8 = strings.EqualFold(value, "8BITMIME")
		ok = m.body8 || strings.EqualFold(value, "7BIT")
	case "SMTPUTF8":
		m.utf8, ok = true, value == ""
	case "RET":
		m.ret, ok = parseReturn(value)
	case "ENVID":
		m.envid, ok = decodeXtext(value)
		ok = ok && isEnvelopeID(m.envid)
	default:
		return false, false
	}
	return true, ok
}

// rcpt carries out RCPT (RFC 5321 section 4.1.1.3).
func (d *dialogueServer) rcpt(arg string) (reply string) {
	switch {
	case d.mail == nil:
		return "503 5.5.1 MAIL comes first"
	case len(d.mail.rcpts) >= dialogueRcpts:
		return "452 4.5.3 too many recipients"
	}
	path, rest, ok := cutPath(arg, "TO:")
	if !ok || path == "" {
		return "501 5.5.4 it is RCPT TO:<ada@example.org>"
	}
	var r dialogueRcpt
	if reply := eachParameter(rest, r.parameter); reply != "" {
		return reply
	}
	if r.address, reply = readPath("the recipient", path, d.mail.utf8); reply != "" {
		return reply
	}
	d.mail.rcpts = append(d.mail.rcpts, r)
	return "250 2.1.5 recipient noted"
}

// parameter takes a parameter of RCPT: NOTIFY and ORCPT (RFC 3461 sections 4.1
// and 4.2).
func (r *dialogueRcpt) parameter(key, value string) (known, ok bool) {
	switch key {
	case "NOTIFY":
		r.notify, ok = parseNotify(value)
	case "ORCPT":
		var kind, text string
		kind, text, ok = strings.Cut(value, ";")
		text, valid := decodeXtext(text)
		ok = ok && valid && kind != "" && text != "" && len(value) <= 500
		if strings.EqualFold(kind, "rfc822") {
			r.original = text
		}
	default:
		return false, false
	}
	return true, ok
}

// eachParameter gives every parameter behind a path to take, and returns the reply
// to what it cannot take. None may come twice (RFC 5321 section 4.1.1.11).
func eachParameter(rest string, take func(key, value string) (known, ok bool)) (reply string) {
	seen := make(map[string]bool)
	for word := range strings.FieldsSeq(rest) {
		key, value, _ := strings.Cut(word, "=")
		key = strings.ToUpper(key)
		known, ok := take(key, value)
		switch {
		case !known:
			return "555 5.5.4 a parameter is not known"
		case !ok || seen[key]:
			return "501 5.5.4 the parameter " + key + " is wrong"
		}
		seen[key] = true
		if size, _ := strconv.ParseUint(value, 10, 63); key == "SIZE" && size > dialogueSize {
			return "552 5.3.4 the message is too large"
		}
	}
	return ""
}

// cutPath returns what stands between the brackets behind a word such as FROM:,
// and the parameters behind it. A source route is dropped (RFC 5321 appendix C).
func cutPath(arg, word string) (path, rest string, ok bool) {
	if len(arg) <= len(word) || !strings.EqualFold(arg[:len(word)], word) || arg[len(word)] != '<' {
		return "", "", false
	}
	arg = arg[len(word)+1:]
	if strings.HasPrefix(arg, "@") {
		route, behind, found := strings.Cut(arg, ":")
		if !found || strings.ContainsAny(route, `<>"\ `) {
			return "", "", false
		}
		arg = behind
	}
	end := pathEnd(arg)
	if end < 0 {
		return "", "", false
	}
	path, rest = arg[:end], arg[end+1:]
	return path, rest, rest == "" || rest[0] == ' '
}

// pathEnd returns where the closing bracket of a path is, or -1. A path holds one
// address and nothing that belongs to a list of them in a header.
func pathEnd(s string) int {
	quoted, literal := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '>':
			return i
		case c == '[':
			literal = true
		case c == ':' && !literal, strings.IndexByte(`<(),;\ `, c) >= 0:
			return -1
		}
	}
	return -1
}

// readPath checks an address and returns it as the envelope has it, or the reply
// to one that is wrong.
func readPath(what, path string, utf8Asked bool) (address, reply string) {
	if !utf8Asked && strings.ContainsFunc(path, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return "", "553 5.6.7 the address is not ASCII, and SMTPUTF8 was not asked for"
	}
	a, err := outbox.ParseAddress(what, path)
	if err == nil && a == (outbox.Address{}) {
		err = errors.New(what + " is no address")
	}
	if err != nil {
		return "", "553 5.1.3 " + dialogueWords(err)
	}
	return a.String(), ""
}

// decodeXtext undoes xtext (RFC 3461 section 4), whose result is printable ASCII
// here.
func decodeXtext(text string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '+' {
			if i+2 >= len(text) || text[i+1:i+3] != strings.ToUpper(text[i+1:i+3]) {
				return "", false
			}
			n, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			c, i = byte(n), i+2
		} else if c == ' ' || c == '=' {
			return "", false
		}
		if c < ' ' || c > '~' {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), true
}
