package mailtest

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

var errMailboxName = errors.New("not a name in modified UTF-7")

// utf7 is modified BASE64 (RFC 3501 section 5.1.3).
func utf7() *base64.Encoding {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,"
	return base64.NewEncoding(alphabet).WithPadding(base64.NoPadding)
}

// encodeName turns UTF-8 into modified UTF-7.
func encodeName(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); {
		c := name[i]
		if c >= ' ' && c <= '~' {
			i++
			b.WriteByte(c)
			if c == '&' {
				b.WriteByte('-')
			}
			continue
		}
		j := i
		for j < len(name) && (name[j] < ' ' || name[j] > '~') {
			j++
		}
		var units []byte
		for _, u := range utf16.Encode([]rune(name[i:j])) {
			units = binary.BigEndian.AppendUint16(units, u)
		}
		b.WriteString("&" + utf7().EncodeToString(units) + "-")
		i = j
	}
	return b.String()
}

// decodeName turns modified UTF-7 into UTF-8.
func decodeName(wire string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(wire); i++ {
		c := wire[i]
		if c < ' ' || c > '~' {
			return "", errMailboxName
		}
		if c != '&' {
			b.WriteByte(c)
			continue
		}
		n := strings.IndexByte(wire[i:], '-')
		switch {
		case n < 0:
			return "", errMailboxName
		case n == 1:
			b.WriteByte('&')
		default:
			text, err := decodeUnits(wire[i+1 : i+n])
			if err != nil {
				return "", err
			}
			b.WriteString(text)
		}
		i += n
	}
	return b.String(), nil
}

func decodeUnits(text string) (string, error) {
	octets, err := utf7().DecodeString(text)
	if err != nil || len(octets) == 0 || len(octets)%2 != 0 {
		return "", errMailboxName
	}
	units := make([]uint16, 0, len(octets)/2)
	for ; len(octets) > 0; octets = octets[2:] {
		units = append(units, binary.BigEndian.Uint16(octets))
	}
	decoded := string(utf16.Decode(units))
	if strings.ContainsRune(decoded, utf8.RuneError) {
		return "", errMailboxName
	}
	return decoded, nil
}
