package imap

import "errors"

// literal reads the head of a literal with its line end, "{" being next, and
// returns how many octets follow (RFC 9051 section 4.3).
func (p *parser) literal() (int64, error) {
	b, err := p.word(func(c byte) bool { return c == '}' || endsAtom(c) })
	if err != nil {
		return 0, err
	}
	digits := b[1:] // b begins with "{", or the caller would not be here
	if n := len(digits) - 1; n >= 0 && digits[n] == '+' {
		digits = digits[:n]
	}
	if err := checkDigits(digits); err != nil {
		return 0, err
	}
	n, ok := parseNumber(digits)
	if err := p.expect('}'); err != nil {
		return 0, err
	}
	if c, err := p.peek(); err != nil || !isEnd(c) {
		return 0, firstError(err, syntaxError("text behind the length of a literal"))
	}
	if !ok {
		return 0, errLiteralLength
	}
	return int64(n), p.newline()
}

func checkDigits(b []byte) error {
	for _, c := range b {
		if c < '0' || c > '9' {
			if c == '-' {
				return errLiteralLength
			}
			return syntaxError("a literal without a length")
		}
	}
	if len(b) == 0 {
		return syntaxError("a literal without a length")
	}
	return nil
}

// drop throws away the octets of a literal.
func (p *parser) drop(n int64) error {
	if p.skipped -= n; p.skipped < 0 {
		return errLiteralLength
	}
	return p.copy(n, nil)
}

// copy hands n octets to write in pieces as large as they come.
func (p *parser) copy(n int64, write func([]byte) (more bool)) error {
	for n > 0 {
		b, err := p.fill()
		if err != nil {
			return err
		}
		b = b[:min(int64(len(b)), n)]
		if write != nil && !write(b) {
			return errStopped
		}
		p.line.in.Discard(len(b))
		n -= int64(len(b))
	}
	return nil
}

// errStopped says that the taker of a literal wants no more of it.
var errStopped = errors.New("stopped")

// hold reads the octets of a literal into memory. The announced length is not
// believed before the octets are there.
func (p *parser) hold(n int64) ([]byte, error) {
	if n > maxHeld {
		if err := p.drop(n); err != nil {
			return nil, err
		}
		return nil, syntaxError("a literal is too long")
	}
	p.scratch = p.scratch[:0]
	err := p.copy(n, func(b []byte) bool {
		p.scratch = append(p.scratch, b...)
		return true
	})
	return p.scratch, err
}

// quoted reads a quoted string. One that the line end cuts short is an error of
// syntax; a backslash takes any octet that is not the line end.
func (p *parser) quoted() ([]byte, error) {
	if err := p.expect('"'); err != nil {
		return nil, err
	}
	var text []byte
	for {
		part, err := p.until(func(c byte) bool { return c == '"' || c == '\\' || isEnd(c) })
		if err != nil {
			return nil, err
		}
		if text = append(text, part...); len(text) > maxHeld {
			return nil, errResponseTooLong
		}
		c, err := p.peek()
		if err != nil {
			return nil, err
		}
		if isEnd(c) {
			return nil, syntaxError("a string without an end")
		}
		if err := p.discard(1); err != nil || c == '"' {
			return text, err
		}
		if c, err = p.peek(); err != nil {
			return nil, err
		}
		if isEnd(c) {
			return nil, syntaxError("a string without an end")
		}
		text = append(text, c)
		if err := p.discard(1); err != nil {
			return nil, err
		}
	}
}

// str reads a string, an atom, or NIL, which is none; valid until the next call.
func (p *parser) str() (b []byte, null bool, err error) {
	c, err := p.peek()
	if err != nil {
		return nil, false, err
	}
	switch c {
	case '"':
		b, err = p.quoted()
	case '{', '~':
		var literal bool
		if literal, err = p.isLiteral(); err != nil {
			return nil, false, err
		}
		if !literal {
			b, err = p.atom()
			break
		}
		var n int64
		if n, err = p.literal(); err == nil {
			b, err = p.hold(n)
		}
	default:
		b, err = p.atom()
		null = isNil(b)
	}
	if err == nil {
		err = p.keep(len(b))
	}
	return b, null, err
}

func isNil(b []byte) bool {
	return len(b) == 3 && b[0]|0x20 == 'n' && b[1]|0x20 == 'i' && b[2]|0x20 == 'l'
}

// isLiteral reports whether the head of a literal is next, and steps over
// the tilde of one that is binary (RFC 3516).
func (p *parser) isLiteral() (bool, error) {
	b, err := p.line.in.Peek(1)
	if err != nil {
		return false, err
	}
	if b[0] == '{' {
		return true, nil
	}
	if b[0] != '~' {
		return false, nil
	}
	if b, err = p.line.in.Peek(2); err != nil {
		return false, err
	}
	if b[1] != '{' {
		return false, nil
	}
	return true, p.discard(1)
}
