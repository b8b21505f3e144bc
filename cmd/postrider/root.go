package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"postrider/configs"
)

// world is what the program sees of its surroundings; tests bring their own.
type world struct {
	name           string // by which the program was called
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	environ        []string
}

// program is one run of the command.
type program struct {
	world
	configFile string // of -c
}

// run carries out one command line and returns the exit code.
func run(ctx context.Context, args []string, w world) int {
	p := &program{world: w}
	err := p.execute(ctx, args)
	if err != nil {
		for _, line := range strings.Split(strings.TrimRight(err.Error(), "\n"), "\n") {
			fmt.Fprintf(w.stderr, "postrider: %s\n", printable(line))
		}
	}
	return exitCode(err)
}

// execute finds the verb. The options of sendmail are not for cobra, which would
// read others in them.
func (p *program) execute(ctx context.Context, args []string) error {
	if name, ok := calledAs(p.name); ok {
		return p.runSendmail(ctx, name, args)
	}
	if config, rest, ok := sendmailVerb(args); ok {
		p.configFile = config
		return p.runSendmail(ctx, "sendmail", rest)
	}
	root := p.root()
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "postrider",
		Short: "Carry mail between servers and local Maildirs",
		Long: `postrider collects mail from IMAP and POP3 accounts into local Maildir folders,
and sends by SMTP what is put into its outbox. Nothing is lost and nothing comes
or goes twice, whatever happens to the process, the disk, the line or the server.

The configuration is looked for in -c FILE, $POSTRIDER_CONFIG,
$XDG_CONFIG_HOME/postrider/config.yaml (~/.config) and
/etc/postrider/config.yaml.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown verb %q (see `postrider help`)", args[0])}
			}
			return c.Help()
		},
	}
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.PersistentFlags().StringVarP(&p.configFile, "config", "c", "", "configuration `FILE`")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(p.fetch(), p.send(), p.sendmail(), p.queue(), p.check(), p.version())
	strict(root)
	return root
}

// strict makes the verbs that cobra brings refuse what they do not know, as ours
// do; by themselves they show their help and call that a success.
func strict(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			known := c.Run
			c.RunE = func(c *cobra.Command, args []string) error {
				if _, rest, err := root.Find(args); err != nil || len(rest) > 0 {
					return usageError{fmt.Errorf("unknown verb %q (see `postrider help`)", strings.Join(args, " "))}
				}
				known(c, args)
				return nil
			}
		case "completion":
			c.Args = cobra.ArbitraryArgs
			c.RunE = func(c *cobra.Command, args []string) error {
				return usageError{fmt.Errorf("completion is for bash, fish, powershell or zsh: name one")}
			}
			for _, shell := range c.Commands() {
				shell.Args = noArgs
			}
		}
	}
}

// noArgs refuses arguments as what is wrong with the command line.
func noArgs(c *cobra.Command, args []string) error {
	if err := cobra.NoArgs(c, args); err != nil {
		return usageError{err}
	}
	return nil
}

// usageError is a command line that cannot be carried out.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// load finds and reads the configuration.
func (p *program) load() (*configs.Config, error) {
	path, err := configs.Find(p.configFile, p.getenv)
	if err != nil {
		return nil, configError{err}
	}
	c, err := configs.Load(path)
	if err != nil {
		return nil, configError{err}
	}
	return c, nil
}

// configError is a configuration that is missing or wrong.
type configError struct{ err error }

func (e configError) Error() string { return e.err.Error() }
func (e configError) Unwrap() error { return e.err }

// accounts completes account names on the command line.
func (p *program) accounts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	c, err := p.load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, a := range c.Accounts {
		names = append(names, a.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
