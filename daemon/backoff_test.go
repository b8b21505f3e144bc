package daemon

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Errors that say one thing of themselves.
type saysLogin bool
type saysPermanent bool
type saysBackoff time.Duration

func (saysLogin) Error() string         { return "no login" }
func (e saysLogin) LoginRefused() bool  { return bool(e) }
func (saysPermanent) Error() string     { return "no such mailbox" }
func (e saysPermanent) Permanent() bool { return bool(e) }
func (saysBackoff) Error() string       { return "slow down" }
func (e saysBackoff) Backoff() (time.Duration, bool) {
	return time.Duration(e), e >= 0
}

func TestClassify(t *testing.T) {
	plain := errors.New("connection reset")
	cases := []struct {
		name string
		err  error
		want class
		told time.Duration
	}{
		{"none", nil, healthy, 0},
		{"unknown", plain, unreached, 0},
		{"login", fmt.Errorf("account: %w", saysLogin(true)), refused, 0},
		{"no refusal", saysLogin(false), unreached, 0},
		{"permanent", fmt.Errorf("mailbox: %w", saysPermanent(true)), hopeless, 0},
		{"not permanent", saysPermanent(false), unreached, 0},
		{"told", fmt.Errorf("account: %w", saysBackoff(time.Minute)), throttled, time.Minute},
		{"told nothing", saysBackoff(-1), unreached, 0},
		{"told no time", saysBackoff(0), throttled, 1},
		{"login behind another", errors.Join(plain, saysLogin(false), saysLogin(true)), refused, 0},
		{"login and time", errors.Join(saysBackoff(time.Hour), saysLogin(true)), refused, time.Hour},
		{"longest time", errors.Join(saysBackoff(time.Hour), errors.Join(plain, saysBackoff(2*time.Hour))), throttled, 2 * time.Hour},
		{"one may pass", errors.Join(saysPermanent(true), plain), unreached, 0},
		{"none may pass", errors.Join(saysPermanent(true), saysPermanent(true)), hopeless, 0},
	}
	for _, c := range cases {
		if got, told := classify(c.err); got != c.want || told != c.told {
			t.Errorf("%s: %v and %v, want %v and %v", c.name, got, told, c.want, c.told)
		}
	}
}

func TestAfter(t *testing.T) {
	cases := []struct {
		class class
		n     int
		want  time.Duration
	}{
		{healthy, 3, 0},
		{unreached, 1, 15 * time.Second}, {unreached, 2, 30 * time.Second}, {unreached, 7, 16 * time.Minute},
		{unreached, 8, 30 * time.Minute}, {unreached, 1 << 40, 30 * time.Minute},
		{hopeless, 1, 5 * time.Minute}, {hopeless, 9, 30 * time.Minute},
		{refused, 1, time.Hour}, {refused, 2, 2 * time.Hour}, {refused, 4, 8 * time.Hour}, {refused, 5, 12 * time.Hour}, {refused, 1 << 40, 12 * time.Hour},
	}
	for _, c := range cases {
		if got := after(c.class, c.n); got != c.want {
			t.Errorf("%v %d: %v, want %v", c.class, c.n, got, c.want)
		}
	}
}

