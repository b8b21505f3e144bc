package pop3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// segments is a connection on which whatever stands before a mark arrives at
// once, and which ends after the last one. It takes anything.
type segments struct {
	net.Conn
	text []byte
}

const mark = 0x1e

func (s *segments) Read(p []byte) (int, error) {
	for len(s.text) > 0 && s.text[0] == mark {
		s.text = s.text[1:]
	}
	if len(s.text) == 0 {
		return 0, io.EOF
	}
	piece := s.text
	if i := bytes.IndexByte(piece, mark); i >= 0 {
		piece = piece[:i]
	}
	n := copy(p, piece)
	s.text = s.text[n:]
	return n, nil
}

func (s *segments) Write(p []byte) (int, error) { return len(p), nil }

// FuzzSession has a server say anything at all. What the client makes of it must
// be consistent, and whatever it passes on as a whole message must be one.
func FuzzSession(f *testing.F) {
	f.Add([]byte("+OK hi <1@b>\r\n\x1e+OK\r\nPIPELINING\r\n.\r\n\x1e+OK\r\n+OK\r\n\x1e+OK\r\n1 5\r\n2 6\r\n.\r\n+OK\r\n1 a\r\n2 b\r\n.\r\n\x1e" +
		"+OK\r\na\r\n..\r\n.\r\n-ERR [SYS/TEMP] x\r\n\x1e+OK\r\n-ERR\r\n\x1e+OK bye\r\n"))
	f.Add([]byte("+OK\n\x1e-ERR\n\x1e+OK\n\x1e+OK\n\x1e+OK\n1 5\n.\n\x1e-ERR\n\x1e+OK\nab\n..c\n.\n\x1e+OK\n\x1e+OK\n"))
	f.Add([]byte("+OK\r\n\x1e+OK\r\n.\r\n\x1e+OK\r\n\x1e+OK\r\n\x1e+OK\r\n1 5\r\n.\r\n\x1e+OK\r\n1 x\r\n.\r\n\x1e+OK\r\na\n.\n+OK\r\n.\r\n\x1e+OK\r\n\x1e-ERR\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		near, far := net.Pipe()
		defer far.Close()
		r := &boxReceiver{}
		err := session(context.Background(), &segments{Conn: near, text: text}, Options{MaxMessage: 1 << 16}, r)
		var refused *ReplyError
		var odd *ProtocolError
		var lost *ConnError
		switch {
		case err == nil, errors.As(err, &refused), errors.As(err, &odd), errors.As(err, &lost), errors.Is(err, ErrTooLarge):
		case strings.HasPrefix(err.Error(), "listing was"), strings.HasSuffix(err.Error(), "marked"):
		default:
			t.Fatalf("error of no kind: %v (%T)", err, err)
		}
		stream := bytes.ReplaceAll(text, []byte{mark}, nil)
		for i, g := range r.got {
			switch {
			case g.i != i:
				t.Fatalf("message %d came as number %d", g.i, i)
			case !g.ended:
				t.Fatalf("message %d has no end", i)
			case !g.begun && !errors.As(g.err, &refused):
				t.Fatalf("message %d has not begun and ended with %v", i, g.err)
			case g.err == nil && g.text != "" && !strings.HasSuffix(g.text, "\n"):
				t.Fatalf("message %d does not end with a line: %q", i, g.text)
			case g.err == nil && !bytes.Contains(stream, []byte(stuff(g.text)+".\r\n")) && !bytes.Contains(stream, []byte(".\n")) && !looseDots(stream):
				t.Fatalf("message %d is not what was sent: %q", i, g.text)
			}
		}
	})
}

// looseDots reports lines that begin with a dot that no server sends.
func looseDots(stream []byte) bool {
	for line := range bytes.Lines(stream) {
		if len(line) > 1 && line[0] == '.' && line[1] != '.' && !bytes.Equal(line, []byte(".\r\n")) {
			return true
		}
	}
	return false
}
