package outbox

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// asciiDomain returns a domain as DNS and a server without SMTPUTF8 know it:
// lower case, other scripts as A-labels (RFC 5890), without the dot of the root.
// An address literal (RFC 5321 section 4.1.3) is put in its one form.
func asciiDomain(s string) (string, bool) {
	if strings.HasPrefix(s, "[") {
		return addressLiteral(s)
	}
	if len(s) > 1024 {
		return "", false
	}
	if !isASCII(s) {
		if !utf8.ValidString(s) {
			return "", false
		}
		// What people type is mapped before it is looked up (RFC 5895 section 2):
		// wide and other compatible forms, capital letters, the ideographic dot.
		written := dots(s)
		s = norm.NFKC.String(strings.ToLower(norm.NFKC.String(s)))
		s = strings.ReplaceAll(s, "\u3002", ".")
		if dots(s) != written {
			return "", false // a character that only looks like a label and a dot
		}
	}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	for i, label := range labels {
		ascii, ok := asciiLabel(label)
		if !ok {
			return "", false
		}
		labels[i] = ascii
	}
	domain := strings.Join(labels, ".")
	return domain, len(domain) <= 253
}

// dots counts the four characters that separate labels (RFC 3490 section 3.1).
func dots(s string) (n int) {
	for _, r := range s {
		if r == '.' || r == '\u3002' || r == '\uff0e' || r == '\uff61' {
			n++
		}
	}
	return n
}

// asciiLabel returns one label of a domain in ASCII and lower case. Underscores
// pass: hosts have them, if they should or not.
func asciiLabel(label string) (string, bool) {
	mark := true // none may begin a label
	for _, r := range label {
		switch {
		case r < utf8.RuneSelf:
			if !isLetterDigit(byte(r)) && r != '-' && r != '_' {
				return "", false
			}
		case unicode.IsLetter(r) || unicode.IsDigit(r):
		case mark || r >= 0xfe00 && r <= 0xfe0f:
			return "", false // a variation selector is seen by nobody
		case !unicode.IsMark(r) && !strings.ContainsRune("\u00b7\u30fb\u200c\u200d", r):
			return "", false
		}
		mark = false
	}
	if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
		return "", false
	}
	ascii := strings.ToLower(label)
	if !isASCII(label) {
		if strings.HasPrefix(label, "xn--") || len(label) > 4*63 {
			return "", false
		}
		ascii = "xn--" + punycode(label)
	}
	return ascii, len(ascii) <= 63
}

// addressLiteral returns [192.0.2.1] or [IPv6:2001:db8::1].
func addressLiteral(s string) (string, bool) {
	inside, closed := strings.CutSuffix(s[1:], "]")
	const tag = "IPv6:"
	six := len(inside) > len(tag) && strings.EqualFold(inside[:len(tag)], tag)
	if six {
		inside = inside[len(tag):]
	}
	ip, err := netip.ParseAddr(inside)
	if err != nil || !closed || ip.Zone() != "" || ip.Is4() == six {
		return "", false
	}
	if six {
		return "[" + tag + ip.String() + "]", true
	}
	return "[" + ip.String() + "]", true
}

// punycode encodes a label (RFC 3492 section 6.3) of at most 252 runes, with
// which no number here comes near its end.
func punycode(label string) string {
	const base, skew, damp, tMin, tMax = 36, 38, 700, 1, 26
	const digits = "abcdefghijklmnopqrstuvwxyz0123456789"
	runes := []rune(label)
	var out []byte
	for _, r := range runes {
		if r < utf8.RuneSelf {
			out = append(out, byte(r))
		}
	}
	basic, done := len(out), len(out)
	if basic > 0 {
		out = append(out, '-')
	}
	n, delta, bias := rune(utf8.RuneSelf), 0, 72
	for done < len(runes) {
		next := rune(unicode.MaxRune)
		for _, r := range runes {
			if r >= n && r < next {
				next = r
			}
		}
		delta += int(next-n) * (done + 1)
		n = next
		for _, r := range runes {
			if r < n {
				delta++
			}
			if r != n {
				continue
			}
			q := delta
			for k := base; ; k += base {
				t := min(max(k-bias, tMin), tMax)
				if q < t {
					out = append(out, digits[q])
					break
				}
				out = append(out, digits[t+(q-t)%(base-t)])
				q = (q - t) / (base - t)
			}
			// The bias follows the size of the deltas (section 6.1).
			if done == basic {
				delta /= damp
			} else {
				delta /= 2
			}
			done++
			delta += delta / done
			k := 0
			for ; delta > (base-tMin)*tMax/2; k += base {
				delta /= base - tMin
			}
			bias = k + (base-tMin+1)*delta/(delta+skew)
			delta = 0
		}
		delta++
		n++
	}
	return string(out)
}
