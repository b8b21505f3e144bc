package daemon

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"postrider/auth"
	"postrider/configs"
	"postrider/fetch"
	"postrider/remote"
)

// Check is what trying an account online has shown.
type Check struct {
	Account   string
	Server    string         // host:port
	Messages  int            // on the server, in the mailboxes that are fetched
	Mailboxes []remote.Shown // for IMAP
	Sends     bool           // it is the server that mail is sent through
	Err       error
}

// CheckOnline connects to the servers of each of the named accounts, all of them
// if none is named, logs in and lists, and fetches, sends and changes nothing. It
// needs no root: it may run beside a daemon. Servers are tried beside each
// other; the answers come in the order of the accounts.
func CheckOnline(ctx context.Context, c *configs.Config, env auth.Environ, host string, accounts []string) []Check {
	var tries []func() Check
	for _, a := range c.Accounts {
		if len(accounts) > 0 && !slices.Contains(accounts, a.Name) {
			continue
		}
		switch {
		case a.POP3 != nil:
			tries = append(tries, func() Check { return checkPOP3(ctx, a, env) })
		case a.IMAP != nil:
			tries = append(tries, func() Check { return checkIMAP(ctx, a, env) })
		}
		if a.SMTP != nil {
			tries = append(tries, func() Check { return checkSMTP(ctx, a, env, host) })
		}
	}
	checks := make([]Check, len(tries))
	var wg sync.WaitGroup
	for i, try := range tries {
		wg.Go(func() { checks[i] = try() })
	}
	wg.Wait()
	return checks
}

func checkSMTP(ctx context.Context, a configs.Account, env auth.Environ, host string) Check {
	check := Check{Account: a.Name, Sends: true}
	account, err := remote.NewSMTP(a, env, host)
	if err != nil {
		check.Err = err
		return check
	}
	check.Server = account.Address()
	session, err := account.Dial(ctx)
	if err != nil {
		check.Err = err
		return check
	}
	session.Close()
	return check
}

func checkPOP3(ctx context.Context, a configs.Account, env auth.Environ) Check {
	check := Check{Account: a.Name}
	account, err := remote.NewPOP3(a, env, noMemory{})
	if err != nil {
		check.Err = err
		return check
	}
	check.Server = account.Address()
	src, err := account.Dial(ctx)
	if err != nil {
		check.Err = err
		return check
	}
	_, check.Err = src.List(ctx, fetch.Mark{}, func(fetch.Item) error {
		check.Messages++
		return nil
	})
	if check.Err != nil {
		src.Abort()
		return check
	}
	check.Err = src.Close(ctx)
	return check
}

func checkIMAP(ctx context.Context, a configs.Account, env auth.Environ) Check {
	check := Check{Account: a.Name}
	account, err := remote.NewIMAP(a, env, noMemory{}, slog.New(slog.DiscardHandler))
	if err != nil {
		check.Err = err
		return check
	}
	check.Server = account.Address()
	check.Mailboxes, check.Err = account.Look(ctx)
	for _, m := range check.Mailboxes {
		check.Messages += max(m.Messages, 0)
	}
	return check
}

// noMemory is that of a caller who must not write the ledger.
type noMemory struct{}

func (noMemory) Recall() ([]byte, error) { return nil, nil }
func (noMemory) Remember([]byte) error   { return nil }
