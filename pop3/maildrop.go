package pop3

import (
	"context"
	"strconv"
	"strings"
)

// Stat returns how many messages there are and their size together, as the
// server counts it (STAT, RFC 1939 section 5).
func (c *Client) Stat(ctx context.Context) (count int, octets int64, err error) {
	text, err := c.ask(ctx, "STAT")
	if err != nil {
		return 0, 0, err
	}
	if words := strings.Fields(string(text)); len(words) >= 2 {
		n, badCount := strconv.ParseUint(words[0], 10, 31)
		size, badSize := strconv.ParseUint(words[1], 10, 63)
		if badCount == nil && badSize == nil {
			return int(n), int64(size), nil
		}
	}
	quote := printable(clip(string(text), maxQuote))
	return 0, 0, c.fail(&ProtocolError{Doing: awaiting("STAT"), Detail: `not a count and a size: "` + quote + `"`})
}

// Noop does nothing but keep the session alive.
func (c *Client) Noop(ctx context.Context) error {
	_, err := c.ask(ctx, "NOOP")
	return err
}

// Reset takes back what Delete has marked (RSET, RFC 1939 section 5).
func (c *Client) Reset(ctx context.Context) error {
	_, err := c.ask(ctx, "RSET")
	return err
}

// UTF8 asks the server to send messages with UTF-8 in their headers as they
// are (RFC 6856 section 2). It goes before the login, and only to a server
// that offers it.
func (c *Client) UTF8(ctx context.Context) error {
	_, err := c.ask(ctx, "UTF8")
	return err
}
