package fetch

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"postrider/ledger"
)

const someDay = 24 * time.Hour

func (w *world) changePolicy(d Disposal) {
	w.t.Helper()
	w.job.OnServer = d
	w.again()
}

func TestRemoveAndMove(t *testing.T) {
	t.Parallel()
	for _, action := range []Action{Remove, Move} {
		w, s := newWorld(t, withNumbers, withPolicy(Disposal{Action: action})), newNumbered(uids("m", 4)...)
		s.action, s.refused, s.unwilling = action, map[uint32]int{2: 1}, map[uint32]int{3: 1}
		if r := w.pass(s); r.Delivered != 3 || r.Disposed != 2 || !slices.Equal(s.names(), []string{"m2", "m3"}) {
			t.Errorf("first pass: %+v, left %v", r, s.names())
		}
		w.marked(Numbers{{2, 2}}, 5)
		w.again()
		if r := w.pass(s); r.Delivered != 1 || r.Disposed != 2 || len(s.letters) != 0 {
			t.Errorf("second pass: %+v, left %v", r, s.names())
		}
		s.forgetLog()
		if w.pass(s); len(s.disposed) != 0 || !w.line.Mark().Quiet(w.job, time.Now()) {
			t.Errorf("asked for %v once more; %+v", s.disposed, w.line.Mark())
		}
		if len(s.moved) != 4*int(action/Move) {
			t.Errorf("moved %v", s.moved)
		}
		w.once(uids("m", 4)...)
	}
}

// TestKeptMailIsRemovedWhenThePolicyChanges: nothing is new, but the mark knows
// that something else is wanted.
func TestKeptMailIsRemovedWhenThePolicyChanges(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers), newNumbered(uids("m", 3)...)
	s.action = Remove
	w.pass(s)
	w.changePolicy(Disposal{Action: Remove})
	if w.line.Mark().Quiet(w.job, time.Now()) {
		t.Error("the mark is quiet")
	}
	if r := w.pass(s); r.Disposed != 3 {
		t.Errorf("%+v", r)
	}
	w.once(uids("m", 3)...)
}

// TestNothingIsDueUnderKeep: what was to be removed stays, and wakes nobody.
func TestNothingIsDueUnderKeep(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers, deleting), newNumbered(uids("m", 3)...)
	s.unwilling = map[uint32]int{2: -1}
	w.pass(s)
	w.changePolicy(Disposal{})
	s.forgetLog()
	if w.pass(s); len(s.disposed) != 0 || !w.line.Mark().Quiet(w.job, time.Now()) {
		t.Errorf("asked for %v; %+v", s.disposed, w.line.Mark())
	}
}

// TestSeenOnlyWhatWasDeliveredUnderIt: and only once, as the user may mark a
// message as unread.
func TestSeenOnlyWhatWasDeliveredUnderIt(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers), newNumbered("m1", "m2")
	s.action = MarkSeen
	w.pass(s)
	w.changePolicy(Disposal{Action: MarkSeen})
	s.add("m3", "m4")
	s.unwilling = map[uint32]int{4: 1}
	if r := w.pass(s); r.Disposed != 0 || !slices.Equal(slices.Sorted(slices.Values(s.disposed)), []uint32{3, 4}) {
		t.Errorf("%+v, marked %v", r, s.disposed)
	}
	if len(s.letters) != 4 {
		t.Errorf("left %v", s.names())
	}
	s.forgetLog()
	w.again()
	if w.pass(s); !slices.Equal(s.disposed, []uint32{4}) {
		t.Errorf("marked %v once more, want the one that was refused", s.disposed)
	}
	s.forgetLog()
	w.line.mark.Counted = 1
	if w.pass(s); len(s.disposed) != 0 || s.counts != 1 {
		t.Errorf("marked %v once more, %d counts", s.disposed, s.counts)
	}
}

// TestRemovalAfterDays: the mark tells when to look again, though nothing is new.
func TestRemovalAfterDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, withNumbers, withPolicy(Disposal{Action: Remove, After: 30 * someDay})), newNumbered("old")
		s.action = Remove
		w.pass(s)
		time.Sleep(20 * someDay)
		s.add("young")
		w.pass(s)
		time.Sleep(10*someDay - 2*time.Second)
		w.again()
		if m := w.line.Mark(); !m.Quiet(w.job, time.Now()) {
			t.Errorf("too early: %+v", m)
		}
		s.forgetLog()
		if r := w.pass(s); r.Disposed != 0 {
			t.Errorf("too early: %+v", r)
		}
		time.Sleep(2 * time.Second)
		if m := w.line.Mark(); m.Quiet(w.job, time.Now()) {
			t.Errorf("in time: %+v", m)
		}
		if r := w.pass(s); r.Disposed != 1 || !slices.Equal(s.disposed, []uint32{1}) {
			t.Errorf("%+v, removed %v", r, s.disposed)
		}
		if m := w.line.Mark(); time.Until(time.Unix(m.Due, 0)).Round(time.Hour) != 20*someDay {
			t.Errorf("the next one is due at %v", time.Unix(m.Due, 0))
		}
		w.once("old", "young")
	})
}

