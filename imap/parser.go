package imap

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

const (
	maxHeld    = 64 << 10 // of one string that is held in memory
	maxKept    = 1 << 20  // of all that one response has us hold
	maxPlain   = 1 << 20  // octets of one response, without literals and lists of numbers
	maxListed  = 5_000_000
	maxNumbers = maxListed * len("4294967295:4294967295,") // octets of a list of numbers
	maxNumber  = 64                                        // octets of a number
)

// parser reads responses by their grammar. It trusts nothing but the length of a
// literal. An error of type syntaxError leaves it inside the response, before
// the line end, so that rest can skip what remains; any other is the end.
type parser struct {
	line       *line
	maxLiteral int64
	nesting    int

	plain   int   // octets of this response that may still be read
	kept    int   // octets of them that may still be held
	skipped int64 // octets of literals that may still be thrown away
	scratch []byte
}

// syntaxError is a response that is not what the grammar says.
type syntaxError string

func (e syntaxError) Error() string { return string(e) }

func isSyntax(err error) bool {
	var s syntaxError
	return errors.As(err, &s)
}

var (
	errResponseTooLong  = errors.New("the response is too long")
	errResponseTooLarge = errors.New("the response holds too much")
	errLiteralLength    = errors.New("the length of a literal is out of range")
)

// begin sets the limits for a new response.
func (p *parser) begin() {
	p.plain, p.kept, p.skipped = maxPlain, maxKept, p.maxLiteral
}

// fill returns what is buffered, one octet at least.
func (p *parser) fill() ([]byte, error) {
	in := p.line.in
	if in.Buffered() == 0 {
		if _, err := in.Peek(1); err != nil {
			return nil, err
		}
	}
	return in.Peek(in.Buffered())
}

// peek returns the next octet and leaves it there.
func (p *parser) peek() (byte, error) {
	b, err := p.line.in.Peek(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// discard steps over octets that are in the buffer.
func (p *parser) discard(n int) error {
	if p.plain -= n; p.plain < 0 {
		return errResponseTooLong
	}
	p.line.in.Discard(n)
	return nil
}

// keep counts octets that the response has us hold.
func (p *parser) keep(n int) error {
	if p.kept -= n; p.kept < 0 {
		return errResponseTooLarge
	}
	return nil
}

// spaces steps over spaces; servers use more and fewer than there should be.
func (p *parser) spaces() error {
	for {
		c, err := p.peek()
		if err != nil || c != ' ' && c != '\t' {
			return err
		}
		if err := p.discard(1); err != nil {
			return err
		}
	}
}

// accept steps over c if it is next.
func (p *parser) accept(c byte) (bool, error) {
	got, err := p.peek()
	if err != nil || got != c {
		return false, err
	}
	return true, p.discard(1)
}

func (p *parser) expect(c byte) error {
	ok, err := p.accept(c)
	if err == nil && !ok {
		return syntaxError(fmt.Sprintf("no %q where it should be", c))
	}
	return err
}

// until returns the octets before the next one that ends says, and leaves that
// one there. They are valid until the next call and may be none.
func (p *parser) until(ends func(c byte) bool) ([]byte, error) {
	p.scratch = p.scratch[:0]
	for {
		b, err := p.fill()
		if err != nil {
			return nil, err
		}
		i := 0
		for i < len(b) && !ends(b[i]) {
			i++
		}
		if len(p.scratch)+i > maxHeld {
			return nil, errResponseTooLong
		}
		p.scratch = append(p.scratch, b[:i]...)
		found := i < len(b)
		if err := p.discard(i); err != nil || found {
			return p.scratch, err
		}
	}
}

func isEnd(c byte) bool { return c == '\r' || c == '\n' }

// endsAtom is generous: brackets, stars and backslashes are part of atoms, for
// flags and labels have them.
func endsAtom(c byte) bool {
	return c == ' ' || c == '(' || c == ')' || c == '"' || c == '\t' || isEnd(c)
}

func endsItem(c byte) bool { return c == '[' || endsAtom(c) }

// atom returns a word of at least one octet, valid until the next call.
func (p *parser) atom() ([]byte, error) { return p.word(endsAtom) }

func (p *parser) word(ends func(c byte) bool) ([]byte, error) {
	b, err := p.until(ends)
	if err == nil && len(b) == 0 {
		return nil, syntaxError("a word is missing")
	}
	return b, err
}

// number reads a number. Some servers write it like 9.3736e+06, some with
// a minus sign, which makes it 0; ok is whether it is one that fits.
func (p *parser) number() (n uint64, ok bool, err error) {
	b, err := p.word(func(c byte) bool { return c == ',' || c == ':' || endsAtom(c) })
	if err != nil {
		return 0, false, err
	}
	if n, ok := parseNumber(b); ok {
		return n, true, nil
	}
	if len(b) > maxNumber {
		return 0, false, nil
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.IsNaN(f) || f >= math.MaxInt64 || !isDecimal(b) {
		return 0, false, nil
	}
	return uint64(max(f, 0)), true, nil
}

func parseNumber(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n <= math.MaxInt64
}

// isDecimal keeps out what only Go calls a number.
func isDecimal(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return false
		}
	}
	return true
}

// number32 is number for what has 32 bits: 0 stands for any that does not fit.
func (p *parser) number32() (uint32, error) {
	n, ok, err := p.number()
	if !ok || n > math.MaxUint32 {
		return 0, err
	}
	return uint32(n), err
}

// uids reads a set of UIDs into g, however long.
func (p *parser) uids(g *gatherer) error {
	p.plain = max(p.plain, maxNumbers)
	for n := 0; ; n++ {
		first, err := p.uid()
		if err != nil {
			return err
		}
		last := first
		ranged, err := p.accept(':')
		if err == nil && ranged {
			last, err = p.uid()
		}
		if err != nil {
			return err
		}
		if n >= maxListed || !g.add(first, last) {
			return errResponseTooLarge
		}
		if more, err := p.accept(','); err != nil || !more {
			return err
		}
	}
}

// uid reads one UID, which must be one: to take another number for it would
// make a message of nothing.
func (p *parser) uid() (uint32, error) {
	n, ok, err := p.number()
	if err == nil && (!ok || n == 0 || n > math.MaxUint32) {
		err = syntaxError("a number that is no UID")
	}
	return uint32(n), err
}

// firstError returns the first of them that is one.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
