package imap

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Logout ends the session and awaits the server's word for it (RFC 9051 section
// 6.1.3). The connection is closed either way.
func (c *Client) Logout(ctx context.Context) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	c.leaving = true
	err = c.exec(c.command("LOGOUT"), nil)
	if c.failed == nil {
		defer time.AfterFunc(parting, c.line.cut).Stop()
		c.line.hangUp()
		c.end()
	}
	return err
}

// Leave ends a session without waiting for the server: it sends LOGOUT and closes
// the connection in order, all within 1 s. It is fit for a session that still has
// commands unanswered, and unfit for one whose messages are not all read.
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
	if err := c.line.write([]byte(c.tag() + " LOGOUT\r\n")); err != nil {
		return c.fail(c.line.failure("send LOGOUT", err))
	}
	c.line.hangUp()
	c.end()
	return nil
}

// end makes every later call fail.
func (c *Client) end() {
	c.fail(fmt.Errorf("talk to the server: the session has ended: %w", net.ErrClosed))
}
