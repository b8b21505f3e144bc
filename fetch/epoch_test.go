package fetch

import (
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/ledger"
)

// TestT21EpochChanges: every message is compared by its content, and none comes
// twice. Nothing is removed on the server before that is over.
func TestT21EpochChanges(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change             func(*numbered)
		delivered, matched int
	}{
		"all the same":        {func(*numbered) {}, 0, 6},
		"two new":             {func(s *numbered) { s.add("n1", "n2") }, 2, 6},
		"half of them, three": {func(s *numbered) { s.expunge(1, 2, 3); s.add("n1", "n2", "n3") }, 3, 3},
		"all but one gone":    {func(s *numbered) { s.expunge(1, 2, 3, 4, 5); s.add("n1") }, 1, 1},
		"all gone":            {func(s *numbered) { s.expunge(1, 2, 3, 4, 5, 6); s.add("n1") }, 1, 0},
		"numbers from one": {func(s *numbered) {
			slices.Reverse(s.letters)
			s.next = 1
		}, 0, 6},
		"one twice": {func(s *numbered) { s.add("m3") }, 1, 6},
	} {
		for _, policy := range []Disposal{{}, {Action: Remove, After: 24 * time.Hour}, {Action: MarkSeen}} {
			w, s := newWorld(t, withNumbers, withPolicy(policy)), newNumbered(uids("m", 6)...)
			s.action = policy.Action
			w.pass(s)
			tt.change(s)
			s.renumber(8)
			w.again()
			s.forgetLog()
			r := w.pass(s)
			if r.Delivered != tt.delivered || r.Matched != tt.matched || len(s.disposed) != 0 {
				t.Errorf("%s, %v: %+v, disposed of %v", name, policy, r, s.disposed)
			}
			if w.line.mark.Comparing || w.line.renumbered || w.line.mark.Epoch != 8 {
				t.Errorf("%s: %+v", name, w.line.mark)
			}
			s.forgetLog()
			w.again()
			if r := w.pass(s); r.Delivered != 0 || len(s.asked) != 0 {
				t.Errorf("%s, once more: %+v, asked for %v", name, r, s.asked)
			}
			if policy.Action == MarkSeen && len(s.disposed) != tt.delivered {
				t.Errorf("%s: marked %v as seen, want only what is new", name, s.disposed)
			}
			want := map[string]int{}
			for _, m := range append(uids("m", 6), s.names()...) {
				want[local(text(m))] = 1
			}
			if name == "one twice" {
				want[local(text("m3"))] = 2
			}
			w.holds(want)
		}
	}
}

// TestT21EqualMessages: two that are equal stay two, in both epochs.
func TestT21EqualMessages(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers), newNumbered("a", "a", "b")
	w.pass(s)
	s.renumber(8)
	if r := w.pass(s); r.Delivered != 0 || r.Matched != 3 {
		t.Errorf("%+v", r)
	}
	s.add("a")
	s.renumber(9)
	if r := w.pass(s); r.Delivered != 1 || r.Matched != 3 {
		t.Errorf("one more: %+v", r)
	}
	w.holds(map[string]int{local(text("a")): 3, local(text("b")): 1})
}

// TestT21BackFromABackup: the mailbox is put back from a copy of yesterday,
// with messages that were delivered and removed since, or were still to be.
func TestT21BackFromABackup(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*numbered){
		"removed":     func(*numbered) {},
		"refused":     func(s *numbered) { s.unwilling = map[uint32]int{2: -1, 3: -1} },
		"deaf":        func(s *numbered) { s.deaf = true },
		"stays":       func(s *numbered) { s.stays = true },
		"broken line": func(s *numbered) { s.unheard = errCut },
	} {
		w, s := newWorld(t, withNumbers, deleting), newNumbered(uids("m", 5)...)
		s.action = Remove
		fault(s)
		yesterday := slices.Clone(s.letters)
		w.line.Pass(t.Context(), s.dial)
		*s = numbered{epoch: 8, next: 50, action: Remove}
		s.letters = yesterday
		s.renumber(8)
		s.forgetLog()
		w.again()
		if r := w.pass(s); r.Delivered != 0 || r.Matched != 5 || len(s.disposed) != 0 {
			t.Errorf("%s: %+v, disposed of %v", name, r, s.disposed)
		}
		w.pass(s)
		if want := map[bool]int{true: 5, false: 0}[name == "stays"]; len(s.letters) != want {
			t.Errorf("%s: left on the server: %v", name, s.names())
		}
		w.once(uids("m", 5)...)
	}
}

