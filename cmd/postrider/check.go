package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"postrider/auth"
	"postrider/configs"
	"postrider/daemon"
)

func (p *program) check() *cobra.Command {
	var online bool
	c := &cobra.Command{
		Use:   "check [ACCOUNT...]",
		Short: "Check the configuration",
		Long: `Check reads the configuration and says all that is wrong with it, each with
file, line and key. With --online it also connects to the servers of each named
account, or of all, logs in, lists the mailboxes and counts the messages;
nothing is fetched or sent.`,
		ValidArgsFunction: p.accounts,
		RunE: func(c *cobra.Command, accounts []string) error {
			config, err := p.load()
			if err != nil {
				return err
			}
			for _, name := range accounts {
				if !hasAccount(config, name) {
					return usageError{fmt.Errorf("account %q is not in %s", name, config.File)}
				}
			}
			fmt.Fprintf(p.stdout, "%s is in order: %s\n", config.File, count(len(config.Accounts), "account"))
			if !online {
				return nil
			}
			return p.checkOnline(c, config, accounts)
		},
	}
	c.Flags().BoolVar(&online, "online", false, "connect and log in as well")
	return c
}

func (p *program) checkOnline(c *cobra.Command, config *configs.Config, accounts []string) error {
	var errs []error
	for _, k := range daemon.CheckOnline(c.Context(), config, auth.Environ(p.environ), hostname(), accounts) {
		switch {
		case k.Err != nil:
			errs = append(errs, fmt.Errorf("account %s: %w", k.Account, k.Err))
		case k.Sends:
			fmt.Fprintf(p.stdout, "%s: logged in at %s to send\n", k.Account, k.Server)
		default:
			fmt.Fprintf(p.stdout, "%s: logged in at %s, %s there\n", k.Account, k.Server, count(k.Messages, "message"))
		}
		for _, m := range k.Mailboxes {
			switch {
			case m.Left != "":
				fmt.Fprintf(p.stdout, "  %s: not fetched: %s\n", printable(m.Name), m.Left)
			case m.Messages < 0:
				fmt.Fprintf(p.stdout, "  %s: the server does not say how many messages are in it\n", printable(m.Name))
			default:
				fmt.Fprintf(p.stdout, "  %s: %s\n", printable(m.Name), count(m.Messages, "message"))
			}
		}
	}
	return errors.Join(errs...)
}

func hasAccount(c *configs.Config, name string) bool {
	for _, a := range c.Accounts {
		if a.Name == name {
			return true
		}
	}
	return false
}
