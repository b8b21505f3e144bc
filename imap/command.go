package imap

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxSetText bounds the text of a set in a command: servers bound their lines,
	// Yahoo at 1000 octets.
	maxSetText = 900
	// maxUnwaited is what LITERAL- lets go without being asked for (RFC 7888 section 5).
	maxUnwaited = 4096
)

// command is a command as it goes over the line, without its tag and its end.
type command struct {
	client *Client
	verb   string // for errors
	octets []byte
	waits  []int                                // where the server must ask for more: behind a literal's length
	stream func(write func([]byte) error) error // the rest, if it is not held
	opened bool                                 // a list: its first element follows without a space
	err    error                                // of an argument; the command must not be sent
}

func (c *Client) command(verb string) *command {
	return &command{client: c, verb: verb, octets: []byte(verb)}
}

// raw appends text as it is.
func (m *command) raw(s string) *command {
	m.octets = append(m.octets, s...)
	return m
}

// open appends a space and begins a list.
func (m *command) open() *command {
	m.raw(" (")
	m.opened = true
	return m
}

// uids appends a space and a set.
func (m *command) uids(s UIDSet) *command {
	m.octets = s.append(append(m.octets, ' '))
	return m
}

// name appends a space and a mailbox.
func (m *command) name(n Name) *command { return m.str("name of a mailbox", string(n)) }

// str appends a space and a string, quoted if that is possible and else as a
// literal. What says what it is; errors never show the string.
func (m *command) str(what, s string) *command {
	if !m.opened {
		m.octets = append(m.octets, ' ')
	}
	m.opened = false
	if strings.Contains(s, "\x00") {
		m.err = fmt.Errorf("send %s: the %s contains NUL", m.verb, what)
		return m
	}
	if isQuotable(s, m.client.utf8) {
		m.octets = append(m.octets, '"')
		for i := range len(s) {
			if s[i] == '"' || s[i] == '\\' {
				m.octets = append(m.octets, '\\')
			}
			m.octets = append(m.octets, s[i])
		}
		m.octets = append(m.octets, '"')
		return m
	}
	m.literal(int64(len(s)))
	return m.raw(s)
}

// literal appends the head of a literal.
func (m *command) literal(n int64) *command {
	m.octets = strconv.AppendInt(append(m.octets, '{'), n, 10)
	if m.client.unwaited(n) {
		m.octets = append(m.octets, "+}\r\n"...)
		return m
	}
	m.octets = append(m.octets, "}\r\n"...)
	m.waits = append(m.waits, len(m.octets))
	return m
}

// unwaited reports that the server takes a literal of n octets without asking
// for it (RFC 7888).
func (c *Client) unwaited(n int64) bool {
	return c.offers("LITERAL+") || c.offers("LITERAL-") && n <= maxUnwaited
}

func isQuotable(s string, allowUTF8 bool) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f || s[i] >= 0x80 && !allowUTF8 {
			return false
		}
	}
	return utf8.ValidString(s)
}

// transmit sends a command, if Ahead has not done so. Where the server refuses a
// literal in it, refused is its answer. The client must not have anything else
// under way if the command has to wait.
func (c *Client) transmit(m *command, take taker, write func([]byte) error) (tag string, refused *response, err error) {
	if m.err != nil {
		return "", nil, m.err
	}
	if len(c.ahead) > 0 {
		first := c.ahead[0]
		if first.octets != string(m.octets) {
			return "", nil, c.fail(aheadError(m.verb))
		}
		c.ahead = c.ahead[1:]
		return first.tag, nil, nil
	}
	tag = c.tag()
	out, start := append(append(c.out[:0], tag...), ' '), 0
	for _, end := range m.waits {
		out = append(out, m.octets[start:end]...)
		start, c.out = end, out[:0]
		if write(out) != nil {
			return tag, nil, nil // it is the line's error, and will show
		}
		if r, err := c.next(m.verb, take); err != nil || r.kind == tagged {
			return tag, &r, err
		}
		out = out[:0]
	}
	out = append(out, m.octets[start:]...)
	if m.stream != nil {
		if len(out) > 0 && write(out) != nil {
			return tag, nil, nil
		}
		if err := m.stream(write); err != nil {
			return "", nil, c.fail(err)
		}
		out = out[:0]
	}
	out = append(out, "\r\n"...)
	c.out = out[:0]
	write(out)
	return tag, nil, nil
}

func aheadError(verb string) error { return fmt.Errorf("send %s: %w", verb, ErrAhead) }

// exec runs a command that has nothing but OK to say.
func (c *Client) exec(m *command, take taker) error {
	_, err := c.perform(m, take)
	return err
}

// perform runs a command to its end. Untagged responses are offered to take. A
// NO or BAD is a *ResponseError; other errors have ended the session, if
// anything was sent.
func (c *Client) perform(m *command, take taker) (reply, error) {
	tag, err := c.start(m, take)
	if err != nil {
		return reply{}, err
	}
	for {
		r, err := c.next(m.verb, take)
		if err != nil {
			return reply{}, err
		}
		if r.kind == continuation {
			continue // nobody waits for it; some servers send one too many
		}
		return c.finish(m.verb, tag, r)
	}
}

// start sends a command. An answer that comes before it is all sent is an error.
func (c *Client) start(m *command, take taker) (tag string, err error) {
	tag, refused, err := c.transmit(m, take, func(p []byte) error { return c.write(m.verb, p) })
	switch {
	case c.failed != nil:
		return "", c.failed
	case err != nil:
		return "", err
	case refused == nil:
		return tag, nil
	}
	if _, err := c.finish(m.verb, tag, *refused); err != nil {
		return "", err
	}
	return "", c.fail(&ProtocolError{Doing: reading(m.verb), Detail: "OK before the command was sent"})
}

// finish takes the answer to the command with the tag.
func (c *Client) finish(verb, tag string, r response) (reply, error) {
	if r.tag != tag {
		return reply{}, c.stray(verb, r.tag)
	}
	return r.reply, r.reply.err(verb)
}

// stray ends the session at an answer to a command that is not under way.
func (c *Client) stray(verb, tag string) error {
	for _, e := range c.ahead {
		if e.tag == tag {
			return c.fail(fmt.Errorf("%s: an answer out of order: %w", reading(verb), ErrAhead))
		}
	}
	quote := printable(clip(c.withoutSecrets(tag), maxQuote))
	return c.fail(&ProtocolError{Doing: reading(verb), Detail: fmt.Sprintf(`a response to an unknown tag: "%s"`, quote)})
}

func (c *Client) write(verb string, p []byte) error {
	if err := c.line.write(p); err != nil {
		return c.fail(c.line.failure("send "+verb, err))
	}
	return nil
}

// keepSecret keeps a secret out of all errors until the returned function is
// called.
func (c *Client) keepSecret(secret string) (release func()) {
	n := len(c.secrets)
	c.secrets = append(c.secrets, secret)
	return func() { c.secrets = c.secrets[:n] }
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

// asResponse returns the NO or BAD that an error is, nil if it is another.
func asResponse(err error) *ResponseError {
	var r *ResponseError
	if errors.As(err, &r) && r.Status != "BYE" {
		return r
	}
	return nil
}
