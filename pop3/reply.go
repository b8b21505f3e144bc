package pop3

import (
	"bytes"
	"fmt"
	"strings"
)

const (
	maxText  = 1 << 10 // of a refusal that is kept
	maxQuote = 80      // of an odd line that an error quotes
)

// status is the first line of a reply (RFC 1939 section 3).
type status struct {
	ok   bool
	text []byte // after the indicator
}

// parseStatus parses a line without its end. The indicator stands alone or
// before something that cannot belong to a word.
func parseStatus(b []byte) (s status, valid bool) {
	for _, indicator := range []string{"+OK", "-ERR"} {
		n := len(indicator)
		if len(b) < n || !bytes.EqualFold(b[:n], []byte(indicator)) {
			continue
		}
		if len(b) > n && isWord(b[n]) {
			return status{}, false
		}
		return status{ok: indicator == "+OK", text: bytes.TrimLeft(b[n:], " \t")}, true
	}
	return status{}, false
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= 0x80
}

// splitCode splits a response code from the text of a -ERR (RFC 2449 section 8).
func splitCode(text string) (code, rest string) {
	if !strings.HasPrefix(text, "[") {
		return "", text
	}
	end := strings.IndexByte(text, ']')
	if end < 0 {
		return "", text
	}
	return strings.ToUpper(strings.TrimSpace(text[1:end])), strings.TrimLeft(text[end+1:], " \t")
}

// reply awaits the reply to a command and returns the text of +OK, valid until
// the next read. A -ERR is a *ReplyError; any other error has ended the session.
func (c *Client) reply(verb string) (text []byte, err error) {
	text, _, err = c.replyLine(verb)
	return text, err
}

// replyLine is reply, and says whether the line ended in a bare LF.
func (c *Client) replyLine(verb string) (text []byte, bare bool, err error) {
	b, bare, err := c.readLine(verb)
	if err != nil {
		return nil, false, err
	}
	text, err = c.judge(verb, b)
	return text, bare, err
}

// judge makes of a line the text of +OK or an error.
func (c *Client) judge(verb string, b []byte) (text []byte, err error) {
	s, valid := parseStatus(b)
	if !valid {
		return nil, c.fail(c.oddReply(verb, b))
	}
	if !s.ok {
		e := &ReplyError{Command: verb}
		e.Code, e.Text = splitCode(clip(c.withoutSecrets(string(s.text)), maxText))
		return nil, e
	}
	return s.text, nil
}

// readLine reads a line of a reply or fails the session.
func (c *Client) readLine(verb string) (b []byte, bare bool, err error) {
	if b, bare, err = c.line.read(); err != nil {
		return nil, false, c.fail(c.line.failure(awaiting(verb), err))
	}
	return b, bare, nil
}

func awaiting(verb string) string {
	if verb == "" {
		return "read the greeting"
	}
	return "read reply to " + verb
}

func (c *Client) oddReply(verb string, b []byte) error {
	quote := clip(c.withoutSecrets(string(b)), maxQuote)
	return &ProtocolError{Doing: awaiting(verb), Detail: fmt.Sprintf(`neither +OK nor -ERR: "%s"`, printable(quote))}
}

func clip(s string, n int) string { return s[:min(len(s), n)] }

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

// list reads the lines of a multi-line reply after its first, up to the dot that
// ends it (RFC 1939 section 3). More lines or octets than the limits end the
// session. Lines of a list never begin with a dot, so a bare LF after the last
// one does no harm.
func (c *Client) list(verb string, maxLines int, maxOctets int64, each func(b []byte) error) error {
	for n, octets := 0, int64(0); ; n++ {
		b, _, err := c.readLine(verb)
		if err != nil {
			return err
		}
		if len(b) == 1 && b[0] == '.' {
			return nil
		}
		if octets += int64(len(b)) + 2; n >= maxLines || octets > maxOctets {
			return c.fail(&ProtocolError{Doing: awaiting(verb), Detail: "the list is too long"})
		}
		if err := each(b); err != nil {
			return c.fail(err)
		}
	}
}
