package imap

import (
	"bufio"
	"compress/flate"
	"context"
	"errors"
	"io"
)

// packing is what COMPRESS puts between the line and the parser. What it
// inflates is not held anywhere: all limits stand above it.
type packing struct {
	in      *bufio.Reader // the octets as they come
	inflate io.Reader
	more    bool // the inflater may have more at hand
	deflate *flate.Writer
}

// Compress has both sides compress what follows (RFC 4978). It needs
// COMPRESS=DEFLATE and comes after the login, so that no password is compressed.
// A NO is a *ResponseError and leaves the line as it is; a second call is an error.
func (c *Client) Compress(ctx context.Context) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	switch {
	case c.line.packed != nil:
		return errors.New("send COMPRESS: the connection is compressed already")
	case !c.authenticated:
		return errors.New("send COMPRESS: not logged in")
	case len(c.ahead) > 0:
		return c.fail(aheadError("COMPRESS"))
	}
	if err := c.need("COMPRESS", "COMPRESS=DEFLATE"); err != nil {
		return err
	}
	if err := c.exec(c.command("COMPRESS").raw(" DEFLATE"), nil); err != nil {
		return err
	}
	return c.line.compress()
}

// compress changes the line over. What is in the buffer behind the OK is
// compressed already.
func (l *line) compress() error {
	deflate, err := flate.NewWriter(packedWriter{l}, flate.BestSpeed)
	if err != nil {
		return err
	}
	packed := &packing{in: l.in, inflate: flate.NewReader(l.in), deflate: deflate}
	l.packed = packed
	l.in = bufio.NewReaderSize(packed, bufferSize)
	return nil
}

// Read inflates. A read that was not filled has emptied the inflater.
func (p *packing) Read(b []byte) (int, error) {
	n, err := p.inflate.Read(b)
	p.more = n == len(b)
	return n, err
}

// write sends p to its end: the server must not wait for the rest.
func (p *packing) write(b []byte) error {
	if _, err := p.deflate.Write(b); err != nil {
		return err
	}
	return p.deflate.Flush()
}

type packedWriter struct{ *line }

func (w packedWriter) Write(p []byte) (int, error) { return w.conn.Write(p) }
