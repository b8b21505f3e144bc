package mailtest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

var errIMAPSyntax = errors.New("cannot read this command")

// imapParser reads the arguments of one command (RFC 9051 section 9). Literals
// stand in its text as they came, with their lengths.
type imapParser struct {
	text string
	at   int
}

func (p *imapParser) rest() string { return p.text[p.at:] }

func (p *imapParser) ended() bool { return p.at >= len(p.text) }

func (p *imapParser) fail(what string) error {
	return fmt.Errorf("%w: %s expected at octet %d", errIMAPSyntax, what, p.at)
}

// take skips s if it comes next; case does not matter.
func (p *imapParser) take(s string) bool {
	if len(p.rest()) < len(s) || !strings.EqualFold(p.rest()[:len(s)], s) {
		return false
	}
	p.at += len(s)
	return true
}

func (p *imapParser) want(s string) error {
	if !p.take(s) {
		return p.fail(strconv.Quote(s))
	}
	return nil
}

func (p *imapParser) space() error { return p.want(" ") }

func (p *imapParser) end() error {
	if !p.ended() {
		return p.fail("the end of the line")
	}
	return nil
}

// run takes octets as long as they are fit.
func (p *imapParser) run(fit func(c byte) bool) string {
	start := p.at
	for p.at < len(p.text) && fit(p.text[p.at]) {
		p.at++
	}
	return p.text[start:p.at]
}

// atomic says whether an octet may stand in an atom. "]" may.
func atomic(c byte) bool {
	return c > ' ' && c != 0x7f && !strings.ContainsRune(`(){%*"\`, rune(c))
}

func (p *imapParser) atom() (string, error) {
	s := p.run(atomic)
	if s == "" {
		return "", p.fail("an atom")
	}
	return s, nil
}

// word is an atom in upper case.
func (p *imapParser) word() (string, error) {
	s, err := p.atom()
	return strings.ToUpper(s), err
}

func (p *imapParser) flag() (string, error) {
	prefix := ""
	if p.take(`\`) {
		prefix = `\`
	}
	s, err := p.atom()
	return prefix + s, err
}

// isString says whether a quoted string or a literal comes next.
func (p *imapParser) isString() bool {
	return !p.ended() && (p.text[p.at] == '"' || p.text[p.at] == '{' || p.text[p.at] == '~')
}

// astring is an atom, a quoted string or a literal.
func (p *imapParser) astring() (string, error) {
	if p.isString() {
		return p.str()
	}
	return p.atom()
}

// nstring is a string or NIL, which is empty.
func (p *imapParser) nstring() (string, error) {
	if p.isString() {
		return p.str()
	}
	return "", p.want("NIL")
}

func (p *imapParser) str() (string, error) {
	if p.take(`"`) {
		var b strings.Builder
		for p.at < len(p.text) {
			c := p.text[p.at]
			p.at++
			switch c {
			case '"':
				return b.String(), nil
			case '\r', '\n', 0:
				return "", p.fail(`"`)
			case '\\':
				if p.ended() {
					return "", p.fail("a quoted character")
				}
				c = p.text[p.at]
				p.at++
			}
			b.WriteByte(c)
		}
		return "", p.fail(`"`)
	}
	p.take("~") // literal8 (RFC 9051)
	if err := p.want("{"); err != nil {
		return "", err
	}
	n, err := strconv.ParseInt(p.run(isDigit), 10, 63)
	if err != nil {
		return "", p.fail("the length of a literal")
	}
	_ = p.take("+") || p.take("-")
	if err := p.want("}\r\n"); err != nil {
		return "", err
	}
	if n > int64(len(p.rest())) {
		return "", p.fail("a whole literal")
	}
	s := p.text[p.at : p.at+int(n)]
	p.at += int(n)
	return s, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (p *imapParser) number64() (uint64, error) {
	n, err := strconv.ParseUint(p.run(isDigit), 10, 63)
	if err != nil {
		return 0, p.fail("a number")
	}
	return n, nil
}

func (p *imapParser) number() (uint32, error) {
	n, err := strconv.ParseUint(p.run(isDigit), 10, 32)
	if err != nil {
		return 0, p.fail("a number")
	}
	return uint32(n), nil
}

// set reads a sequence-set; its numbers are not 0, for that is the star.
func (p *imapParser) set() (imapSet, error) {
	var s imapSet
	one := func() (uint32, error) {
		if p.take("*") {
			return imapStar, nil
		}
		n, err := p.number()
		if err == nil && n == 0 {
			err = p.fail("a number above 0")
		}
		return n, err
	}
	for {
		first, err := one()
		if err != nil {
			return nil, err
		}
		last := first
		if p.take(":") {
			if last, err = one(); err != nil {
				return nil, err
			}
		}
		s = append(s, imapRange{first, last})
		if !p.take(",") {
			return s, nil
		}
	}
}

// list reads a parenthesised list of what each reads; it may be empty.
func (p *imapParser) list(each func() error) error {
	if err := p.want("("); err != nil {
		return err
	}
	if p.take(")") {
		return nil
	}
	for {
		if err := each(); err != nil {
			return err
		}
		if p.take(")") {
			return nil
		}
		if err := p.space(); err != nil {
			return err
		}
	}
}

// words reads a list of atoms, in upper case.
func (p *imapParser) words() ([]string, error) {
	var words []string
	err := p.list(func() error {
		w, err := p.word()
		words = append(words, w)
		return err
	})
	return words, err
}

// flags reads a list of flags, or one or more flags without parentheses.
func (p *imapParser) flags() ([]string, error) {
	var flags []string
	one := func() error {
		f, err := p.flag()
		if err == nil && !hasFlag(flags, f) {
			flags = append(flags, f)
		}
		return err
	}
	if strings.HasPrefix(p.rest(), "(") {
		err := p.list(one)
		return flags, err
	}
	for {
		if err := one(); err != nil {
			return nil, err
		}
		if !p.take(" ") {
			return flags, nil
		}
	}
}
