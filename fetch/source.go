package fetch

import (
	"context"
	"errors"
	"io"
)

// Source is one session with a remote mailbox. One goroutine uses it; Abort
// may be called from any.
type Source interface {
	// List calls each for every message of the mailbox, in the server's order.
	List(ctx context.Context, each func(Item) error) (Listing, error)
	// Retrieve brings the wanted messages in the given order, with as many in
	// flight as the server takes. Its error is that of the session; what
	// concerns one message only goes to the Receiver.
	Retrieve(ctx context.Context, want []Request, r Receiver) error
	// Dispose tells the server to remove messages. each gets the outcome of
	// every one; nothing counts before Close.
	Dispose(ctx context.Context, numbers []int, each func(number int, err error)) error
	// Close ends the session in order. An error after Dispose means that the
	// messages may still be there.
	Close(ctx context.Context) error
	// Abort cuts the session: nothing that was disposed of counts.
	Abort()
}

// Item is one message in a remote mailbox.
type Item struct {
	Number int    // names the message within the session, from 1
	UID    []byte // the server's lasting identifier; empty if it gave none; valid during the call
	Octets int64  // announced size, -1 if unknown
}

// Listing says how far a list can be relied on.
type Listing struct {
	// Complete: everything that the server has was listed. Only then does the
	// absence of a message mean that it is gone.
	Complete bool
}

// Request is a message to retrieve.
type Request struct {
	Number int
	Octets int64 // announced size, -1 if unknown
}

// Receiver takes what Retrieve brings. The message is want[i].
type Receiver interface {
	// Begin is called when the message begins; its octets, lines ended by
	// CRLF, go to the writer.
	Begin(i int) (io.Writer, error)
	// End is called when all octets came (nil), or when the message is not
	// fetched. Without a Begin before, the server refused it. An error of
	// Begin or End ends Retrieve.
	End(i int, err error) error
}

// Progress is told how a pass goes on. Octets and Message may be called at the
// same time; no method may wait.
type Progress interface {
	Wanted(messages int, octets int64) // what is going to be retrieved, once a session
	Octets(n int64)                    // arrived
	Message()                          // one more is done with, in whatever way
}

type noProgress struct{}

func (noProgress) Wanted(int, int64) {}
func (noProgress) Octets(int64)      {}
func (noProgress) Message()          {}

var (
	// ErrEmpty says that nothing came where the server had announced octets.
	ErrEmpty = errors.New("the server sent nothing, although it announced a size")
	// ErrTooLarge says that a message is larger than the account allows.
	ErrTooLarge = errors.New("larger than max_size")
)

// LocalError is a failure on this side: the disk or the ledger. It ends the
// pass of the account, and says nothing about the server.
type LocalError struct{ Err error }

func (e *LocalError) Error() string { return e.Err.Error() }
func (e *LocalError) Unwrap() error { return e.Err }
