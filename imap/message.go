package imap

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// Items is a set of what can be asked of a message besides its UID and text.
type Items uint8

const (
	ItemFlags       Items = 1 << iota
	ItemSize              // RFC822.SIZE
	ItemDate              // INTERNALDATE
	ItemModSeq            // MODSEQ, with CONDSTORE
	ItemGmailID           // X-GM-MSGID, with X-GM-EXT-1
	ItemGmailLabels       // X-GM-LABELS, with X-GM-EXT-1
)

// Message is what the server said of a message in one response.
type Message struct {
	UID         uint32
	Has         Items     // which of the fields below it said
	Flags       []string  // as sent, those of RFC 9051 section 2.3.2 in their usual case
	Octets      int64     // announced size, often wrong
	Date        time.Time // of arrival; zero if there is none or it makes no sense
	ModSeq      uint64
	GmailID     uint64
	GmailLabels []string // decoded
	Text        int64    // octets of the message text that comes with this, 0 if none does
}

const (
	textAbsent = iota
	textNil    // BODY[] NIL
	textEmpty  // BODY[] ""
	textThere
)

// maxFlags bounds the flags or labels of one message.
const maxFlags = 1000

// bodies is asked what to do with a message text of n octets, which is not 0.
// What of the message came before it is known. No sink means to skip it.
type bodies func(m *Message, n int64) (*sink, error)

// row is a FETCH response while it is read.
type row struct {
	client *Client
	m      *Message
	bodies bodies
	text   int // what came for BODY[]
}

// readMessage reads the data of a FETCH response into m.
func (c *Client) readMessage(u *untagged, m *Message, b bodies) error {
	_, err := c.readRow(u, m, b)
	return err
}

// readRow also returns what came for the message's text. The response is read up
// to its line end.
func (c *Client) readRow(u *untagged, m *Message, b bodies) (text int, err error) {
	*m = Message{Flags: m.Flags[:0], GmailLabels: m.GmailLabels[:0]}
	if u.name == "UIDFETCH" {
		m.UID = u.number // RFC 9586 section 3
	}
	r := row{client: c, m: m, bodies: b}
	err = c.p.list(0, r.item)
	if err == nil {
		if err = c.p.spaces(); err == nil {
			var next byte
			if next, err = c.p.peek(); err == nil && !isEnd(next) {
				err = syntaxError("text behind the response")
			}
		}
	}
	if r.text == textThere {
		// A literal whose length was wrong shows here. The octets that were passed
		// on are not the message then.
		err = strict(err)
	}
	return r.text, err
}

// item reads an item and its value.
func (r *row) item() error {
	p := &r.client.p
	b, err := p.word(endsItem)
	if err != nil {
		return err
	}
	name := itemName(b)
	whole := name == "RFC822"
	if next, err := p.peek(); err != nil {
		return err
	} else if next == '[' {
		section, err := p.until(func(c byte) bool { return c == ']' || isEnd(c) })
		if err != nil {
			return err
		}
		whole = name == "BODY" && string(section) == "["
		name = ""
		if err := p.expect(']'); err != nil {
			return err
		}
		if part, err := p.accept('<'); err != nil {
			return err
		} else if part {
			whole = false
			if _, err := p.atom(); err != nil {
				return err
			}
		}
	}
	if err := p.spaces(); err != nil {
		return err
	}
	if whole {
		return r.body()
	}
	return r.value(name)
}

// itemName returns a name in upper case, without an allocation if it is known.
func itemName(b []byte) string {
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	switch string(b) {
	case "UID":
		return "UID"
	case "FLAGS":
		return "FLAGS"
	case "RFC822.SIZE":
		return "RFC822.SIZE"
	case "INTERNALDATE":
		return "INTERNALDATE"
	case "BODY":
		return "BODY"
	}
	return string(b)
}

