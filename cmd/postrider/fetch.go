package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postrider/auth"
	"postrider/daemon"
	"postrider/fetch"
)

func (p *program) fetch() *cobra.Command {
	var newRoot, quiet bool
	c := &cobra.Command{
		Use:   "fetch [ACCOUNT...]",
		Short: "Fetch new mail once, then exit",
		Long: `Fetch makes one pass over the named accounts, or all, beside each other: what
is new on the servers is delivered into the folders. On a terminal it shows a
bar for each account.

It ends with 0 when everything that could be fetched was; with 75 when
something is to be tried again later, such as a message that the server would
not give; 77 when a login was refused, 69 when a server could not be reached,
74 when the disk failed.`,
		ValidArgsFunction: p.accounts,
		RunE: func(c *cobra.Command, accounts []string) error {
			return p.runFetch(c, accounts, newRoot, quiet)
		},
	}
	c.Flags().BoolVar(&newRoot, "new-root", false, "accept a maildir root that has lost its state, or has that of another (what was delivered is read from the names of the messages)")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "say only what goes wrong")
	return c
}

func (p *program) runFetch(c *cobra.Command, accounts []string, newRoot, quiet bool) error {
	config, err := p.load()
	if err != nil {
		return err
	}
	state, err := daemon.StateHome(p.getenv)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	if quiet {
		config.Log.Level = max(config.Log.Level, slog.LevelWarn)
	}
	show := p.newProgress(quiet)
	engine, err := daemon.Open(daemon.Options{
		Config: config, Log: newLogger(config.Log, show.log(), p.getenv), StateHome: state,
		Environ: auth.Environ(p.environ), Hostname: host, NewRoot: newRoot, Progress: show.account,
	}, accounts)
	if err != nil {
		show.wait()
		return err
	}
	start := time.Now()
	var sum summary
	engine.Fetch(c.Context(), func(r daemon.Report) {
		show.done(r)
		sum.add(r)
	})
	show.wait()
	if !quiet {
		fmt.Fprintln(p.stdout, sum.line(time.Since(start)))
	}
	return errors.Join(sum.err(), engine.Close())
}

// summary adds up what became of the accounts.
type summary struct {
	accounts int
	total    fetch.Result
	errs     []error
	cut      []string // accounts that were under way when a signal came
}

func (s *summary) add(r daemon.Report) {
	s.accounts++
	s.total.Delivered += r.Result.Delivered
	s.total.Octets += r.Result.Octets
	s.total.Disposed += r.Result.Disposed
	s.total.TooLarge += r.Result.TooLarge
	s.total.Aside = append(s.total.Aside, r.Result.Aside...)
	var local *fetch.LocalError
	switch {
	case errors.Is(r.Err, context.Canceled) && !errors.As(r.Err, &local):
		s.cut = append(s.cut, r.Account)
	case r.Err != nil:
		s.errs = append(s.errs, ofAccount(r.Account, r.Err))
	case len(r.Result.Aside) > 0:
		s.errs = append(s.errs, asideError{r.Account, r.Result.Aside})
	}
}

// ofAccount names the account in an error, or in each of several, of which each is
// a line.
func ofAccount(account string, err error) error {
	all, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return fmt.Errorf("account %s: %w", account, err)
	}
	var errs []error
	for _, one := range all.Unwrap() {
		errs = append(errs, fmt.Errorf("account %s: %w", account, one))
	}
	return errors.Join(errs...)
}

// asideError says that messages could not be fetched and are tried again.
type asideError struct {
	account string
	aside   []fetch.Aside
}

func (e asideError) Error() string {
	first := e.aside[0]
	which := ""
	if first.UID != "" {
		which = " (" + first.UID + ")"
	}
	return fmt.Sprintf("account %s: %s could not be fetched and %s tried again later; the first%s: %v",
		e.account, count(len(e.aside), "message"), isAre(len(e.aside)), which, first.Err)
}

func (s *summary) err() error {
	errs := s.errs
	if len(s.cut) > 0 {
		errs = append(errs, cutError(slices.Sorted(slices.Values(s.cut))))
	}
	return errors.Join(errs...)
}

// cutError names the accounts that a signal has cut off.
type cutError []string

func (e cutError) Error() string {
	return "interrupted: the next fetch goes on where this one was: " + strings.Join(e, ", ")
}

func (e cutError) Unwrap() error { return context.Canceled }

func (s *summary) line(took time.Duration) string {
	text := fmt.Sprintf("%s (%s) from %s in %s", count(s.total.Delivered, "new message"), octets(s.total.Octets), count(s.accounts, "account"), took.Round(10*time.Millisecond))
	if s.total.Disposed > 0 {
		text += fmt.Sprintf(", %s removed on the server", count(s.total.Disposed, "message"))
	}
	if s.total.TooLarge > 0 {
		text += fmt.Sprintf(", %s left on the server as too large", count(s.total.TooLarge, "message"))
	}
	if n := len(s.total.Aside); n > 0 {
		text += fmt.Sprintf(", %s set aside", count(n, "message"))
	}
	if n := len(s.cut); n > 0 {
		text += fmt.Sprintf(", %s interrupted", count(n, "account"))
	}
	if len(s.errs) > 0 {
		text += fmt.Sprintf(", trouble with %s", count(len(s.errs), "account"))
	}
	return text
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func octets(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000*1000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1000*1000*1000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
