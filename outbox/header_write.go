package outbox

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

// Completion is what a message gets if it lacks it. The caller makes it once and
// keeps what Additions returns: every attempt sends the same octets.
type Completion struct {
	Date      time.Time // in the zone it is written in
	MessageID string    // as MessageID makes it
	From      string    // the value of a From field, as FormatMailbox makes it; "" completes none
}

// NeedsFrom reports whether the message does not say who sends it, or says so by
// bare local names only, which servers refuse. Of a resent message it is about
// Resent-From: the author of the original is not ours to name.
func (h *Header) NeedsFrom() bool {
	for name, f := range h.own() {
		if name != "From" {
			continue
		}
		found, err := f.addresses()
		if err != nil || len(found) == 0 {
			return false // it is there, and refused for what it is
		}
		for _, a := range found {
			if !a.IsBare() {
				return false
			}
		}
	}
	return true
}

// Additions returns the fields that the message lacks, each with a line end of
// the message's own kind. Date and Message-ID are always among what is looked
// for (RFC 6409 section 8). A resent message gets a Resent-Date and a
// Resent-Message-ID too: who resends completes his own block and leaves the
// original's author alone (RFC 5322 section 3.6.6). A From is added only if
// NeedsFrom says so and Completion has one; bare names then give way to it.
func (h *Header) Additions(c Completion) (string, error) {
	if hasControl(c.MessageID) || hasControl(c.From) {
		return "", refuse("the sender or the Message-ID to be added is more than one line of text", "call it by one line")
	}
	var b strings.Builder
	add := func(name, value string) { b.WriteString(name + ": " + value + h.eol) }
	if !h.Has("Date") {
		add("Date", formatDate(c.Date))
	}
	if !h.Has("Message-ID") {
		add("Message-ID", c.MessageID)
	}
	resent := h.IsResent()
	if resent {
		lacks := map[string]bool{"Date": true, "Message-ID": true}
		for name := range h.own() {
			lacks[name] = false
		}
		if lacks["Date"] {
			add("Resent-Date", formatDate(c.Date))
		}
		if lacks["Message-ID"] {
			add("Resent-Message-ID", c.MessageID)
		}
	}
	if c.From != "" && h.NeedsFrom() {
		name := "From"
		if resent {
			name = "Resent-From"
		}
		add(name, c.From)
	}
	return b.String(), nil
}

// Rewrite writes the message as it goes out, with line ends and leading dots as
// they are in the file, and tells what was in it. Of the header's octets it
// leaves out every Bcc, Resent-Bcc and X-Postrider-Send-At field and a leading
// From_ line; it puts what Additions returned on top, and a blank line where
// that is missing between the fields and the text. No other octet changes. The
// body is copied as it is read and never held.
func Rewrite(w io.Writer, h *Header, body io.Reader, additions string) (Facts, error) {
	m := measure{w: w}
	if _, err := m.Write(h.rewritten(additions)); err != nil {
		return Facts{}, fmt.Errorf("write header: %w", err)
	}
	m.inBody = true
	// The struct hides a ReaderFrom or WriterTo, which would go around the measure.
	if _, err := io.CopyBuffer(&m, struct{ io.Reader }{body}, make([]byte, 32<<10)); err != nil {
		return Facts{}, fmt.Errorf("copy message: %w", err)
	}
	return m.facts(), nil
}

// rewritten returns the octets of the header that go out.
func (h *Header) rewritten(additions string) []byte {
	out := make([]byte, 0, len(additions)+len(h.octets)+len(h.eol))
	out = append(out, additions...)
	bare, bareResent := hasLine(additions, "From:"), hasLine(additions, "Resent-From:")
	from, to, _ := h.resent()
	for f := range h.Fields() {
		switch {
		case f.Is("Bcc"), f.Is("Resent-Bcc"), f.Is(sendAtField):
		case bare && f.Is("From"):
		case bareResent && f.Is("Resent-From") && f.At >= from && f.At < to:
		default:
			out = append(out, f.Octets...)
		}
	}
	blank := h.octets[h.end:]
	if len(blank) == 0 && h.more && (len(out) > 0 || h.end > h.mbox) {
		return append(out, h.eol...)
	}
	return append(out, blank...)
}

func hasLine(lines, prefix string) bool {
	return strings.HasPrefix(lines, prefix) || strings.Contains(lines, "\n"+prefix)
}

// Facts is what SMTP must know about a message before it can be announced.
type Facts struct {
	Size    int64 // octets with CRLF at every line's end and behind the last line: what SIZE says (RFC 1870)
	Dots    int64 // lines that begin with a dot: so many octets more are on the wire
	Longest int64 // octets of the longest line, without its line end; RFC 5322 allows 998
	Header  Oddities
	Body    Oddities
}

// Oddities counts what not every server takes, or what servers may read as
// something else.
type Oddities struct {
	EightBit bool  // there are octets over 127: the body needs 8BITMIME
	NULs     int64 // RFC 5321 section 4.5.2 forbids them
	LoneCRs  int64 // carriage returns that end no line; each counts as one octet in Size
}

// measure passes octets on and counts them.
type measure struct {
	w       io.Writer
	inBody  bool
	counted Facts
	line    int64 // octets since the last LF
	cr      bool  // the last octet was a CR
}

func (m *measure) Write(p []byte) (int, error) {
	m.count(p)
	return m.w.Write(p)
}

func (m *measure) count(p []byte) {
	odd := &m.counted.Header
	if m.inBody {
		odd = &m.counted.Body
	}
	odd.NULs += int64(bytes.Count(p, []byte{0}))
	odd.LoneCRs += int64(bytes.Count(p, []byte{'\r'})) // less the line ends, below
	odd.EightBit = odd.EightBit || hasEightBit(p)
	for len(p) > 0 {
		if m.line == 0 && p[0] == '.' {
			m.counted.Dots++
		}
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			m.line += int64(len(p))
			m.cr = p[len(p)-1] == '\r'
			return
		}
		length := m.line + int64(i)
		if i > 0 && p[i-1] == '\r' || i == 0 && m.cr {
			length--
			odd.LoneCRs--
		}
		m.endLine(length)
		p = p[i+1:]
	}
}

// endLine counts a line of so many octets.
func (m *measure) endLine(length int64) {
	m.counted.Size += length + 2
	m.counted.Longest = max(m.counted.Longest, length)
	m.line, m.cr = 0, false
}

// facts returns what was counted; a last line without an end gets one on the wire.
func (m *measure) facts() Facts {
	if m.line > 0 {
		m.endLine(m.line)
	}
	return m.counted
}

func hasEightBit(p []byte) bool {
	for len(p) >= 8 {
		if (p[0]|p[1]|p[2]|p[3]|p[4]|p[5]|p[6]|p[7])&0x80 != 0 {
			return true
		}
		p = p[8:]
	}
	for _, c := range p {
		if c&0x80 != 0 {
			return true
		}
	}
	return false
}
