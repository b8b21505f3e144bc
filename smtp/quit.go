package smtp

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Quit ends the session: it sends QUIT and closes the connection in order, all
// within 1 s. It does not wait for the reply, which could not change anything:
// every message has had its own.
func (c *Client) Quit() error {
	if c.failed != nil {
		return c.failed
	}
	defer time.AfterFunc(parting, c.line.cut).Stop()
	leave, err := c.enter(context.Background())
	if err != nil {
		return err
	}
	defer leave()
	if _, err := c.line.write([]byte("QUIT\r\n")); err != nil {
		return c.fail(c.line.failure(sending("QUIT"), err))
	}
	c.line.hangUp()
	c.fail(fmt.Errorf("talk to the server: the session has ended: %w", net.ErrClosed))
	return nil
}