func TestBackoffFailed(t *testing.T) {
	const year = 365 * 24 * time.Hour
	plain, login := errors.New("connection reset"), saysLogin(true)
	var b backoff
	steps := []struct {
		name   string
		err    error // nil: succeeded
		jitter func(time.Duration) time.Duration
		want   time.Duration
		paused bool
	}{
		{"first", plain, noJitter, 15 * time.Second, false},
		{"second, late", plain, wholeJitter, 36 * time.Second, false},
		{"refused", login, noJitter, time.Hour, true},
		{"network between", plain, noJitter, time.Minute, false},
		{"refused again", login, noJitter, 2 * time.Hour, true},
		{"and again, told", errors.Join(login, saysBackoff(5*time.Hour)), noJitter, 5 * time.Hour, true},
		{"success", nil, nil, 0, false},
		{"first refusal anew", login, wholeJitter, 72 * time.Minute, true},
		{"success", nil, nil, 0, false},
		{"told", saysBackoff(5 * time.Minute), noJitter, 5 * time.Minute, false},
		{"told, late", saysBackoff(5 * time.Minute), wholeJitter, 6 * time.Minute, false},
		{"told nonsense", saysBackoff(time.Millisecond), noJitter, 15 * time.Second, false},
		{"told too much", saysBackoff(year), noJitter, 12 * time.Hour, false},
		{"plain goes on", plain, noJitter, 4 * time.Minute, false},
		{"plain", plain, noJitter, 8 * time.Minute, false},
		{"plain", plain, noJitter, 16 * time.Minute, false},
		{"longest has no jitter", plain, wholeJitter, 30 * time.Minute, false},
		{"success", nil, nil, 0, false},
		{"hopeless", saysPermanent(true), noJitter, 5 * time.Minute, false},
	}
	for i, s := range steps {
		if s.err == nil {
			b.succeeded()
			continue
		}
		if got := b.failed(s.err, s.jitter); got != s.want || b.paused() != s.paused {
			t.Errorf("step %d, %s: %v (paused %v), want %v (%v)", i, s.name, got, b.paused(), s.want, s.paused)
		}
	}
	if (&backoff{}).paused() {
		t.Error("a new account is paused")
	}
}

func TestBackoffLoginDelay(t *testing.T) {
	b := backoff{loginDelay: 5 * time.Minute}
	if got := b.failed(errors.New("reset"), noJitter); got != 5*time.Minute {
		t.Errorf("after a failure %v, want the server's 5m", got)
	}
	base := time.Now()
	cases := []struct {
		name               string
		start, login, want time.Time
	}{
		{"too soon", base.Add(time.Minute), base, base.Add(5 * time.Minute)},
		{"late enough", base.Add(10 * time.Minute), base, base.Add(10 * time.Minute)},
		{"no login yet", base.Add(time.Minute), time.Time{}, base.Add(time.Minute)},
		{"manual", time.Time{}, base, time.Time{}},
	}
	for _, c := range cases {
		if got := b.earliest(c.start, c.login); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	b.loginDelay = 1 << 62 // a server's nonsense
	if got := b.earliest(base, base).Sub(base); got != toldLongest {
		t.Errorf("a login every %v", got)
	}
}

func TestT97Hurry(t *testing.T) {
	cases := []struct {
		err  error
		want bool
		next time.Duration // after one more failure of the network
	}{
		{errors.New("no route to host"), true, 15 * time.Second},
		{saysBackoff(time.Hour), false, 30 * time.Second},
		{saysPermanent(true), false, 30 * time.Second},
		{saysLogin(true), false, 15 * time.Second},
	}
	for _, c := range cases {
		var b backoff
		b.failed(c.err, noJitter)
		if got := b.hurry(); got != c.want {
			t.Errorf("%v: hurry %v, want %v", c.err, got, c.want)
		}
		if got := b.failed(errors.New("reset"), noJitter); got != c.next {
			t.Errorf("%v: then %v, want %v", c.err, got, c.next)
		}
	}
}

// A day without a network, and one with a wrong password: neither a storm nor a
// lock-out.
func TestBackoffDay(t *testing.T) {
	for _, c := range []struct {
		err          error
		least, most  int
		lastInterval time.Duration
	}{
		{errors.New("no route to host"), 50, 56, 30 * time.Minute},
		{saysLogin(true), 5, 5, 12 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			var b backoff
			tries, last := 0, time.Duration(0)
			for began := time.Now(); time.Since(began) < 24*time.Hour; tries++ {
				last = b.failed(c.err, mostJitter)
				time.Sleep(last)
			}
			if tries < c.least || tries > c.most || last != c.lastInterval {
				t.Errorf("%v: %d tries, the last delay %v", c.err, tries, last)
			}
		})
	}
}
