package auth

import (
	"crypto/md5"
	"encoding/hex"
	"strings"
)

// APOP returns the digest of RFC 1939 section 7 in lower-case hex: the MD5 of
// the greeting's timestamp followed by the password.
//
// MD5 is broken: a server that may choose the timestamp freely can recover
// the password bit by bit from colliding pairs (CVE-2007-1558). Those pairs
// hold octets that cannot stand in a msg-id, so a timestamp that is not one
// is refused. That is a fence and no wall, which is why Choose takes APOP only
// by name.
func APOP(timestamp, password string) (digest string, err error) {
	const op = "log in with APOP"
	if err := checkPassword(password); err != nil {
		return "", &Error{Op: op, Err: err, permanent: true}
	}
	if !isMessageID(timestamp) {
		return "", refused(op, "the server's timestamp %s is not a message id, as if made to attack the password", quote(timestamp))
	}
	sum := md5.Sum([]byte(timestamp + password))
	return hex.EncodeToString(sum[:]), nil
}

// isMessageID reports whether s is "<left@right>" in visible ASCII, the
// msg-id of RFC 822 section 4.6.1 without its quoted forms.
func isMessageID(s string) bool {
	inner, opened := strings.CutPrefix(s, "<")
	inner, closed := strings.CutSuffix(inner, ">")
	left, right, at := strings.Cut(inner, "@")
	if !opened || !closed || !at || left == "" || right == "" || len(s) > maxChallenge {
		return false
	}
	return isVisible(left+right) && !strings.ContainsAny(left+right, "<>@")
}

// isVisible reports whether s has only ASCII characters with a glyph.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
