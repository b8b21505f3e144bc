package fetch

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/ledger"
)

// store is the ledger's file.
func (w *world) store() []byte {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.mail(), ".postrider", "state.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) marked(want Numbers, next uint32) {
	w.t.Helper()
	if m := w.line.Mark(); m.Next != next || !slices.Equal(m.Open, want) {
		w.t.Errorf("the mark is %+v, want next %d, open %v", m, next, want)
	}
}

// TestOnlyWhatIsNewIsListed: nothing below the mark, and for nothing new nothing
// is written.
func TestOnlyWhatIsNewIsListed(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers), newNumbered(uids("m", 20)...)
	if r := w.pass(s); r.Delivered != 20 || r.Listed != 20 {
		t.Errorf("first pass: %+v", r)
	}
	w.marked(nil, 21)
	for _, restart := range []bool{false, true} {
		if restart {
			w.again()
		}
		s.forgetLog()
		before := w.store()
		if r := w.pass(s); r.Delivered != 0 || r.Listed != 0 || s.sessions != 1 || len(s.listed) != 0 || s.counts != 0 || len(s.asked) != 0 {
			t.Errorf("nothing new: %+v, listed %v, %d counts", r, s.listed, s.counts)
		}
		if !bytes.Equal(before, w.store()) {
			t.Error("nothing new, and the ledger was written")
		}
	}
	s.add("m21", "m22")
	if r := w.pass(s); r.Delivered != 2 || !slices.Equal(s.listed, []uint32{21, 22}) {
		t.Errorf("two new: %+v, listed %v", r, s.listed)
	}
	w.once(uids("m", 22)...)
}

// TestOpenMessageIsAskedForAgain: whatever the reason, and whatever comes after it.
func TestOpenMessageIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*numbered{
		"refused":            {refused: map[uint32]int{2: 3}},
		"empty":              {empty: map[uint32]int{2: 3}},
		"not even begun":     {empty: map[uint32]int{2: -2}},
		"refused, late name": {refused: map[uint32]int{2: 3}, late: true},
		"broken":             {breaking: map[uint32]int{2: 5}},
	} {
		s.epoch, s.next = 7, 1
		s.add(uids("m", 4)...)
		w := newWorld(t, withNumbers)
		if r := w.pass(s); r.Delivered != 3 || len(r.Aside) != 1 || r.Aside[0].UID != "2" {
			t.Errorf("%s, first pass: %+v", name, r)
		}
		w.marked(Numbers{{2, 2}}, 5)
		s.add("m5")
		w.again()
		s.forgetLog()
		if r := w.pass(s); r.Delivered != 1 || len(r.Aside) != 1 {
			t.Errorf("%s, second pass: %+v", name, r)
		}
		for _, uid := range s.listed {
			if uid != 2 && uid != 5 {
				t.Errorf("%s: %d was listed once more", name, uid)
			}
		}
		w.marked(Numbers{{2, 2}}, 6)
		s.refused, s.empty, s.breaking = nil, nil, nil
		if r := w.pass(s); r.Delivered != 1 || len(r.Aside) != 0 {
			t.Errorf("%s, mended: %+v", name, r)
		}
		w.marked(nil, 6)
		w.once(uids("m", 5)...)
	}
}

func TestOpenMessageGoes(t *testing.T) {
	t.Parallel()
	for _, quiet := range []bool{false, true} {
		w, s := newWorld(t, withNumbers), newNumbered(uids("m", 4)...)
		s.refused = map[uint32]int{2: -1}
		w.pass(s)
		s.expunge(2)
		if quiet { // it shows with the next count
			s.quiet, s.told = true, Numbers{}
		}
		w.pass(s)
		if open := w.line.Mark().Open.Contains(2); open != quiet {
			t.Errorf("gone, and told of it %v: open %v", !quiet, open)
		}
		if n := asides(w); (n == 1) != quiet {
			t.Errorf("gone, and told of it %v: %d are set aside", !quiet, n)
		}
		s.told = nil
		w.line.mark.Counted = 1
		w.pass(s)
		w.marked(nil, 5)
		if n := asides(w); n != 0 {
			t.Errorf("%d are set aside", n)
		}
	}
}

// TestOpenMessageThatIsNotListed: nothing is known of it, so it stays open.
func TestOpenMessageThatIsNotListed(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers), newNumbered(uids("m", 4)...)
	s.refused, s.mute = map[uint32]int{2: 1, 3: 1}, map[uint32]bool{}
	w.pass(s)
	s.mute[2] = true
	if r := w.pass(s); r.Delivered != 1 {
		t.Errorf("%+v", r)
	}
	w.marked(Numbers{{2, 2}}, 5)
	s.mute[2] = false
	w.pass(s)
	w.marked(nil, 5)
	w.once(uids("m", 4)...)
}