// TestT18ClockJumps: forward and back again, a message that is to be removed after
// days is neither removed before them nor forgotten.
func TestT18ClockJumps(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers, withPolicy(Disposal{Action: Remove, After: 30 * someDay})), newNumbered("m1")
	s.action = Remove
	w.pass(s)
	place, ok := w.line.known.Find(w.line.origins.byNumber(7, 1))
	r, _ := w.line.known.At(place)
	if !ok {
		t.Fatal("not on record")
	}
	for _, tt := range []struct {
		age time.Duration
		due bool
	}{{-3650 * someDay, false}, {-someDay, false}, {29 * someDay, false}, {31 * someDay, true}} {
		r.Time = time.Now().Add(-tt.age)
		w.line.known.Add(r)
		m := w.line.mark
		m.Due = w.line.nextDue()
		if (m.Due <= time.Now().Unix()) != tt.due || m.Due < 1 {
			t.Errorf("delivered %v ago: due at %v", tt.age, time.Unix(m.Due, 0))
		}
		w.line.setMark(m)
		if w.pass(s); (len(s.letters) == 0) != tt.due {
			t.Errorf("delivered %v ago: left on the server: %v", tt.age, s.names())
		}
	}
}

// TestStaysIsToldOnce: a server that cannot remove is not asked again, not even
// after the message was counted.
func TestStaysIsToldOnce(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers, deleting), newNumbered(uids("m", 3)...)
	s.action, s.stays = Remove, true
	if r := w.pass(s); r.Disposed != 0 || len(s.disposed) != 3 {
		t.Errorf("%+v, asked for %v", r, s.disposed)
	}
	s.forgetLog()
	for range 2 {
		w.again()
		w.line.mark.Counted = 1
		if m := w.line.Mark(); !m.Quiet(w.job, time.Now()) {
			t.Errorf("not quiet: %+v", m)
		}
		w.pass(s)
	}
	if len(s.disposed) != 0 || s.counts != 2 {
		t.Errorf("asked for %v again, %d counts", s.disposed, s.counts)
	}
	w.once(uids("m", 3)...)
}

// TestT42RemovalThatIsNotDone: what is still there when it is counted is removed
// then, and does not come again, however long that takes.
func TestT42RemovalThatIsNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, withNumbers, deleting), newNumbered(uids("m", 3)...)
		s.action, s.deaf = Remove, true
		w.pass(s)
		for i := range 40 {
			time.Sleep(11 * time.Hour)
			s.add("n" + string(rune('a'+i)))
			if r := w.pass(s); r.Delivered != 1 {
				t.Fatalf("pass %d: %+v", i, r)
			}
		}
		s.deaf = false
		time.Sleep(countEvery + time.Hour)
		w.pass(s)
		if len(s.letters) != 0 {
			t.Errorf("left on the server: %v", s.names())
		}
	})
}

// TestInferredIsHeld: without a file that proves the delivery the message stays
// on the server for a week, and then goes without anything new to wake it.
func TestInferredIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, withNumbers, deleting), newNumbered("kept", "taken")
		s.action = Remove
		in := w.walkTo(&server{other: s}, visible)
		must(t, os.Remove(w.file("new", in[1].Name)))
		w.again()
		if r := w.pass(s); r.Delivered != 0 || r.Disposed != 1 || !slices.Equal(s.names(), []string{"taken"}) {
			t.Errorf("%+v, left %v", r, s.names())
		}
		time.Sleep(inferredHold - time.Minute)
		w.again()
		if w.pass(s); len(s.letters) != 1 || !w.line.Mark().Quiet(w.job, time.Now()) {
			t.Errorf("too early: left %v, %+v", s.names(), w.line.Mark())
		}
		time.Sleep(2 * time.Minute)
		if w.pass(s); len(s.letters) != 0 {
			t.Errorf("left %v, %+v", s.names(), w.line.Mark())
		}
	})
}

// TestT15NothingIsRemovedWithAnOldLedger: and it is done in the next run.
func TestT15NothingIsRemovedWithAnOldLedger(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers, deleting), newNumbered("m1")
	s.action = Remove
	w.root.Behind = true
	w.pass(s)
	if w.pass(s); len(s.disposed) != 0 {
		t.Errorf("asked to remove %v", s.disposed)
	}
	w.again()
	if w.pass(s); len(s.letters) != 0 {
		t.Errorf("left %v", s.names())
	}
}

