//go:build linux && (amd64 || arm64)

package main_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"postrider/mailtest"
)

// maildrop is the office of an account that has pop3.
type maildrop struct {
	*mailtest.POP3
	onServer string
}

func newMaildrop(p *promise, watch func(told)) office {
	var mu sync.Mutex
	deleted := map[int]map[string]bool{} // by session
	return &maildrop{onServer: p.onServer, POP3: mailtest.NewPOP3(mailtest.POP3Options{
		Users:    map[string]string{promisedUser: promisedPassword},
		LockWait: 10 * time.Second, // a killed program's session ends a moment after it
		Hook: func(e *mailtest.POP3Event) {
			if p.pause > 0 && e.Verb == "RETR" && e.Nth > 1 && e.Nth%(promisedMessages/promisedBatches) == 1 {
				e.Delay(p.pause)
			}
			mu.Lock()
			defer mu.Unlock()
			switch e.Verb {
			case "GREETING":
				deleted[e.Session] = map[string]bool{}
			case "DELE":
				deleted[e.Session][e.UID] = true
				watch(told{map[string]bool{e.UID: true}, false})
			case "QUIT":
				watch(told{deleted[e.Session], true})
			}
		},
	})}
}

// newPromise starts a server with all messages, in a new folder below base. The
// caller must close it.
func newPromise(binary, base, onServer string, pause time.Duration) (*promise, error) {
	p := &promise{binary: binary, onServer: onServer, pause: pause, post: newMaildrop, messages: promisedMail()}
	if err := p.prepare(base); err != nil {
		return nil, err
	}
	return p, p.serve(nil, p.messages)
}

func firstRun(_ context.Context, binary, base, onServer string) (*promise, error) {
	return newPromise(binary, base, onServer, 0)
}

func batchedRun(_ context.Context, binary, base, onServer string) (*promise, error) {
	return newPromise(binary, base, onServer, longPause)
}

// laterRun is one before which half of the messages were fetched.
func laterRun(ctx context.Context, binary, base, onServer string) (*promise, error) {
	p := &promise{binary: binary, onServer: onServer, post: newMaildrop, messages: promisedMail()}
	if err := p.prepare(base); err != nil {
		return nil, err
	}
	return p, p.serveHalf(ctx)
}

func (d *maildrop) start() error { return d.Start() }

func (d *maildrop) put(messages []promised) {
	for _, m := range messages {
		d.Mailbox(promisedUser).Add(m.uid, m.wire)
	}
}

func (d *maildrop) remove(uids map[string]bool) {
	for uid := range uids {
		d.Mailbox(promisedUser).Remove(uid)
	}
}

func (d *maildrop) account() string {
	return fmt.Sprintf("pop3: {host: 127.0.0.1, port: %d, tls: none, on_server: %s, schedule: manual}", d.Port(), d.onServer)
}

func (d *maildrop) left() map[string]bool {
	left := map[string]bool{}
	for _, m := range d.Mailbox(promisedUser).Messages() {
		left[m.UID] = true
	}
	return left
}

func (d *maildrop) settled(messages []promised, over bool) error {
	left, want := d.Mailbox(promisedUser).Len(), len(messages)
	if d.onServer == "delete" {
		want = 0
	}
	if over && left != want {
		return fmt.Errorf("%d messages on the server, want %d", left, want)
	}
	return nil
}
