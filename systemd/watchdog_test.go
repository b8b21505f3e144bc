package systemd

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestWatchdogInterval(t *testing.T) {
	cases := []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0},
		{"120000000", "", 2 * time.Minute},
		{"120000000", "7", 2 * time.Minute},
		{"120000000", "8", 0},
		{"120000000", "seven", 0},
		{"", "7", 0},
		{"0", "7", 0},
		{"-1", "7", 0},
		{"2min", "7", 0},
		{"18446744073709551615", "7", 0},
		{"99999999999999999999", "7", 0},
	}
	for _, c := range cases {
		if got := WatchdogInterval(environment("WATCHDOG_USEC="+c.usec, "WATCHDOG_PID="+c.pid), 7); got != c.want {
			t.Errorf("WATCHDOG_USEC=%s WATCHDOG_PID=%s: %v, want %v", c.usec, c.pid, got, c.want)
		}
	}
}

// kennel counts what a watchdog sees.
type kennel struct {
	began time.Time

	mu       sync.Mutex
	fed      []time.Duration
	reported []error
	moving   func(context.Context) bool
	ping     error
}

func (k *kennel) set(moving func(context.Context) bool, ping error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.moving, k.ping = moving, ping
}

func (k *kennel) ask(ctx context.Context) bool {
	k.mu.Lock()
	moving := k.moving
	k.mu.Unlock()
	return moving(ctx)
}

func (k *kennel) feed() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ping == nil {
		k.fed = append(k.fed, time.Since(k.began))
	}
	return k.ping
}

func (k *kennel) report(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reported = append(k.reported, err)
}

func (k *kennel) run(t *testing.T, interval time.Duration) (stop func()) {
	t.Helper()
	k.began = time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { feed(ctx, interval, k.ask, k.feed, k.report) })
	return func() { cancel(); wg.Wait() }
}

// TestT36WatchdogFindsStall: the watchdog is fed while work moves, starves while
// it does not, and is fed again afterwards.
func TestT36WatchdogFindsStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		yes := func(context.Context) bool { return true }
		k := &kennel{moving: yes}
		stop := k.run(t, 30*time.Second)
		defer stop()
		at := func(d time.Duration, fed int, reported ...error) {
			t.Helper()
			time.Sleep(d - time.Since(k.began))
			synctest.Wait()
			k.mu.Lock()
			defer k.mu.Unlock()
			if len(k.fed) != fed || !slices.Equal(k.reported, reported) {
				t.Errorf("after %v fed at %v and reported %v; want %d times and %v", d, k.fed, k.reported, fed, reported)
			}
		}
		at(25*time.Second, 3)
		k.set(func(context.Context) bool { return false }, nil)
		at(10*time.Minute+5*time.Second, 3, ErrStuck)
		// A question that is never answered is an answer.
		k.set(func(ctx context.Context) bool { <-ctx.Done(); return false }, nil)
		at(15*time.Minute+5*time.Second, 3, ErrStuck)
		k.set(yes, nil)
		at(15*time.Minute+35*time.Second, 6, ErrStuck, nil)
		deaf := errors.New("nobody listens")
		k.set(yes, deaf)
		at(16*time.Minute+5*time.Second, 6, ErrStuck, nil, deaf)
	})
}

// The manager waits one interval after each message: no gap may come near it,
// also when every question takes as long as it may.
func TestWatchdogGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := false
		k := &kennel{moving: func(ctx context.Context) bool {
			if slow = !slow; slow {
				<-ctx.Done()
			}
			return true
		}}
		stop := k.run(t, time.Minute)
		time.Sleep(time.Hour)
		stop()
		if len(k.fed) < 100 {
			t.Fatalf("fed %d times in an hour", len(k.fed))
		}
		for i, at := range k.fed[1:] {
			if gap := at - k.fed[i]; gap > 45*time.Second {
				t.Errorf("nothing between %v and %v", k.fed[i], at)
			}
		}
	})
}

func TestWatchdogEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Without a watchdog there is nothing to wait for.
		feed(t.Context(), 0, nil, nil, nil)
		// An end in the middle of a question is no stall.
		k := &kennel{moving: func(ctx context.Context) bool { <-ctx.Done(); return ctx.Err() == nil }}
		stop := k.run(t, time.Hour)
		time.Sleep(time.Minute)
		stop()
		if len(k.fed) != 0 || len(k.reported) != 0 {
			t.Errorf("at the end fed %v, reported %v", k.fed, k.reported)
		}
	})
}

// Watch itself, on a real socket.
func TestWatchFeeds(t *testing.T) {
	n, next := listen(t, sockets(t)["path"])
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { n.Watch(ctx, 30*time.Millisecond, func(context.Context) bool { return true }, nil) })
	for range 3 {
		if got := next(); got != "WATCHDOG=1\n" {
			t.Errorf("sent %q", got)
		}
	}
}
