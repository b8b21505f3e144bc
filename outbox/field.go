package outbox

import (
	"bytes"
	"iter"
	"strings"
)

// Field is one field of a header, as spans of the message's own octets. A line
// that is no field and stands between fields comes as a Field without a name.
type Field struct {
	Name   []byte // as written, without the space before the colon; nil for a stray line
	Value  []byte // from behind the colon, folds included, to before the last line end
	Octets []byte // all of it, with its line ends
	At     int    // where it begins in the message
}

// Is reports whether the field has this name, in any case of its letters.
func (f Field) Is(name string) bool { return sameName(f.Name, name) }

// Text returns the value in one line: folds undone (RFC 5322 section 2.2.3),
// without white space around it. Nothing is decoded.
func (f Field) Text() string {
	unfolded := strings.NewReplacer("\r\n", "", "\n", "").Replace(string(f.Value))
	return strings.Trim(unfolded, " \t")
}

// Fields yields the fields from the top. It finds them as it goes and allocates
// nothing; the spans stay good as long as the header.
func (h *Header) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for at := h.mbox; at < h.end; {
			f := fieldAt(h.octets[:h.end], at)
			if !yield(f) {
				return
			}
			at += len(f.Octets)
		}
	}
}

// fieldAt returns the field that begins at an octet: its first line, and the
// folded lines behind it.
func fieldAt(octets []byte, at int) Field {
	rest := octets[at:]
	end := lineEnd(rest)
	kind, name, value := classify(rest[:end])
	for end < len(rest) && (rest[end] == ' ' || rest[end] == '\t') {
		end += lineEnd(rest[end:])
	}
	f := Field{Octets: rest[:end], At: at}
	if kind == fieldLine {
		f.Name = rest[:name]
		f.Value = bytes.TrimSuffix(rest[value:end], []byte("\n"))
		if len(f.Value) < end-value {
			f.Value = bytes.TrimSuffix(f.Value, []byte("\r"))
		}
	}
	return f
}

// lineEnd returns the length of the first line, its line end included.
func lineEnd(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}
