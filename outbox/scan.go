package outbox

import "bytes"

// lineKind is what a line of a header can be.
type lineKind int

const (
	strayLine  lineKind = iota // none of the others: no colon, or no name before it
	fieldLine                  // NAME: VALUE
	foldedLine                 // begins with a space or tab: goes on with the line before
	blankLine                  // the end of the header
)

// nameMost bounds a field's name, so that the beginning of a line says what it
// is: RFC 5322 section 2.1.1 allows no longer line.
const nameMost = 998

// classify says what a line with its line end is, and for a field where its
// name ends and where its value begins. Octets over 127 may stand in a name:
// such a field is nobody's, and no reason to end the header.
func classify(line []byte) (kind lineKind, name, value int) {
	switch {
	case line[0] == '\n' || line[0] == '\r' && len(line) == 2 && line[1] == '\n':
		return blankLine, 0, 0
	case line[0] == ' ' || line[0] == '\t':
		return foldedLine, 0, 0
	}
	n := 0
	for n < len(line) && n < nameMost && line[n] > ' ' && line[n] != ':' && line[n] != 0x7f {
		n++
	}
	// RFC 5322 section 4.5.8 (obsolete fields) lets white space stand before the colon.
	colon := n
	for colon < len(line) && colon < nameMost && (line[colon] == ' ' || line[colon] == '\t') {
		colon++
	}
	if n == 0 || colon == len(line) || line[colon] != ':' {
		return strayLine, 0, 0
	}
	return fieldLine, n, colon + 1
}

// doubtMost is how far behind a stray line a field is looked for.
const doubtMost = 64 << 10

// headerEnd finds where a header ends while its octets arrive. It looks at each
// octet once, however small the pieces are.
//
// A stray line is where a careless program forgot the blank line, or a damaged
// line of a header that goes on. If fields that belong to a header follow in the
// same paragraph, it goes on; else the text begins at the stray line. A message
// whose first line is stray has no header, unless one follows at once.
type headerEnd struct {
	at       int  // the line to look at next
	searched int  // no line end between at and here
	mbox     int  // octets of the leading From_ line
	fields   bool // a field stands before the first stray line
	stray    int  // the first stray line, or -1
	goesOn   bool // the header goes on behind it

	end, body int // the answer: the end of the fields, the beginning of the body
}

// find looks at the octets so far, of which there are more with each call;
// final says that there will be no more. True means that end and body are known.
func (h *headerEnd) find(b []byte, final bool) bool {
	for h.at < len(b) {
		end := bytes.IndexByte(b[h.searched:], '\n') + 1
		switch {
		case end > 0:
			end += h.searched
		case final:
			end = len(b)
		default:
			h.searched = len(b)
			return h.tooLong(b)
		}
		if h.line(b, end) {
			return true
		}
		h.at, h.searched = end, end
	}
	if !final {
		return h.tooLong(b)
	}
	if h.doubtful() {
		return h.endAt(h.stray, h.stray)
	}
	return h.endAt(h.at, h.at)
}

// line takes the line from h.at to end and reports whether the header has ended.
func (h *headerEnd) line(b []byte, end int) bool {
	line := b[h.at:end]
	kind, name, _ := classify(line)
	switch {
	case kind == blankLine && h.doubtful():
		return h.endAt(h.stray, h.stray)
	case kind == blankLine:
		return h.endAt(h.at, end)
	case kind == fieldLine && h.stray < 0:
		h.fields = true
	case kind == fieldLine && h.doubtful():
		h.goesOn = known(line[:name])
		if !h.goesOn && !h.fields {
			return h.endAt(h.stray, h.stray)
		}
	case kind == strayLine && h.at == 0 && bytes.HasPrefix(line, []byte("From ")):
		h.mbox = end
	case kind == strayLine && h.stray < 0, kind == foldedLine && h.at == h.mbox:
		h.stray = h.at
	}
	return false
}

// doubtful reports whether a stray line was met and nothing yet says that the
// header goes on.
func (h *headerEnd) doubtful() bool { return h.stray >= 0 && !h.goesOn }

// tooLong gives up waiting for a field behind a stray line. A line whose end is
// still to come is stray as soon as its beginning says so.
func (h *headerEnd) tooLong(b []byte) bool {
	if h.stray < 0 && len(b)-h.at > nameMost+2 {
		kind, _, _ := classify(b[h.at:])
		mbox := h.at == 0 && bytes.HasPrefix(b, []byte("From "))
		if kind == strayLine && !mbox || kind == foldedLine && h.at == h.mbox {
			h.stray = h.at
		}
	}
	if h.doubtful() && len(b)-h.stray > doubtMost {
		return h.endAt(h.stray, h.stray)
	}
	return false
}

func (h *headerEnd) endAt(end, body int) bool {
	h.end, h.body = end, body
	if h.mbox > 0 && end <= h.mbox {
		h.mbox, h.end, h.body = 0, 0, 0 // no header follows: it was a sentence
	}
	if end <= h.stray {
		h.stray = -1 // it is text: nothing in the header is in doubt
	}
	return true
}

// known reports whether a field's name is one that programs write into headers
// and people do not begin lines of a text with.
func known(name []byte) bool {
	for _, prefix := range []string{"X-", "Resent-", "Content-", "List-", "ARC-", "DKIM-"} {
		if len(name) > len(prefix) && sameName(name[:len(prefix)], prefix) {
			return true
		}
	}
	for _, field := range []string{
		"From", "To", "Cc", "Bcc", "Subject", "Date", "Message-ID", "Sender", "Reply-To", "In-Reply-To", "References",
		"MIME-Version", "Received", "Return-Path", "Delivered-To", "User-Agent", "Authentication-Results",
	} {
		if sameName(name, field) {
			return true
		}
	}
	return false
}

// sameName compares a field's name. Equal lengths keep the letters outside ASCII
// out that Unicode folds into ASCII ones: they are all longer.
func sameName(name []byte, want string) bool {
	return len(name) == len(want) && bytes.EqualFold(name, []byte(want))
}