// TestT21ManyKnownAndFew: the mailbox has lost most of what was known.
func TestT21ManyKnownAndFew(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers), newNumbered(uids("m", 100)...)
	w.pass(s)
	s.letters = s.letters[90:]
	s.renumber(8)
	if r := w.pass(s); r.Delivered != 0 || r.Matched != 10 {
		t.Errorf("%+v", r)
	}
	s.add("n1")
	if r := w.pass(s); r.Delivered != 1 || !slices.Equal(s.asked[len(s.asked)-1:], []uint32{111}) {
		t.Errorf("%+v", r)
	}
	w.once(append(uids("m", 100), "n1")...)
}

// TestT21IncompleteList: as long as not everything was listed, it is compared.
func TestT21IncompleteList(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers, withPolicy(Disposal{Action: Remove, After: time.Hour})), newNumbered(uids("m", 6)...)
	w.pass(s)
	s.renumber(8)
	s.incomplete, s.hidden = true, map[uint32]bool{9: true, 10: true}
	for range 2 {
		w.pass(s)
		w.again()
	}
	s.add("n1")
	s.hidden = nil
	s.incomplete = false
	if r := w.pass(s); r.Delivered != 1 {
		t.Errorf("%+v", r)
	}
	if len(s.disposed) != 0 || w.line.mark.Comparing {
		t.Errorf("disposed of %v; %+v", s.disposed, w.line.mark)
	}
	w.pass(s)
	w.once(append(uids("m", 6), "n1")...)
}

// TestT21RefusedWhileComparing: one that does not come may be any of its size.
func TestT21RefusedWhileComparing(t *testing.T) {
	t.Parallel()
	for _, octets := range []int64{0, -1} {
		w, s := newWorld(t, withNumbers, withPolicy(Disposal{Action: Remove, After: time.Nanosecond})), newNumbered(uids("m", 6)...)
		w.root.Behind = true // nothing is removed in this run
		w.pass(s)
		s.letters[1].octets = octets
		s.renumber(8)
		s.refused = map[uint32]int{8: 2}
		for i := range 3 {
			w.again()
			w.root.Behind = false
			w.pass(s)
			if comparing := w.line.mark.Comparing; comparing != (i < 2) || len(s.disposed) != 0 {
				t.Errorf("announced %d, pass %d: comparing %v, disposed of %v", octets, i, comparing, s.disposed)
			}
		}
		w.once(uids("m", 6)...)
	}
}

// TestT21MoreThanASessionTakes: it is compared in several sessions.
func TestT21MoreThanASessionTakes(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers, func(j *Job) { j.maxFresh = 10 }), newNumbered(uids("m", 25)...)
	w.pass(s)
	s.renumber(8)
	s.breaking = map[uint32]int{30: 1, 44: 1}
	w.line.Pass(t.Context(), s.dial) // which may end with the second break
	w.again()
	w.pass(s)
	if w.line.mark.Comparing {
		t.Errorf("%+v", w.line.mark)
	}
	w.once(uids("m", 25)...)
}

// TestT21CutWhileComparing breaks the line at each message, with the process
// going on, or ending after it.
func TestT21CutWhileComparing(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		for at := range uint32(6) {
			w, s := newWorld(t, withNumbers), newNumbered(uids("m", 6)...)
			w.pass(s)
			s.letters = slices.Insert(s.letters, 3, letter{name: "n1"}) // one is new, so that there is something to be recorded
			s.renumber(8)
			cut := s.letters[at].uid
			s.breaking = map[uint32]int{cut: 1}
			if restart {
				s.breaking[cut] = -1
				w.line.Pass(t.Context(), s.dial)
				s.breaking = nil
				w.again()
			}
			w.pass(s)
			w.once(append(uids("m", 6), "n1")...)
			if w.line.mark.Comparing {
				t.Errorf("cut at %d: it still compares", at)
			}
		}
	}
}

// TestT21EpochIsMarkedBeforeARecordIsMade: after a crash it goes on comparing.
func TestT21EpochIsMarkedBeforeARecordIsMade(t *testing.T) {
	t.Parallel()
	for last := retrieved; last <= delivered; last++ {
		w, s := newWorld(t, withNumbers), newNumbered(uids("m", 3)...)
		w.pass(s)
		s.letters = append([]letter{{name: "n1"}}, s.letters...)
		s.renumber(8)
		w.again()
		w.walkTo(&server{other: s}, last)
		w.again()
		m := w.line.Mark()
		if recorded := last >= intended; m.Comparing != recorded || (m.Epoch == 8) != recorded {
			t.Errorf("ended when %v: %+v", last, m)
		}
		w.pass(s)
		w.once("m1", "m2", "m3", "n1")
		if m := w.line.Mark(); m.Comparing || m.Epoch != 8 {
			t.Errorf("ended when %v, afterwards: %+v", last, m)
		}
	}
}

