package main

import (
	"bufio"
	"bytes"
	"io"
	"mime"
	"net/mail"
	"net/textproto"
	"strings"
	"unicode"

	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/width"
)

// header is what a list of messages shows of one.
type header struct{ from, subject string }

// readHeader takes what can be read of a message's header, whatever it is
// like: real mail breaks every rule, and is delivered all the same.
func readHeader(message []byte) header {
	// On a line that is no field the reader stops, with what it has read so far.
	fields, _ := textproto.NewReader(bufio.NewReader(bytes.NewReader(message))).ReadMIMEHeader()
	words := &mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
		e, err := htmlindex.Get(charset)
		if err != nil {
			return nil, err
		}
		return e.NewDecoder().Reader(r), nil
	}}
	h := header{from: fields.Get("From"), subject: fields.Get("Subject")}
	parser := mail.AddressParser{WordDecoder: words}
	if all, err := parser.ParseList(h.from); err == nil && len(all) > 0 {
		h.from = all[0].Name
		if h.from == "" {
			h.from = all[0].Address
		}
	}
	if subject, err := words.DecodeHeader(h.subject); err == nil {
		h.subject = subject
	}
	return h
}

// column makes text fit for one column of a terminal: nothing in it that moves
// the cursor, and so wide exactly.
func column(text string, columns int) string {
	if text == "" {
		text = "-"
	}
	var b strings.Builder
	used := 0
	for _, r := range text {
		if !unicode.IsPrint(r) {
			r = '?'
		}
		wide := 1
		switch kind := width.LookupRune(r).Kind(); {
		case unicode.In(r, unicode.Mn, unicode.Me):
			wide = 0
		case kind == width.EastAsianWide || kind == width.EastAsianFullwidth:
			wide = 2
		}
		if used+wide > columns {
			break
		}
		b.WriteRune(r)
		used += wide
	}
	return b.String() + strings.Repeat(" ", columns-used)
}
