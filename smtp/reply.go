package smtp

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	maxText       = 1 << 10  // of a reply that is kept
	maxQuote      = 80       // of an odd line that an error quotes
	maxReply      = 64 << 10 // octets
	maxReplyLines = 256
)

// Reply is what a server said (RFC 5321 section 4.2).
type Reply struct {
	Code     int    // 200 to 599
	Enhanced string // enhanced status code, "5.1.1" (RFC 3463), or empty
	Text     string // the rest, its lines joined by spaces; not escaped; at most 1 KiB
}

// String returns the reply in one line with control characters escaped.
func (r Reply) String() string {
	s := strconv.Itoa(r.Code)
	if r.Enhanced != "" {
		s += " " + r.Enhanced
	}
	if r.Text != "" {
		s += " " + printable(r.Text)
	}
	return s
}

// reply is a Reply before anybody wants to keep it: the text is valid until the
// next one is read.
type reply struct {
	code     int
	enhanced []byte
	text     []byte
}

// The first digit decides (RFC 5321 section 4.3.2).
func (r reply) success() bool { return r.code/100 == 2 }
func (r reply) goOn() bool    { return r.code/100 == 3 }
func (r reply) refusal() bool { return r.code >= 400 }

// parseReplyLine parses a line without its end. A code without a text is common.
func parseReplyLine(b []byte) (code int, more bool, text []byte, valid bool) {
	if len(b) < 3 || b[0] < '2' || b[0] > '5' || !isDigit(b[1]) || !isDigit(b[2]) {
		return 0, false, nil, false
	}
	code = int(b[0]-'0')*100 + int(b[1]-'0')*10 + int(b[2]-'0')
	if len(b) == 3 {
		return code, false, nil, true
	}
	if b[3] != ' ' && b[3] != '-' {
		return 0, false, nil, false
	}
	return code, b[3] == '-', b[4:], true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// splitEnhanced splits an enhanced status code from a text (RFC 2034 section
// 4). Its class is the first digit of the reply's code.
func splitEnhanced(code int, text []byte) (enhanced, rest []byte) {
	n := 0
	for part, most := range [...]int{1, 3, 3} {
		if part > 0 {
			if n >= len(text) || text[n] != '.' {
				return nil, text
			}
			n++
		}
		start := n
		for n < len(text) && n-start < most && isDigit(text[n]) {
			n++
		}
		if n == start {
			return nil, text
		}
	}
	if int(text[0]-'0') != code/100 || n < len(text) && text[n] != ' ' {
		return nil, text
	}
	return text[:n], bytes.TrimLeft(text[n:], " ")
}

// reply awaits a reply. An error has ended the session: the line's, or a 421,
// which is a *ReplyError. Any other refusal is the caller's to judge.
func (c *Client) reply(verb string, patience time.Duration) (reply, error) {
	return c.replyLines(verb, patience, nil)
}

// replyLines is reply, and gives each line's text away, valid until it returns.
func (c *Client) replyLines(verb string, patience time.Duration, each func(text []byte)) (reply, error) {
	r, err := c.readReply(verb, patience, each)
	if err == nil && r.code == 421 {
		err = refused(verb, r)
	}
	if err != nil {
		return reply{}, c.fail(err)
	}
	return r, nil
}

// readReply reads a reply of one or more lines, within one time for all of it.
func (c *Client) readReply(verb string, patience time.Duration, each func(text []byte)) (reply, error) {
	c.line.wait(patience)
	r := reply{text: c.answer[:0]}
	var enhanced int // octets of it, at the beginning of the text
	for n, octets := 1, 0; ; n++ {
		b, err := c.line.read()
		if err != nil {
			return reply{}, c.line.failure(awaiting(verb), err)
		}
		code, more, text, valid := parseReplyLine(b)
		if !valid {
			return reply{}, &ProtocolError{Doing: awaiting(verb), Detail: "no reply: " + c.quote(b)}
		}
		if n > 1 && code != r.code {
			return reply{}, &ProtocolError{Doing: awaiting(verb), Detail: fmt.Sprintf("one reply with the codes %d and %d", r.code, code)}
		}
		if octets += len(b) + 2; octets > maxReply || n > maxReplyLines {
			return reply{}, &ProtocolError{Doing: awaiting(verb), Detail: "the reply is too long"}
		}
		if each != nil {
			each(text)
		}
		if len(c.secrets) > 0 {
			text = []byte(c.withoutSecrets(string(text))) // before it is cut
		}
		status, rest := splitEnhanced(code, text)
		if n == 1 {
			r.code, enhanced = code, len(status)
			r.text = append(r.text, status...)
		} else if !bytes.Equal(status, r.text[:enhanced]) {
			rest = text // not the first line's, so it is left where it is
		}
		if len(r.text) > enhanced && len(rest) > 0 {
			r.text = append(r.text, ' ')
		}
		r.text = append(r.text, rest...)
		r.text = r.text[:min(len(r.text), enhanced+maxText)]
		if !more {
			c.answer = r.text[:0]
			r.enhanced, r.text = r.text[:enhanced], r.text[enhanced:]
			return r, nil
		}
	}
}

// keep makes a Reply of what was read.
func (r reply) keep() Reply {
	return Reply{Code: r.code, Enhanced: string(r.enhanced), Text: string(r.text)}
}

// refused makes an error of a refusal.
func refused(verb string, r reply) *ReplyError {
	return &ReplyError{Command: verb, Reply: r.keep()}
}

// odd ends the session for a reply that is a success but not of the kind that can
// come here: client and server do not agree on where they are.
func (c *Client) odd(verb string, r reply) error {
	detail := "that is no answer to it: " + c.quote(fmt.Appendf(nil, "%d %s", r.code, r.text))
	return c.fail(&ProtocolError{Doing: awaiting(verb), Detail: detail})
}

func (c *Client) quote(b []byte) string {
	s := c.withoutSecrets(string(b))
	return `"` + printable(s[:min(len(s), maxQuote)]) + `"`
}

// withoutSecrets takes out of a server's words the password or token that it
// echoes, as some do with a command they do not know.
func (c *Client) withoutSecrets(s string) string {
	for _, secret := range c.secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "***")
		}
	}
	return s
}

// keepSecret keeps a secret out of all errors until the returned function is
// called.
func (c *Client) keepSecret(secret string) (release func()) {
	n := len(c.secrets)
	c.secrets = append(c.secrets, secret)
	return func() { c.secrets = c.secrets[:n] }
}