func (r *row) value(name string) error {
	p, m := &r.client.p, r.m
	switch name {
	case "UID":
		n, err := p.number32()
		if err == nil && r.text == textThere && m.UID != 0 && m.UID != n {
			return &ProtocolError{Detail: "a message with two UIDs"}
		}
		m.UID = n
		return err
	case "FLAGS":
		m.Has |= ItemFlags
		return p.words(func(b []byte) {
			if len(m.Flags) < maxFlags {
				m.Flags = append(m.Flags, flagName(b))
			}
		})
	case "RFC822.SIZE":
		n, ok, err := p.number()
		if ok {
			m.Octets, m.Has = int64(n), m.Has|ItemSize
		}
		return err
	case "INTERNALDATE":
		b, _, err := p.str()
		if t, ok := parseDate(string(b)); ok && err == nil {
			m.Date, m.Has = t, m.Has|ItemDate
		}
		return err
	case "MODSEQ":
		return r.modSeq()
	case "X-GM-MSGID":
		n, err := p.atom()
		if id, odd := strconv.ParseUint(string(n), 10, 64); odd == nil && err == nil {
			m.GmailID, m.Has = id, m.Has|ItemGmailID
		}
		return err
	case "X-GM-LABELS":
		m.Has |= ItemGmailLabels
		return p.words(func(b []byte) {
			if len(m.GmailLabels) < maxFlags {
				m.GmailLabels = append(m.GmailLabels, r.client.text(Name(b)))
			}
		})
	}
	return p.skip(0)
}

// modSeq reads a number in parentheses, or without them.
func (r *row) modSeq() error {
	p := &r.client.p
	read := func() error {
		n, ok, err := p.number()
		if ok {
			r.m.ModSeq, r.m.Has = n, r.m.Has|ItemModSeq
		}
		return err
	}
	if next, err := p.peek(); err != nil {
		return err
	} else if next != '(' {
		return read()
	}
	return p.list(0, read)
}

// body reads the value of BODY[].
func (r *row) body() error {
	p := &r.client.p
	next, err := p.peek()
	if err != nil {
		return err
	}
	if r.text == textThere {
		return p.skip(0) // once is enough
	}
	literal, err := p.isLiteral()
	if err != nil {
		return err
	}
	if literal {
		n, err := p.literal()
		if err != nil {
			return err
		}
		if n == 0 {
			r.text = textEmpty
			return nil
		}
		return r.stream(n, p.copy)
	}
	if next != '"' {
		b, err := p.atom()
		if err == nil && !isNil(b) {
			err = syntaxError("the message text is not a string")
		}
		r.text = textNil
		return err
	}
	b, err := p.quoted()
	if err != nil {
		return err
	}
	if len(b) == 0 {
		r.text = textEmpty
		return nil
	}
	return r.stream(int64(len(b)), func(_ int64, write func([]byte) bool) error {
		write(b)
		return nil
	})
}

// stream hands the text of a message to whoever wants it.
func (r *row) stream(n int64, copy func(int64, func([]byte) bool) error) error {
	r.text, r.m.Text = textThere, n
	var s *sink
	if r.bodies != nil {
		var err error
		if s, err = r.bodies(r.m, n); err != nil {
			return err
		}
	}
	if s == nil {
		if n > r.client.options.MaxLiteral {
			return errLiteralLength
		}
		s = &sink{err: ErrSkip}
	}
	if s.stopped() {
		return callerError{s.err}
	}
	if err := copy(n, s.write); err != nil && err != errStopped {
		return err
	}
	if s.stopped() {
		return callerError{s.err}
	}
	return nil
}

// flagName spares an allocation for the flags that all servers have.
func flagName(b []byte) string {
	if len(b) > 0 && b[0] == '\\' {
		for _, f := range [...]string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`, `\Recent`} {
			if equalFold(b, f) {
				return f
			}
		}
	}
	return string(b)
}

func equalFold(b []byte, s string) bool { return len(b) == len(s) && bytes.EqualFold(b, []byte(s)) }

// parseDate parses an INTERNALDATE (RFC 9051 section 9, date-time). Some servers
// leave out the space before a short day, and some the zone, which is then UTC.
func parseDate(s string) (time.Time, bool) {
	s = strings.TrimSpace(s)
	for _, layout := range [...]string{"2-Jan-2006 15:04:05 -0700", "2-Jan-2006 15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() > 0 {
			return t, true
		}
	}
	return time.Time{}, false
}
