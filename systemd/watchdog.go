package systemd

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"
)

// WatchdogInterval is the time after which the manager takes a daemon that
// sends no Watchdog for stuck. It is 0 if nobody waits for one: WATCHDOG_USEC is
// not set or no number, or WATCHDOG_PID names another process than pid, from
// which ours then has inherited it.
func WatchdogInterval(getenv func(string) string, pid int) time.Duration {
	if of := getenv("WATCHDOG_PID"); of != "" && of != strconv.Itoa(pid) {
		return 0
	}
	usec, err := strconv.ParseUint(getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec > math.MaxInt64/uint64(time.Microsecond) {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}

// ErrStuck is what Watch reports while the daemon is not seen to move.
var ErrStuck = errors.New("the work does not move: the service manager's watchdog is not fed")

// Watch feeds the watchdog until ctx ends, three times an interval, but only
// while moving says that work moves: a process that merely has a timer left is
// what the watchdog is there to find. moving gets a third of the interval; it
// must return when its context ends. It is called in the caller's goroutine, as
// Watch itself returns only when ctx has ended, or at once if interval is 0.
//
// report, which may be nil, is told when feeding begins to fail, with ErrStuck
// or the error of Notifier.Watchdog, when the reason changes, and, with nil,
// when it is well again.
func (n *Notifier) Watch(ctx context.Context, interval time.Duration, moving func(context.Context) bool, report func(error)) {
	feed(ctx, interval, moving, n.Watchdog, report)
}

func feed(ctx context.Context, interval time.Duration, moving func(context.Context) bool, ping func() error, report func(error)) {
	// Three times, so that a question that takes its whole time, and one late
	// timer beside it, still do not cost the daemon its life.
	step := interval / 3
	if step <= 0 {
		return
	}
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	failing := ""
	for {
		err := feedOnce(ctx, step, moving, ping)
		if ctx.Err() != nil {
			return
		}
		if reason := reasonOf(err); reason != failing && report != nil {
			report(err)
			failing = reason
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func feedOnce(ctx context.Context, patience time.Duration, moving func(context.Context) bool, ping func() error) error {
	asked, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !moving(asked) {
		return ErrStuck
	}
	return ping()
}

func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
