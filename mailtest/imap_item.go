package mailtest

import (
	"bytes"
	"slices"
	"strings"
)

// imapItem is one thing that FETCH asks of a message (RFC 9051 section 6.4.5).
type imapItem struct {
	name    string // FLAGS, BODY, RFC822...
	section string // of BODY: "", HEADER, TEXT, HEADER.FIELDS, HEADER.FIELDS.NOT
	fields  []string
	peek    bool
	partial bool
	from, n uint32 // of the part
}

// isText says whether the item is octets of the message.
func (i *imapItem) isText() bool {
	return i.name == "BODY" || strings.HasPrefix(i.name, "RFC822") && i.name != "RFC822.SIZE"
}

// label is what the item is called in the response.
func (i *imapItem) label() string {
	if i.name != "BODY" {
		return i.name
	}
	label := "BODY[" + i.section
	if i.fields != nil {
		label += " (" + strings.Join(i.fields, " ") + ")"
	}
	label += "]"
	if i.partial {
		label += "<" + imapSet{{i.from, i.from}}.String() + ">"
	}
	return label
}

// octets cuts the item out of a message.
func (i *imapItem) octets(message []byte) []byte {
	part := message
	switch {
	case i.section == "HEADER" || i.name == "RFC822.HEADER":
		part = message[:headerEnd(message)]
	case i.section == "TEXT" || i.name == "RFC822.TEXT":
		part = message[headerEnd(message):]
	case i.fields != nil:
		part = headerFields(message, i.fields, i.section == "HEADER.FIELDS")
	}
	if i.partial {
		part = part[min(int64(i.from), int64(len(part))):]
		part = part[:min(int64(i.n), int64(len(part)))]
	}
	return part
}

// headerEnd is the length of the header with the empty line behind it.
func headerEnd(message []byte) int {
	if bytes.HasPrefix(message, []byte("\r\n")) {
		return 2
	}
	if i := bytes.Index(message, []byte("\r\n\r\n")); i >= 0 {
		return i + 4
	}
	return len(message)
}

// headerFields returns the fields of those names, or all others, and an empty line.
func headerFields(message []byte, names []string, wanted bool) []byte {
	var out []byte
	keep := false
	for line := range bytes.Lines(message[:headerEnd(message)]) {
		if line[0] == '\r' || line[0] == '\n' {
			break
		}
		if line[0] != ' ' && line[0] != '\t' {
			name, _, _ := bytes.Cut(line, []byte(":"))
			keep = hasFlag(names, strings.TrimSpace(string(name))) == wanted
		}
		if keep {
			out = append(out, line...)
		}
	}
	return append(out, "\r\n"...)
}

// item reads one item of FETCH.
func (p *imapParser) item() (imapItem, error) {
	name := strings.ToUpper(p.run(func(c byte) bool { return atomic(c) && c != '[' && c != '<' }))
	i := imapItem{name: name}
	switch name {
	case "UID", "FLAGS", "INTERNALDATE", "RFC822.SIZE", "MODSEQ", "X-GM-MSGID", "X-GM-THRID", "X-GM-LABELS":
		return i, nil
	case "RFC822", "RFC822.TEXT":
		return i, nil
	case "RFC822.HEADER":
		i.peek = true
		return i, nil
	case "BODY", "BODY.PEEK":
		i.name, i.peek = "BODY", name == "BODY.PEEK"
	default:
		return i, p.fail("an item that is known")
	}
	if err := p.want("["); err != nil { // BODY alone is the structure
		return i, err
	}
	i.section = strings.ToUpper(p.run(func(c byte) bool { return atomic(c) && c != ']' }))
	switch i.section {
	case "", "HEADER", "TEXT":
	case "HEADER.FIELDS", "HEADER.FIELDS.NOT":
		if err := p.space(); err != nil {
			return i, err
		}
		err := p.list(func() error {
			field, err := p.astring()
			i.fields = append(i.fields, field)
			return err
		})
		if err != nil {
			return i, err
		}
	default:
		return i, p.fail("a section that is known")
	}
	if err := p.want("]"); err != nil {
		return i, err
	}
	return i, p.partial(&i)
}

func (p *imapParser) partial(i *imapItem) (err error) {
	if !p.take("<") {
		return nil
	}
	i.partial = true
	if i.from, err = p.number(); err != nil {
		return err
	}
	if err = p.want("."); err != nil {
		return err
	}
	if i.n, err = p.number(); err != nil {
		return err
	}
	return p.want(">")
}

// items reads what FETCH asks for: a list, an item, or a macro.
func (p *imapParser) items() (items []imapItem, err error) {
	one := func() error {
		i, err := p.item()
		items = append(items, i)
		return err
	}
	switch {
	case p.take("FAST"):
		return []imapItem{{name: "FLAGS"}, {name: "INTERNALDATE"}, {name: "RFC822.SIZE"}}, nil
	case strings.HasPrefix(p.rest(), "("):
		err = p.list(one)
	default:
		err = one()
	}
	return items, err
}

// imapFetch is a FETCH command.
type imapFetch struct {
	set      imapSet
	items    []imapItem
	since    uint64 // CHANGEDSINCE; 0: none
	vanished bool
}

func (p *imapParser) fetch(byUID bool) (f imapFetch, err error) {
	if f.set, err = p.set(); err != nil {
		return f, err
	}
	if err = p.space(); err != nil {
		return f, err
	}
	if f.items, err = p.items(); err != nil {
		return f, err
	}
	if byUID && !f.asks("UID") {
		f.items = slices.Insert(f.items, 0, imapItem{name: "UID"})
	}
	if p.take(" ") {
		err = p.list(func() error { return p.fetchModifier(&f) })
	}
	if err != nil {
		return f, err
	}
	if f.since > 0 && !f.asks("MODSEQ") {
		f.items = append(f.items, imapItem{name: "MODSEQ"})
	}
	return f, p.end()
}

func (p *imapParser) fetchModifier(f *imapFetch) error {
	name, err := p.word()
	switch {
	case err != nil:
		return err
	case name == "VANISHED":
		f.vanished = true
		return nil
	case name != "CHANGEDSINCE":
		return p.fail("CHANGEDSINCE or VANISHED")
	}
	if err := p.space(); err != nil {
		return err
	}
	f.since, err = p.number64()
	return err
}

func (f *imapFetch) asks(name string) bool {
	return slices.ContainsFunc(f.items, func(i imapItem) bool { return i.name == name })
}

// text returns the first item that is octets of the message, or nil.
func (f *imapFetch) text() *imapItem {
	for i := range f.items {
		if f.items[i].isText() {
			return &f.items[i]
		}
	}
	return nil
}
