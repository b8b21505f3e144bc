//go:build linux

package mailtest

import (
	"bytes"
	"compress/flate"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Recorder is a line to the IMAPS port of a RealServer that keeps what goes over
// it: it has a certificate of the server's own CA, ends the client's TLS and
// begins another one. Its methods may be called from any goroutine.
type Recorder struct {
	tb       testing.TB
	server   *RealServer
	way      *Proxy // to the server
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	over   bool
	conns  []net.Conn
	lines  []*recording
	before func(octets []byte)

	calling sync.Mutex // held while before is called
}

// recording is what went over one connection, piece by piece.
type recording struct {
	carrying sync.WaitGroup
	pieces   []piece
}

type piece struct {
	dir    Direction
	octets []byte
}

// NewRecorder listens until the end of the test. What is passed on takes delay to
// reach the server, and what the server says as long to come back; the recorder
// stands beside the client.
func NewRecorder(tb testing.TB, s *RealServer, delay time.Duration) *Recorder {
	tb.Helper()
	way, err := NewProxy(net.JoinHostPort(s.Host, strconv.Itoa(s.IMAPS)), ProxyOptions{Delay: delay})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = way.Close() })
	config, err := s.CA.Server()
	if err != nil {
		tb.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		tb.Fatal(err)
	}
	r := &Recorder{tb: tb, server: s, way: way, listener: l}
	r.running.Go(r.accept)
	tb.Cleanup(r.close)
	return r
}

// Port is where clients come, with implicit TLS.
func (r *Recorder) Port() int { return r.listener.Addr().(*net.TCPAddr).Port }

// Before has f called with what clients send, before that is passed on: one
// call at a time. Take waits for the calls under way. A nil f ends it.
func (r *Recorder) Before(f func(octets []byte)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = f
}

// Take waits until all clients have gone, and returns what went over each
// connection since the last Take, in the order in which they were opened.
func (r *Recorder) Take() (all []Transcript) {
	r.mu.Lock()
	lines := r.lines
	r.lines = nil
	r.mu.Unlock()
	for _, l := range lines {
		l.carrying.Wait()
		all = append(all, newTranscript(r.tb, l.pieces))
	}
	return all
}

func (r *Recorder) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return // closed
		}
		server, err := tls.Dial("tcp", r.way.Addr(), r.server.TLS())
		if err != nil {
			_ = client.Close()
			continue
		}
		line := &recording{}
		r.mu.Lock()
		if r.over {
			_, _ = client.Close(), server.Close()
			r.mu.Unlock()
			return
		}
		r.conns = append(r.conns, client, server)
		r.lines = append(r.lines, line)
		line.carrying.Go(func() { r.carry(line, Up, server, client) })
		line.carrying.Go(func() { r.carry(line, Down, client, server) })
		r.running.Go(line.carrying.Wait)
		r.mu.Unlock()
	}
}

