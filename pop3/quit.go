package pop3

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Quit ends the session and awaits the server's reply: nil means that it has
// deleted what Delete marked (RFC 1939 section 6). After any error some or all of
// it may still be there, or be gone. The connection is closed either way.
func (c *Client) Quit(ctx context.Context) error {
	_, err := c.ask(ctx, "QUIT")
	if c.failed == nil {
		defer time.AfterFunc(parting, c.line.cut).Stop()
		c.line.hangUp()
		c.end()
	}
	return err
}

// Leave ends a session that has marked nothing as deleted: it sends QUIT, does
// not wait for the reply, and closes the connection in order, all within 1 s.
// It is fit for a session that still has commands unanswered.
func (c *Client) Leave() error {
	if c.failed != nil {
		return c.failed
	}
	defer time.AfterFunc(parting, c.line.cut).Stop()
	leave, err := c.enter(context.Background())
	if err != nil {
		return err
	}
	defer leave()
	c.ahead = nil
	if err := c.line.write([]byte("QUIT\r\n")); err != nil {
		return c.fail(c.line.failure("send QUIT", err))
	}
	c.line.hangUp()
	c.end()
	return nil
}

// end makes every later call fail.
func (c *Client) end() {
	c.fail(fmt.Errorf("talk to the server: the session has ended: %w", net.ErrClosed))
}
