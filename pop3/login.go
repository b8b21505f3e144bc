package pop3

import (
	"context"
	"fmt"
	"strings"
)

// Login logs in with USER and PASS (RFC 1939 section 7), in one flight where
// the server offers PIPELINING. A refusal is a *ReplyError; see its LoginRefused.
// A name or password with a line end or NUL in it is refused before anything is
// sent. The caller decides whether the connection is fit for a password.
func (c *Client) Login(ctx context.Context, user, password string) error {
	lines, err := loginLines(user, password)
	if err != nil {
		return err
	}
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	defer c.keepSecret(password)()
	if !c.pipelining {
		return c.loginLockstep(lines)
	}
	return c.loginFlight(lines)
}

// loginLockstep sends the password only to a server that took the name.
func (c *Client) loginLockstep(lines []string) error {
	for i, verb := range []string{"USER", "PASS"} {
		if err := c.send(verb, lines[i]); err != nil {
			return err
		}
		if _, err := c.reply(verb); err != nil {
			return err
		}
	}
	c.loggedIn()
	return nil
}

// loginFlight reads both replies whatever the first one says.
func (c *Client) loginFlight(lines []string) error {
	if err := c.send("USER", lines...); err != nil {
		return err
	}
	_, refusedUser := c.reply("USER")
	if c.failed != nil {
		return c.failed
	}
	_, refusedPass := c.reply("PASS")
	switch {
	case c.failed != nil:
		return c.failed
	case refusedUser != nil:
		return refusedUser
	case refusedPass != nil:
		return refusedPass
	}
	c.loggedIn()
	return nil
}

func loginLines(user, password string) ([]string, error) {
	if err := checkArgument("user name", user); err != nil {
		return nil, err
	}
	if err := checkArgument("password", password); err != nil {
		return nil, err
	}
	return []string{"USER " + user, "PASS " + password}, nil
}

// checkArgument refuses what would end the command line and begin another. The
// error names the argument and never shows it.
func checkArgument(what, s string) error {
	if strings.ContainsAny(s, "\r\n\x00") {
		return fmt.Errorf("log in: the %s contains a line end or NUL", what)
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

// loggedIn forgets the capabilities, which may be others now. PIPELINING is
// among those that the login does not change (RFC 2449 section 6.6).
func (c *Client) loggedIn() { c.capabilities = nil }

// Timestamp returns the challenge for APOP from the greeting, with its angle
// brackets, or "" if there is none (RFC 1939 section 7). Its form is not checked
// further: the caller should make sure that it is a msg-id in ASCII before it
// hashes a password with it.
func (c *Client) Timestamp() string {
	start := strings.LastIndexByte(c.greeting, '<')
	if start < 0 {
		return ""
	}
	s := c.greeting[start:]
	end := strings.IndexByte(s, '>')
	if end < 0 || !strings.Contains(s[:end], "@") {
		return ""
	}
	return s[:end+1]
}

// APOP logs in with the digest of the timestamp and the password, in hex.
func (c *Client) APOP(ctx context.Context, user, digest string) error {
	if err := checkArgument("user name", user); err != nil {
		return err
	}
	if err := checkArgument("digest", digest); err != nil {
		return err
	}
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	defer c.keepSecret(digest)()
	if err := c.send("APOP", "APOP "+user+" "+digest); err != nil {
		return err
	}
	if _, err := c.reply("APOP"); err != nil {
		return err
	}
	c.loggedIn()
	return nil
}
