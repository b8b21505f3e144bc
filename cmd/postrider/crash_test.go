//go:build linux && (amd64 || arm64)

package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"postrider/mailtest"
	"postrider/mailtest/syscut"
)

// whole tells whether the long forms of the tests are wanted: every call
// instead of some.
func whole() bool { return os.Getenv("POSTRIDER_WHOLE") == "1" }

// every returns the options of a sweep over every call, or in the short form
// over one in n.
func every(n int) syscut.Options {
	o := syscut.Options{Stride: n, Parallel: 2}
	if whole() {
		o.Stride = 1
	}
	return o
}

// crashes runs sweeps, each run with a promise of its own.
type crashes struct {
	t      *testing.T
	binary string
	make   func(ctx context.Context, binary, base, onServer string) (*promise, error)

	mu   sync.Mutex
	runs map[int]*crash
}

type crash struct {
	*promise
	output *bytes.Buffer
}

func newCrashes(t *testing.T, binary string) *crashes {
	t.Helper()
	syscut.Require(t)
	return &crashes{t: t, binary: binary, runs: map[int]*crash{}, make: firstRun}
}

func firstRun(_ context.Context, binary, base, onServer string) (*promise, error) {
	return newPromise(binary, base, onServer, 0)
}

func batchedRun(_ context.Context, binary, base, onServer string) (*promise, error) {
	return newPromise(binary, base, onServer, longPause)
}

// sweep applies a to one call after the other of a run, after before was done
// with the promise, and asks check about each.
func (c *crashes) sweep(a syscut.Action, o syscut.Options, onServer string, before func(*promise) error, check func(context.Context, *crash, syscut.Result) error) (syscut.Stats, error) {
	ctx, base := c.t.Context(), c.t.TempDir()
	setup := func(n int) (syscut.Run, error) {
		p, err := c.make(ctx, c.binary, base, onServer)
		if err == nil && before != nil {
			err = before(p)
		}
		if err != nil {
			return syscut.Run{}, err
		}
		r, output := p.supervised()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.runs[n] = &crash{p, output}
		return r, nil
	}
	stats, err := syscut.Sweep(ctx, a, o, setup, func(n int, r syscut.Result) error {
		c.mu.Lock()
		run := c.runs[n]
		delete(c.runs, n)
		c.mu.Unlock()
		err := check(ctx, run, r)
		if err != nil {
			err = fmt.Errorf("%w\nthe program printed:\n%s", err, run.output)
		}
		return errors.Join(err, run.close())
	})
	for n, run := range c.runs { // of which the program did not end
		err = errors.Join(err, fmt.Errorf("run %d printed:\n%s", n, run.output), run.close())
	}
	return stats, err
}

// survived is the check after a kill: nothing is broken now, and a run that
// nobody disturbs makes all good.
func survived(ctx context.Context, c *crash, r syscut.Result) error {
	if !r.Killed && r.ExitCode != 0 {
		return fmt.Errorf("ended with %d", r.ExitCode)
	}
	if err := c.kept(); err != nil {
		return fmt.Errorf("right after it: %w", err)
	}
	return c.settle(ctx)
}

// reported is the check after a call that failed: as survived, and the program
// said what went wrong, or else had done all its work in spite of it.
func reported(errno syscall.Errno) func(context.Context, *crash, syscut.Result) error {
	return func(ctx context.Context, c *crash, r syscut.Result) error {
		printed := c.output.String()
		switch {
		case r.ExitCode == 2 || strings.Contains(printed, "panic:"):
			return errors.New("the program broke down")
		case r.ExitCode != 0 && !strings.Contains(printed, errno.Error()):
			return fmt.Errorf("ended with %d and did not name %q", r.ExitCode, errno.Error())
		case r.ExitCode == 0:
			if err := c.fulfilled(); err != nil {
				return fmt.Errorf("ended with 0, but: %w", err)
			}
		}
		if err := c.kept(); err != nil {
			return fmt.Errorf("right after it: %w", err)
		}
		return c.settle(ctx)
	}
}

func TestT1KillAtEveryCall(t *testing.T) {
	binary := buildPostrider(t)
	for _, c := range []struct {
		name, onServer string
		make           func(ctx context.Context, binary, base, onServer string) (*promise, error)
		one            int // call in so many is tried in the short form
	}{
		{"keep", "keep", firstRun, 8},
		{"delete", "delete", firstRun, 8},
		{"delete, later run", "delete", newLaterPromise, 8},
		{"delete, in batches", "delete", batchedRun, 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			cs := newCrashes(t, binary)
			cs.make = c.make
			o := every(c.one)
			if whole() && c.name == "delete, in batches" {
				o.Parallel = 8 // the server pauses most of the time
			}
			stats, err := cs.sweep(syscut.Kill, o, c.onServer, nil, survived)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", stats)
		})
	}
}

