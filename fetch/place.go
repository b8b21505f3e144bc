package fetch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of a place, in octets. A file name may have 255, and a Maildir below
// a root has to stay under PATH_MAX with the names of messages in it.
const (
	maxPart         = 200
	maxPlace        = 1000
	keptOfPart      = 150                                // of a part that is too long
	maxCut          = keptOfPart + 2 + 2*fingerprintSize // what shorten returns at most
	fingerprintSize = 16
)

// emptyPart stands for a part without a name. No escape looks like it.
const emptyPart = "%_"

// Place returns the folder for a mailbox, by its name in UTF-8 and the
// delimiter of the server's levels, empty if it has none. A place is a clean
// relative path: its parts are parted by "/", none is empty, hidden, one of a
// Maildir's own directories or longer than 200 octets, and all of it has at
// most 1000. Different names have different places, also where that takes
// escapes: %XX is an octet, "%_" an empty part, and a part that would be too
// long ends in "%-" and half of its SHA-256; so does the last one of a place
// that would be.
//
// Escaped are the per cent sign itself; "/" within a level; octets that are not
// UTF-8; controls, among them those that turn the direction of a line; the four
// signs that mean something to shells and to a muttrc even in double quotes;
// at the beginning of a part also "." (hidden), "-" (an option), "~" (a home)
// and a space, and at its end a space. Only INBOX, in capitals, has the place
// INBOX.
//
// Places that differ only for a file system that minds case are told apart by
// Places.
func Place(name, delimiter string) string { return newPlacing(name, delimiter).path() }

// placing is a name on its way to a place.
type placing struct {
	name, delimiter string
	parts           []string // of the name, as the server has them
	spelled         []bool   // by part: no letter of it may stay a letter
}

func newPlacing(name, delimiter string) *placing {
	parts := []string{name}
	if delimiter != "" {
		parts = strings.Split(name, delimiter)
	}
	return &placing{name, delimiter, parts, make([]bool, len(parts))}
}

func (p *placing) path() string {
	var b strings.Builder
	fits := 0 // so many parts leave room for a cut one
	for i := range p.parts {
		if i > 0 {
			b.WriteByte('/')
		}
		if b.Len()+maxCut <= maxPlace {
			fits = i
		}
		escaped := p.escape(i)
		if len(escaped) > maxPart {
			escaped = shorten(escaped, p.parts[i])
		}
		b.WriteString(escaped)
		if b.Len() > maxPlace {
			return p.cut(b.String(), fits)
		}
	}
	return b.String()
}

// cut makes one part of all parts from the given one on. It is hashed with the
// delimiters in it, which no part that is only too long has.
func (p *placing) cut(path string, from int) string {
	kept := strings.SplitAfterN(path, "/", from+1)[:from]
	tail := strings.Join(p.parts[from:], p.delimiter)
	return strings.Join(kept, "") + shorten(p.escape(from), tail)
}

// shorten keeps the beginning of an escaped text, so that it can be recognised,
// and puts the digest of what it was before it was escaped in the place of the rest.
func shorten(escaped, raw string) string {
	end := min(keptOfPart, len(escaped))
	for end < len(escaped) && !utf8.RuneStart(escaped[end]) {
		end--
	}
	if i := strings.LastIndexByte(escaped[:end], '%'); i >= 0 && i+len("%XX") > end {
		end = i
	}
	return escaped[:end] + "%-" + fingerprint(raw)
}

func fingerprint(raw string) string {
	sum := sha256.Sum256([]byte(raw))
	return hex.EncodeToString(sum[:fingerprintSize])
}

func (p *placing) escape(i int) string {
	part := p.parts[i]
	if part == "" {
		return emptyPart
	}
	var b strings.Builder
	reserved := p.reserved(i)
	for at, n := 0, 0; at < len(part); at += n {
		var r rune
		r, n = utf8.DecodeRuneInString(part[at:])
		first, last := at == 0, at+n == len(part)
		switch {
		case r == utf8.RuneError && n == 1,
			unprintable(r),
			strings.ContainsRune("%/\\\"$`", r),
			first && (reserved || strings.ContainsRune(".-~", r) || ignorable(r)),
			r == ' ' && (first || last),
			p.spelled[i] && isLetter(r):
			for _, octet := range []byte(part[at : at+n]) {
				fmt.Fprintf(&b, "%%%02X", octet)
			}
		default:
			b.WriteString(part[at : at+n])
		}
	}
	return b.String()
}

// reserved reports that a part may not be a directory's name as it is: it would
// be read as the inside of the Maildir that lies above it, as the directory that
// fsck makes, or as the real INBOX.
func (p *placing) reserved(i int) bool {
	bare := strings.Map(func(r rune) rune {
		if ignorable(r) {
			return -1
		}
		return r
	}, p.parts[i])
	is := func(name string) bool { return strings.EqualFold(bare, name) }
	switch {
	case is("tmp"), is("new"), is("cur"):
		return true
	case is("lost+found"):
		return i == 0
	case is("INBOX"):
		return len(p.parts) == 1 && p.parts[i] != "INBOX"
	}
	return false
}

// isLetter is wide on purpose: whatever is not ASCII may have a case, or be
// written in two ways.
func isLetter(r rune) bool {
	return 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' || r >= utf8.RuneSelf
}

// unprintable reports controls, and what would make a line read as another one.
// The list is fixed, as a place must not change with a version of Unicode.
func unprintable(r rune) bool {
	switch {
	case r < ' ', 0x7F <= r && r <= 0x9F, // C0, DEL, C1
		r == 0x061C, r == 0x200E, r == 0x200F, // marks of direction
		0x2028 <= r && r <= 0x202E, // separators of lines, embeddings
		0x2066 <= r && r <= 0x2069, // isolates
		r == 0xFEFF:
		return true
	}
	return false
}

// ignorable reports what some file systems do not see in a name. Scripts and
// emoji need such characters, so that they are escaped only where a name begins.
func ignorable(r rune) bool {
	switch {
	case r == 0x00AD, r == 0x034F, r == 0x061C, r == 0x115F, r == 0x1160, r == 0x17B4, r == 0x17B5,
		0x180B <= r && r <= 0x180F, 0x200B <= r && r <= 0x200F, 0x202A <= r && r <= 0x202E,
		0x2060 <= r && r <= 0x206F, r == 0x3164, 0xFE00 <= r && r <= 0xFE0F, r == 0xFEFF,
		r == 0xFFA0, 0xFFF0 <= r && r <= 0xFFF8, 0x1BCA0 <= r && r <= 0x1BCA3,
		0x1D173 <= r && r <= 0x1D17A, 0xE0000 <= r && r <= 0xE0FFF:
		return true
	}
	return false
}
