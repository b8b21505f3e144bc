package outbox

import "strings"

// tokenKind is a piece of an address list: one of the four here, or the octet
// that stands for itself, of <>@,;:
type tokenKind byte

const (
	endToken     tokenKind = 0
	atomToken    tokenKind = 'a' // a run of octets, dots among them
	quotedToken  tokenKind = 'q' // a quoted string, its quotes undone
	encodedToken tokenKind = 'e' // an encoded word (RFC 2047)
	literalToken tokenKind = '[' // a domain literal with its brackets
)

type token struct {
	kind     tokenKind
	text     string
	from, to int // where it stands
}

// commentMost bounds how deep comments stand in comments.
const commentMost = 32

// tokens cuts an address list into tokens (RFC 5322 section 3.2), tolerant of
// what stands in names. It looks at each octet a bounded number of times.
type tokens struct {
	text string
	at   int
}

// next returns the next token. What is left open would swallow the recipients
// behind it: that is an error, as half a sentence.
func (t *tokens) next() (token, string) {
	if problem := t.skip(); problem != "" {
		return token{}, problem
	}
	from := t.at
	if from == len(t.text) {
		return token{from: from, to: from}, ""
	}
	switch c := t.text[from]; {
	case strings.IndexByte("<>@,;:", c) >= 0:
		t.at++
		return t.token(tokenKind(c), from), ""
	case c == '"':
		return t.quoted()
	case c == '[' && t.closes():
		return t.token(literalToken, from), ""
	case strings.HasPrefix(t.text[from:], "=?") && t.encoded():
		return t.token(encodedToken, from), ""
	}
	t.at++ // at least one, such as a parenthesis that was never opened
	for t.at < len(t.text) && strings.IndexByte("<>@,;:\"( \t\r\n", t.text[t.at]) < 0 {
		t.at++
	}
	return t.token(atomToken, from), ""
}

func (t *tokens) token(kind tokenKind, from int) token {
	return token{kind, t.text[from:t.at], from, t.at}
}

// skip goes over white space and comments.
func (t *tokens) skip() string {
	depth := 0
	for ; t.at < len(t.text); t.at++ {
		switch c := t.text[t.at]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
		case c == '(':
			if depth++; depth > commentMost {
				return "has comments in comments, more than 32 deep"
			}
		case depth == 0:
			return ""
		case c == ')':
			depth--
		case c == '\\':
			t.at++
		}
	}
	if t.at = min(t.at, len(t.text)); depth > 0 {
		return "has a comment that is not closed"
	}
	return ""
}

// quoted takes a quoted string and undoes its quotes and folds.
func (t *tokens) quoted() (token, string) {
	from := t.at
	var b strings.Builder
	for t.at++; t.at < len(t.text); t.at++ {
		switch c := t.text[t.at]; c {
		case '"':
			t.at++
			return token{quotedToken, b.String(), from, t.at}, ""
		case '\r', '\n':
			continue // a fold: the space behind it stays
		case '\\':
			if t.at++; t.at == len(t.text) {
				continue
			}
		}
		b.WriteByte(t.text[t.at])
	}
	return token{}, "has a quotation mark that is not closed"
}

// closes takes a literal if a bracket closes it before anything that cannot be
// in one. Else the bracket is a part of somebody's name.
func (t *tokens) closes() bool {
	n := strings.IndexAny(t.text[t.at+1:], "[]<>@,;\"( \t\r\n")
	if n < 0 || t.text[t.at+1+n] != ']' {
		return false
	}
	t.at += n + 2
	return true
}

// encoded takes an encoded word. Commas and colons may stand in one by mistake,
// so it is looked for as a whole; another beginning ends the search, which
// keeps the time linear.
func (t *tokens) encoded() bool {
	rest := t.text[t.at+2:]
	marks := 0
	for i := range len(rest) {
		switch c := rest[i]; {
		case c <= ' ' || c == '"' || c == '<' || c == '>' || c == '(':
			return false
		case marks < 2 && c == '?':
			marks++
		case marks == 2 && c == '?' && i+1 < len(rest) && rest[i+1] == '=':
			t.at += 2 + i + 2
			return true
		case strings.HasPrefix(rest[i:], "=?") && (marks < 2 || !strings.HasPrefix(rest[i:], "=?=")):
			return false // the last = of base64 is no beginning
		}
	}
	return false
}
