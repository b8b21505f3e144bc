package mailtest

import (
	"strings"
	"time"
)

// POP3Event is one command before the server carries it out. A hook reads the
// fields and calls the methods to spoil the response; without a call the
// command is answered by the rules. Faults of one event may be combined.
//
// The command is carried out before its response begins, so Cut, Stall and
// Mute on QUIT come after the deletes took effect; with Pretend they did not.
type POP3Event struct {
	Session int // 1 is the server's first connection

	// Verb is the command in upper case. Besides the commands there are "TLS"
	// (before a handshake), "GREETING", and "+" (a SASL challenge).
	Verb string
	Arg  string // the rest of the line, passwords included
	Nth  int    // counts this verb in this session, from 1

	User    string // logged in as, or "" before
	Message int    // the message number in Arg, or 0
	UID     string // of that message

	refusal   string
	refused   bool
	line      string
	octets    []byte
	replaced  bool
	size      func(number int, octets int64) int64
	row       func(row string) string
	edit      func(response []byte) []byte
	extra     []byte
	pretended bool
	mute      bool
	delay     time.Duration
	cut       int64 // -1: no
	reset     bool
	stall     int64 // -1: no
	stallFor  time.Duration
}

// Refuse answers "-ERR text" and does not carry the command out. text may
// begin with a response code: "[IN-USE] try later".
func (e *POP3Event) Refuse(text string) { e.refusal, e.refused = text, true }

// Reply puts line, without its line end, in place of the response's first
// line. If it does not begin with "+OK", what would follow is left out.
func (e *POP3Event) Reply(line string) { e.line = line }

// Serve gives RETR and TOP other octets than the maildrop's.
func (e *POP3Event) Serve(octets []byte) { e.octets, e.replaced = octets, true }

// Size changes the sizes that this LIST, STAT or RETR announces.
func (e *POP3Event) Size(size func(number int, octets int64) int64) { e.size = size }

// Rows changes each line of this LIST or UIDL, given without line end; ""
// leaves the line out. A result with CRLF inside makes several lines.
func (e *POP3Event) Rows(row func(row string) string) { e.row = row }

// Edit changes the whole response, line ends, dot-stuffing and all. The
// response is held in memory for it.
func (e *POP3Event) Edit(edit func(response []byte) []byte) { e.edit = edit }

// Append sends raw octets behind the response, in the same segment: after the
// +OK of STLS they are an injection.
func (e *POP3Event) Append(octets []byte) { e.extra = octets }

// Pretend answers as if the command had been carried out: DELE marks nothing,
// QUIT removes nothing, RSET unmarks nothing.
func (e *POP3Event) Pretend() { e.pretended = true }

// Mute carries the command out and sends no response. After QUIT the
// connection is closed all the same.
func (e *POP3Event) Mute() { e.mute = true }

// Delay waits before the response.
func (e *POP3Event) Delay(d time.Duration) { e.delay = d }

// Cut ends the connection in good order (FIN, but no TLS close) after n octets
// of the response; 0 is before it, and a number beyond its end is at its end.
func (e *POP3Event) Cut(n int64) { e.cut, e.reset = n, false }

// Reset is Cut with a TCP reset, which may also destroy octets on their way.
func (e *POP3Event) Reset(n int64) { e.cut, e.reset = n, true }

// Stall goes silent after n octets of the response for d, then goes on; d 0
// is until the session ends. The server reads on until its buffer is full.
func (e *POP3Event) Stall(n int64, d time.Duration) { e.stall, e.stallFor = n, d }

// spoiled says whether the response is cut or held somewhere.
func (e *POP3Event) spoiled() bool { return e.cut >= 0 || e.stall >= 0 }

// firstLine returns what the response begins with, and whether its body follows.
func (e *POP3Event) firstLine(line string) (string, bool) {
	if e.line == "" {
		return line, true
	}
	return e.line, strings.HasPrefix(e.line, "+OK")
}
