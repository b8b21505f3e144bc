package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"postrider/auth"
	"postrider/configs"
	"postrider/fetch"
	"postrider/ledger"
	"postrider/maildir"
)

const (
	syncsAtOnce = 16
	openFiles   = 1024 // in tmp/, over all accounts
)

// Options are what an Engine needs of the world.
type Options struct {
	Config    *configs.Config
	Log       *slog.Logger
	StateHome string       // $XDG_STATE_HOME
	Environ   auth.Environ // for password commands and credentials
	Hostname  string
	NewRoot   bool                                // take a root that has lost its state for a new one
	Progress  func(account string) fetch.Progress // may be nil
}

// Engine is an opened root and the accounts that are fetched into it.
type Engine struct {
	options Options
	shared  fetch.Shared
	jobs    []job
}

// job fetches what one account wants.
type job interface {
	pass(context.Context) Report
	close() error
}

// Open locks and opens the root and prepares the named accounts, all of them
// if none is named; recovery is done when it returns, and no network was used.
// An account that cannot be prepared keeps none of the others from running.
func Open(o Options, accounts []string) (*Engine, error) {
	chosen, err := choose(o.Config, accounts)
	if err != nil {
		return nil, err
	}
	root, err := openRoot(o)
	if err != nil {
		return nil, err
	}
	e := &Engine{options: o, shared: fetch.Shared{
		Root: root, Names: maildir.NewNamer(o.Hostname), Syncer: maildir.NewSyncer(syncsAtOnce), Slots: make(chan struct{}, min(openFiles, descriptors()/4)),
	}}
	for _, a := range chosen {
		if j, err := e.newJob(a); err != nil {
			e.jobs = append(e.jobs, &brokenJob{a.Name, err})
		} else if j != nil {
			e.jobs = append(e.jobs, j)
		}
	}
	return e, nil
}

// openRoot locks and opens the root.
func openRoot(o Options) (*ledger.Root, error) {
	root, err := ledger.OpenRoot(o.Config.Maildir, ledger.RootOptions{
		Identities: filepath.Join(o.StateHome, "postrider", "roots"), Accept: o.NewRoot, Keys: maildir.Keys,
	})
	if err == nil && root.Rebuilt > 0 {
		o.Log.Warn("the ledger was rebuilt from the names of delivered messages", "messages", root.Rebuilt)
	}
	return root, err
}

// newJob returns nil for an account that receives nothing.
func (e *Engine) newJob(a configs.Account) (job, error) {
	switch {
	case a.POP3 != nil:
		return e.newPOP3Job(a)
	case a.IMAP != nil:
		return e.newIMAPJob(a)
	}
	return nil, nil
}

// brokenJob is an account that could not be prepared.
type brokenJob struct {
	account string
	err     error
}

func (j *brokenJob) pass(context.Context) Report { return Report{Account: j.account, Err: j.err} }
func (j *brokenJob) close() error                { return nil }

// descriptors is how many files the process may have open.
func descriptors() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return openFiles
	}
	return int(min(max(limit.Cur, 64), 1<<20))
}

// UnknownAccountError names an account that the configuration does not have,
// or one that receives nothing.
type UnknownAccountError struct{ Name, Problem string }

func (e *UnknownAccountError) Error() string { return fmt.Sprintf("account %q %s", e.Name, e.Problem) }

func choose(c *configs.Config, names []string) ([]configs.Account, error) {
	if len(names) == 0 {
		return c.Accounts, nil
	}
	var chosen []configs.Account
	taken := map[string]bool{}
	for _, name := range names {
		found := false
		for _, a := range c.Accounts {
			if a.Name != name {
				continue
			}
			found = true
			if a.POP3 == nil && a.IMAP == nil {
				return nil, &UnknownAccountError{name, "has neither imap nor pop3: there is nothing to fetch"}
			}
			if !taken[name] {
				chosen = append(chosen, a)
			}
			taken[name] = true
		}
		if !found {
			return nil, &UnknownAccountError{name, "is not in " + c.File}
		}
	}
	return chosen, nil
}

func disposal(d configs.Disposal) fetch.Disposal {
	action := map[configs.Action]fetch.Action{configs.Delete: fetch.Remove, configs.Seen: fetch.MarkSeen, configs.Move: fetch.Move}[d.Action]
	return fetch.Disposal{Action: action, After: d.After}
}

func deliverTo(pattern, account, folder string) string {
	return filepath.FromSlash(strings.NewReplacer("{account}", account, "{folder}", folder).Replace(pattern))
}

// ledgerMemory is a remote.Memory: it keeps a fact about a server in the ledger.
type ledgerMemory struct {
	ledger *ledger.Ledger
	name   string
}

func (m ledgerMemory) Recall() ([]byte, error) { return m.ledger.Memory(m.name) }

func (m ledgerMemory) Remember(value []byte) error {
	if err := m.ledger.Commit(func(t *ledger.Tx) error { return t.Remember(m.name, value) }); err != nil {
		return &fetch.LocalError{Err: err}
	}
	return nil
}

// Report is what became of one account in one pass.
type Report struct {
	Account string
	Result  fetch.Result
	Err     error
	Took    time.Duration
}

// Fetch makes one pass over every account, all beside each other, and calls
// each with the report of every one as it ends, from one goroutine at a time.
func (e *Engine) Fetch(ctx context.Context, each func(Report)) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, j := range e.jobs {
		wg.Go(func() {
			r := j.pass(ctx)
			mu.Lock()
			defer mu.Unlock()
			each(r)
		})
	}
	wg.Wait()
}

// Close ends the engine after Fetch has returned.
func (e *Engine) Close() error {
	var errs []error
	for _, j := range e.jobs {
		errs = append(errs, j.close())
	}
	return errors.Join(append(errs, e.shared.Root.Close())...)
}

// StateHome returns the directory for state that is not in the root:
// $XDG_STATE_HOME, or ~/.local/state.
func StateHome(getenv func(string) string) (string, error) {
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return dir, nil
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state"), nil
	}
	if home, err := os.UserHomeDir(); err == nil && filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state"), nil
	}
	return "", errors.New("find state directory: neither XDG_STATE_HOME nor HOME is set to an absolute path")
}
