package outbox

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"postrider/ledger"
	"postrider/maildir"
)

// Options are what an Outbox needs.
type Options struct {
	Dir    string // the outbox
	Rules  Rules
	Resend bool // send again what may have been accepted, with the same octets
	Root   *ledger.Root
	Names  *maildir.Namer // the one of this process
	Syncer *maildir.Syncer
	Log    *slog.Logger
}

// Outbox is an outbox with its spool, of which this process is the sender. One
// goroutine uses it at a time.
//
// A message goes this way, and each step is on disk before the next one begins:
//
//	claim      NAME becomes incoming/ID/=NAME
//	complete   message, envelope, message's own name; then active/ID
//	Attempt    the ledger: number and next time of the attempt, before dialling
//	Dot        the ledger: the server may have it, and what became of the one before
//	finish     the ledger: the outcome of each recipient
//	fileAll    the copy in the sent folder, reports: intent, rename, done
//	place      deferred/ID, uncertain/ID, failed/NAME, or nothing any more
//	forget     the ledger: nothing more is known of it
//
// What broke off is gone on with from there: by Open, and by each Pass.
type Outbox struct {
	dir    string
	files  *os.File // the directory
	spool  *Spool
	rules  Rules
	resend bool
	root   *ledger.Root
	names  *maildir.Namer
	syncer *maildir.Syncer
	log    *slog.Logger
	told   map[string]bool // files that were complained of

	failing sync.Mutex // held while a name in failed/ is chosen and taken
}

// Open locks the spool, and finishes what a crash interrupted. Nothing of it
// needs the network. What cannot be finished yet is in the log, is not sent
// meanwhile, and is tried again by each Pass.
func Open(o Options) (*Outbox, error) {
	spool, err := OpenSpool(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := spool.Lock(); err != nil {
		return nil, err
	}
	files, err := os.Open(o.Dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open outbox: %w", err), spool.Close())
	}
	b := &Outbox{
		dir: o.Dir, files: files, spool: spool, rules: o.Rules, resend: o.Resend,
		root: o.Root, names: o.Names, syncer: o.Syncer, log: o.Log, told: map[string]bool{},
	}
	if err := b.recover(time.Now()); err != nil {
		return nil, errors.Join(fmt.Errorf("recover outbox: %w", err), b.Close())
	}
	return b, nil
}

// Close gives the outbox back.
func (o *Outbox) Close() error { return errors.Join(o.files.Close(), o.spool.Close()) }
