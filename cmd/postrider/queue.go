package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"postrider/configs"
	"postrider/daemon"
	"postrider/ledger"
	"postrider/outbox"
)

func (p *program) queue() *cobra.Command {
	c := &cobra.Command{
		Use:   "queue",
		Short: "Show and change what waits to be sent",
		Long: `Queue lists the messages that wait to be sent. An ID is the message's directory
in the outbox's spool; its beginning is enough if no other begins so.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return p.listQueue() },
	}
	c.AddCommand(&cobra.Command{
		Use: "list", Short: "List the messages that wait", Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return p.listQueue() },
	}, &cobra.Command{
		Use: "flush", Short: "Make all that was put off due now, and end pauses", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			return p.changeQueue(func(o *outbox.Outbox) error { return o.Flush() })
		},
	}, p.queueVerb("show", "Show a message: its envelope, its outcomes and its text", p.showItem))
	for _, v := range []struct {
		name, short string
		do          func(*outbox.Outbox, string) error
	}{
		{"hold", "Keep a message back until it is released", (*outbox.Outbox).Hold},
		{"release", "Let a held message go", (*outbox.Outbox).Release},
		{"retry", "Make a message due now; an uncertain one is sent again", (*outbox.Outbox).Retry},
		{"cancel", "Take a message out of the queue, into failed/", (*outbox.Outbox).Cancel},
	} {
		c.AddCommand(p.queueVerb(v.name, v.short, func(id string) error {
			return p.changeQueue(func(o *outbox.Outbox) error { return v.do(o, id) })
		}))
	}
	return c
}

// queueVerb is a verb for one message.
func (p *program) queueVerb(name, short string, do func(id string) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " ID", Short: short,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("queue %s wants one ID (postrider queue lists them)", name)}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return do(args[0]) },
	}
}

// changeQueue does something with the queue, as its only user.
func (p *program) changeQueue(change func(*outbox.Outbox) error) error {
	config, err := p.load()
	if err != nil {
		return err
	}
	s, err := p.openSending(config, false)
	if err != nil {
		return err
	}
	return errors.Join(change(s.Outbox), s.Close())
}

// items returns the queue. Where another process has the ledger, what it
// knows of attempts is missing.
func (p *program) items(config *configs.Config) ([]outbox.Item, error) {
	if config.Outbox.Off {
		return nil, daemon.ErrNoOutbox
	}
	s, err := p.openSending(config, false)
	if err == nil {
		items, err := s.Outbox.List()
		return items, errors.Join(err, s.Close())
	}
	if !errors.Is(err, ledger.ErrLocked) && !errors.Is(err, outbox.ErrLocked) {
		return nil, err
	}
	spool, err := outbox.OpenSpool(config.Outbox.Path)
	if err != nil {
		return nil, err
	}
	return spool.Items()
}

func (p *program) listQueue() error {
	config, err := p.load()
	if err != nil {
		return err
	}
	items, err := p.items(config)
	if err != nil {
		return err
	}
	if len(items) == 0 {
		fmt.Fprintln(p.stdout, "the queue is empty")
		return nil
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTATE\tACCOUNT\tSIZE\tAGE\tNEXT\tTO")
	now := time.Now()
	for _, it := range items {
		size, since := "-", "-" // its envelope cannot be read
		if !it.Received.IsZero() {
			size, since = octets(it.Octets), age(now.Sub(it.Received))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", it.ID, it.State, it.Account, size, since, nextOf(it, now), printable(recipients(it)))
		if why := whyOf(it); why != "" {
			fmt.Fprintf(w, "\t%s\t\t\t\t\t\n", printable(why))
		}
	}
	return w.Flush()
}

// recipients are those that still wait, or the first of them.
func recipients(it outbox.Item) string {
	var waiting []string
	for _, to := range it.To {
		if to.Outcome == outbox.Waiting {
			waiting = append(waiting, to.Address)
		}
	}
	if len(waiting) > 2 {
		return fmt.Sprintf("%s and %d more", waiting[0], len(waiting)-1)
	}
	return strings.Join(waiting, ", ")
}

func whyOf(it outbox.Item) string {
	switch {
	case it.Paused != "":
		return it.Paused
	case it.Hold != "":
		return it.Hold
	}
	return it.Last
}

func nextOf(it outbox.Item, now time.Time) string {
	at := it.Next
	if it.PausedUntil.After(at) {
		at = it.PausedUntil
	}
	switch {
	case it.State == outbox.Uncertain || it.State == outbox.Corrupt || it.State == outbox.Held && at.IsZero():
		return "-"
	case !at.After(now):
		return "now"
	}
	return "in " + age(at.Sub(now))
}

// age is a span in its largest unit.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func (p *program) showItem(id string) error {
	config, err := p.load()
	if err != nil {
		return err
	}
	items, err := p.items(config)
	if err != nil {
		return err
	}
	spool, err := outbox.OpenSpool(config.Outbox.Path)
	if err != nil {
		return err
	}
	found, path, err := spool.Show(id)
	if err != nil {
		return err
	}
	for _, it := range items {
		if it.ID == found.ID {
			found = it // with what the ledger knows
		}
	}
	p.showRecord(found)
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(p.stdout, f)
	return err
}

func (p *program) showRecord(it outbox.Item) {
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(p.stdout, "%-10s %s\n", key+":", printable(value))
		}
	}
	line("id", it.ID)
	line("state", string(it.State))
	line("file", it.Name)
	line("account", it.Account)
	line("from", "<"+it.From+">")
	for _, to := range it.To {
		outcome := string(to.Outcome)
		if to.Outcome == outbox.Waiting {
			outcome = "waiting"
		}
		line("to", strings.TrimSpace("<"+to.Address+"> "+outcome+" "+to.Reply))
	}
	line("received", it.Received.Format(time.RFC3339))
	line("expires", it.Expires.Format(time.RFC3339))
	if !it.Next.IsZero() {
		line("next", it.Next.Format(time.RFC3339))
	}
	line("attempts", fmt.Sprint(it.Attempts))
	line("why", whyOf(it))
	fmt.Fprintln(p.stdout)
}
