package daemon

import (
	"context"
	"log/slog"
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
	Err       error
}

// CheckOnline connects to the server that each of the named accounts receives
// from, logs in and lists, and fetches and changes nothing. It needs no root:
// it may run beside a daemon. Accounts are tried beside each other; the
// answers come in their order.
func CheckOnline(ctx context.Context, c *configs.Config, env auth.Environ, accounts []string) ([]Check, error) {
	chosen, err := choose(c, accounts)
	if err != nil {
		return nil, err
	}
	var receiving []configs.Account
	for _, a := range chosen {
		if a.POP3 != nil || a.IMAP != nil {
			receiving = append(receiving, a)
		}
	}
	checks := make([]Check, len(receiving))
	var wg sync.WaitGroup
	for i, a := range receiving {
		wg.Go(func() { checks[i] = checkAccount(ctx, a, env) })
	}
	wg.Wait()
	return checks, nil
}

func checkAccount(ctx context.Context, a configs.Account, env auth.Environ) Check {
	if a.POP3 == nil {
		return checkIMAP(ctx, a, env)
	}
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
