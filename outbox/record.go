package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"postrider/maildir"
)

// Record is the file envelope of an item: who gets the message, from whom, and
// what has become of that.
type Record struct {
	Version int    `json:"version"`
	Name    string `json:"name,omitempty"` // of the file in the outbox; empty: it came by sendmail

	Account string      `json:"account"`
	From    string      `json:"from"` // empty: the null sender
	To      []Recipient `json:"to"`
	UTF8    bool        `json:"utf8,omitempty"`      // an address needs SMTPUTF8 (RFC 6531)
	Eight   bool        `json:"eight_bit,omitempty"` // there are octets over 127
	Wire    int64       `json:"wire"`                // octets as sent, before dots are stuffed
	Return  string      `json:"return,omitempty"`    // RET of RFC 3461: FULL, HDRS or nothing
	EnvID   string      `json:"envid,omitempty"`     // ENVID of RFC 3461

	// Add are the fields that the message lacks, each with its line end. They are
	// fixed here, so that every attempt sends the same octets.
	Add       string   `json:"add,omitempty"`
	MessageID string   `json:"message_id"`
	Subject   string   `json:"subject,omitempty"` // for lists, as it is in the header
	Octets    int64    `json:"octets"`            // of the file message
	Sum       [32]byte `json:"sum"`               // its SHA-256

	Received time.Time `json:"received"`
	Expires  time.Time `json:"expires"`
	Next     time.Time `json:"next,omitzero"`  // not before; zero: at once
	Hold     string    `json:"hold,omitempty"` // why it is held
	Attempts int       `json:"attempts,omitempty"`
	Last     string    `json:"last,omitempty"`  // what came of the last attempt
	Filed    bool      `json:"filed,omitempty"` // the copy is in the sent folder
}

// Recipient is one address of an envelope and its outcome.
type Recipient struct {
	Address  string  `json:"address"`
	Notify   string  `json:"notify,omitempty"`   // NOTIFY of RFC 3461
	Original string  `json:"original,omitempty"` // ORCPT of RFC 3461, if it is another one
	Outcome  Outcome `json:"outcome,omitempty"`
	Reply    string  `json:"reply,omitempty"` // the server's last one

	Reported bool `json:"reported,omitempty"` // the user has a report on it
}

// Outcome is what became of one recipient.
type Outcome string

const (
	Waiting Outcome = ""
	Sent    Outcome = "sent"
	Failed  Outcome = "failed"
)

const recordVersion = 1

// waiting returns the indices of the recipients that are not settled.
func (r *Record) waiting() (at []int) {
	for i := range r.To {
		if r.To[i].Outcome == Waiting {
			at = append(at, i)
		}
	}
	return at
}

// CorruptError says that an item is not what it was when it was queued.
type CorruptError struct {
	ID  string
	Err error
}

func (e *CorruptError) Error() string {
	return "message " + e.ID + " in the spool is damaged: " + e.Err.Error()
}
func (e *CorruptError) Unwrap() error { return e.Err }

// read returns the record of an item.
func (s *Spool) read(state State, id string) (*Record, error) {
	text, err := os.ReadFile(s.path(state, id, recordName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &CorruptError{id, errors.New("it has no envelope")}
	}
	if err != nil {
		return nil, fmt.Errorf("read spool: %w", err)
	}
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, &CorruptError{id, fmt.Errorf("read its envelope: %w", err)}
	}
	if r.Version != recordVersion {
		return nil, &CorruptError{id, fmt.Errorf("its envelope is of layout %d, this postrider knows layout %d", r.Version, recordVersion)}
	}
	return &r, nil
}

// write puts the record of an item on disk in place of the one before.
func (s *Spool) write(state State, id string, r *Record) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("encode envelope: %w", err)
	}
	path := s.path(state, id, recordName)
	if err = writeOver(path+".new", append(text, '\n')); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = maildir.SyncDir(s.path(state, id))
	}
	if err != nil {
		return fmt.Errorf("write envelope: %w", err)
	}
	return nil
}
