package smtp

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

var (
	// ErrNotOffered is returned by StartTLS when the server's EHLO does not offer
	// it. Nothing was sent; the connection must not be used for a login.
	ErrNotOffered = errors.New("the server does not offer it")
	// ErrNoRecipients is the Err of a message none of whose recipients could be
	// used. Why is said for each recipient.
	ErrNoRecipients = errors.New("no recipient was accepted")
)

// dot is the Command of the reply to a whole message.
const dot = "."

// ReplyError is a 4yz or 5yz reply. The session goes on after it, except after
// a 421.
type ReplyError struct {
	// Command is the verb, never its arguments: empty for the greeting, "." for
	// what the server said to the message itself.
	Command string
	Reply
}

// Error returns the server's words with control characters escaped.
func (e *ReplyError) Error() string {
	what := e.Command
	switch e.Command {
	case "":
		what = "the session"
	case dot:
		what = "the message"
	}
	return "server refused " + what + ": " + e.Reply.String()
}

// Permanent reports that trying the same again is of no use: a 5yz. There are two
// exceptions. A 552 to RCPT may mean too many recipients, and RFC 5321 section
// 4.5.3.1.10 wants it taken for a 452. And a server that wants a login before it
// talks about the message has said nothing about the message: see LoginRefused.
func (e *ReplyError) Permanent() bool {
	switch {
	case e.Command == "RCPT" && e.Code == 552:
		return false
	case e.Command != "AUTH" && e.loginCode():
		return false
	}
	return e.Code >= 500
}

// LoginRefused reports that the account is at fault, rather than the moment or
// the message: a 5yz to AUTH, or a code of RFC 4954 section 6 to any other
// command. It is no use, and may lock the account, to try again by itself.
func (e *ReplyError) LoginRefused() bool {
	return e.Command == "AUTH" && e.Code >= 500 || e.loginCode()
}

// Policy reports, of a login refusal, that another password would not help: the
// server wants another mechanism, a login or TLS where there was none (530, 534,
// 538), or the account may not submit at all, which Microsoft says in a 535.
func (e *ReplyError) Policy() bool {
	switch e.Code {
	case 530, 534, 538:
		return true
	}
	return e.LoginRefused() && strings.Contains(strings.ToLower(e.Text), "disabled")
}

func (e *ReplyError) loginCode() bool {
	switch e.Code {
	case 530, 534, 535, 538:
		return true
	}
	return false
}

// MailError says why a message, or one of its recipients, cannot be sent by this
// session, as found out before the server was asked. It is permanent.
type MailError struct {
	What   string // "recipient <a b@example.org>"; not escaped
	Detail string
}

func (e *MailError) Error() string { return printable(e.What) + ": " + e.Detail }

// Permanent returns true.
func (e *MailError) Permanent() bool { return true }

// ProtocolError is an answer that SMTP does not allow where it came. The session
// is over, since what follows cannot be assigned to a command any more. It is
// temporary: the next session may go well.
type ProtocolError struct {
	Doing  string // "read reply to RCPT"
	Detail string // escaped where it quotes the server
}

func (e *ProtocolError) Error() string { return e.Doing + ": " + e.Detail }

// ConnError is a connection that failed, fell silent, or was given up because
// the context ended. The session is over. It is temporary.
type ConnError struct {
	Doing  string // "read reply to RCPT": what was awaited
	Err    error
	waited time.Duration // until a timeout
}

func (e *ConnError) Error() string {
	if e.waited > 0 {
		return fmt.Sprintf("%s: timeout after %v", e.Doing, e.waited)
	}
	return e.Doing + ": " + e.Err.Error()
}

// Unwrap returns the cause: the context's error, io.ErrUnexpectedEOF, an error of
// package net, or one of crypto/tls.
func (e *ConnError) Unwrap() error { return e.Err }

// Timeout reports that Options.Timeout or DotTimeout was over.
func (e *ConnError) Timeout() bool { return e.waited > 0 }

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

func awaiting(verb string) string {
	switch verb {
	case "":
		return "read the greeting"
	case dot:
		return "read reply to the message"
	}
	return "read reply to " + verb
}

func sending(verb string) string {
	if verb == dot {
		return "send the message"
	}
	return "send " + verb
}