func TestT2KillInRecovery(t *testing.T) {
	syscut.Require(t)
	binary := buildPostrider(t)
	p, err := newPromise(binary, t.TempDir(), "delete", 0)
	if err != nil {
		t.Fatal(err)
	}
	r, output := p.supervised()
	calls, exit, err := syscut.Count(t.Context(), r)
	if err = errors.Join(err, p.close()); err != nil || exit != 0 {
		t.Fatalf("exit %d, %v\n%s", exit, err, output)
	}
	first := 4 // calls at which the first run is killed
	if whole() {
		first = 12
	}
	for i := range first {
		n := (2*i + 1) * len(calls) / (2 * first)
		t.Run(fmt.Sprintf("first at %d", n), func(t *testing.T) {
			kill := func(p *promise) error {
				r, _ := p.supervised()
				_, err := syscut.At(t.Context(), r, n, syscut.Kill)
				return errors.Join(err, p.kept())
			}
			stats, err := newCrashes(t, binary).sweep(syscut.Kill, every(29), "delete", kill, survived)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", stats)
		})
	}
}

func TestT4FailEveryCall(t *testing.T) {
	binary := buildPostrider(t)
	errnos := []syscall.Errno{syscall.EIO, syscall.ENOSPC}
	if whole() {
		errnos = append(errnos, syscall.EDQUOT, syscall.EROFS, syscall.EINTR)
	}
	for _, errno := range errnos {
		for _, onServer := range []string{"keep", "delete"} {
			t.Run(fmt.Sprintf("%v, %s", errno, onServer), func(t *testing.T) {
				stats, err := newCrashes(t, binary).sweep(syscut.Fail(errno), every(10), onServer, nil, reported(errno))
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%+v", stats)
			})
		}
	}
}

// Steps 5 to 7 of a delivery, seen from outside: when the server is told to remove
// the first message, new/ was put on disk after the last rename into it, and
// the ledger committed after that.
func TestServerIsToldLast(t *testing.T) {
	if err := toldLast(t, buildPostrider(t)); err != nil {
		t.Error(err)
	}
}

func TestServerToldTooEarlyIsFound(t *testing.T) {
	if err := toldLast(t, planted(t, removedUnrecorded()...)); err == nil {
		t.Error("a DELE before the commit of \"delivered\" was not found")
	} else {
		t.Log(err)
	}
}

func toldLast(t *testing.T, binary string) error {
	t.Helper()
	syscut.Require(t)
	p, err := newPromise(binary, t.TempDir(), "delete", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.server.Close(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var calls []syscut.Call
	var told error
	first := true
	hook := func(e *mailtest.POP3Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Verb == "DELE" && first {
			first, told = false, deliveredBefore(calls)
		}
	}
	if err := p.serve(hook, p.messages); err != nil {
		t.Fatal(err)
	}
	defer p.close()
	r, output := p.supervised()
	r.Observe = func(c syscut.Call) {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, c)
	}
	if _, exit, err := syscut.Count(t.Context(), r); err != nil || exit != 0 {
		t.Fatalf("exit %d, %v\n%s", exit, err, output)
	}
	if first {
		t.Fatal("the server was told to remove nothing")
	}
	return told
}

// deliveredBefore finds the order of step 5 and 6 in the calls so far. A commit
// of the ledger ends with two fdatasyncs, of the data and then of the page that
// makes it count.
func deliveredBefore(calls []syscut.Call) error {
	renamed, synced, commits := 0, false, 0
	for _, c := range calls {
		switch {
		case strings.HasPrefix(c.Name, "rename") && strings.Contains(c.Path, " -> ") && strings.Contains(c.Path, "/INBOX/new/") && strings.Contains(c.Path, ",K="):
			renamed, synced, commits = renamed+1, false, 0
		case c.Name == "fsync" && strings.HasSuffix(c.Path, "/INBOX/new"):
			synced, commits = true, 0
		case c.Name == "fdatasync" && strings.HasSuffix(c.Path, "/state.db"):
			commits++
		}
	}
	switch {
	case renamed != promisedMessages:
		return fmt.Errorf("DELE after %d of %d renames", renamed, promisedMessages)
	case !synced:
		return errors.New("DELE, and new/ was not put on disk after the last rename")
	case commits < 2:
		return fmt.Errorf("DELE, and the ledger was not committed after new/ was put on disk (%d fdatasyncs)", commits)
	}
	return nil
}

// A program that removes on the server before it has delivered loses mail in a
// crash, and the sweep says so.
func TestT1RemovedTooEarlyIsFound(t *testing.T) {
	c := newCrashes(t, planted(t, removedTooEarly()))
	_, err := c.sweep(syscut.Kill, every(8), "delete", nil, func(_ context.Context, c *crash, _ syscut.Result) error { return c.kept() })
	if err == nil || !strings.Contains(err.Error(), " lost ") {
		t.Errorf("a DELE before the delivery was not found: %v", err)
	}
	t.Log(err)
}
