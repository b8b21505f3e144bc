//go:build linux && (amd64 || arm64)

package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"postrider/mailtest/syscut"
)

// errand is a kind of run that is disturbed while letters are sent.
type errand struct {
	name string
	from int // the first call that is tried
	one  int // call in so many is tried in the short form
	// prepare makes the posting and what comes before the run; the arguments are the run's.
	prepare func(ctx context.Context, binary, base string) (*posting, error)
	args    []string
	settle  func(ctx context.Context, p *posting) error // nil: (*posting).settle
}

// firstSend finds all letters where they were put; what differs is done to
// the posting before.
func firstSend(change func(*posting), ids ...string) func(context.Context, string, string) (*posting, error) {
	return func(_ context.Context, binary, base string) (*posting, error) {
		letters := mailToSend()
		if len(ids) > 0 {
			letters = someMail(ids...)
		}
		p, err := newPosting(binary, base, letters)
		if err == nil && change != nil {
			change(p)
			err = p.configure()
		}
		return p, err
	}
}

// laterSend finds letters that were put off, and new ones.
func laterSend(change func(*posting)) func(context.Context, string, string) (*posting, error) {
	return func(ctx context.Context, binary, base string) (*posting, error) {
		p, err := firstSend(change, "mixed", "dot", "away", "never")(ctx, binary, base)
		if err != nil {
			return p, err
		}
		if _, err := p.send(ctx); err != nil {
			return p, err
		}
		err = errors.Join(p.kept(), p.flush(ctx))
		p.letters = append(p.letters, someMail("bcc", "hard", "cron")...)
		return p, errors.Join(err, p.drop(4))
	}
}

// expiredSend finds letters that were tried for too long.
func expiredSend(ctx context.Context, binary, base string) (*posting, error) {
	p, err := firstSend(nil, "late", "both", "mixed")(ctx, binary, base)
	if err != nil {
		return p, err
	}
	_, err = p.send(ctx)
	paths, globbed := filepath.Glob(filepath.Join(p.outbox, ".spool/deferred/*/envelope"))
	if len(paths) != 3 {
		err = errors.Join(err, fmt.Errorf("%d letters were put off", len(paths)))
	}
	for _, path := range paths {
		octets, failed := os.ReadFile(path)
		if !bytes.Contains(octets, []byte("soft-")) {
			octets = regexp.MustCompile(`"expires": "20\d\d`).ReplaceAll(octets, []byte(`"expires": "2020`))
		}
		err = errors.Join(err, failed, os.WriteFile(path, octets, 0o600))
	}
	return p, errors.Join(err, globbed)
}

func resending(p *posting) { p.uncertain = "resend" }
func copyless(p *posting)  { p.noSent = true }

// sendings are the runs of send.
func sendings() []errand {
	return []errand{
		{name: "first run", one: 47, prepare: firstSend(nil), args: []string{"send"}},
		{name: "first run, resend", one: 137, prepare: firstSend(resending), args: []string{"send"}},
		{name: "first run, no copies", one: 137, prepare: firstSend(copyless), args: []string{"send"}},
		{name: "later run", one: 37, prepare: laterSend(nil), args: []string{"send"}},
		{name: "too late", one: 37, prepare: expiredSend, args: []string{"send"}},
		{name: "later run, resend", one: 137, prepare: laterSend(resending), args: []string{"send"}},
	}
}

// posted is a run of an errand.
type posted struct {
	*posting
	output *bytes.Buffer
}

// sweepSending applies an action to one call after the other of an errand.
func sweepSending(t *testing.T, binary string, e errand, a syscut.Action, before func(*posting) error, check func(context.Context, *posted, syscut.Result) error) (syscut.Stats, error) {
	t.Helper()
	syscut.Require(t)
	ctx, base := t.Context(), t.TempDir()
	var mu sync.Mutex
	runs := map[int]*posted{}
	setup := func(n int) (syscut.Run, error) {
		p, err := e.prepare(ctx, binary, base)
		if err == nil && before != nil {
			err = before(p)
		}
		if err != nil {
			return syscut.Run{}, err
		}
		r, output := p.supervised(e.args...)
		mu.Lock()
		defer mu.Unlock()
		p.faults++
		runs[n] = &posted{p, output}
		return r, nil
	}
	o := every(e.one)
	o.From = e.from
	return syscut.Sweep(ctx, a, o, setup, func(n int, r syscut.Result) error {
		mu.Lock()
		run := runs[n]
		mu.Unlock()
		if !r.Reached {
			run.faults--
		}
		err := check(ctx, run, r)
		if err != nil {
			err = fmt.Errorf("%w\nthe program printed:\n%s", err, run.output)
		}
		return errors.Join(err, run.close())
	})
}

// settled is the check after a kill: nothing is broken now, and runs that nobody
// disturbs make all good.
func (e errand) settled(ctx context.Context, p *posted, _ syscut.Result) error {
	if err := p.kept(); err != nil {
		return fmt.Errorf("right after it: %w", err)
	}
	if e.settle != nil {
		return e.settle(ctx, p.posting)
	}
	return p.posting.settle(ctx)
}

func killSending(t *testing.T, binary string, errands []errand) {
	for _, e := range errands {
		t.Run(e.name, func(t *testing.T) {
			stats, err := sweepSending(t, binary, e, syscut.Kill, nil, e.settled)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", stats)
		})
	}
}

