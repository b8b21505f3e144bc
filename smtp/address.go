package smtp

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxAddress is the longest address: a path of 64 octets, "@" and a domain of 255
// (RFC 5321 section 4.5.3.1). Longer local parts are in use, and stand here for
// shorter domains; no command gets too long by them.
const (
	maxAddress = 64 + 1 + 255
	maxDomain  = 255
	maxLabel   = 63
)

// checkAddress says what is wrong with an address, or nothing. What passes can
// neither end its path, nor its command, nor begin another: it is a Mailbox of
// RFC 5321 section 4.1.2, with UTF-8 (RFC 6531 section 3.3), the dots that some
// providers allow at odd places, and the underscores that some hosts have.
func checkAddress(s string) (problem string) {
	switch {
	case s == "":
		return "it is empty"
	case len(s) > maxAddress:
		return "it is too long"
	case !utf8.ValidString(s):
		return "it is not UTF-8"
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r != ' ' && unicode.IsSpace(r) }):
		return "it contains a line end or another control character"
	}
	local := localPart(s)
	switch {
	case local == "":
		return "there is no local part as RFC 5321 has it"
	case len(local) == len(s):
		return `there is no "@" and no domain`
	case s[len(local)] != '@':
		return "the local part contains a character that it must not"
	}
	return checkDomain(s[len(local)+1:])
}

// localPart returns the dot-string or quoted string that s begins with.
func localPart(s string) string {
	if s[0] != '"' {
		for i := range len(s) {
			if !isAtom(s[i]) && s[i] != '.' {
				return s[:i]
			}
		}
		return s
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return s[:i+1]
		case '\\':
			i++
		}
	}
	return ""
}

// isAtom reports the characters of an atom (RFC 5322 section 3.2.3), and the
// octets of UTF-8.
func isAtom(c byte) bool {
	return isLetter(c) || isDigit(c) || c >= 0x80 || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// checkDomain is checkAddress for a domain or an address literal.
func checkDomain(s string) (problem string) {
	if strings.HasPrefix(s, "[") {
		return checkLiteral(s)
	}
	if len(s) > maxDomain {
		return "the domain is too long"
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" {
			return "a part of the domain is empty"
		}
		if len(label) > maxLabel && isASCII(label) {
			return "a part of the domain is too long"
		}
		for i := range len(label) {
			if c := label[i]; !isLetter(c) && !isDigit(c) && c != '-' && c != '_' && c < 0x80 {
				return "the domain contains a character that it must not"
			}
		}
	}
	return ""
}

// checkLiteral takes the addresses of RFC 5321 section 4.1.3 in brackets.
func checkLiteral(s string) (problem string) {
	inner, closed := strings.CutSuffix(s[1:], "]")
	const tag = "ipv6:"
	six := len(inner) > len(tag) && strings.EqualFold(inner[:len(tag)], tag)
	if six {
		inner = inner[len(tag):]
	}
	ip, err := netip.ParseAddr(inner)
	if !closed || err != nil || ip.Is6() != six || ip.Zone() != "" {
		return "the address literal is none"
	}
	return ""
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
