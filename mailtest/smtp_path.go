package mailtest

import (
	"errors"
	"strings"
)

var errSMTPPath = errors.New("not a path with parameters")

// smtpPath is the argument of MAIL or RCPT.
type smtpPath struct {
	address string // without brackets; empty for the null reverse-path
	params  []string
}

// parseSMTPPath reads "FROM:<a@b.example> SIZE=1" (RFC 5321 section 4.1.2). It is
// strict: no space behind the colon, no source route, and nothing in an address
// that would need quotes and has none.
func parseSMTPPath(arg, prefix string) (p smtpPath, err error) {
	if len(arg) < len(prefix) || !strings.EqualFold(arg[:len(prefix)], prefix) {
		return p, errSMTPPath
	}
	rest, opened := strings.CutPrefix(arg[len(prefix):], "<")
	if !opened {
		return p, errSMTPPath
	}
	end := closingBracket(rest)
	if end < 0 {
		return p, errSMTPPath
	}
	p.address = rest[:end]
	if rest = rest[end+1:]; rest != "" {
		if rest[0] != ' ' {
			return p, errSMTPPath
		}
		p.params = strings.Fields(rest)
	}
	if p.address != "" && !validSMTPAddress(p.address) {
		return p, errSMTPPath
	}
	return p, nil
}

// closingBracket finds the ">" that is not in a quoted string, or -1.
func closingBracket(text string) int {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return i
		}
	}
	return -1
}

// validSMTPAddress says whether it is LOCAL@DOMAIN, or postmaster alone.
func validSMTPAddress(address string) bool {
	if strings.EqualFold(address, "postmaster") {
		return true
	}
	at := strings.LastIndexByte(address, '@')
	if at < 1 || len(address) > 254 {
		return false
	}
	local, domain := address[:at], address[at+1:]
	if strings.HasPrefix(local, `"`) {
		if len(local) < 2 || !strings.HasSuffix(local, `"`) || strings.ContainsFunc(local, isControl) {
			return false
		}
	} else if strings.ContainsAny(local, " ()<>[]:;@\\,\"") || strings.ContainsFunc(local, isControl) ||
		strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") || strings.Contains(local, "..") {
		return false
	}
	if strings.HasPrefix(domain, "[") {
		return len(domain) > 2 && strings.HasSuffix(domain, "]") && !strings.ContainsAny(domain[1:len(domain)-1], "[]\\ ")
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") ||
			strings.ContainsAny(label, " ()<>[]:;@\\,\"_!|/") || strings.ContainsFunc(label, isControl) {
			return false
		}
	}
	return true
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// isASCII says whether a text has no octet above 127.
func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] > 0x7f {
			return false
		}
	}
	return true
}