// carry passes octets on until their source ends; then both ends are closed.
func (r *Recorder) carry(line *recording, dir Direction, dst, src net.Conn) {
	defer func() { _, _ = dst.Close(), src.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := src.Read(buffer)
		if n > 0 {
			octets := bytes.Clone(buffer[:n])
			if dir == Up {
				r.announce(octets)
			}
			r.mu.Lock()
			line.pieces = append(line.pieces, piece{dir, octets})
			r.mu.Unlock()
			if _, err := dst.Write(octets); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// announce calls what Before has set.
func (r *Recorder) announce(octets []byte) {
	r.mu.Lock()
	f := r.before
	r.mu.Unlock()
	if f != nil {
		r.calling.Lock()
		defer r.calling.Unlock()
		f(octets)
	}
}

func (r *Recorder) close() {
	_ = r.listener.Close()
	r.mu.Lock()
	r.over = true
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}

// Transcript is what went over one connection.
type Transcript struct {
	Octets     [2]int64 // by Direction, as they went
	Compressed bool
	pieces     []piece // what they meant
}

func newTranscript(tb testing.TB, pieces []piece) Transcript {
	var t Transcript
	for _, p := range pieces {
		t.Octets[p.dir] += int64(len(p.octets))
	}
	t.pieces = pieces
	for i, p := range pieces {
		command := bytes.HasSuffix(p.octets, []byte(" COMPRESS DEFLATE\r\n"))
		if p.dir != Up || !command || i+1 == len(pieces) {
			continue
		}
		tag, _, _ := bytes.Cut(p.octets, []byte(" "))
		if !strings.HasPrefix(string(pieces[i+1].octets), string(tag)+" OK") {
			break // refused
		}
		t.Compressed = true
		t.pieces = append([]piece{}, pieces[:i+2]...)
		t.pieces = append(t.pieces, inflate(tb, pieces[i+2:])...)
		break
	}
	return t
}

// inflate undoes RFC 4978, in both directions.
func inflate(tb testing.TB, pieces []piece) []piece {
	plain := make([]piece, len(pieces))
	for _, dir := range []Direction{Up, Down} {
		in := &pieceReader{pieces: pieces, dir: dir}
		out := flate.NewReader(in)
		buffer := make([]byte, 32<<10)
		for {
			n, err := out.Read(buffer)
			if n > 0 {
				plain[in.at].octets = append(plain[in.at].octets, buffer[:n]...)
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				break // no stream need end
			}
			if err != nil {
				tb.Errorf("compressed line, %s: %v", dir, err)
				break
			}
		}
	}
	for i := range plain {
		plain[i].dir = pieces[i].dir
	}
	return plain
}

// pieceReader reads what went in one direction, octet by octet, so that it is
// known how far a reader has come.
type pieceReader struct {
	pieces []piece
	dir    Direction
	at     int // the piece of the last octet
	offset int
}

func (r *pieceReader) ReadByte() (byte, error) {
	for at := r.at; at < len(r.pieces); at++ {
		if r.pieces[at].dir != r.dir {
			continue
		}
		if at != r.at {
			r.at, r.offset = at, 0
		}
		if r.offset < len(r.pieces[at].octets) {
			r.offset++
			return r.pieces[at].octets[r.offset-1], nil
		}
	}
	return 0, io.EOF
}

func (r *pieceReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c, err := r.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = c
	return 1, nil
}

// Text is all that one side said.
func (t Transcript) Text(dir Direction) string {
	var all []byte
	for _, p := range t.pieces {
		if p.dir == dir {
			all = append(all, p.octets...)
		}
	}
	return string(all)
}

// Commands are what the client asked for, without the tags.
func (t Transcript) Commands() (commands []string) {
	for line := range strings.SplitSeq(t.Text(Up), "\r\n") {
		if command, ok := t.command(line); ok {
			commands = append(commands, command)
		}
	}
	return commands
}

// command tells a command from a step of a login, which is one word.
func (t Transcript) command(line string) (string, bool) {
	_, command, ok := strings.Cut(line, " ")
	return command, ok
}

// Count counts the commands that begin with one of the words.
func (t Transcript) Count(words ...string) (n int) {
	for _, c := range t.Commands() {
		if slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(c+" ", w+" ") }) {
			n++
		}
	}
	return n
}

// Turns counts how often the client spoke after it had heard the server: if that
// is far enough away, the round trips of the session but for those of TCP and
// TLS.
func (t Transcript) Turns() (n int) {
	last := Down
	for _, p := range t.pieces {
		if p.dir == Up && last == Down {
			n++
		}
		last = p.dir
	}
	return n
}

// String is the transcript for people: lines of at most 150 characters, one of
// each kind.
func (t Transcript) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d commands in %d turns, %d octets up, %d octets down, compressed: %v", len(t.Commands()), t.Turns(), t.Octets[Up], t.Octets[Down], t.Compressed)
	seen := map[string]bool{}
	t.lines(func(dir Direction, line string) {
		kind := t.kind(dir, line)
		if kind == "" || seen[kind] {
			return
		}
		seen[kind] = true
		fmt.Fprintf(&b, "\n%s: %.150s", [...]string{"C", "S"}[dir], line)
	})
	return b.String()
}

// kind is what lines have in common of which one is enough; empty if none is of
// interest.
func (t Transcript) kind(dir Direction, line string) string {
	if dir == Up {
		command, _ := t.command(line)
		verb, rest, _ := strings.Cut(command, " ")
		if verb == "UID" {
			rest, _, _ = strings.Cut(rest, " ")
			verb += " " + rest
		}
		return verb
	}
	tag, rest, _ := strings.Cut(line, " ")
	if tag != "*" {
		if tag == "+" || tag == ")" || strings.HasPrefix(rest, "OK") {
			return ""
		}
		return line
	}
	word := strings.TrimLeft(rest, "0123456789 ")
	word, code, _ := strings.Cut(word, " ")
	if strings.HasPrefix(code, "[") {
		code, _, _ = strings.Cut(code, " ")
		return "* " + word + code
	}
	return "* " + word
}

// lines calls each for every line, without the octets of the server's literals,
// in the order in which they were complete.
func (t Transcript) lines(each func(dir Direction, line string)) {
	var rest [2]string
	literal := 0
	for _, p := range t.pieces {
		rest[p.dir] += string(p.octets)
		for {
			if p.dir == Down {
				n := min(literal, len(rest[Down]))
				rest[Down], literal = rest[Down][n:], literal-n
			}
			line, after, whole := strings.Cut(rest[p.dir], "\r\n")
			if !whole {
				break
			}
			if rest[p.dir] = after; p.dir == Down {
				literal, _ = literalAt(line)
			}
			each(p.dir, line)
		}
	}
}
