package fetch

import (
	"context"
	"errors"
	"io"
	"time"

	"postrider/maildir"
)

// Source is one session with a remote mailbox, for one goroutine.
type Source interface {
	// List calls each for every message of the mailbox, in the server's order.
	// Where numbers last, it may leave out those that are settled by the mark.
	List(ctx context.Context, since Mark, each func(Item) error) (Listing, error)
	// Retrieve brings the wanted messages in the given order, with as many in
	// flight as the server takes. Its error is that of the session; what
	// concerns one message only goes to the Receiver.
	Retrieve(ctx context.Context, want []Request, r Receiver) error
	// Dispose does with messages on the server what the account wants to be
	// done with what was delivered. each gets the outcome of every one, ErrStays
	// if the server will list it all the same; nothing counts before Close.
	Dispose(ctx context.Context, numbers []int, each func(number int, err error)) error
	// Close ends the session in order. An error after Dispose means that the
	// messages may still be there.
	Close(ctx context.Context) error
	// Abort cuts the session: nothing that was disposed of counts.
	Abort()
}

// Counter is a Source that can tell cheaply which messages there are. Its
// numbers last.
type Counter interface {
	Source
	Count(ctx context.Context) (Count, error)
}

// Count is the numbers of all messages in a mailbox.
type Count struct {
	Epoch    uint32
	Numbers  Numbers
	Complete bool // no other message is there
}

// Item is one message in a remote mailbox.
type Item struct {
	Number int    // names the message within the session, from 1
	UID    []byte // the server's lasting identifier; empty if it gave none; valid during the call
	Octets int64  // announced size, -1 if unknown

	Epoch uint32 // in which the number lasts, in place of an identifier; 0: it does not
	Flags maildir.Flags
	Date  time.Time // of arrival at the server; zero if it does not say
	Twin  uint64    // the same in every mailbox of the server that has the message; 0: the server has no such number
}

// Listing says how far a list can be relied on. What follows Complete is for
// mailboxes whose numbers last.
type Listing struct {
	// Complete: everything that the server has was listed. Only then does the
	// absence of a message mean that it is gone.
	Complete bool

	Epoch  uint32 // 0: the numbers of this session mean nothing in another
	Next   uint32 // higher than every number that was listed now or before
	Told   uint32
	ModSeq uint64
	Gone   Numbers // messages that were there when the mark was set
}

// Request is a message to retrieve.
type Request struct {
	Number int
	Octets int64 // announced size, -1 if unknown
}

// Receiver takes what Retrieve brings, one message after the other, in any
// order. The message is want[i].
type Receiver interface {
	// Begin is called when the message begins; its octets, lines ended by
	// CRLF, go to the writer. With -1, only End will say which one it is.
	Begin(i int) (io.Writer, error)
	// End is called when all octets came (nil), or when the message is not
	// fetched. Without a Begin before, the server refused it. With -1, what came
	// was none of those that are wanted. An error of Begin or End ends Retrieve.
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
	// ErrGone says that a message went from the server before it could be fetched.
	ErrGone = errors.New("it has gone from the server")
	// ErrStays says that the server was told all that it can be told, and will go on
	// listing the message.
	ErrStays = errors.New("it stays in the list of the server")
	// ErrTooLarge says that a message is larger than the account allows.
	ErrTooLarge = errors.New("larger than max_size")
)

// LocalError is a failure on this side: the disk or the ledger. It ends the
// pass of the account, and says nothing about the server.
type LocalError struct{ Err error }

func (e *LocalError) Error() string { return e.Err.Error() }
func (e *LocalError) Unwrap() error { return e.Err }
