package daemon

import (
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"postrider/configs"
)

func noJitter(time.Duration) time.Duration      { return 0 }
func mostJitter(d time.Duration) time.Duration  { return d - 1 }
func wholeJitter(d time.Duration) time.Duration { return d }

func scheduleOf(t *testing.T, c configs.Schedule) schedule {
	t.Helper()
	s, err := newSchedule(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// clockSet returns t, which has both readings, as if the wall clock were ahead by
// d. Package time has no way to say that, so its layout is used, and checked.
func clockSet(t *testing.T, at time.Time, d time.Duration) time.Time {
	t.Helper()
	moved := at
	first := (*uint64)(unsafe.Pointer(&moved)) // flag, 33 bits of seconds, 30 of nanoseconds
	*first += uint64(d/time.Second) << 30
	if wall, mono := moved.Round(0).Sub(at.Round(0)), moved.Sub(at); wall != d || mono != 0 {
		t.Fatalf("package time has another layout now: wall clock moved by %v, monotonic by %v", wall, mono)
	}
	return moved
}

func TestNextEvery(t *testing.T) {
	s := scheduleOf(t, configs.Schedule{Every: 5 * time.Minute})
	base := time.Now()
	cases := []struct {
		name      string
		now, last time.Time
		want      time.Duration // of the turn after base
	}{
		{"first", base, time.Time{}, 0},
		{"at once", base, base, 5 * time.Minute},
		{"after a pass", base.Add(time.Minute), base, 5 * time.Minute},
		{"on the turn", base.Add(5 * time.Minute), base, 10 * time.Minute},
		{"after a pass that was too long", base.Add(12 * time.Minute), base, 15 * time.Minute},
		{"after years", base.Add(10*365*24*time.Hour + time.Minute), base, 10*365*24*time.Hour + 5*time.Minute},
		{"last in the future", base, base.Add(time.Hour), 5 * time.Minute},
		{"clock set back by years", clockSet(t, base.Add(time.Minute), -100000*time.Hour), base, 5 * time.Minute},
		{"clock set forward", clockSet(t, base.Add(time.Minute), time.Hour), base, 5 * time.Minute},
		{"slept", clockSet(t, base.Add(time.Minute), 3*time.Minute), base, 2 * time.Minute},
	}
	for _, c := range cases {
		turn, start := s.next(c.now, c.last, noJitter)
		if got := turn.Sub(base); got != c.want {
			t.Errorf("%s: turn after %v, want %v", c.name, got, c.want)
		}
		if !start.Equal(turn) {
			t.Errorf("%s: start %v after the turn without jitter", c.name, start.Sub(turn))
		}
	}
	turn, start := s.next(base, base, wholeJitter)
	if late := start.Sub(turn); late != 30*time.Second {
		t.Errorf("jitter of up to %v, want a tenth: 30s", late)
	}
}

func TestNextManual(t *testing.T) {
	s := scheduleOf(t, configs.Schedule{Manual: true})
	if turn, start := s.next(time.Now(), time.Time{}, noJitter); !turn.IsZero() || !start.IsZero() {
		t.Errorf("manual comes by itself: %v, %v", turn, start)
	}
}

func TestNextCron(t *testing.T) {
	const layout = "Mon 2006-01-02 15:04 MST"
	cases := []struct {
		name, cron, zone, now string // now with its offset
		want                  []string
	}{
		{"office hours", "*/30 8-18 * * 1-5", "Europe/Berlin", "2026-07-03T18:10:00+02:00",
			[]string{"Fri 2026-07-03 18:30 CEST", "Mon 2026-07-06 08:00 CEST"}},
		{"name", "@daily", "Europe/Berlin", "2026-07-03T18:10:00+02:00", []string{"Sat 2026-07-04 00:00 CEST"}},
		{"own zone", "TZ=America/New_York 0 8 * * *", "Europe/Berlin", "2026-07-03T18:10:00+02:00",
			[]string{"Sat 2026-07-04 08:00 EDT", "Sun 2026-07-05 08:00 EDT"}},
		{"skipped hour", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00+01:00",
			[]string{"Sun 2026-03-29 03:00 CEST", "Mon 2026-03-30 02:30 CEST"}},
		{"through the skipped hour", "*/30 * * * *", "Europe/Berlin", "2026-03-29T01:10:00+01:00",
			[]string{"Sun 2026-03-29 01:30 CET", "Sun 2026-03-29 03:00 CEST", "Sun 2026-03-29 03:30 CEST"}},
		{"doubled hour", "*/30 * * * *", "Europe/Berlin", "2026-10-25T02:10:00+02:00",
			[]string{"Sun 2026-10-25 02:30 CEST", "Sun 2026-10-25 02:00 CET", "Sun 2026-10-25 02:30 CET", "Sun 2026-10-25 03:00 CET"}},
		{"day after the doubled hour", "15 4 * * *", "Europe/Berlin", "2026-10-24T12:00:00+02:00",
			[]string{"Sun 2026-10-25 04:15 CET", "Mon 2026-10-26 04:15 CET"}},
		{"no midnight", "0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00-03:00",
			[]string{"Sun 2018-11-04 01:00 -02", "Mon 2018-11-05 00:00 -02"}},
		{"half an hour", "10 4 * * *", "Australia/Lord_Howe", "2026-10-04T01:00:00+10:30", []string{"Sun 2026-10-04 04:10 +11"}},
		{"skipped half hour", "10 2 * * *", "Australia/Lord_Howe", "2026-10-04T01:00:00+10:30",
			[]string{"Sun 2026-10-04 02:30 +11", "Mon 2026-10-05 02:10 +11"}},
		{"leap day", "0 6 29 2 *", "Europe/Berlin", "2026-03-01T00:00:00+01:00", []string{"Tue 2028-02-29 06:00 CET"}},
		{"never", "0 0 30 2 *", "Europe/Berlin", "2026-03-01T00:00:00+01:00", []string{"Mon 0001-01-01 00:00 UTC"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			zone, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Skipf("the zones are not installed: %v", err)
			}
			now, err := time.Parse(time.RFC3339, c.now)
			if err != nil {
				t.Fatal(err)
			}
			now = now.In(zone)
			s := scheduleOf(t, configs.Schedule{Cron: c.cron})
			for _, want := range c.want {
				turn, start := s.next(now, now, mostJitter)
				if got := turn.Format(layout); got != want || !start.Equal(turn) {
					t.Fatalf("after %s comes %s (start %s), want %s", now.Format(layout), got, start.Format(layout), want)
				}
				now = turn
			}
		})
	}
}

func TestNextCronClockSetBack(t *testing.T) {
	s := scheduleOf(t, configs.Schedule{Cron: "*/10 * * * *"})
	last := time.Date(2026, 7, 3, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct{ back, want time.Duration }{
		{2 * time.Second, 10 * time.Minute},  // 08:00 does not come again
		{30 * time.Minute, 10 * time.Minute}, // nor do 07:40 and 07:50
		{3 * time.Hour, -170 * time.Minute},  // this clock was wrong before
	} {
		if turn, _ := s.next(last.Add(-c.back), last, noJitter); turn.Sub(last) != c.want {
			t.Errorf("set back by %v: turn after %v, want %v", c.back, turn.Sub(last), c.want)
		}
	}
}

func TestT97Wait(t *testing.T) {
	base := time.Now()
	start := base.Add(40 * time.Second)
	cases := []struct {
		name       string
		now, start time.Time
		want       time.Duration
	}{
		{"to come", base, start, 40 * time.Second},
		{"far", base, base.Add(24 * time.Hour), longestWait},
		{"now", start, start, 0},
		{"past", start.Add(time.Hour), start, 0},
		{"slept past it", clockSet(t, base, time.Hour), start, 0},
		{"slept a little", clockSet(t, base, 30*time.Second), start, 10 * time.Second},
		{"set back before it", clockSet(t, base, -time.Hour), start, 40 * time.Second},
		{"set back, and come by the monotonic clock", clockSet(t, start, -time.Hour), start, 0},
		{"a wall clock's time", start, start.Round(0).Add(30 * time.Second), 30 * time.Second},
		{"a wall clock's time, set forward", clockSet(t, base, 30*time.Second), start.Round(0), 10 * time.Second},
	}
	for _, c := range cases {
		if got := wait(c.now, c.start); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestT97Jump(t *testing.T) {
	base := time.Now()
	for _, d := range []time.Duration{0, time.Hour, -time.Hour} {
		if got := jump(base, clockSet(t, base.Add(time.Minute), d)); got != d {
			t.Errorf("jump %v, want %v", got, d)
		}
	}
}

// A day of polls of which each takes its time and begins late: 288 turns, all on
// the grid of the first.
func TestEveryNeverDrifts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scheduleOf(t, configs.Schedule{Every: 5 * time.Minute})
		began := time.Now()
		turn, start := s.next(began, time.Time{}, mostJitter)
		polls := 0
		for {
			for d := wait(time.Now(), start); d > 0; d = wait(time.Now(), start) {
				time.Sleep(d)
			}
			if time.Since(began) >= 24*time.Hour {
				break
			}
			if off := turn.Sub(began) % (5 * time.Minute); off != 0 {
				t.Fatalf("poll %d is off the grid by %v", polls, off)
			}
			if late := time.Since(turn); late < 0 || late >= 30*time.Second {
				t.Fatalf("poll %d is late by %v", polls, late)
			}
			polls++
			time.Sleep(17 * time.Second)
			turn, start = s.next(time.Now(), turn, mostJitter)
		}
		if polls != 288 {
			t.Errorf("%d polls in a day, want 288", polls)
		}
	})
}

func TestNewScheduleRefuses(t *testing.T) {
	for _, text := range []string{"nonsense", "@every 5m", "1 2 3"} {
		if _, err := newSchedule(configs.Schedule{Cron: text}); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
