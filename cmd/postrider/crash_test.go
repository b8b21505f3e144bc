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
	make   maker

	mu   sync.Mutex
	runs map[int]*crash
}

// maker makes a promise of which a run of the program is to be disturbed.
type maker func(ctx context.Context, binary, base, onServer string) (*promise, error)

type crash struct {
	*promise
	output *bytes.Buffer
}

func newCrashes(t *testing.T, binary string, make maker) *crashes {
	t.Helper()
	syscut.Require(t)
	return &crashes{t: t, binary: binary, runs: map[int]*crash{}, make: make}
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
	if !r.Killed && r.ExitCode != 0 && !c.unrest {
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
		c.dateless = r.Call.Name == "utimensat" // which costs a date and no mail
		switch {
		case r.ExitCode == 2 || strings.Contains(printed, "panic:"):
			return errors.New("the program broke down")
		case r.ExitCode != 0 && !strings.Contains(printed, errno.Error()):
			return fmt.Errorf("ended with %d and did not name %q", r.ExitCode, errno.Error())
		case r.ExitCode == 0:
			done := c.fulfilled
			if c.matching {
				done = c.arrived
			}
			c.littered = strings.Contains(printed, "stays in tmp/")
			if err := done(); err != nil {
				return fmt.Errorf("ended with 0, but: %w", err)
			}
			c.littered = false
		}
		if err := c.kept(); err != nil {
			return fmt.Errorf("right after it: %w", err)
		}
		return c.settle(ctx)
	}
}

// killing is a kind of run that is killed at every call.
type killing struct {
	name, onServer string
	make           maker
	one            int // call in so many is tried in the short form
}

func TestT1KillAtEveryCall(t *testing.T) {
	killAtEveryCall(t, []killing{
		{"keep", "keep", firstRun, 8},
		{"delete", "delete", firstRun, 8},
		{"delete, later run", "delete", laterRun, 8},
		{"delete, in batches", "delete", batchedRun, 40},
	})
}

func killAtEveryCall(t *testing.T, kinds []killing) {
	binary := buildPostrider(t)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			o := every(k.one)
			if whole() && strings.HasSuffix(k.name, "in batches") {
				o.Parallel = 8 // the server pauses most of the time
			}
			stats, err := newCrashes(t, binary, k.make).sweep(syscut.Kill, o, k.onServer, nil, survived)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", stats)
		})
	}
}

func TestT2KillInRecovery(t *testing.T) { killInRecovery(t, firstRun, "delete", 4) }

// killInRecovery kills a run at some of its calls, and then the one after it at
// every one.
func killInRecovery(t *testing.T, make maker, onServer string, first int) {
	syscut.Require(t)
	binary := buildPostrider(t)
	p, err := make(t.Context(), binary, t.TempDir(), onServer)
	if err != nil {
		t.Fatal(err)
	}
	r, output := p.supervised()
	calls, exit, err := syscut.Count(t.Context(), r)
	if err = errors.Join(err, p.close()); err != nil || exit != 0 {
		t.Fatalf("exit %d, %v\n%s", exit, err, output)
	}
	if whole() {
		first *= 3
	}
	for i := range first {
		n := (2*i + 1) * len(calls) / (2 * first)
		t.Run(fmt.Sprintf("first at %d", n), func(t *testing.T) {
			kill := func(p *promise) error {
				r, _ := p.supervised()
				_, err := syscut.At(t.Context(), r, n, syscut.Kill)
				return errors.Join(err, p.kept())
			}
			stats, err := newCrashes(t, binary, make).sweep(syscut.Kill, every(29), onServer, kill, survived)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", stats)
		})
	}
}

func TestT4FailEveryCall(t *testing.T) {
	failEveryCall(t, []killing{{"keep", "keep", firstRun, 10}, {"delete", "delete", firstRun, 10}})
}

