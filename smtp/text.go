package smtp

import (
	"bufio"
	"bytes"
	"fmt"
)

// text turns a message, as it streams by, into what stands between a 354 and the
// final dot (RFC 5321 section 4.5.2): every line ends in CRLF, the last one too,
// and a line that begins with a dot gets another one. What comes out has no CR
// without its LF and no LF without its CR, so that no server, however it tells
// lines, finds the end of the message before it is there.
//
//   - LF, and LF behind any number of CRs, is the end of a line.
//   - A CR without an LF is the end of a line too, but only in the body, where it
//     occurs in the output of programs. In the header it would turn what was
//     the value of a field into another field, or the body's beginning: it is
//     an error.
//   - NUL is an error. Neither 7bit nor 8bit data have it (RFC 2045 section 2),
//     and servers drop it: a dot behind it would be at the start of a line then.
//   - Nothing else is changed. A line over 998 octets stays as it is: to fold
//     it would change the message, and servers that mind can say so.
type text struct {
	out *bufio.Writer // nil: nothing comes out

	octets  int64 // of what came out, without the dots that were added
	lines   int   // that have ended
	length  int   // of the line so far
	longest int   // of all lines, without their ends
	crs     int   // that the last octets were
	body    bool  // the header has ended
}

// Write takes a piece. Its errors are *MailError and those of out.
func (t *text) Write(p []byte) (int, error) {
	whole := len(p)
	nul := bytes.IndexByte(p, 0)
	if nul >= 0 {
		p = p[:nul]
	}
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		stretch := p
		if i >= 0 {
			stretch = p[:i]
		}
		if err := t.stretch(stretch); err != nil {
			return 0, err
		}
		p = p[len(stretch):]
		if i >= 0 {
			t.crs = 0
			if err := t.end(); err != nil {
				return 0, err
			}
			p = p[1:]
		}
	}
	if nul >= 0 {
		return 0, t.unfit("a NUL octet")
	}
	return whole, nil
}

// stretch takes octets without LF.
func (t *text) stretch(b []byte) error {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\r')
		if i == 0 {
			t.crs++
			b = b[1:]
			continue
		}
		if err := t.loneCRs(); err != nil {
			return err
		}
		run := b
		if i > 0 {
			run = b[:i]
		}
		if err := t.run(run); err != nil {
			return err
		}
		b = b[len(run):]
	}
	return nil
}

// loneCRs ends as many lines as there were CRs before something that is no LF.
func (t *text) loneCRs() error {
	for ; t.crs > 0; t.crs-- {
		if !t.body {
			return t.unfit("a CR without LF in the header")
		}
		if err := t.end(); err != nil {
			return err
		}
	}
	return nil
}

// run takes octets without line ends.
func (t *text) run(b []byte) error {
	first := t.length == 0
	t.length += len(b)
	t.octets += int64(len(b))
	if t.out == nil {
		return nil
	}
	if first && b[0] == '.' {
		if err := t.out.WriteByte('.'); err != nil {
			return err
		}
	}
	_, err := t.out.Write(b)
	return err
}

// end ends a line.
func (t *text) end() error {
	if t.length == 0 {
		t.body = true
	}
	t.longest = max(t.longest, t.length)
	t.lines, t.length, t.octets = t.lines+1, 0, t.octets+2
	if t.out == nil {
		return nil
	}
	_, err := t.out.WriteString("\r\n")
	return err
}

// finish takes the end of the message. A message of nothing stays one.
func (t *text) finish() error {
	if err := t.loneCRs(); err != nil {
		return err
	}
	if t.length == 0 {
		return nil
	}
	return t.end()
}

func (t *text) unfit(what string) error {
	return &MailError{What: "message", Detail: fmt.Sprintf("line %d has %s, which mail cannot carry", t.lines+1, what)}
}
