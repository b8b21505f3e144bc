package mailtest

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// imapRow is one message as a FETCH response will tell of it.
type imapRow struct {
	number int
	IMAPMessage
	labels []string
}

// fetch is FETCH and UID FETCH (RFC 9051 section 6.4.5).
func (s *imapSession) fetch(e *IMAPEvent, p *imapParser) (imapResponse, error) {
	byUID := e.Verb == "UID FETCH"
	f, err := p.fetch(byUID)
	if err != nil {
		return imapResponse{}, err
	}
	if no := s.unfit(f, byUID); no != "" {
		return imapBad(no), nil
	}
	r := imapOK("fetched")
	if s.server.o.Quirks.NoRFC822 && f.asks("RFC822") {
		return r, nil
	}
	if f.asks("MODSEQ") {
		r.untagged = s.useCondstore()
	}
	rows, more, ok := s.fetchRows(f, byUID)
	if !ok {
		return imapBad("no such message"), nil
	}
	r.untagged = append(r.untagged, more...)
	quirks := s.server.o.Quirks
	if f.text() != nil && quirks.Unavailable != nil {
		all := len(rows)
		rows = slices.DeleteFunc(rows, func(row imapRow) bool { return quirks.Unavailable(e.Mailbox, row.UID) })
		if len(rows) < all {
			r.line = "NO [UNAVAILABLE] some of these cannot be had now"
		}
	}
	r.body = func(w io.Writer) error { return s.writeRows(w, e, f, rows) }
	return r, nil
}

// unfit says why a FETCH cannot be, other than by its grammar.
func (s *imapSession) unfit(f imapFetch, byUID bool) string {
	gmail := slices.ContainsFunc(f.items, func(i imapItem) bool { return strings.HasPrefix(i.name, "X-GM-") })
	switch {
	case s.server.o.Quirks.NoDescending && f.set.descending():
		return "a set goes upwards"
	case gmail && !s.has("X-GM-EXT-1"), f.asks("MODSEQ") && !s.has("CONDSTORE"):
		return "an item is not for here"
	case f.vanished && (!byUID || f.since == 0 || !s.enabled["QRESYNC"]):
		return "VANISHED is not for here" // RFC 7162 section 3.2.6
	}
	return ""
}

// useCondstore switches CONDSTORE on by its use, and tells where the mailbox is
// (RFC 7162 section 3.1).
func (s *imapSession) useCondstore() []byte {
	if s.enabled["CONDSTORE"] {
		return nil
	}
	s.enabled["CONDSTORE"] = true
	return fmt.Appendf(nil, "* OK [HIGHESTMODSEQ %d] is the highest\r\n", s.open.mailbox.HighestModSeq())
}

// fetchRows collects the messages, and what is to be told before them. It marks
// them as seen where the items say so.
func (s *imapSession) fetchRows(f imapFetch, byUID bool) (rows []imapRow, before []byte, ok bool) {
	defer s.account.lock()()
	v := s.open
	picked, ok := v.pick(f.set, byUID)
	if !ok {
		return nil, nil, false
	}
	if f.vanished {
		if set := v.mailbox.vanished(f.since, f.set.resolve(v.mailbox.next-1)); len(set) > 0 {
			before = fmt.Appendf(nil, "* VANISHED (EARLIER) %s\r\n", set)
		}
	}
	seen := !v.readOnly && slices.ContainsFunc(f.items, func(i imapItem) bool { return i.isText() && !i.peek })
	changed := false
	rows = make([]imapRow, 0, len(picked))
	for _, i := range picked {
		row := &v.rows[i]
		if row.ModSeq <= f.since {
			continue
		}
		if seen && !hasFlag(row.Flags, `\Seen`) {
			// The news behind the rows tells of it.
			v.mailbox.setFlags(row.imapMessage, append(slices.Clip(row.Flags), `\Seen`))
			changed = true
		}
		r := imapRow{number: i + 1, IMAPMessage: row.IMAPMessage}
		if f.asks("X-GM-LABELS") {
			r.labels = s.account.gmailLabels(v.mailbox, row.imapMessage)
		}
		if f.asks("FLAGS") {
			row.modseq = row.ModSeq
		}
		rows = append(rows, r)
	}
	if changed {
		v.mailbox.changed()
	}
	return rows, before, true
}

