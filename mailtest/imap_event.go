package mailtest

import "time"

// IMAPEvent is one command before the server carries it out. A hook reads the
// fields and calls the methods to spoil the response; without a call the
// command is answered by the rules. Faults of one event may be combined.
//
// The command is carried out before its response begins, so that Cut, Stall and
// Mute come after it took effect; with Pretend it did not.
type IMAPEvent struct {
	Session int // 1 is the server's first connection

	// Verb is the command in upper case, with UID where that stands before it:
	// "UID FETCH". Besides the commands there are "TLS" (before a handshake),
	// "GREETING", "+" (the server asks for a literal, and Arg is the line that ends
	// with its length, or for a SASL response, and Arg is what it will say), and
	// "DONE" (the end of IDLE, whose own response is the "+").
	Verb string
	Arg  string // the rest of the command, passwords and literals included
	Tag  string
	Nth  int // counts this verb in this session, from 1

	User    string // logged in as, or "" before
	Mailbox string // in UTF-8: the one that the command names first, or else the one that is open

	status    string // NO, BAD, BYE: not carried out
	text      string
	reply     []byte
	replied   bool
	serve     map[uint32][]byte
	row       func(uid uint32, row []byte) []byte
	edit      func(response []byte) []byte
	extra     []byte
	after     func()
	pretended bool
	mute      bool
	delay     time.Duration
	cut       int64 // -1: no
	reset     bool
	stall     int64 // -1: no
	stallFor  time.Duration
}

// Covers says whether a set of a UID command has this UID; a star is above all.
func (e *IMAPEvent) Covers(uid uint32) bool {
	p := imapParser{text: e.Arg}
	set, err := p.set()
	if err != nil {
		return false
	}
	return set.resolve(1<<32 - 1).contains(uid)
}

// Refuse answers NO and does not carry the command out. text may begin with a
// response code: "[UNAVAILABLE] try later". The greeting becomes a BYE.
func (e *IMAPEvent) Refuse(text string) { e.status, e.text = "NO", text }

// Bad answers BAD and does not carry the command out.
func (e *IMAPEvent) Bad(text string) { e.status, e.text = "BAD", text }

// Bye answers with an untagged BYE alone and ends the session. The command is not
// carried out.
func (e *IMAPEvent) Bye(text string) { e.status, e.text = "BYE", text }

// Reply sends these lines, tags and all but without their ends, in place of the
// whole response. The command is carried out all the same.
func (e *IMAPEvent) Reply(lines ...string) {
	e.reply, e.replied = nil, true
	for _, line := range lines {
		e.reply = append(append(e.reply, line...), "\r\n"...)
	}
}

// Serve gives FETCH other octets than the mailbox's for one message; nil is NIL.
func (e *IMAPEvent) Serve(uid uint32, octets []byte) {
	if e.serve == nil {
		e.serve = make(map[uint32][]byte)
	}
	e.serve[uid] = octets
}

// Row changes single FETCH responses. Each is given from its star to its line
// end, literals and all; what is returned is sent: nothing, the row twice,
// something else. Rows are held in memory for it.
func (e *IMAPEvent) Row(row func(uid uint32, row []byte) []byte) { e.row = row }

// Edit changes the whole response, from the first untagged line to the end of the
// tagged one. It is held in memory for it.
func (e *IMAPEvent) Edit(edit func(response []byte) []byte) { e.edit = edit }

// Append sends raw octets behind the response, in the same segment: after the OK
// of STARTTLS they are an injection.
func (e *IMAPEvent) Append(octets []byte) { e.extra = octets }

// After calls f when the response has been sent, before the next command is read.
func (e *IMAPEvent) After(f func()) { e.after = f }

// Pretend answers as if the command had been carried out: STORE, EXPUNGE, COPY,
// MOVE, APPEND, CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE change nothing.
func (e *IMAPEvent) Pretend() { e.pretended = true }

// Mute carries the command out and sends no response.
func (e *IMAPEvent) Mute() { e.mute = true }

// Delay waits before the response.
func (e *IMAPEvent) Delay(d time.Duration) { e.delay = d }

// Cut ends the connection in good order (FIN, but no TLS close) after n octets
// of the response; 0 is before it, and a number beyond its end is at its end.
func (e *IMAPEvent) Cut(n int64) { e.cut, e.reset = n, false }

// Reset is Cut with a TCP reset, which may also destroy octets on their way.
func (e *IMAPEvent) Reset(n int64) { e.cut, e.reset = n, true }

// Stall goes silent after n octets of the response for d, then goes on; d 0
// is until the session ends. The server reads on until its buffer is full.
func (e *IMAPEvent) Stall(n int64, d time.Duration) { e.stall, e.stallFor = n, d }

// spoiled says whether the response is cut or held somewhere.
func (e *IMAPEvent) spoiled() bool { return e.cut >= 0 || e.stall >= 0 }
