//go:build linux && (amd64 || arm64)

package main_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"postrider/mailtest/syscut"
)

// submitting has the last letter given to sendmail by the run that is disturbed.
func submitting(ids ...string) func(context.Context, string, string) (*posting, error) {
	return func(_ context.Context, binary, base string) (*posting, error) {
		letters := someMail(ids...)
		last := &letters[len(letters)-1]
		last.given = false
		p, err := newPosting(binary, base, letters)
		if err != nil {
			return p, err
		}
		p.args = append([]string{"sendmail"}, last.args...)
		return p, os.WriteFile(p.stdin(), []byte(last.text), 0o600)
	}
}

// answered is the check after sendmail was disturbed: what it has accepted
// arrives, and what it has refused does not.
func (e errand) answered(ctx context.Context, p *posted, r syscut.Result) error {
	last := &p.letters[len(p.letters)-1]
	last.given = !r.Killed && r.ExitCode == 0
	if err := e.settled(ctx, p, r); err != nil {
		return fmt.Errorf("ended with %d: %w", r.ExitCode, err)
	}
	if f := p.fateOf(last); !r.Killed && r.ExitCode != 0 && len(f.took) > 0 {
		return f.wrong("sent, and sendmail ended with %d", r.ExitCode)
	}
	return nil
}

func submissions() []errand {
	return []errand{
		{name: "first", one: 7, prepare: submitting("cron")},
		{name: "later", one: 7, prepare: submitting("home", "cron", "header")},
	}
}

func TestT1KillAtEveryCallOfSendmail(t *testing.T) {
	binary := buildPostrider(t)
	for _, e := range submissions() {
		t.Run(e.name, func(t *testing.T) {
			stats, err := sweepSending(t, binary, e, syscut.Kill, nil, e.answered)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", stats)
		})
	}
}

func TestT4FailEveryCallOfSendmail(t *testing.T) {
	binary := buildPostrider(t)
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		for _, e := range submissions() {
			t.Run(fmt.Sprintf("%v, %s", errno, e.name), func(t *testing.T) {
				stats, err := sweepSending(t, binary, e, syscut.Fail(errno), nil, func(ctx context.Context, p *posted, r syscut.Result) error {
					return errors.Join(p.named(errno, r, e), e.answered(ctx, p, r))
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%+v", stats)
			})
		}
	}
}

// TestT84ManySendmails runs many beside a program that sends: they need no lock,
// and nothing is sent that is still being written.
func TestT84ManySendmails(t *testing.T) {
	binary := buildPostrider(t)
	var letters []letter
	for i := range 24 {
		to := fmt.Sprintf("r%d@example.com", i)
		l := newLetter(fmt.Sprintf("many-%02d", i), "", "From: ada@example.org\nTo: "+to+"\n", strings.Repeat("text\n", 1+997*(i%3)), to)
		l.args, l.given = []string{"-t", "-i"}, false
		letters = append(letters, l)
	}
	p, err := newPosting(binary, t.TempDir(), letters)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	work := make(chan *letter)
	errs := make([]error, 4)
	var running sync.WaitGroup
	for i := range errs {
		running.Go(func() {
			for l := range work {
				l.given = true
				errs[i] = errors.Join(errs[i], p.put(l))
			}
		})
	}
	over := make(chan struct{})
	running.Go(func() {
		for i := range p.letters {
			work <- &p.letters[i]
		}
		close(work)
		close(over)
	})
	for sending := true; sending; {
		select {
		case <-over:
			sending = false
		default:
		}
		if code, output := p.run(t.Context(), "send"); code != 0 {
			t.Errorf("send ended with %d:\n%s", code, output)
			break
		}
	}
	running.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if err := p.settle(t.Context()); err != nil {
		t.Error(err)
	}
}

// waiting finds an item in the spool.
func (p *posting) waiting(state string) (id string, err error) {
	items := p.count().items[state]
	if len(items) != 1 {
		return "", fmt.Errorf("%d items %s", len(items), state)
	}
	return items[0], nil
}

// verbOn prepares a verb for an item that is in a state after a run of send.
func verbOn(verb, state, letter string, change func(*posting)) func(context.Context, string, string) (*posting, error) {
	return func(ctx context.Context, binary, base string) (*posting, error) {
		p, err := firstSend(nil, letter, "bcc")(ctx, binary, base)
		if err != nil {
			return p, err
		}
		p.faults++ // of lost: a reply
		if _, err := p.send(ctx); err != nil {
			return p, err
		}
		from := state
		if state == "held" {
			from = "deferred"
		}
		id, err := p.waiting(from)
		if err == nil && state == "held" {
			err = p.verb(ctx, false, "hold", id)
		}
		p.args = []string{"queue", verb, id}
		if change != nil {
			change(p)
		}
		return p, err
	}
}

// verb runs a verb of queue. Again says that it may have been carried out before.
func (p *posting) verb(ctx context.Context, again bool, verb, id string) error {
	if code, output := p.run(ctx, "queue", verb, id); code != 0 && (code != 64 || !again) {
		return fmt.Errorf("queue %s ended with %d: %s", verb, code, output)
	}
	return nil
}

// again carries the verb out once more and then has all settled.
func again(ctx context.Context, p *posting) error {
	if err := p.verb(ctx, true, p.args[1], p.args[2]); err != nil {
		return err
	}
	if err := p.kept(); err != nil {
		return fmt.Errorf("after the same again: %w", err)
	}
	if err := p.settle(ctx); err != nil {
		return err
	}
	c := p.count()
	if len(c.items) > 0 {
		return fmt.Errorf("left in the spool: %v", c.items)
	}
	return nil
}

// keeping wants the letter held, whatever else is sent, until it is released.
func keeping(ctx context.Context, p *posting) error {
	id := p.args[2]
	if err := errors.Join(p.verb(ctx, false, "hold", id), p.flush(ctx)); err != nil {
		return err
	}
	if output, err := p.send(ctx); err != nil {
		return err
	} else if f := p.fateOf(&p.letters[1]); f.place != "held" || len(f.took) > 0 {
		return fmt.Errorf("%w\n%s", f.wrong("not held"), output)
	}
	if err := p.verb(ctx, false, "release", id); err != nil {
		return err
	}
	return p.settle(ctx)
}

func queueVerbs() []errand {
	cancelled := func(p *posting) { p.letters[1].refuse = true }
	uncertain := func(p *posting) { p.retried = true }
	flush := func(p *posting) { p.args = []string{"queue", "flush"} }
	return []errand{
		{name: "retry deferred", one: 17, prepare: verbOn("retry", "deferred", "dot", nil), settle: again},
		{name: "retry uncertain", one: 17, prepare: verbOn("retry", "uncertain", "lost", uncertain), settle: again},
		{name: "release", one: 17, prepare: verbOn("release", "held", "dot", nil), settle: again},
		{name: "hold", one: 17, prepare: verbOn("hold", "deferred", "dot", nil), settle: keeping},
		{name: "cancel deferred", one: 11, prepare: verbOn("cancel", "deferred", "dot", cancelled), settle: again},
		{name: "cancel held", one: 17, prepare: verbOn("cancel", "held", "dot", cancelled), settle: again},
		{name: "flush", one: 17, prepare: verbOn("", "deferred", "dot", flush), settle: func(ctx context.Context, p *posting) error { return p.settle(ctx) }},
	}
}

func TestT1KillAtEveryCallOfQueue(t *testing.T) { killSending(t, buildPostrider(t), queueVerbs()) }
func TestT4FailEveryCallOfQueue(t *testing.T)   { failSending(t, buildPostrider(t), queueVerbs()) }