// writeRows writes the FETCH responses; the texts are never copied, save for the
// hook.
func (s *imapSession) writeRows(w io.Writer, e *IMAPEvent, f imapFetch, rows []imapRow) error {
	var buffer []byte
	var held bytes.Buffer
	texts := 0
	defer func() { s.server.count(func(c *IMAPCounts) { c.Messages += texts }) }()
	for i := range rows {
		row, to := &rows[i], w
		if e.row != nil {
			held.Reset()
			to = &held
		}
		var err error
		if buffer, err = s.writeRow(to, buffer[:0], e, f, row, &texts); err != nil {
			return err
		}
		if e.row != nil {
			if _, err := w.Write(e.row(row.UID, bytes.Clone(held.Bytes()))); err != nil {
				return err
			}
		}
	}
	s.server.log(s.number, "S", "("+strconv.Itoa(len(rows))+" FETCH responses)")
	return nil
}

func (s *imapSession) writeRow(w io.Writer, b []byte, e *IMAPEvent, f imapFetch, row *imapRow, texts *int) ([]byte, error) {
	quirks := s.server.o.Quirks
	items := f.items
	if quirks.UIDLast {
		isUID := func(i imapItem) bool { return i.name == "UID" }
		items = append(slices.DeleteFunc(slices.Clone(items), isUID), imapItem{name: "UID"})
	}
	b = fmt.Appendf(b, "* %d FETCH (", row.number)
	first := true
	for i := range items {
		item := &items[i]
		if item.isText() && quirks.NoBody != nil && quirks.NoBody(s.number, row.UID) {
			continue
		}
		if !first {
			b = append(b, ' ')
		}
		first = false
		if !item.isText() {
			b = s.appendItem(b, item, row)
			continue
		}
		b = append(append(b, item.label()...), ' ')
		text, null := s.textOf(e, item, row)
		if null {
			b = append(b, "NIL"...)
			continue
		}
		*texts++
		b = fmt.Appendf(b, "{%d}\r\n", len(text))
		if _, err := w.Write(b); err != nil {
			return b, err
		}
		if _, err := w.Write(text); err != nil {
			return b, err
		}
		b = b[:0]
	}
	_, err := w.Write(append(b, ")\r\n"...))
	return b, err
}

// textOf returns the octets of an item, as the hook and the quirks want them.
func (s *imapSession) textOf(e *IMAPEvent, item *imapItem, row *imapRow) (text []byte, null bool) {
	message := row.Octets
	if other := s.server.o.Quirks.Other; other != nil {
		if uid := other(row.UID); uid != row.UID {
			message = s.open.mailbox.octetsOf(uid, message)
		}
	}
	if served, ok := e.serve[row.UID]; ok {
		if served == nil {
			return nil, true
		}
		message = served
	}
	return item.octets(message), false
}

// octetsOf returns the text of a message, or what is given where there is none.
func (m *IMAPMailbox) octetsOf(uid uint32, otherwise []byte) []byte {
	defer m.account.lock()()
	if i, found := m.find(uid); found {
		return m.messages[i].Octets
	}
	return otherwise
}

// appendItem appends an item that is no text.
func (s *imapSession) appendItem(b []byte, item *imapItem, row *imapRow) []byte {
	b = append(append(b, item.name...), ' ')
	switch item.name {
	case "UID":
		return strconv.AppendUint(b, uint64(row.UID), 10)
	case "FLAGS":
		b = append(b, '(')
		for i, flag := range row.Flags {
			if i > 0 {
				b = append(b, ' ')
			}
			b = append(b, flag...)
		}
		return append(b, ')')
	case "INTERNALDATE":
		return row.Date.AppendFormat(b, `"_2-Jan-2006 15:04:05 -0700"`)
	case "RFC822.SIZE":
		return s.appendSize(b, row)
	case "MODSEQ":
		return append(strconv.AppendUint(append(b, '('), row.ModSeq, 10), ')')
	case "X-GM-MSGID", "X-GM-THRID":
		return strconv.AppendUint(b, row.GmailID, 10)
	case "X-GM-LABELS":
		b = append(b, '(')
		for i, label := range row.labels {
			if i > 0 {
				b = append(b, ' ')
			}
			b = append(b, s.wireName(label)...)
		}
		return append(b, ')')
	}
	return append(b, "NIL"...)
}

func (s *imapSession) appendSize(b []byte, row *imapRow) []byte {
	quirks := s.server.o.Quirks
	size := int64(len(row.Octets))
	if quirks.Size != nil {
		size = quirks.Size(row.UID, size)
	}
	if quirks.Floats && size >= 1e4 {
		return strconv.AppendFloat(b, float64(size), 'e', 4, 64)
	}
	return strconv.AppendInt(b, size, 10)
}
