package mailtest

import (
	"bufio"
	"compress/flate"
	"net"
)

// deflate puts DEFLATE on the client's side of the line.
func (c *imapTalk) deflate() {
	w, err := flate.NewWriter(c.conn, flate.DefaultCompression)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.r = bufio.NewReader(flate.NewReader(c.r))
	c.conn = &deflated{Conn: c.conn, w: w}
}

type deflated struct {
	net.Conn
	w *flate.Writer
}

func (d *deflated) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	if err != nil {
		return n, err
	}
	return n, d.w.Flush()
}
