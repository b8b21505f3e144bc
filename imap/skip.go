package imap

// skip steps over a value of any kind.
func (p *parser) skip(depth int) error {
	c, err := p.peek()
	if err != nil {
		return err
	}
	switch c {
	case '(':
		return p.list(depth, func() error { return p.skip(depth + 1) })
	case '"':
		_, err := p.quoted()
		return err
	}
	if literal, err := p.isLiteral(); err != nil || !literal {
		if err == nil {
			_, err = p.atom()
		}
		return err
	}
	n, err := p.literal()
	if err != nil {
		return err
	}
	return p.drop(n)
}

// list reads a list in parentheses and calls each before each of its elements,
// which each must read.
func (p *parser) list(depth int, each func() error) error {
	if depth >= p.nesting {
		return syntaxError("lists nested too deep")
	}
	if err := p.expect('('); err != nil {
		return err
	}
	for {
		if err := p.spaces(); err != nil {
			return err
		}
		if end, err := p.accept(')'); err != nil || end {
			return err
		}
		if err := each(); err != nil {
			return err
		}
	}
}

// words reads a list of strings or atoms into memory. NIL is an empty list.
func (p *parser) words(each func(b []byte)) error {
	if c, err := p.peek(); err != nil || c != '(' {
		if err == nil {
			_, err = p.atom()
		}
		return err
	}
	return p.list(0, func() error {
		if c, err := p.peek(); err != nil {
			return err
		} else if c == '(' {
			return p.skip(1)
		}
		b, null, err := p.str()
		if err == nil && !null {
			each(b)
		}
		return err
	})
}

// newline steps over the line end. A bare LF will do.
func (p *parser) newline() error {
	if _, err := p.accept('\r'); err != nil {
		return err
	}
	return p.expect('\n')
}

// end steps over the end of a response.
func (p *parser) end() error {
	if err := p.spaces(); err != nil {
		return err
	}
	if c, err := p.peek(); err != nil || !isEnd(c) {
		return firstError(err, syntaxError("text behind the response"))
	}
	return p.newline()
}

// rest skips a response from anywhere inside it up to its end. A line that ends
// with the head of a literal goes on behind that.
func (p *parser) rest() error {
	for {
		n, err := p.restOfLine()
		if err != nil || n < 0 {
			return err
		}
		if err := p.drop(n); err != nil {
			return err
		}
	}
}

// restOfLine skips a line with its end, and returns the length of the literal
// that it ends with, -1 if with none.
func (p *parser) restOfLine() (int64, error) {
	var tail []byte // the last octets seen
	for {
		b, err := p.fill()
		if err != nil {
			return 0, err
		}
		i, end := 0, false
		for i < len(b) && !end {
			end = b[i] == '\n'
			i++
		}
		tail = append(tail, b[max(0, i-maxTail):i]...)
		tail = tail[max(0, len(tail)-maxTail):]
		if err := p.discard(i); err != nil {
			return 0, err
		}
		if end {
			return literalAtEnd(tail)
		}
	}
}

// maxTail is room for the head of any literal and its line end.
const maxTail = 32

func literalAtEnd(line []byte) (int64, error) {
	n := len(line) - len("\n")
	if n > 0 && line[n-1] == '\r' {
		n--
	}
	if n == 0 || line[n-1] != '}' {
		return -1, nil
	}
	end := n - 1
	if end > 0 && line[end-1] == '+' {
		end--
	}
	start := end
	for start > 0 && line[start-1] >= '0' && line[start-1] <= '9' {
		start--
	}
	if start == end || start == 0 || line[start-1] != '{' {
		return -1, nil
	}
	size, ok := parseNumber(line[start:end])
	if !ok {
		return 0, errLiteralLength
	}
	return int64(size), nil
}

// text reads free text up to and with the line end. There are no literals in
// it. What is longer than can be held is cut.
func (p *parser) text() ([]byte, error) {
	p.scratch = p.scratch[:0]
	for {
		b, err := p.fill()
		if err != nil {
			return nil, err
		}
		i := 0
		for i < len(b) && b[i] != '\n' {
			i++
		}
		p.scratch = append(p.scratch, b[:min(i, maxHeld-len(p.scratch))]...)
		found := i < len(b)
		if found {
			i++
		}
		if err := p.discard(i); err != nil {
			return nil, err
		}
		if found {
			break
		}
	}
	if n := len(p.scratch) - 1; n >= 0 && p.scratch[n] == '\r' {
		p.scratch = p.scratch[:n]
	}
	return p.scratch, nil
}
