package imap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Appended says where an appended message is, as far as the server told.
type Appended struct{ UIDValidity, UID uint32 }

// Append puts a message into a mailbox (RFC 9051 section 6.3.12). It reads exactly
// size octets, whose lines must end with CRLF. A zero date is now, the server's.
// A NO is a *ResponseError; with the code TRYCREATE, the mailbox does not exist.
// When the message cannot be read to its end the session is over, and nothing was
// appended. After any other error that ended the session, it may have been.
func (c *Client) Append(ctx context.Context, name Name, flags []string, date time.Time, size int64, message io.Reader) (Appended, error) {
	if err := checkFlags("APPEND", flags); err != nil {
		return Appended{}, err
	}
	if size <= 0 {
		return Appended{}, errors.New("send APPEND: the message is empty")
	}
	leave, err := c.enter(ctx)
	if err != nil {
		return Appended{}, err
	}
	defer leave()
	m := c.command("APPEND").name(name)
	if len(flags) > 0 {
		m.raw(" (" + strings.Join(flags, " ") + ")")
	}
	if !date.IsZero() {
		m.raw(date.Format(` "_2-Jan-2006 15:04:05 -0700"`))
	}
	m.raw(" ").literal(size)
	m.stream = func(write func([]byte) error) error {
		n, err := io.CopyBuffer(writerFunc(write), io.LimitReader(message, size), make([]byte, 32<<10))
		if err == nil && n < size {
			err = io.ErrUnexpectedEOF
		}
		if c.failed != nil {
			return c.failed // not the message's fault
		}
		if err != nil {
			return fmt.Errorf("read the message to append: %w", err)
		}
		return nil
	}
	r, err := c.perform(m, nil)
	if err != nil || r.code != "APPENDUID" {
		return Appended{}, err
	}
	words := strings.Fields(r.args)
	if len(words) != 2 {
		return Appended{}, nil
	}
	return Appended{UIDValidity: codeNumber(words[0]), UID: codeNumber(words[1])}, nil
}

// writerFunc is an io.Writer, and no io.ReaderFrom.
type writerFunc func(p []byte) error

func (f writerFunc) Write(p []byte) (int, error) {
	if err := f(p); err != nil {
		return 0, err
	}
	return len(p), nil
}
