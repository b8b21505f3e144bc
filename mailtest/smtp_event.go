package mailtest

import (
	"strings"
	"time"
)

// SMTPEvent is one command before the server carries it out. A hook reads the
// fields and calls the methods to spoil the reply; without a call the command is
// answered by the rules. Faults of one event may be combined.
//
// The command is carried out before its reply begins, so that Cut, Stall and
// Mute come after it took effect: Cut(0) on DOT is a message that is kept, and a
// line that is lost before the client hears of it. With Pretend it did not; with
// Refuse and Cut(0) together the message is gone, and the line too.
type SMTPEvent struct {
	Session int // 1 is the server's first connection

	// Verb is the command in upper case. Besides the commands there are "TLS"
	// (before a handshake), "GREETING", "+" (a SASL challenge), "TEXT" (after the
	// 354, before the text is read) and "DOT" (the text is complete).
	//
	// Cut and Stall on TEXT count the octets of the text as they come, stuffing
	// included; what else may be done to an event has no effect on it.
	Verb string
	Arg  string // the rest of the line, passwords included
	Nth  int    // counts this verb in this session, from 1

	User   string   // logged in as, or "" before
	From   string   // of the transaction; on MAIL and RCPT the path in Arg counts already
	To     []string // recipients accepted so far, and the one in Arg on RCPT
	Octets []byte   // on DOT: the text, dot-stuffing undone; not to be changed

	code      int // 0: not refused
	text      string
	reply     []byte
	replied   bool
	edit      func(reply []byte) []byte
	extra     []byte
	pretended bool
	mute      bool
	delay     time.Duration
	cut       int64 // -1: no
	reset     bool
	stall     int64 // -1: no
	stallFor  time.Duration
}

// Refuse answers with code and text and does not carry the command out. Text may
// begin with an enhanced status code; line ends in it make a reply of several
// lines. A 421 ends the session behind it.
func (e *SMTPEvent) Refuse(code int, text string) { e.code, e.text = code, text }

// Reply sends these lines, codes and all but without their ends, in place of the
// whole reply. The command is carried out all the same, but DATA only if the
// last line begins with "354".
func (e *SMTPEvent) Reply(lines ...string) {
	e.reply, e.replied = []byte(strings.Join(lines, "\r\n")+"\r\n"), true
}

// Edit changes the whole reply, line ends and all.
func (e *SMTPEvent) Edit(edit func(reply []byte) []byte) { e.edit = edit }

// Append sends raw octets behind the reply, in the same segment: after the 220
// of STARTTLS they are an injection.
func (e *SMTPEvent) Append(octets []byte) { e.extra = octets }

// Pretend answers as if the command had been carried out: a DOT keeps nothing, an
// RCPT adds nobody, an AUTH logs nobody in, an RSET leaves everything.
func (e *SMTPEvent) Pretend() { e.pretended = true }

// Mute carries the command out and sends no reply.
func (e *SMTPEvent) Mute() { e.mute = true }

// Delay waits before the reply.
func (e *SMTPEvent) Delay(d time.Duration) { e.delay = d }

// Cut ends the connection in good order (FIN, but no TLS close) after n octets
// of the reply; 0 is before it, and a number beyond its end is at its end.
func (e *SMTPEvent) Cut(n int64) { e.cut, e.reset = n, false }

// Reset is Cut with a TCP reset, which may also destroy octets on their way.
func (e *SMTPEvent) Reset(n int64) { e.cut, e.reset = n, true }

// Stall goes silent after n octets of the reply for d, then goes on; d 0 is
// until the session ends. The server reads on until its buffer is full.
func (e *SMTPEvent) Stall(n int64, d time.Duration) { e.stall, e.stallFor = n, d }

// spoiled says whether the reply is cut or held somewhere.
func (e *SMTPEvent) spoiled() bool { return e.cut >= 0 || e.stall >= 0 }

// cutError is how the session ends when the hook has cut it.
func (e *SMTPEvent) cutError() error {
	if e.reset {
		return errReset
	}
	return errCut
}