func failEveryCall(t *testing.T, kinds []killing) {
	binary := buildPostrider(t)
	errnos := []syscall.Errno{syscall.EIO, syscall.ENOSPC}
	if whole() {
		errnos = append(errnos, syscall.EDQUOT, syscall.EROFS, syscall.EINTR)
	}
	for _, errno := range errnos {
		for _, k := range kinds {
			t.Run(fmt.Sprintf("%v, %s", errno, k.name), func(t *testing.T) {
				stats, err := newCrashes(t, binary, k.make).sweep(syscut.Fail(errno), every(k.one), k.onServer, nil, reported(errno))
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
	if err := toldLast(t, buildPostrider(t), firstRun, "delete"); err != nil {
		t.Error(err)
	}
}

func TestServerToldTooEarlyIsFound(t *testing.T) {
	if err := toldLast(t, planted(t, removedUnrecorded()...), firstRun, "delete"); err == nil {
		t.Error("a DELE before the commit of \"delivered\" was not found")
	} else {
		t.Log(err)
	}
}

func toldLast(t *testing.T, binary string, make maker, onServer string) error {
	t.Helper()
	syscut.Require(t)
	p, err := make(t.Context(), binary, t.TempDir(), onServer)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.office.Close(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var calls []syscut.Call
	var early error
	first := true
	watch := func(what told) {
		mu.Lock()
		defer mu.Unlock()
		if len(what.uids) > 0 && first {
			first, early = false, deliveredBefore(calls)
		}
	}
	if err := p.serve(watch, p.messages); err != nil {
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
	return early
}

// deliveredBefore finds the order of step 5 and 6 in the calls so far. A commit
// of the ledger ends with two fdatasyncs, of the data and then of the page that
// makes it count.
func deliveredBefore(calls []syscut.Call) error {
	renamed, commits := 0, 0
	unsynced := map[string]bool{} // directories
	for _, c := range calls {
		_, to, two := strings.Cut(c.Path, " -> ")
		dir := filepath.Dir(to)
		switch {
		case strings.HasPrefix(c.Name, "rename") && two && (filepath.Base(dir) == "new" || filepath.Base(dir) == "cur") && strings.Contains(to, ",K="):
			renamed, commits = renamed+1, 0
			unsynced[dir] = true
		case c.Name == "fsync" && unsynced[c.Path]:
			delete(unsynced, c.Path)
			commits = 0
		case c.Name == "fdatasync" && strings.HasSuffix(c.Path, "/state.db"):
			commits++
		}
	}
	switch {
	case renamed != promisedMessages:
		return fmt.Errorf("told after %d of %d renames", renamed, promisedMessages)
	case len(unsynced) > 0:
		return fmt.Errorf("told, and %v was not put on disk after the last rename", unsynced)
	case commits < 2:
		return fmt.Errorf("told, and the ledger was not committed after the folder was put on disk (%d fdatasyncs)", commits)
	}
	return nil
}

// A program that removes on the server before it has delivered loses mail in a
// crash, and the sweep says so.
func TestT1RemovedTooEarlyIsFound(t *testing.T) {
	lostInACrash(t, planted(t, removedTooEarly()), firstRun, "delete", 8)
}

// lostInACrash wants a program to lose mail when it is killed at one call in so
// many.
func lostInACrash(t *testing.T, binary string, make maker, onServer string, one int) {
	t.Helper()
	lost := func(ctx context.Context, c *crash, _ syscut.Result) error {
		if err := c.kept(); err != nil {
			return err
		}
		for range 2 {
			c.tryFetch(ctx) // the mistake may keep it from ending well
		}
		return c.fulfilled()
	}
	_, err := newCrashes(t, binary, make).sweep(syscut.Kill, every(one), onServer, nil, lost)
	if err == nil || !regexp.MustCompile(`\b[1-9]\d* lost`).MatchString(err.Error()) {
		t.Errorf("the mistake was not found: %v", err)
	}
	t.Log(err)
}
