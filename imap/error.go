package imap

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

var (
	// ErrAhead is returned when a call does not fit what Ahead has sent, or the
	// server did not answer in order. The session is over; the next one should go
	// one step at a time.
	ErrAhead = errors.New("commands sent ahead do not fit the session")
	// ErrSkip is returned by a Receiver or its writer to have the rest of the
	// message read and thrown away. Fetch then goes on with the next one.
	ErrSkip = errors.New("skip this message")
	// ErrTooLarge ends a message that is longer than Options.MaxLiteral, and the
	// session with it.
	ErrTooLarge = errors.New("message larger than the limit")
	// ErrNoBody says that the server answered for a message with NIL, or with
	// nothing where it did not announce nothing. It was not fetched.
	ErrNoBody = errors.New("the server sent no message text")
	// ErrMissing says that the server finished a FETCH without the message.
	ErrMissing = errors.New("the server did not send the message")
	// ErrUnasked ends a message whose UID came after its text and turned out to
	// be none of those that are awaited.
	ErrUnasked = errors.New("the server sent a message that is not awaited")
	// ErrLoginDisabled says that the server announced LOGINDISABLED.
	ErrLoginDisabled = errors.New("the server does not allow LOGIN on this connection")
	// ErrIdleEnded says that the server ended IDLE of its own accord. To idle again
	// at once may be to turn in circles.
	ErrIdleEnded = errors.New("the server ended IDLE by itself")
)

// unsupported says which capability a command would need. It is
// errors.ErrUnsupported, and nothing has been sent.
func unsupported(verb, capability string) error {
	return fmt.Errorf("send %s: the server does not offer %s: %w", verb, capability, errors.ErrUnsupported)
}

// ResponseError is a NO, a BAD or a BYE. The session goes on after the first two.
type ResponseError struct {
	Command string // the verb, never its arguments; empty for the greeting
	Status  string // NO, BAD or BYE
	Code    string // response code in upper case, or empty
	Text    string // what the server said, without the code; not escaped; at most 1 KiB
}

// Error returns the server's words with control characters escaped.
func (e *ResponseError) Error() string {
	var b strings.Builder
	switch {
	case e.Status == "BYE" && e.Command != "":
		b.WriteString("server ended the session during " + e.Command)
	case e.Command == "":
		b.WriteString("server refused the session")
	case e.Status == "BAD":
		b.WriteString("server did not understand " + e.Command)
	default:
		b.WriteString("server refused " + e.Command)
	}
	switch {
	case e.Code != "":
		b.WriteString(": [" + printable(e.Code) + "] " + printable(e.Text))
	case e.Text != "":
		b.WriteString(": " + printable(e.Text))
	}
	return strings.TrimRight(b.String(), " ")
}

// Permanent reports that trying the same again is of no use (RFC 5530 section 3).
func (e *ResponseError) Permanent() bool {
	switch e.Code {
	case "AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED", "NOPERM",
		"NONEXISTENT", "CANNOT", "TOOBIG":
		return true
	}
	return false
}

// LoginRefused reports that the server rejected the credentials rather than the
// moment: it said so, or gave a login no reason that lies in the server.
func (e *ResponseError) LoginRefused() bool {
	switch e.Code {
	case "AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED":
		return true
	}
	if e.Command != "LOGIN" && e.Command != "AUTHENTICATE" || e.Status != "NO" {
		return false
	}
	return !e.circumstance()
}

// circumstance reports a refusal that lies in the state of the server. Gmail and
// Microsoft have words for it and no code.
func (e *ResponseError) circumstance() bool {
	switch e.Code {
	case "UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG", "CONTACTADMIN":
		return true
	}
	text := strings.ToLower(e.Text)
	return strings.Contains(text, "too many") || strings.Contains(text, "throttled") || strings.Contains(text, "try again")
}

// Backoff returns the time that Microsoft's servers want to be left alone, if
// they said so.
func (e *ResponseError) Backoff() (time.Duration, bool) {
	_, after, ok := strings.Cut(e.Text, "Suggested Backoff Time:")
	if !ok {
		return 0, false
	}
	digits, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return 0, false
	}
	return time.Duration(n) * time.Millisecond, true
}

// ProtocolError is an answer that cannot be assigned, read or trusted. The session
// is over. It is temporary: the next session may go well.
type ProtocolError struct {
	Doing  string // "read response to SELECT"
	Detail string // escaped where it quotes the server
}

func (e *ProtocolError) Error() string { return e.Doing + ": " + e.Detail }

// ConnError is a connection that failed, fell silent, or was given up because
// the context ended. The session is over. It is temporary.
type ConnError struct {
	Doing   string // "read response to SELECT": what was awaited
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