// TestT01EndAtEachStepOfNumbers ends the process after each step of a delivery
// and begins anew.
func TestT01EndAtEachStepOfNumbers(t *testing.T) {
	t.Parallel()
	for _, action := range []Action{Keep, Remove, Move, MarkSeen} {
		for last := retrieved; last <= asked; last++ {
			w, s := newWorld(t, withNumbers, withPolicy(Disposal{Action: action})), newNumbered(uids("m", 5)...)
			s.action = action
			w.walkTo(&server{other: s}, last)
			w.again()
			r := w.pass(s)
			if again := last < intended; (r.Delivered == 5) != again {
				t.Errorf("ended when %v, %v: %+v", last, action, r)
			}
			if gone := len(s.letters) == 0; gone != (action == Remove || action == Move) {
				t.Errorf("ended when %v, %v: left %v", last, action, s.names())
			}
			if marked := len(s.flagged) == 5; marked != (action == MarkSeen) {
				t.Errorf("ended when %v, %v: seen %v", last, action, s.flagged)
			}
			if action == Move && len(s.moved) != 5 {
				t.Errorf("ended when %v: moved %v", last, s.moved)
			}
			w.once(uids("m", 5)...)
			for range 2 { // the first may find out what has gone
				s.forgetLog()
				w.pass(s)
			}
			if m := w.line.Mark(); !m.Quiet(w.job, time.Now()) || len(s.disposed) != 0 {
				t.Errorf("ended when %v, %v: %+v, asked for %v", last, action, m, s.disposed)
			}
		}
	}
}

var errKilled = errors.New("the process was killed, says the test")

// TestT01KilledAtEachEvent ends the process at each event of a session: when
// the server was asked, when a message is there, before and after the server
// has disposed of messages. Nothing is recorded from then on.
func TestT01KilledAtEachEvent(t *testing.T) {
	t.Parallel()
	type scenario struct {
		name  string
		begin func(*numbered) // after a first pass
		names []string        // in the folder in the end
	}
	for _, sc := range []scenario{
		{"new mail", func(s *numbered) { s.add("n1", "n2") }, []string{"m1", "m2", "m3", "n1", "n2"}},
		{"new epoch", func(s *numbered) { s.add("n1"); s.renumber(8) }, []string{"m1", "m2", "m3", "n1"}},
		{"no epoch any more", func(s *numbered) { s.add("n1"); s.epoch = 0 }, []string{"m1", "m2", "m3", "n1"}},
		{"counted, one is gone", func(s *numbered) { s.add("n1"); s.expunge(2); s.quiet = true }, []string{"m1", "m2", "m3", "n1"}},
	} {
		for _, policy := range []Disposal{{}, {Action: Remove}, {Action: Move}, {Action: MarkSeen}} {
			t.Run(fmt.Sprint(sc.name, " ", policy.Action), func(t *testing.T) {
				t.Parallel()
				for at := 0; at < 40; at++ {
					w, s := newWorld(t, withNumbers, withPolicy(policy)), newNumbered(uids("m", 3)...)
					s.action, s.unwilling = policy.Action, map[uint32]int{1: 1}
					w.pass(s)
					w.line.setMark(func(m Mark) Mark { m.Counted = 1; return m }(w.line.mark))
					must(t, w.line.save())
					sc.begin(s)
					events, killed := 0, false
					s.event = func(string) error {
						if events++; events <= at {
							return nil
						}
						if !killed {
							killed = true
							w.breakLedger()
						}
						return errKilled
					}
					_, err := w.line.Pass(t.Context(), s.dial)
					s.event = nil
					if (err != nil) != killed {
						t.Fatalf("killed %v, and the pass says %v", killed, err)
					}
					for range 3 {
						w.again()
						w.pass(s)
					}
					w.once(sc.names...)
					if policy.removes() != (len(s.letters) == 0) {
						t.Errorf("killed at %d: left on the server: %v; %+v", at, s.names(), w.line.Mark())
					}
					if m := w.line.Mark(); s.epoch != 0 && !m.Quiet(w.job, time.Now()) {
						t.Errorf("killed at %d: not at rest: %+v", at, m)
					}
					w.close()
					if !killed {
						return
					}
				}
				t.Error("it never came to an end")
			})
		}
	}
}

func TestDueIsOfWhatIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withNumbers, deleting)
	if due := w.line.nextDue(); due != 0 {
		t.Errorf("nothing is known, and something is due at %d", due)
	}
	place := w.line.known.Add(ledger.Record{Key: ledger.Key{1}, Octets: 1, Time: time.Now(), State: ledger.Disposing})
	if due := w.line.nextDue(); due != 1 {
		t.Errorf("due at %d, want at once", due)
	}
	w.line.known.SetGone(place, time.Now())
	if due := w.line.nextDue(); due != 0 {
		t.Errorf("it has gone, and is due at %d", due)
	}
	w.line.known.Add(ledger.Record{Key: ledger.Key{2}, Octets: 1, Time: time.Now(), State: ledger.Told})
	if due := w.line.nextDue(); due != 0 {
		t.Errorf("all was told, and it is due at %d", due)
	}
}