func TestT1KillAtEveryCallOfSend(t *testing.T) { killSending(t, buildPostrider(t), sendings()) }

// TestT2KillInRecoveryOfSend kills a run at some of its calls, and then the one
// after it at every one.
func TestT2KillInRecoveryOfSend(t *testing.T) {
	syscut.Require(t)
	binary := buildPostrider(t)
	for _, e := range []errand{
		{name: "first run", one: 97, prepare: firstSend(nil), args: []string{"send"}},
		{name: "later run", one: 67, prepare: laterSend(nil), args: []string{"send"}},
	} {
		p, err := e.prepare(t.Context(), binary, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		r, output := p.supervised(e.args...)
		calls, _, err := syscut.Count(t.Context(), r)
		if err = errors.Join(err, p.close()); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		first := 2
		if whole() {
			first *= 6
		}
		for i := range first {
			n := (2*i + 1) * len(calls) / (2 * first)
			t.Run(fmt.Sprintf("%s, first at %d", e.name, n), func(t *testing.T) {
				kill := func(p *posting) error {
					r, _ := p.supervised(e.args...)
					_, err := syscut.At(t.Context(), r, n, syscut.Kill)
					p.faults++
					return errors.Join(err, p.kept())
				}
				stats, err := sweepSending(t, binary, e, syscut.Kill, kill, e.settled)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%+v", stats)
			})
		}
	}
}

// TestT4FailEveryCallOfSend has each call fail once.
func TestT4FailEveryCallOfSend(t *testing.T) {
	failSending(t, buildPostrider(t), sendings())
}

func failSending(t *testing.T, binary string, errands []errand) {
	errnos := []syscall.Errno{syscall.EIO, syscall.ENOSPC}
	if whole() {
		errnos = append(errnos, syscall.EDQUOT, syscall.EROFS, syscall.EINTR)
	}
	for i, errno := range errnos {
		for k, e := range errands {
			t.Run(fmt.Sprintf("%v, %s", errno, e.name), func(t *testing.T) {
				if !whole() && (i+k)%3 != 0 {
					t.Skip("belongs to the whole form: POSTRIDER_WHOLE=1")
				}
				stats, err := sweepSending(t, binary, e, syscut.Fail(errno), nil, func(ctx context.Context, p *posted, r syscut.Result) error {
					if err := p.named(errno, r, e); err != nil {
						return err
					}
					return e.settled(ctx, p, r)
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%+v", stats)
			})
		}
	}
}

// named wants the program to have said what went wrong, or else to have done all
// its work in spite of it.
func (p *posted) named(errno syscall.Errno, r syscut.Result, e errand) error {
	printed := p.output.String()
	switch {
	case r.ExitCode == 2 || strings.Contains(printed, "panic:"):
		return errors.New("the program broke down")
	case strings.Contains(printed, errno.Error()):
		return nil
	case len(e.args) == 0: // what it should have done is for settle to say
		if r.ExitCode != 0 {
			return fmt.Errorf("ended with %d and did not name %q", r.ExitCode, errno.Error())
		}
		return nil
	case r.ExitCode != 0 && r.ExitCode != 1 && r.ExitCode != 75:
		return fmt.Errorf("ended with %d and did not name %q", r.ExitCode, errno.Error())
	}
	c := p.count()
	if left := len(c.items["incoming"]) + len(c.items["active"]); left > 0 {
		return fmt.Errorf("ended with %d, did not name %q, and left %d undone", r.ExitCode, errno.Error(), left)
	}
	return nil
}

// Mistakes that a kill at the wrong moment shows.
func TestT1MistakesAreFoundInSending(t *testing.T) {
	for _, c := range []struct {
		name   string
		plants []plant
		letter string
		shows  string
		from   int
	}{
		{"no commit before the dot", []plant{dotUnrecorded()}, "bcc", "accepted twice", 95},
		{"the dot before the commit", dotTooEarly(), "bcc", "accepted twice", 95},
		{"removed before it is recorded", []plant{itemRemovedTooEarly()}, "bcc", "lost", 90},
		{"forgotten before it is removed", []plant{stepForgottenTooEarly()}, "bcc", "accepted twice|left in the spool", 148},
		{"a copy before the reply", copiedTooEarly(), "bcc", "of what was not accepted", 126},
		{"part of an acceptance forgotten", []plant{partForgotten()}, "mixed", "accepted twice", 90},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := errand{name: c.name, from: c.from, one: 3, prepare: firstSend(nil, c.letter), args: []string{"send"}}
			_, err := sweepSending(t, planted(t, c.plants...), e, syscut.Kill, nil, brokenBy)
			if err == nil || !regexp.MustCompile(c.shows).MatchString(err.Error()) {
				t.Errorf("the mistake was not found: %v", err)
			}
			t.Log(err)
		})
	}
}

// brokenBy is the check of a program with a mistake, which may keep it from ending
// well.
func brokenBy(ctx context.Context, p *posted, _ syscut.Result) error {
	if err := p.kept(); err != nil {
		return err
	}
	for range 2 {
		p.run(ctx, "send")
		p.run(ctx, "queue", "flush")
	}
	return p.fulfilled()
}