// TestOpenMessageThatIsNotCounted: a count that admits to be incomplete closes nothing.
func TestOpenMessageThatIsNotCounted(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers), newNumbered(uids("m", 4)...)
	s.refused = map[uint32]int{2: 1}
	w.pass(s)
	s.incomplete, s.counted = true, Numbers{{1, 1}, {4, 4}}
	w.line.mark.Counted = 1
	if r := w.pass(s); r.Delivered != 1 || s.counts != 1 {
		t.Errorf("%+v, %d counts", r, s.counts)
	}
	w.once(uids("m", 4)...)
}

// TestListedTwice: in one list, or in a count and the list after it.
func TestListedTwice(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers), newNumbered(uids("m", 3)...)
	s.doubled = true
	if r := w.pass(s); r.Delivered != 3 {
		t.Errorf("%+v", r)
	}
	w.once(uids("m", 3)...)
	s.doubled = false
	w.line.mark.Next, w.line.mark.Counted = 2, 1
	if r := w.pass(s); r.Listed != 3 || s.counts != 1 {
		t.Errorf("%+v, %d counts", r, s.counts)
	}
}

func TestGoneBeforeItIsFetched(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers), newNumbered(uids("m", 4)...)
	s.fleeting = map[uint32]bool{2: true}
	if r := w.pass(s); r.Delivered != 3 || len(r.Aside) != 0 {
		t.Errorf("%+v", r)
	}
	w.marked(nil, 5)
}

// TestTooLargeIsAskedForOnce: until max_size is another, whether the announced
// size says that it is too large or only what comes.
func TestTooLargeIsAskedForOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withNumbers, func(j *Job) { j.MaxSize = 1000 })
	s := newNumbered("m1")
	big := strings.Repeat("x", 2000)
	s.put(letter{name: big})
	s.put(letter{name: big + "y", octets: 10})
	if r := w.pass(s); r.Delivered != 1 || r.TooLarge != 1 || len(r.Aside) != 1 {
		t.Errorf("first pass: %+v", r)
	}
	w.marked(nil, 4)
	s.forgetLog()
	w.again()
	if w.pass(s); len(s.listed) != 0 || len(s.asked) != 0 {
		t.Errorf("listed %v, asked for %v", s.listed, s.asked)
	}
	w.once("m1")
	w.job.MaxSize = 0
	w.again()
	if r := w.pass(s); r.Delivered != 2 || !slices.Equal(s.asked, []uint32{2, 3}) {
		t.Errorf("without the limit: %+v, asked for %v", r, s.asked)
	}
	w.once("m1", big, big+"y")
}

// TestMoreThanASessionTakes: messages of later sessions stay open, over breaks
// and restarts.
func TestMoreThanASessionTakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withNumbers, func(j *Job) { j.maxFresh = 10 })
	s := newNumbered(uids("m", 45)...)
	s.breaking = map[uint32]int{3: -1, 15: 1, 33: -1}
	for range 12 {
		w.line.Pass(t.Context(), s.dial)
		s.add("late" + string(rune('a'+len(s.letters)-45)))
		w.again()
	}
	w.marked(Numbers{{3, 3}, {33, 33}}, 57)
	s.breaking = nil
	w.pass(s)
	w.once(s.names()...)
	w.marked(nil, 58)
}

// TestSessionsOfOnePass: what one session does not ask for, the next does.
func TestSessionsOfOnePass(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withNumbers, func(j *Job) { j.maxFresh = 10 })
	s := newNumbered(uids("m", 45)...)
	if r := w.pass(s); r.Delivered != 45 || s.sessions != 5 || len(s.listed) != 45+35+25+15+5 {
		t.Errorf("%+v in %d sessions, listed %d", r, s.sessions, len(s.listed))
	}
	w.once(uids("m", 45)...)
}

// TestCountFindsWhatWasLeftBehind: the count finds what the mark has left behind.
func TestCountFindsWhatWasLeftBehind(t *testing.T) {
	t.Parallel()
	for _, incomplete := range []bool{false, true} {
		w, s := newWorld(t, withNumbers), newNumbered(uids("m", 6)...)
		s.hidden = map[uint32]bool{2: true, 4: true}
		w.pass(s)
		s.hidden, s.incomplete = nil, incomplete
		s.expunge(5)
		s.quiet = true
		s.forgetLog()
		w.pass(s)
		if s.counts != 0 {
			t.Error("counted at once")
		}
		w.line.mark.Counted -= int64(countEvery/time.Second) + 1
		if r := w.pass(s); s.counts != 1 || r.Delivered != 2 || !slices.Equal(s.listed, []uint32{2, 4}) {
			t.Errorf("%+v, %d counts, listed %v", r, s.counts, s.listed)
		}
		if n := listedOnRecord(w); (n == 5) == incomplete {
			t.Errorf("incomplete %v: %d are there as far as is known", incomplete, n)
		}
		s.forgetLog()
		w.pass(s)
		if again := s.counts == 1; again != incomplete {
			t.Errorf("incomplete %v: counted again %v", incomplete, again)
		}
		w.once(uids("m", 6)...)
	}
}

