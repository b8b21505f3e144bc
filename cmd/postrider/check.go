package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (p *program) check() *cobra.Command {
	return &cobra.Command{
		Use:               "check [ACCOUNT...]",
		Short:             "Check the configuration",
		Long:              "Check reads the configuration and says all that is wrong with it, each with file, line and key.",
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
			return nil
		},
	}
}
