package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"

	"postrider/configs"
	"postrider/fetch"
	"postrider/remote"
)

// pop3Job fetches the one mailbox of a POP3 account.
type pop3Job struct {
	account string
	line    *fetch.Line
	remote  *remote.POP3
}

func (e *Engine) newPOP3Job(a configs.Account) (*pop3Job, error) {
	memory := ledgerMemory{e.shared.Root.Ledger, strings.Join([]string{"pop3", a.Name, a.User, a.POP3.Host, fmt.Sprint(a.POP3.Port), a.POP3.Auth}, "\x00")}
	account, err := remote.NewPOP3(a, e.options.Environ, memory)
	if err != nil {
		return nil, err
	}
	work := fetch.Job{
		Protocol: "pop3", Account: a.Name, Mailbox: "INBOX", Folder: deliverTo(a.POP3.DeliverTo, a.Name, "INBOX"),
		OnServer: disposal(a.POP3.OnServer), MaxSize: a.POP3.MaxSize, Log: e.options.Log, LogUID: "uidl",
	}
	if e.options.Progress != nil {
		work.Progress = e.options.Progress(a.Name)
	}
	line, err := fetch.Open(e.shared, work)
	if err != nil {
		return nil, err
	}
	return &pop3Job{a.Name, line, account}, nil
}

func (j *pop3Job) pass(ctx context.Context) Report {
	start := time.Now()
	r := Report{Account: j.account}
	r.Result, r.Err = j.line.Pass(ctx, j.remote.Dial)
	r.Took = time.Since(start)
	return r
}

func (j *pop3Job) close() error { return j.line.Close() }
