package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"postrider/auth"
	"postrider/configs"
	"postrider/daemon"
	"postrider/outbox"
)

func (p *program) send() *cobra.Command {
	var newRoot, quiet bool
	c := &cobra.Command{
		Use:   "send",
		Short: "Send what is in the outbox and the queue, then exit",
		Long: `Send takes the message files that lie in the outbox into the queue and makes
one attempt to send everything that is due. What cannot be sent now stays
queued for a later attempt.

It ends with 0 when everything that was due is sent; with 1 when a message
failed for good (it is in failed/ in the outbox, with the reason), 75 when
something waits for another attempt, 77 when a login was refused, 69 when a
server could not be reached, 74 when the disk failed.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.runSend(c.Context(), newRoot, quiet) },
	}
	c.Flags().BoolVar(&newRoot, "new-root", false, "accept a maildir root that has lost its state, or has that of another")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "say only what goes wrong")
	return c
}

// openSending opens the outbox of the configuration.
func (p *program) openSending(config *configs.Config, newRoot bool) (*daemon.Sending, error) {
	state, err := daemon.StateHome(p.getenv)
	if err != nil {
		return nil, err
	}
	return daemon.OpenSending(daemon.Options{
		Config: config, Log: newLogger(config.Log, p.stderr, p.getenv), StateHome: state,
		Environ: auth.Environ(p.environ), Hostname: hostname(), NewRoot: newRoot,
	})
}

func hostname() string {
	if host, err := os.Hostname(); err == nil {
		return host
	}
	return "localhost"
}

func (p *program) runSend(ctx context.Context, newRoot, quiet bool) error {
	config, err := p.load()
	if err != nil {
		return err
	}
	s, err := p.openSending(config, newRoot)
	if err != nil {
		return err
	}
	start := time.Now()
	var sum sendSummary
	picked, err := s.Pass(ctx, false, sum.add)
	sum.failed += picked.Refused
	if picked.Refused > 0 {
		sum.errs = append(sum.errs, failedError{picked.Refused, config.Outbox.Path})
	}
	if !quiet {
		fmt.Fprintln(p.stdout, sum.line(time.Since(start)))
	}
	if err == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return errors.Join(append(sum.errs, err, s.Close())...)
}

// sendSummary adds up what became of the accounts' messages.
type sendSummary struct {
	sent, deferred, failed, partly, uncertain, waiting int
	errs                                               []error
}

func (s *sendSummary) add(r outbox.Report) {
	s.sent += r.Sent
	s.deferred += r.Deferred
	s.failed += r.Failed
	s.partly += r.Partly
	s.uncertain += r.Uncertain
	s.waiting += r.Waiting
	if r.Err != nil {
		s.errs = append(s.errs, fmt.Errorf("account %s: %w", r.Account, r.Err))
	}
	if r.Failed > 0 {
		s.errs = append(s.errs, failedError{r.Failed, ""})
	}
	if r.Partly > 0 {
		s.errs = append(s.errs, partlyError{r.Account, r.Partly})
	}
	if n := r.Deferred + r.Uncertain; n > 0 && r.Err == nil {
		s.errs = append(s.errs, waitingError{r.Account, r.Deferred, r.Uncertain})
	}
}

// failedError says that messages will never be sent as they are.
type failedError struct {
	messages int
	outbox   string
}

func (e failedError) Error() string {
	return fmt.Sprintf("%s failed: see failed/ in the outbox", count(e.messages, "message"))
}

// partlyError says that messages were sent, but not to all their recipients.
type partlyError struct {
	account  string
	messages int
}

func (e partlyError) Error() string {
	return fmt.Sprintf("account %s: %s not sent to all recipients: see the report in the inbox", e.account, count(e.messages, "message"))
}

// waitingError says that messages wait for another attempt, or for the user.
type waitingError struct {
	account             string
	deferred, uncertain int
}

func (e waitingError) Error() string {
	text := "account " + e.account + ":"
	if e.deferred > 0 {
		text += " " + count(e.deferred, "message") + " put off (postrider queue shows why)"
	}
	if e.uncertain > 0 {
		text += " " + count(e.uncertain, "message") + " of which the server may have a copy (postrider queue shows them)"
	}
	return text
}

func (s *sendSummary) line(took time.Duration) string {
	text := fmt.Sprintf("%s sent in %s", count(s.sent, "message"), took.Round(10*time.Millisecond))
	for _, more := range []struct {
		n    int
		what string
	}{{s.deferred + s.waiting, "waiting"}, {s.failed, "failed"}, {s.partly, "not to all recipients"}, {s.uncertain, "uncertain"}} {
		if more.n > 0 {
			text += fmt.Sprintf(", %d %s", more.n, more.what)
		}
	}
	return text
}
