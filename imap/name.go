package imap

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Name is a mailbox's name as it goes over the line: in modified UTF-7, or in
// UTF-8 after that was enabled, with the server's delimiters in it. Names that
// come from a List are good for every command, whatever is in them; Client.Name
// makes one from text.
type Name string

// Name returns the wire form of a name in UTF-8.
func (c *Client) Name(text string) Name {
	if c.utf8 {
		return Name(text)
	}
	return Name(encodeUTF7(text))
}

// text returns what a user would call the mailbox. A name that breaks its own
// encoding is left as it is.
func (c *Client) text(n Name) string {
	if strings.EqualFold(string(n), "INBOX") {
		return "INBOX"
	}
	if c.utf8 {
		return string(n)
	}
	if s, ok := decodeUTF7(string(n)); ok {
		return s
	}
	return string(n)
}

// modified base64 has a comma for the slash and no padding (RFC 3501 section 5.1.3).
func modifiedBase64() *base64.Encoding {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,"
	return base64.NewEncoding(letters).WithPadding(base64.NoPadding).Strict()
}

// encodeUTF7 encodes text in modified UTF-7. Octets that are no UTF-8 become
// the replacement character.
func encodeUTF7(s string) string {
	var b strings.Builder
	var shifted []rune
	flush := func() {
		if len(shifted) == 0 {
			return
		}
		var octets []byte
		for _, u := range utf16.Encode(shifted) {
			octets = append(octets, byte(u>>8), byte(u))
		}
		b.WriteString("&" + modifiedBase64().EncodeToString(octets) + "-")
		shifted = shifted[:0]
	}
	for _, r := range s {
		if r < ' ' || r > '~' {
			shifted = append(shifted, r)
			continue
		}
		flush()
		b.WriteRune(r)
		if r == '&' {
			b.WriteByte('-')
		}
	}
	flush()
	return b.String()
}

// decodeUTF7 decodes modified UTF-7. Names that are UTF-8 although that was not
// agreed on pass as well. Only the one proper encoding of a text is taken for it:
// else two mailboxes would have one name.
func decodeUTF7(s string) (text string, ok bool) {
	if !strings.Contains(s, "&") {
		return s, utf8.ValidString(s)
	}
	var b strings.Builder
	for rest := s; rest != ""; {
		plain, shifted, found := strings.Cut(rest, "&")
		b.WriteString(plain)
		if !found {
			break
		}
		code, after, closed := strings.Cut(shifted, "-")
		if !closed {
			return "", false
		}
		rest = after
		if code == "" {
			b.WriteByte('&')
			continue
		}
		octets, err := modifiedBase64().DecodeString(code)
		if err != nil || len(octets)%2 != 0 {
			return "", false
		}
		units := make([]uint16, 0, len(octets)/2)
		for i := 0; i < len(octets); i += 2 {
			units = append(units, uint16(octets[i])<<8|uint16(octets[i+1]))
		}
		b.WriteString(string(utf16.Decode(units)))
	}
	text = b.String()
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return text, false // two encodings in one name
		}
	}
	return text, encodeUTF7(text) == s
}
