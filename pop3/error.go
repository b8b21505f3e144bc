package pop3

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

var (
	// ErrAhead is returned when a call does not fit what Ahead has sent, or the
	// server did not take it as it was meant. The session is over; what was
	// known about the server should be forgotten.
	ErrAhead = errors.New("commands sent ahead do not fit the session")
	// ErrSkip is returned by a Receiver or its writer to have the rest of the
	// message read and thrown away. Retrieve then goes on with the next one.
	ErrSkip = errors.New("skip this message")
	// ErrTooLarge ends a message that is longer than Options.MaxMessage, and
	// the session with it.
	ErrTooLarge = errors.New("message larger than the limit")
)

// ReplyError is a -ERR reply. The session goes on after it.
type ReplyError struct {
	Command string // the verb, never its arguments; empty for the greeting
	Code    string // response code in upper case (RFC 2449 section 8), or empty
	Text    string // what the server said, without the code; not escaped; at most 1 KiB
}

// Error returns the server's words with control characters escaped.
func (e *ReplyError) Error() string {
	var b strings.Builder
	b.WriteString("server refused ")
	if e.Command == "" {
		b.WriteString("the session")
	} else {
		b.WriteString(e.Command)
	}
	switch {
	case e.Code != "":
		b.WriteString(": [" + printable(e.Code) + "] " + printable(e.Text))
	case e.Text != "":
		b.WriteString(": " + printable(e.Text))
	}
	return strings.TrimRight(b.String(), " ")
}

// Permanent reports that trying the same again is of no use: SYS/PERM, and
// AUTH, which says that the credentials are wrong (RFC 3206).
func (e *ReplyError) Permanent() bool { return e.is("SYS/PERM") || e.is("AUTH") }

// LoginRefused reports that the server rejected the credentials rather than the
// moment: it said so (AUTH), or gave a login no reason that lies in the server.
func (e *ReplyError) LoginRefused() bool {
	if e.is("AUTH") {
		return true
	}
	switch e.Command {
	case "USER", "PASS", "AUTH", "APOP":
		return !e.circumstance()
	}
	return false
}

// circumstance reports a code that lays the refusal on the state of the server.
func (e *ReplyError) circumstance() bool {
	return e.is("IN-USE") || e.is("LOGIN-DELAY") || e.is("SYS")
}

// is compares the code by its levels: SYS/TEMP/DISK is SYS/TEMP.
func (e *ReplyError) is(code string) bool {
	return e.Code == code || strings.HasPrefix(e.Code, code+"/")
}

// ProtocolError is an answer that POP3 does not allow where it came. The session
// is over, since what follows cannot be assigned to a command any more. It is
// temporary: the next session may go well.
type ProtocolError struct {
	Doing  string // "read reply to RETR"
	Detail string // escaped where it quotes the server
}

func (e *ProtocolError) Error() string { return e.Doing + ": " + e.Detail }

// ConnError is a connection that failed, fell silent, or was given up because
// the context ended. The session is over. It is temporary.
type ConnError struct {
	Doing   string // "read reply to RETR": what was awaited
	Err     error
	silence time.Duration // of a timeout
}

func (e *ConnError) Error() string {
	if e.silence > 0 {
		return fmt.Sprintf("%s: timeout after %v of silence", e.Doing, e.silence)
	}
	return e.Doing + ": " + e.Err.Error()
}

// Unwrap returns the cause: the context's error, io.ErrUnexpectedEOF, an error of
// package net, or one of crypto/tls.
func (e *ConnError) Unwrap() error { return e.Err }

// Timeout reports that the server was silent for Options.Timeout.
func (e *ConnError) Timeout() bool { return e.silence > 0 }

// printable escapes all of s that a terminal might obey: control characters,
// marks that turn the direction of writing, and what is not UTF-8.
func printable(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		s = s[n:]
	}
	return b.String()
}
