package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"postrider/configs"
	"postrider/daemon"
	"postrider/outbox"
)

// sendmail is the verb; see also calledAs. Its options are those that programs
// give to sendmail(8), which cobra must not look at.
func (p *program) sendmail() *cobra.Command {
	return &cobra.Command{
		Use:                "sendmail [OPTION...] [RECIPIENT...]",
		Short:              "Put a message from the standard input into the queue, as sendmail(8)",
		DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("write sendmail as the first word, or behind -c FILE")}
		},
	}
}

// sendmailVerb returns what follows the verb, and the configuration that was
// named before it: the options behind the verb are not cobra's.
func sendmailVerb(args []string) (config string, rest []string, ok bool) {
	for len(args) > 0 {
		switch first := args[0]; {
		case first == "sendmail":
			return config, args[1:], true
		case (first == "-c" || first == "--config") && len(args) > 1:
			config, args = args[1], args[2:]
		case strings.HasPrefix(first, "--config="):
			config, args = strings.TrimPrefix(first, "--config="), args[1:]
		case strings.HasPrefix(first, "-c") && len(first) > 2:
			config, args = strings.TrimPrefix(strings.TrimPrefix(first, "-c"), "="), args[1:]
		default:
			return "", nil, false
		}
	}
	return "", nil, false
}

// calledAs returns the name under which the program plays sendmail, if it was
// called by one.
func calledAs(argv0 string) (name string, ok bool) {
	switch name = filepath.Base(argv0); name {
	case "sendmail", "mailq", "newaliases":
		return name, true
	}
	return "", false
}

// runSendmail carries out one call of the sendmail command.
func (p *program) runSendmail(ctx context.Context, name string, args []string) error {
	call, ignored, err := parseSendmail(name, args)
	if err != nil {
		return err
	}
	if call.config != "" {
		p.configFile = call.config
	}
	if call.mode == sendmailNothing {
		return nil // there is no alias file to be read
	}
	config, err := p.load()
	if err != nil {
		return err
	}
	if len(ignored) > 0 {
		newLogger(config.Log, p.stderr, p.getenv).Debug("options without a meaning here", "options", strings.Join(ignored, " "))
	}
	switch call.mode {
	case sendmailMailq:
		return p.listQueue()
	case sendmailFlush:
		return p.changeQueue(func(o *outbox.Outbox) error { return o.Flush() })
	}
	if config.Outbox.Off {
		return daemon.ErrNoOutbox
	}
	spool, err := outbox.OpenSpool(config.Outbox.Path)
	if err != nil {
		return err
	}
	post := letterbox{program: p, config: config, spool: spool, rules: daemon.Rules(config, hostname())}
	if call.mode == sendmailDialogue {
		return dialogue(ctx, p.stdin, p.stdout, hostname(), post.fromDialogue)
	}
	return post.fromCall(ctx, call)
}

// letterbox takes messages into the spool.
type letterbox struct {
	*program
	config *configs.Config
	spool  *outbox.Spool
	rules  outbox.Rules
}

func (l *letterbox) fromCall(ctx context.Context, call sendmailCall) error {
	g := outbox.Given{FromHeader: call.fromHeader, FullName: call.fullName, Return: call.ret, EnvID: call.envid, Notify: call.notify, Complete: true}
	if call.hasFrom {
		from, err := outbox.ParseReversePath("-f", call.from)
		if err != nil {
			return err
		}
		g.From = &from
	}
	for _, text := range call.rcpts {
		found, err := outbox.ParseAddresses("a recipient", text)
		if err != nil {
			return err
		}
		for _, a := range found {
			g.To = append(g.To, outbox.Target{Address: a, Notify: call.notify})
		}
	}
	id, err := l.spool.Submit(ctx, l.rules, call.input(l.stdin, isTerminal(l.stdin)), g)
	if err == nil && call.verbose {
		fmt.Fprintf(l.stdout, "queued as %s\n", id)
	}
	return err
}

// fromDialogue is a dialogueSubmit.
func (l *letterbox) fromDialogue(ctx context.Context, m dialogueMail, text io.Reader) error {
	from, err := outbox.ParseReversePath("MAIL", m.from)
	if err != nil {
		return err
	}
	g := outbox.Given{From: &from, Return: m.ret, EnvID: m.envid, Complete: true}
	for _, to := range m.rcpts {
		a, err := outbox.ParseAddress("RCPT", to.address)
		if err != nil {
			return err
		}
		g.To = append(g.To, outbox.Target{Address: a, Notify: to.notify, Original: to.original})
	}
	_, err = l.spool.Submit(ctx, l.rules, text, g)
	return err
}

func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// isRefusal tells whether a message can never be sent as it is.
func isRefusal(err error) bool {
	var r *outbox.Refusal
	return errors.As(err, &r)
}