// TestT18CountFromTheFuture: a clock that was wrong once does not keep the
// mailbox from being counted for years.
func TestT18CountFromTheFuture(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers), newNumbered("m1")
	w.pass(s)
	w.line.mark.Counted = time.Now().Add(10 * 365 * 24 * time.Hour).Unix()
	w.pass(s)
	if s.counts != 1 {
		t.Errorf("%d counts", s.counts)
	}
}

// TestAbsurdSetsCostNothing: a server names all numbers that there are, in a few octets.
func TestAbsurdSetsCostNothing(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers), newNumbered(uids("m", 3)...)
	w.pass(s)
	all := Numbers{{1, 1<<32 - 1}}
	s.told = all
	w.pass(s)
	s.counted = all
	w.line.mark.Counted = 1
	if r := w.pass(s); r.Delivered != 0 || r.Listed != 3 {
		t.Errorf("%+v", r)
	}
	w.once(uids("m", 3)...)
	if n := listedOnRecord(w); n != 3 {
		t.Errorf("%d on record as listed, want 3", n)
	}
}

// TestWhatHasGoneIsForgottenWhenItWasCounted: not before a complete count has
// shown that it is not there, or it would be taken for new if it is.
func TestWhatHasGoneIsForgottenWhenItWasCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, withNumbers), newNumbered(uids("m", 10)...)
		w.pass(s)
		time.Sleep(time.Hour)
		s.expunge(3)
		w.pass(s)
		if n := listedOnRecord(w); n != 9 {
			t.Errorf("%d on record as listed, want 9", n)
		}
		for range 3 {
			time.Sleep(2 * 24 * time.Hour)
			s.add("x")
			w.pass(s)
		}
		if n := w.line.known.Len(); n != 13 || s.counts != 0 {
			t.Errorf("%d known before the time is over, want 13; %d counts", n, s.counts)
		}
		for range 5 {
			time.Sleep(2 * 24 * time.Hour)
			s.add("x")
			w.pass(s)
		}
		if n := w.line.known.Len(); n != 17 {
			t.Errorf("%d known afterwards, want 17", n)
		}
	})
}

// TestT42SaidToHaveGoneAndThereAgain: the server is wrong about what has gone,
// for any time between two counts.
func TestT42SaidToHaveGoneAndThereAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, withNumbers), newNumbered(uids("m", 10)...)
		w.pass(s)
		time.Sleep(time.Hour)
		s.told = Numbers{{2, 4}}
		for i := range 40 {
			s.add("n" + string(rune('a'+i)))
			if r := w.pass(s); r.Delivered != 1 {
				t.Fatalf("after %d passes: %+v", i, r)
			}
			time.Sleep(7 * time.Hour)
			if i%3 == 0 {
				w.again()
			}
		}
		if s.counts == 0 {
			t.Error("never counted")
		}
		w.once(s.names()...)
	})
}

// TestListedAgainAfterItHadGone: what has come back is not fetched again.
func TestListedAgainAfterItHadGone(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers), newNumbered(uids("m", 3)...)
	w.pass(s)
	s.told = Numbers{{2, 2}}
	w.pass(s)
	if n := listedOnRecord(w); n != 2 {
		t.Errorf("%d on record as listed, want 2", n)
	}
	s.told = nil
	w.line.mark.Next = 1 // as if the mark had been lost
	if r := w.pass(s); r.Delivered != 0 {
		t.Errorf("%+v", r)
	}
	if n := listedOnRecord(w); n != 3 {
		t.Errorf("%d on record as listed, want 3", n)
	}
	w.once(uids("m", 3)...)
}

// TestT14LostLedgerOfNumbers: names in the folders say what was delivered.
func TestT14LostLedgerOfNumbers(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers), newNumbered(uids("m", 5)...)
	w.pass(s)
	w.close()
	w.loseLedger()
	w.open()
	s.add("m6")
	if r := w.pass(s); r.Delivered != 1 || strings.Contains(w.log.String(), "UIDVALIDITY") {
		t.Errorf("%+v\n%s", r, w.log)
	}
	w.marked(nil, 7)
	w.once(uids("m", 6)...)
	if r, ok := w.line.known.At(0); !ok || r.State != ledger.Delivered {
		t.Errorf("state %v", r.State)
	}
}
