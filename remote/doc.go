// Package remote is the accounts' side of the line: it dials, begins TLS, logs in,
// and shows package fetch a session with a mailbox as a Source, whatever
// protocol it speaks. What is done with a message is not decided here.
package remote

// Memory keeps what a server has shown, between sessions and runs. It may
// forget: everything can be found out again.
type Memory interface {
	Recall() ([]byte, error)
	Remember([]byte) error
}
