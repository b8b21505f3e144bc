package smtp

import "context"

// Queue gives messages to Send and learns what became of them. Its methods are
// called from Send's goroutine, one at a time.
type Queue interface {
	// Next returns the next message, or nil if there is none now. It should not
	// wait: with PIPELINING it is asked while a message is on its way, just before
	// its Dot, so that one durable commit may serve both.
	Next(ctx context.Context) *Mail
	// Dot is called when the server has all of a message but the final dot, before
	// which it must not accept it. To has an error for each recipient that was
	// refused, and nil for each that will get the message; it must not be changed.
	// What has to be durable before the message may be accepted is made so here.
	// An error ends the session without the dot: the message is Unsent.
	//
	// The text is on the way meanwhile, and the dot follows at once.
	Dot(ctx context.Context, m *Mail, to []error) error
	// Done tells the outcome, once for each message that Next has returned. An error
	// ends the session; it changes nothing in the outcome. The server waits while
	// Done runs: it may leave what can wait to the next message's Dot.
	Done(m *Mail, o Outcome) error
}

// Fate says whether the server has a message.
type Fate int

const (
	Unsent    Fate = iota // the server has not accepted it, and never will: it may be tried again
	Sent                  // the server has accepted it for the recipients without an error
	Uncertain             // the dot was given away, and no reply came: both may be true
)

// String is "unsent", "sent" or "uncertain".
func (f Fate) String() string {
	switch f {
	case Sent:
		return "sent"
	case Uncertain:
		return "uncertain"
	}
	return "unsent"
}

// Outcome is what became of a message.
type Outcome struct {
	Fate Fate
	// Reply is the server's to the message, if it was Sent.
	Reply Reply
	// Err says why it was not Sent. Whether it was the server's judgement on the
	// message, and a final one, its Permanent says: a failure of the session never
	// is.
	Err error
	// To has one entry for each of Mail.To: nil if the message was Sent to it, its
	// own refusal, a *ReplyError or *MailError, or else Err.
	To []error
}

// sessionError is the failure of a session, as one of its messages sees it: even
// if the server has closed it for good, nothing is said about the message.
type sessionError struct{ error }

func (e sessionError) Unwrap() error { return e.error }

// Permanent hides that of the cause.
func (sessionError) Permanent() bool { return false }

// LoginRefused shows the cause's, since errors.As stops here as well.
func (e sessionError) LoginRefused() bool {
	refused, ok := e.error.(interface{ LoginRefused() bool })
	return ok && refused.LoginRefused()
}
