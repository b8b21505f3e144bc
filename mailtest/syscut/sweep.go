//go:build linux && (amd64 || arm64)

package syscut

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Options shape a sweep. The zero value tries every call, one run at a time.
type Options struct {
	From     int // the first call; 0 means 1
	Stride   int // every how many calls; 0 means 1
	Parallel int // runs at once; 0 means 1
}

// Stats sums up a sweep.
type Stats struct {
	Runs  int            // runs made, with the last ones that did not reach their call
	Cuts  map[string]int // how often the action hit a call, by the call's name
	Calls int            // the largest number of calls seen in one run
}

// Sweep applies a to call n of one run after the other, for n = From,
// From+Stride, ... until a run ends without reaching its n; the number of calls
// need not be known, nor be the same in every run. setup prepares run n and
// must give each its own folders when runs are parallel; check looks at what is
// left after it, and is asked about the runs that did not reach n as well. The
// first error of a run or a check ends the sweep; it names n and the call.
func Sweep(ctx context.Context, a Action, o Options, setup func(n int) (Run, error), check func(n int, r Result) error) (Stats, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &sweep{next: max(o.From, 1), stride: max(o.Stride, 1), stats: Stats{Cuts: map[string]int{}}}
	var workers sync.WaitGroup
	for range max(o.Parallel, 1) {
		workers.Go(func() {
			for n, ok := s.take(); ok && ctx.Err() == nil; n, ok = s.take() {
				if err := s.step(ctx, n, a, setup, check); err != nil {
					s.fail(err)
					cancel()
				}
			}
		})
	}
	workers.Wait()
	if s.err == nil && ctx.Err() != nil {
		s.err = ctx.Err()
	}
	return s.stats, s.err
}

// sweep is what the workers share.
type sweep struct {
	mu     sync.Mutex
	next   int
	stride int
	over   bool // a run ended before its call
	stats  Stats
	err    error
}

func (s *sweep) take() (n int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = s.next
	s.next += s.stride
	return n, !s.over && s.err == nil
}

func (s *sweep) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Once a worker has failed the others are cancelled; that is not news.
	if s.err == nil || !errors.Is(err, context.Canceled) {
		s.err = errors.Join(s.err, err)
	}
}

func (s *sweep) step(ctx context.Context, n int, a Action, setup func(int) (Run, error), check func(int, Result) error) error {
	r, err := setup(n)
	if err != nil {
		return fmt.Errorf("set up run %d: %w", n, err)
	}
	res, err := At(ctx, r, n, a)
	if err != nil {
		return fmt.Errorf("%v at call %d (%v): %w", a, n, res.Call, err)
	}
	s.record(res)
	if err := check(n, res); err != nil {
		return fmt.Errorf("%v at call %d (%v): %w", a, n, res.Call, err)
	}
	return nil
}

func (s *sweep) record(r Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Runs++
	s.stats.Calls = max(s.stats.Calls, len(r.Calls))
	if r.Reached {
		s.stats.Cuts[r.Call.Name]++
	} else {
		s.over = true
	}
}
