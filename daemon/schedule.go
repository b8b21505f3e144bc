package daemon

import (
	"fmt"
	"time"

	"github.com/robfig/cron/v3"

	"postrider/configs"
)

const (
	// longestWait is after how long a waiting job looks at the clocks again. A
	// timer stands still while the machine sleeps and knows nothing of a clock
	// that is set: so it is late by no more than this, whoever fails to tell.
	longestWait = time.Minute
	// smallStep is by how much a clock may be set back without the turns of that
	// time coming once more.
	smallStep = time.Hour
)

// schedule says when it is an account's turn. The zero value is manual.
type schedule struct {
	every time.Duration
	times *cron.SpecSchedule
	zone  *time.Location // of times, or nil for that of the time asked with
}

func newSchedule(c configs.Schedule) (schedule, error) {
	if c.Cron == "" {
		return schedule{every: c.Every}, nil
	}
	parsed, err := cron.ParseStandard(c.Cron)
	if err != nil {
		return schedule{}, fmt.Errorf("read schedule %q: %w", c.Cron, err)
	}
	times, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return schedule{}, fmt.Errorf("read schedule %q: no times of day", c.Cron)
	}
	s := schedule{times: times}
	if times.Location != time.Local {
		s.zone = times.Location
	}
	times.Location = time.Local // which the parser's package reads as the zone of the time asked with
	return s, nil
}

// next returns the turn after last, the one that was taken last (zero if none
// was), and when to start, which is up to a tenth of the interval later, so
// that the accounts of one server do not come all at once. jitter returns a
// duration from 0 up to its argument, exclusively. The next question is asked
// with the turn and not with the start: so delays never add up. Turns that have
// passed are left out, however many they are: whoever asks has just fetched, or
// has asked wait first. Both times are zero for a manual schedule, and for one
// that never comes.
func (s schedule) next(now, last time.Time, jitter func(time.Duration) time.Duration) (turn, start time.Time) {
	switch {
	case s.every > 0 && last.IsZero():
		return now, now
	case s.every > 0:
		// A last turn in the future is of a clock that has been set back since.
		gone := max(elapsed(last, now), 0)
		turn = now.Add(s.every - gone%s.every)
		return turn, turn.Add(jitter(s.every / 10))
	case s.times != nil:
		// These are times of the wall clock, and of no other.
		from := now.Round(0)
		if ahead := last.Round(0).Sub(from); ahead > 0 && ahead <= smallStep {
			from = last.Round(0)
		}
		turn = s.after(from)
		return turn, turn
	}
	return time.Time{}, time.Time{}
}

// after returns the first time after t by the wall clock, or zero. It asks the
// parser's package about times of one offset only: over a change of the offset
// that would leave out turns. A turn in an hour that a change skips comes at
// the change; one in an hour that comes twice comes twice, as a poll too many
// does no harm, and an hour without one might.
func (s schedule) after(t time.Time) time.Time {
	zone := t.Location()
	if s.zone != nil {
		zone = s.zone
	}
	within := t.In(zone)
	for {
		_, change := within.ZoneBounds()
		_, offset := within.Zone()
		found := s.times.Next(t.In(time.FixedZone("", offset)))
		if found.IsZero() || change.IsZero() || found.Before(change) {
			return in(found, zone)
		}
		_, later := change.In(zone).Zone()
		skipped := time.Duration(later-offset) * time.Second
		if found.Before(change.Add(skipped)) {
			return in(change, zone)
		}
		t, within = change.Add(-1), change.In(zone)
	}
}

// in leaves a zero time zero.
func in(t time.Time, zone *time.Location) time.Time {
	if t.IsZero() {
		return t
	}
	return t.In(zone)
}

// wait returns how long to wait for start: 0 if it has come by the wall clock
// or, where both times have its reading, by the monotonic one. It is at most
// longestWait, after which wait is asked again, as it is when the machine wakes
// up or a clock is set; after that next should be asked as well if start has not
// come, since a turn by a wall clock may be another one now.
func wait(now, start time.Time) time.Duration {
	left := -elapsed(start, now)
	return min(max(left, 0), longestWait)
}

// elapsed is the time from one moment to another by the clock that says more. The
// monotonic clock stands still while the machine sleeps, and the wall clock may be
// set back. One that is set forward looks like sleep, and costs one poll.
func elapsed(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// jump returns by how much the wall clock ran ahead of the monotonic one between
// two moments: the time that the machine slept or the clock was set forward,
// negative where it was set back. Both must come from time.Now.
func jump(from, to time.Time) time.Duration {
	return to.Round(0).Sub(from.Round(0)) - to.Sub(from)
}
