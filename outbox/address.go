package outbox

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Address is a mail address as the envelope has it (RFC 5321 section 4.1.2, RFC
// 6531 section 3.3). Two of them are the same if they are equal. The zero
// Address is the null sender.
type Address struct {
	Local  string // as RCPT needs it: quoted if it must be and not else
	Domain string // lower case and ASCII, or an address literal in brackets; "" for a bare local name
}

// String returns LOCAL@DOMAIN, or LOCAL for a bare local name.
func (a Address) String() string {
	if a.Domain == "" {
		return a.Local
	}
	return a.Local + "@" + a.Domain
}

// IsBare reports whether the address is a local name that needs a domain.
func (a Address) IsBare() bool { return a.Domain == "" && a.Local != "" }

// IsUTF8 reports whether the address cannot be sent without SMTPUTF8 (RFC 6531).
// That is only for its local part to say: domains are in ASCII here.
func (a Address) IsUTF8() bool { return !isASCII(a.Local) }

// ParseAddress reads one address from a program's argument or a configuration: an
// address alone or a mailbox such as "Ada <ada@example.org>". The result may be
// a bare local name. What names the argument in a Refusal, such as "-f".
func ParseAddress(what, text string) (Address, error) {
	all, err := ParseAddresses(what, text)
	if err != nil {
		return Address{}, err
	}
	if len(all) != 1 {
		return Address{}, refuse(fmt.Sprintf("%s is %s, which is %d addresses", what, show(text), len(all)), "give one")
	}
	return all[0], nil
}

// ParseAddresses reads a list of addresses from a program's argument, which is
// one line: any control character is a Refusal.
func ParseAddresses(what, text string) ([]Address, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, refuse(what+" is "+show(text)+", which is more than one line", addressRemedy)
	}
	return parseAddresses(what+" is", text)
}

// At returns a bare local name with a domain put to it, and any other address
// as it is.
func (a Address) At(domain string) (Address, error) {
	if !a.IsBare() {
		return a, nil
	}
	if domain == "" {
		return Address{}, refuse("the local name "+show(a.Local)+" is no mail address without a domain", addressRemedy)
	}
	ascii, ok := asciiDomain(domain)
	if !ok {
		return Address{}, refuse("the domain "+show(domain)+" cannot complete the local name "+show(a.Local), addressRemedy)
	}
	return Address{a.Local, ascii}, nil
}

// pathMost bounds an address: RFC 5321 section 4.5.3.1.3 has 256 octets with the
// brackets.
const pathMost = 254

// newAddress makes an address of what a local part means, quotes undone, and
// of a domain as written.
func newAddress(local, domain string) (Address, bool) {
	ascii, ok := asciiDomain(domain)
	if !ok {
		return Address{}, false
	}
	quoted, ok := quoteLocal(local)
	a := Address{quoted, ascii}
	return a, ok && len(a.String()) <= pathMost
}

// newBare makes a bare local name. It must look like a user's name: what a shell,
// a file system or an alias file would take for something else is not one, and
// neither is a word out of a sentence in another script.
func newBare(name string) (Address, bool) {
	for i, c := range []byte(name) {
		if !isLetterDigit(c) && c != '_' && (i == 0 || c != '-' && c != '+' && c != '.') {
			return Address{}, false
		}
	}
	ok := name != "" && len(name) <= 64 && isDotString(name)
	return Address{Local: name}, ok
}

// quoteLocal returns a local part as a Dot-string if it can be one, and else as
// a Quoted-string (RFC 5321 section 4.1.2).
func quoteLocal(local string) (string, bool) {
	if isDotString(local) {
		return local, true
	}
	if !utf8.ValidString(local) {
		return "", false
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range local {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
		case !isVisible(r) && r != ' ':
			return "", false
		}
		b.WriteRune(r)
	}
	b.WriteByte('"')
	return b.String(), true
}

// isDotString reports whether a local part needs no quotes: atoms with one dot
// between them.
func isDotString(local string) bool {
	if local == "" || local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, "..") || !utf8.ValidString(local) {
		return false
	}
	for _, r := range local {
		if r != '.' && !isAtomRune(r) {
			return false
		}
	}
	return true
}

// isAtomRune is atext of RFC 5322 section 3.2.3 with RFC 6532 section 3.2.
func isAtomRune(r rune) bool {
	return isVisible(r) && !strings.ContainsRune(`()<>[]:;@\,."`, r)
}

// isVisible is what may stand in an address: no white space, no control and no
// format character. Two joiners are letters to the scripts that need them.
func isVisible(r rune) bool {
	return r > ' ' && r < 0x7f || r > 0x7f && unicode.IsGraphic(r) && !unicode.IsSpace(r) || r == '\u200c' || r == '\u200d'
}

func isLetterDigit(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