// TestNumbersThatDoNotLast: the content tells, each time.
func TestNumbersThatDoNotLast(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers), newNumbered("a", "b", "a")
	s.epoch = 0
	if r := w.pass(s); r.Delivered != 3 {
		t.Errorf("first pass: %+v", r)
	}
	for range 2 {
		w.again()
		s.renumber(0)
		s.forgetLog()
		if r := w.pass(s); r.Delivered != 0 || r.Matched != 3 || len(s.asked) != 3 {
			t.Errorf("%+v, asked for %v", r, s.asked)
		}
	}
	s.add("c")
	if r := w.pass(s); r.Delivered != 1 {
		t.Errorf("one more: %+v", r)
	}
	w.holds(map[string]int{local(text("a")): 2, local(text("b")): 1, local(text("c")): 1})
}

// TestNumbersLastOnlyAtTimes: the same epoch comes back after sessions in which
// the numbers meant nothing.
func TestNumbersLastOnlyAtTimes(t *testing.T) {
	t.Parallel()
	for _, policy := range []Disposal{{}, {Action: Remove, After: 24 * time.Hour}} {
		w, s := newWorld(t, withNumbers, withPolicy(policy)), newNumbered(uids("m", 4)...)
		for i, epoch := range []uint32{7, 0, 7, 0, 0, 8, 0, 7} {
			s.epoch = epoch
			s.add("n" + string(rune('a'+i)))
			w.again()
			if r := w.pass(s); r.Delivered != map[bool]int{true: 5, false: 1}[i == 0] {
				t.Errorf("session %d: %+v", i, r)
			}
			if w.line.mark.Counted > 0 {
				w.line.setMark(func(m Mark) Mark { m.Counted = 1; return m }(w.line.mark))
				w.pass(s)
			}
		}
		w.once(s.names()...)
	}
}

// TestNumbersThatDoNotLastAreDeleted: what was delivered is known by its content, and removed.
func TestNumbersThatDoNotLastAreDeleted(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers, deleting), newNumbered(uids("m", 3)...)
	s.epoch, s.unwilling = 0, map[uint32]int{2: 1}
	w.pass(s)
	s.renumber(0)
	if r := w.pass(s); r.Delivered != 0 || len(s.letters) != 0 {
		t.Errorf("%+v, left %v", r, s.names())
	}
	w.once(uids("m", 3)...)
}

// TestEpochBackAgain: as if a server had two copies of a mailbox.
func TestEpochBackAgain(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers), newNumbered(uids("m", 4)...)
	w.pass(s)
	first := slices.Clone(s.letters)
	s.add("n1")
	s.renumber(8)
	w.pass(s)
	s.epoch, s.letters = 7, first
	if r := w.pass(s); r.Delivered != 0 {
		t.Errorf("%+v", r)
	}
	if n := strings.Count(w.log.String(), "UIDVALIDITY"); n != 2 {
		t.Errorf("told %d times of a new epoch", n)
	}
	w.once(append(uids("m", 4), "n1")...)
}

// TestFirstEpochIsNoChange: also where all is known from elsewhere.
func TestFirstEpochIsNoChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withNumbers, func(j *Job) { j.Twins = "one" })
	must(t, w.root.Ledger.Commit(func(t *ledger.Tx) error { return t.AddTwins("one", 11) }))
	s := newNumbered()
	s.put(letter{name: "m1", twin: 11})
	s.add("m2")
	if r := w.pass(s); r.Delivered != 1 || w.line.renumbered || strings.Contains(w.log.String(), "UIDVALIDITY") {
		t.Errorf("%+v\n%s", r, w.log)
	}
}

// A server that is put back from a backup may give numbers out again within
// its epoch: what is under them is told from what was delivered by its size and
// then its content, and is not removed unseen.
func TestNumberIsUsedAgain(t *testing.T) {
	t.Parallel()
	for _, policy := range []Disposal{{}, {Action: Remove}} {
		w, s := newWorld(t, withNumbers, withPolicy(policy)), newNumbered("m1", "m2")
		s.action = policy.Action
		s.unwilling = map[uint32]int{1: 100, 2: 100} // they stay, whatever is asked
		w.pass(s)
		s.letters[1].name = "another one of another size"
		s.unwilling = nil
		m := w.line.mark
		m.Next, m.Told = 0, 0 // as a Source has it listed whose server counts from below
		if policy.Action == Remove {
			m = w.line.mark // the message is due: it is counted, and then looked at
		}
		w.line.setMark(m)
		w.pass(s)
		w.once("m1", "m2", "another one of another size")
		w.pass(s)
		w.once("m1", "m2", "another one of another size")
	}
}
