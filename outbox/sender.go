package outbox

import (
	"context"
	"io"
)

// Dialer returns a session with the submission server of an account that is
// logged in. Its error says, by LoginRefused() bool, whether that was refused.
type Dialer func(ctx context.Context, account string) (Session, error)

// Session is one with a submission server. One goroutine uses it.
type Session interface {
	// Send sends messages until the queue has none. Every message that it was given
	// has had its Done when it returns. Its error is that of the session, which has
	// ended.
	Send(ctx context.Context, q Queue) error
	// Close ends the session. What was accepted stays so.
	Close()
}

// Queue gives messages to a Session and learns what became of them. Its methods
// are called one at a time.
type Queue interface {
	// Next returns the next message, or nil if there is none.
	Next(ctx context.Context) *Mail
	// Dot is called before the final dot of a message goes out, with which the
	// server may accept it. To has an error for each recipient that was refused. An
	// error ends the session without the dot.
	Dot(ctx context.Context, m *Mail, to []error) error
	// Done tells what became of a message that Next has returned. An error ends
	// the session.
	Done(m *Mail, r Result) error
}

// Mail is a message on its way to a server.
type Mail struct {
	From       string
	To         []Recipient
	Size       int64 // octets with CRLF; 0: unknown
	EightBit   bool
	UTF8       bool
	Return     string
	EnvelopeID string
	Text       io.Reader
}

// Fate says whether a server has a message.
type Fate int

const (
	Unsent   Fate = iota // it has not, and will not
	Accepted             // it has, for the recipients without an error
	Unknown              // the final dot was given away, and no reply came
)

// Result is what became of a message in one session.
type Result struct {
	Fate  Fate
	Reply string
	Err   error   // why it was not accepted; its Permanent() bool says whether for good
	To    []error // for each recipient; nil if it was accepted for it
}
