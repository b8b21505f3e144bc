package daemon

import (
	"context"
	"errors"
	"fmt"

	"postrider/configs"
	"postrider/ledger"
	"postrider/maildir"
	"postrider/outbox"
	"postrider/remote"
)

// ErrNoOutbox says that the configuration switches the outbox off.
var ErrNoOutbox = errors.New("the configuration says outbox: off")

// Sending is an opened root and the outbox that is sent from.
type Sending struct {
	root     *ledger.Root
	Outbox   *outbox.Outbox
	accounts map[string]*remote.SMTP
	broken   map[string]error // accounts that could not be prepared
}

// Rules returns how messages become items of the queue.
func Rules(c *configs.Config, host string) outbox.Rules {
	r := outbox.Rules{Host: host, RetryFor: c.Outbox.RetryFor, Hold: c.Outbox.Hold}
	for _, a := range c.Accounts {
		if a.SMTP == nil {
			continue
		}
		account := outbox.Account{Routed: outbox.Routed{Name: a.Name, Address: a.Address, Aliases: a.Aliases}, Inbox: inboxOf(a)}
		if a.SMTP.Sent != "" {
			account.Sent = deliverTo(a.SMTP.Sent, a.Name, "Sent")
		}
		r.Accounts = append(r.Accounts, account)
	}
	return r
}

// inboxOf is the folder below the root that gets an account's inbox.
func inboxOf(a configs.Account) string {
	switch {
	case a.IMAP != nil:
		return deliverTo(a.IMAP.DeliverTo, a.Name, "INBOX")
	case a.POP3 != nil:
		return deliverTo(a.POP3.DeliverTo, a.Name, "INBOX")
	}
	return deliverTo("{account}/{folder}", a.Name, "INBOX")
}

// OpenSending locks and opens the root and the outbox; recovery is done when it
// returns, and no network was used.
func OpenSending(o Options) (*Sending, error) {
	if o.Config.Outbox.Off {
		return nil, ErrNoOutbox
	}
	root, err := openRoot(o)
	if err != nil {
		return nil, err
	}
	s := &Sending{root: root, accounts: map[string]*remote.SMTP{}, broken: map[string]error{}}
	for _, a := range o.Config.Accounts {
		if a.SMTP == nil {
			continue
		}
		account, err := remote.NewSMTP(a, o.Environ, o.Hostname)
		if err != nil {
			s.broken[a.Name] = err
			continue
		}
		s.accounts[a.Name] = account
	}
	s.Outbox, err = outbox.Open(outbox.Options{
		Dir: o.Config.Outbox.Path, Rules: Rules(o.Config, o.Hostname), Resend: o.Config.Outbox.Uncertain == "resend",
		Root: root, Names: maildir.NewNamer(o.Hostname), Syncer: maildir.NewSyncer(syncsAtOnce), Log: o.Log,
	})
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return s, nil
}

// Pass takes what is in the outbox and tries to send all that is due. It calls
// each with the report of every account for which something was.
func (s *Sending) Pass(ctx context.Context, patience bool, each func(outbox.Report)) (outbox.Picked, error) {
	return s.Outbox.Pass(ctx, patience, s.dial, each)
}

func (s *Sending) dial(ctx context.Context, name string) (outbox.Session, error) {
	if err := s.broken[name]; err != nil {
		return nil, err
	}
	account, ok := s.accounts[name]
	if !ok {
		return nil, fmt.Errorf("account %q has no smtp any more: its messages stay in the queue (postrider queue cancel takes one out)", name)
	}
	return account.Dial(ctx)
}

// Close gives root and outbox back.
func (s *Sending) Close() error { return errors.Join(s.Outbox.Close(), s.root.Close()) }
