package outbox

import (
	"bytes"
	"fmt"
	"io"
)

// MaxHeader is how many octets a header may have. It is all that is held of a
// message in memory.
const MaxHeader = 2 << 20

// Header is the head of a message: its octets as they were read, up to where the
// body begins, and what was found out about them. It does not change.
type Header struct {
	octets []byte // the From_ line, the fields, the blank line
	mbox   int    // octets of the From_ line that an mbox file begins a message with
	end    int    // where the fields end; the blank line is the rest
	stray  int    // a line between the fields that is none, or -1
	more   bool   // octets follow
	eol    string // "\n" or "\r\n", as in the first line
}

// ReadHeader reads a message as far as its header goes and returns the rest as
// body, which reads from r. Line ends may be LF, CRLF or both; a lone CR ends no
// line. Every input has a header, if an empty one, except for one that is longer
// than MaxHeader: that is a Refusal. Together, Header.Octets and body are the
// octets of r, each once.
func ReadHeader(r io.Reader) (h *Header, body io.Reader, err error) {
	b := make([]byte, 0, 4096)
	scan := headerEnd{stray: -1}
	for idle := 0; ; {
		if len(b) == cap(b) {
			if len(b) >= MaxHeader {
				return nil, nil, refuse("the header is longer than 2 MiB", "put a blank line between the header and the text, or send to fewer recipients at a time")
			}
			b = append(make([]byte, 0, min(4*cap(b), MaxHeader)), b...)
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err != nil && err != io.EOF {
			return nil, nil, fmt.Errorf("read header: %w", err)
		}
		if scan.find(b, err == io.EOF) {
			break
		}
		if n > 0 {
			idle = 0
		} else if idle++; idle > 100 {
			return nil, nil, fmt.Errorf("read header: %w", io.ErrNoProgress)
		}
	}
	h = &Header{octets: b[:scan.body:scan.body], mbox: scan.mbox, end: scan.end, stray: scan.stray, eol: "\n"}
	h.more = scan.body < len(b)
	if i := bytes.IndexByte(b, '\n'); i > 0 && b[i-1] == '\r' {
		h.eol = "\r\n"
	}
	return h, io.MultiReader(bytes.NewReader(b[scan.body:]), r), nil
}

// Octets returns the header's own octets: the message's first ones, up to the
// body, which begins at their length.
func (h *Header) Octets() []byte { return h.octets }

// LineEnd returns "\n" or "\r\n": how the message's first line ends.
func (h *Header) LineEnd() string { return h.eol }

// Has reports whether a field of this name is there.
func (h *Header) Has(name string) bool {
	for f := range h.Fields() {
		if f.Is(name) {
			return true
		}
	}
	return false
}

// Get returns the text of the first field of this name, or "".
func (h *Header) Get(name string) string {
	for f := range h.Fields() {
		if f.Is(name) {
			return f.Text()
		}
	}
	return ""
}

// trust refuses a header that other programs may read in another way than this
// one: recipients must not be guessed from it. The octets go out as they are
// when the recipients are known otherwise.
func (h *Header) trust() error {
	if bytes.HasPrefix(h.octets, []byte("\xef\xbb\xbf")) {
		return refuse("the message begins with a byte order mark, which hides its first field", "save it as UTF-8 without one")
	}
	if h.stray >= 0 {
		line := h.octets[h.stray : h.stray+lineEnd(h.octets[h.stray:])]
		return refuse(fmt.Sprintf("line %d of the message is no header field, but header fields follow it: %s", 1+bytes.Count(h.octets[:h.stray], []byte("\n")),
			show(string(bytes.TrimRight(line, "\r\n")))), "put a blank line before the text, or take this line out")
	}
	for i, c := range h.octets {
		if c == 0 || c == '\r' && (i+1 == len(h.octets) || h.octets[i+1] != '\n') {
			return refuse(fmt.Sprintf("line %d of the message is in the header and has a NUL or a lone carriage return in it", 1+bytes.Count(h.octets[:i], []byte("\n"))),
				"take it out")
		}
	}
	return nil
}
