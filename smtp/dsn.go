package smtp

import "strings"

// maxEnvelopeID is the most of an ENVID before its encoding (RFC 3461 section 4.4).
const maxEnvelopeID = 100

// returnParameter returns the value of RET, empty for none.
func returnParameter(s string) (value string, ok bool) {
	value = strings.ToUpper(s)
	return value, value == "" || value == "FULL" || value == "HDRS"
}

// notifyParameter returns the value of NOTIFY, empty for none. NEVER stands alone
// (RFC 3461 section 4.1).
func notifyParameter(s string) (value string, ok bool) {
	value = strings.ToUpper(s)
	if value == "" || value == "NEVER" {
		return value, true
	}
	for word := range strings.SplitSeq(value, ",") {
		if word != "SUCCESS" && word != "FAILURE" && word != "DELAY" {
			return "", false
		}
	}
	return value, len(value) <= len("SUCCESS,FAILURE,DELAY")
}

func isEnvelopeID(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= maxEnvelopeID
}

// appendXtext appends s so that nothing of it can end a parameter (RFC 3461
// section 4).
func appendXtext(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; c < '!' || c > '~' || c == '+' || c == '=' {
			dst = append(dst, '+', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}
