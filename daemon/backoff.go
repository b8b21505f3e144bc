package daemon

import (
	"errors"
	"slices"
	"time"
)

// class is what kind of failure keeps an account from its work, the gravest last.
type class int

const (
	healthy   class = iota
	unreached       // anything that may pass by itself
	hopeless        // of no use to try again until somebody changes something, but harmless
	throttled       // the server said when to come back
	refused         // the login: trying again may lock the user out
)

func (c class) String() string {
	switch c {
	case healthy:
		return "healthy"
	case unreached:
		return "unreached"
	case hopeless:
		return "hopeless"
	case throttled:
		return "throttled"
	}
	return "paused"
}

// classify sorts an error by what it says of itself: LoginRefused() bool,
// Backoff() (time.Duration, bool), Permanent() bool. The time is the one that a
// server named. Of several errors, as errors.Join makes them, the gravest counts;
// but one that may pass is tried again, whatever the others are.
func classify(err error) (class, time.Duration) {
	if err == nil {
		return healthy, 0
	}
	var told time.Duration
	worst, all := healthy, true
	for _, e := range parts(err) {
		c, d := classifyOne(e)
		worst, told = max(worst, c), max(told, d)
		all = all && c == hopeless
	}
	if worst == hopeless && !all {
		worst = unreached
	}
	return worst, told
}

func classifyOne(err error) (class, time.Duration) {
	var login interface{ LoginRefused() bool }
	var server interface{ Backoff() (time.Duration, bool) }
	var lasting interface{ Permanent() bool }
	var told time.Duration
	if errors.As(err, &server) {
		if d, ok := server.Backoff(); ok {
			told = max(d, 1)
		}
	}
	switch {
	case errors.As(err, &login) && login.LoginRefused():
		return refused, told
	case told > 0:
		return throttled, told
	case errors.As(err, &lasting) && lasting.Permanent():
		return hopeless, 0
	}
	return unreached, 0
}

// parts are the errors that err joins.
func parts(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = slices.Concat(all, parts(e))
	}
	return all
}

// The first and the longest delay of each class.
const (
	unreachedFirst, unreachedLongest = 15 * time.Second, 30 * time.Minute
	hopelessFirst, hopelessLongest   = 5 * time.Minute, 30 * time.Minute
	refusedFirst, refusedLongest     = time.Hour, 12 * time.Hour
	// No server is believed that wants to be left alone for longer than this.
	toldLongest = 12 * time.Hour
)

// after is the delay after the nth failure of a class in a row, counted from 1:
// it doubles up to the longest. Throttled is that of a server whose time is
// too short to be meant.
func after(c class, n int) time.Duration {
	first, longest := unreachedFirst, unreachedLongest
	switch c {
	case healthy:
		return 0
	case hopeless:
		first, longest = hopelessFirst, hopelessLongest
	case refused:
		first, longest = refusedFirst, refusedLongest
	}
	d := first
	for i := 1; i < n && d < longest; i++ {
		d *= 2
	}
	return min(d, longest)
}

// backoff is what the failures of one account add up to. The zero value is that
// of a healthy one, to which only its schedule applies.
type backoff struct {
	state    class
	failures int // since the last success, other than refusals
	refusals int // since the last success; what comes between does not make them harmless
	// loginDelay is what the server wants between two logins (POP3's LOGIN-DELAY,
	// RFC 2449 section 6.5), healthy or not. Whoever logs in sets it.
	loginDelay time.Duration
}

// succeeded forgets all failures.
func (b *backoff) succeeded() { b.state, b.failures, b.refusals = healthy, 0, 0 }

// failed returns how long to leave the server alone after an attempt that ended
// with err, which is not nil and not the end of our own context: the delay that
// doubles, longer by up to a fifth but not beyond the longest; or the server's own
// time, longer by up to a fifth and at least the shortest. jitter is as for
// schedule.next. While refused, the delay is a pause that only the user ends.
func (b *backoff) failed(err error, jitter func(time.Duration) time.Duration) time.Duration {
	c, told := classify(err)
	b.state = c
	n := &b.failures
	if c == refused {
		n = &b.refusals
	}
	*n++
	d := after(c, *n)
	switch c {
	case throttled:
		d = max(min(told, toldLongest), unreachedFirst)
		d += jitter(d / 5)
	case refused:
		d = max(min(d+jitter(d/5), refusedLongest), min(told, toldLongest))
	case hopeless:
		d = min(d+jitter(d/5), hopelessLongest)
	default:
		d = min(d+jitter(d/5), unreachedLongest)
	}
	return max(d, min(b.loginDelay, toldLongest))
}

// paused reports that the account waits for the user.
func (b *backoff) paused() bool { return b.state == refused }

// hurry reports whether the network's return ends the delay. If so the count
// begins anew: what failed without a network says nothing about the server. What
// a server has said stays said.
func (b *backoff) hurry() bool {
	if b.state != unreached {
		return false
	}
	b.failures = 0
	return true
}

// earliest returns start or, if the server wants more time between two logins,
// the end of that; login is when the last one was, zero if none was. A schedule
// that is manual, with its zero start, stays so.
func (b *backoff) earliest(start, login time.Time) time.Time {
	if start.IsZero() || login.IsZero() || b.loginDelay <= 0 {
		return start
	}
	if free := login.Add(min(b.loginDelay, toldLongest)); free.After(start) {
		return free
	}
	return start
}
