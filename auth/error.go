package auth

import (
	"errors"
	"fmt"
	"strconv"
)

// Error is every failure of this package: what was tried, and why it did not
// work. It never holds a secret, and text from a server stands in it quoted.
type Error struct {
	Op  string // what was tried, e.g. "read password file /etc/mail.pw"
	Err error  // why it failed

	permanent bool
}

// Error reads as "what: why".
func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Permanent reports whether trying again is useless until the user or the
// server's operator has changed something.
func (e *Error) Permanent() bool { return e.permanent }

// refused is a failure that stays until somebody changes something.
func refused(op, format string, args ...any) error {
	return &Error{Op: op, Err: fmt.Errorf(format, args...), permanent: true}
}

// failed is a failure that may pass by itself.
func failed(op string, err error) error { return &Error{Op: op, Err: err} }

// malformed is a challenge that the mechanism cannot mean.
func malformed(mechanism, format string, args ...any) error {
	return failed("read "+mechanism+" challenge", fmt.Errorf(format, args...))
}

// quote makes text from a server fit for a terminal and a log: ASCII only,
// escaped, and not longer than a line.
func quote(text string) string {
	const most = 120
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strconv.QuoteToASCII(text)
}

// secret hides a string from fmt, slog and encoding/json, which print a
// function as an address or not at all, however deep it lies in a struct.
type secret func() string

func hide(text string) secret { return func() string { return text } }

// Causes; none repeats what it has seen.
var (
	errEmpty         = errors.New("the password is empty")
	errControl       = errors.New("the password contains a NUL, CR or LF, which no mail protocol can carry")
	errTooLong       = errors.New("more than 4096 octets, which is no password")
	errLongChallenge = errors.New("more than 65536 octets")
)
