package fetch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/ledger"
)

// TestChoose walks the table of what may be on record against what the server
// shows.
func TestChoose(t *testing.T) {
	t.Parallel()
	body := func(name string) string { return text(name) }
	longer := func(name string) string { return text(name) + "more\r\n" }
	tests := []struct {
		name          string
		first, second []message
		delivered     int // by the second pass
		matched       int
		copies        map[string]int // in the end
	}{
		{"TestT44 same UIDL twice", nil, []message{{uid: "a", text: body("1")}, {uid: "a", text: body("2")}, {uid: "a", text: body("3")}}, 3, 0,
			map[string]int{"1": 1, "2": 1, "3": 1}},
		{"TestT44 same UIDL and same size once more", []message{{uid: "a", text: body("1")}}, []message{{uid: "a", text: body("1")}, {uid: "a", text: body("2")}}, 1, 0,
			map[string]int{"1": 1, "2": 1}},
		{"TestT44 the same message twice", nil, []message{{uid: "a", text: body("1")}, {uid: "a", text: body("1")}}, 2, 0,
			map[string]int{"1": 2}},
		{"TestT46 UIDL used again for another size", []message{{uid: "a", text: body("1")}}, []message{{uid: "a", text: longer("2")}}, 1, 0,
			map[string]int{"1": 1, "2+": 1}},
		{"TestT46 beside the old one, and before it", []message{{uid: "a", text: body("1")}}, []message{{uid: "a", text: longer("2")}, {uid: "a", text: body("1")}}, 1, 0,
			map[string]int{"1": 1, "2+": 1}},
		{"another announced size of the same", []message{{uid: "a", text: body("1")}}, []message{{uid: "a", text: body("1"), octets: 999}}, 0, 1,
			map[string]int{"1": 1}},
		{"size not announced any more", []message{{uid: "a", text: body("1")}}, []message{{uid: "a", text: body("1"), octets: -1}}, 0, 0,
			map[string]int{"1": 1}},
		{"TestT47 numbers shift", []message{{uid: "a", text: body("1")}, {uid: "b", text: body("2")}}, []message{{uid: "b", text: body("2")}, {uid: "c", text: body("3")}}, 1, 0,
			map[string]int{"1": 1, "2": 1, "3": 1}},
		{"TestT45 all UIDLs new", []message{{uid: "a", text: body("1")}, {uid: "b", text: body("2")}}, []message{{uid: "x", text: body("1")}, {uid: "y", text: body("2")}}, 0, 2,
			map[string]int{"1": 1, "2": 1}},
		{"TestT45 all UIDLs new, and a new message", []message{{uid: "a", text: body("1")}, {uid: "b", text: body("2")}}, []message{{uid: "x", text: body("1")}, {uid: "y", text: body("2")}, {uid: "z", text: body("3")}}, 1, 2,
			map[string]int{"1": 1, "2": 1, "3": 1}},
		{"TestT45 the same content twice, one of it new", []message{{uid: "a", text: body("1")}}, []message{{uid: "x", text: body("1")}, {uid: "y", text: body("1")}}, 1, 1,
			map[string]int{"1": 2}},
		{"TestT48 no identifiers", []message{{text: body("1")}, {text: body("2")}}, []message{{text: body("2")}, {text: body("1")}, {text: body("3")}}, 1, 2,
			map[string]int{"1": 1, "2": 1, "3": 1}},
		{"TestT48 no identifiers, equal messages", []message{{text: body("1")}, {text: body("1")}}, []message{{text: body("1")}, {text: body("1")}, {text: body("1")}}, 1, 2,
			map[string]int{"1": 3}},
		{"TestT48 identifiers lost", []message{{uid: "a", text: body("1")}, {uid: "b", text: body("2")}}, []message{{text: body("1")}, {text: body("2")}}, 0, 2,
			map[string]int{"1": 1, "2": 1}},
		{"TestT48 identifiers come", []message{{text: body("1")}, {text: body("2")}}, []message{{uid: "a", text: body("1")}, {uid: "b", text: body("2")}}, 0, 2,
			map[string]int{"1": 1, "2": 1}},
		{"TestT48 odd identifiers", nil, []message{{uid: strings.Repeat("u", 500), text: body("1")}, {uid: "a b /../c", text: body("2")}, {uid: "\xff%s", text: body("3")}}, 3, 0,
			map[string]int{"1": 1, "2": 1, "3": 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if tt.first != nil {
				w.pass(&server{messages: tt.first})
				w.again()
			}
			s := &server{messages: tt.second}
			if r := w.pass(s); r.Delivered != tt.delivered || r.Matched != tt.matched {
				t.Errorf("delivered %d and matched %d, want %d and %d", r.Delivered, r.Matched, tt.delivered, tt.matched)
			}
			w.again()
			want := map[string]int{}
			for name, n := range tt.copies {
				if plain, more := strings.CutSuffix(name, "+"); more {
					want[local(longer(plain))] = n
				} else {
					want[local(body(name))] = n
				}
			}
			w.holds(want)
			if r := w.pass(s); r.Delivered != 0 {
				t.Errorf("once more: %+v", r)
			}
			w.holds(want)
		})
	}
}

func local(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }

// listedOnRecord counts the known messages that the last complete list had.
func listedOnRecord(w *world) (n int) {
	for place := range w.line.known.Places() {
		if r, ok := w.line.known.At(place); ok && r.Gone.IsZero() {
			n++
		}
	}
	return n
}

func TestOnlyACompleteListTellsWhatIsGone(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{}
	s.add(uids("m", 10)...)
	w.pass(s)
	s.remove("m3")
	s.incomplete = true
	w.pass(s)
	if n := listedOnRecord(w); n != 10 {
		t.Errorf("%d listed after an incomplete list, want 10", n)
	}
	s.incomplete = false
	w.pass(s)
	if n := listedOnRecord(w); n != 9 {
		t.Errorf("%d listed after a complete list, want 9", n)
	}
	// A server may use the identifier again, even for one of the same size.
	other := message{uid: "m3", text: strings.Replace(text("m3"), "m3", "M3", 1)}
	if len(other.text) != len(text("m3")) || other.text == text("m3") {
		t.Fatal("not another text of the same size")
	}
	s.messages = append(s.messages, other)
	if r := w.pass(s); r.Delivered != 1 {
		t.Errorf("identifier used again: %+v", r)
	}
	if r := w.pass(s); r.Delivered != 0 || r.Wanted != 0 {
		t.Errorf("once more: %+v", r)
	}
}

// A server that shows an empty list by mistake, and then the whole again, has
// everything fetched for comparison, and nothing delivered.
func TestAnEmptyListByMistake(t *testing.T) {
	t.Parallel()
	for _, options := range [][]func(*Job){nil, {deleting}} {
		w, s := newWorld(t, options...), &server{deaf: true} // what is deleted stays, too
		s.add(uids("m", 10)...)
		w.pass(s)
		all := slices.Clone(s.messages)
		s.messages = nil
		if r := w.pass(s); r.Listed != 0 {
			t.Fatalf("not empty: %+v", r)
		}
		w.again()
		s.messages = all
		if r := w.pass(s); r.Delivered != 0 || r.Matched != 10 {
			t.Errorf("after the mistake: %+v", r)
		}
		if r := w.pass(s); r.Delivered != 0 || r.Wanted != 0 {
			t.Errorf("once more: %+v", r)
		}
		w.once(uids("m", 10)...)
	}
}

func TestWhatIsGoneForLongIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), &server{}
		s.add(uids("m", 10)...)
		w.pass(s)
		s.remove("m3")
		w.pass(s)
		time.Sleep(goneHold - 24*time.Hour)
		w.pass(s)
		if n := w.line.known.Len(); n != 10 {
			t.Errorf("%d known before the time is over, want 10", n)
		}
		time.Sleep(48 * time.Hour)
		w.pass(s)
		if n := w.line.known.Len(); n != 9 {
			t.Errorf("%d known after it, want 9", n)
		}
	})
}

func TestAsideIsForgottenWithItsMessage(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{refused: map[string]int{"bad": -1}}
	s.add("bad", "m1")
	w.pass(s)
	s.remove("bad")
	w.pass(s)
	if n := asides(w); n != 0 {
		t.Errorf("%d set aside", n)
	}
}

func TestAsideWithoutIdentifier(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{refused: map[string]int{"": 1}, messages: []message{{text: text("1")}, {text: text("2")}}}
	if r := w.pass(s); r.Delivered != 1 || len(r.Aside) != 1 {
		t.Errorf("first pass: %+v", r)
	}
	w.again()
	if r := w.pass(s); r.Delivered != 1 || len(r.Aside) != 0 {
		t.Errorf("second pass: %+v", r)
	}
	if n := asides(w); n != 0 {
		t.Errorf("%d are still set aside, of messages that have come", n)
	}
}

// TestT45CutWhileComparing gives the messages new identifiers and breaks the
// comparison after each of them: the half that is left must not be taken for
// new because it is less than half.
func TestT45CutWhileComparing(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		for at := range 10 {
			w, s := newWorld(t), &server{}
			s.add(uids("m", 10)...)
			w.pass(s)
			for i := range s.messages {
				s.messages[i].uid = fmt.Sprintf("new%d", i+1)
			}
			cut := s.messages[at].uid
			s.breaking = map[string]int{cut: 1}
			if restart {
				s.breaking[cut] = -1
				w.line.Pass(t.Context(), s.dial)
				s.breaking = nil
				w.again()
			}
			if r := w.pass(s); r.Delivered != 0 {
				t.Errorf("cut at %d, restart %v: %+v", at, restart, r)
			}
			w.once(uids("m", 10)...)
			if w.line.renumbered {
				t.Errorf("cut at %d: it still compares", at)
			}
		}
	}
}

// TestT45RefusedWhileComparing: a message that the server does not give while
// the others are compared is found to be known when it gives it.
func TestT45RefusedWhileComparing(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{}
	s.add(uids("m", 6)...)
	w.pass(s)
	for i := range s.messages {
		s.messages[i].uid = fmt.Sprintf("new%d", i+1)
	}
	s.refused = map[string]int{"new2": 2}
	for i := range 4 {
		w.again()
		if r := w.pass(s); r.Delivered != 0 {
			t.Errorf("%+v", r)
		}
		if n := asides(w); (n > 0) != (i < 2) {
			t.Errorf("pass %d: %d are set aside", i+1, n)
		}
	}
	w.once(uids("m", 6)...)
	if w.line.renumbered || w.line.known.Len() != 6 {
		t.Errorf("still comparing: %v, %d known", w.line.renumbered, w.line.known.Len())
	}
}

// TestT45NothingIsRemovedWhileComparing: with new identifiers the server is
// told to remove nothing.
func TestT45NothingIsRemovedWhileComparing(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{}
	s.add(uids("m", 4)...)
	w.pass(s)
	w.job.OnServer.Action = Remove
	w.again()
	for i := range s.messages {
		s.messages[i].uid = fmt.Sprintf("new%d", i+1)
	}
	if r := w.pass(s); len(s.disposed) != 0 || r.Matched != 4 {
		t.Errorf("asked to remove %v: %+v", s.disposed, r)
	}
	if r := w.pass(s); r.Disposed != 4 || len(s.messages) != 0 {
		t.Errorf("afterwards: %+v", r)
	}
	w.once(uids("m", 4)...)
}

func TestOwnRemovalsAreNoRenumbering(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, deleting), &server{}
	s.add(uids("m", 4)...)
	w.pass(s)
	s.add(uids("n", 4)...)
	if r := w.pass(s); r.Delivered != 4 || r.Disposed != 4 || strings.Contains(w.log.String(), "comparing contents") {
		t.Errorf("%+v\n%s", r, w.log)
	}
	w.once(append(uids("m", 4), uids("n", 4)...)...)
}

// TestLostLedger: what was delivered is read from the names in the folders.
func TestT14LostLedger(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{}
	s.add(uids("m", 5)...)
	w.pass(s)
	w.close()
	w.loseLedger()
	w.open()
	s.add("m6")
	if r := w.pass(s); r.Delivered != 1 {
		t.Errorf("%+v", r)
	}
	w.once(uids("m", 6)...)
	if _, known := w.line.known.Find(w.line.origins.byUID([]byte("m1"), 0)); !known {
		t.Error("a message found in the folder is not on record")
	}
	if r, _ := w.line.known.At(0); r.State != ledger.Delivered {
		t.Errorf("state %v", r.State)
	}
}

// TestT44OneOfTheSameIsGoneForLong: the record of the first of two messages with
// one UIDL is forgotten, and the second is not taken for new.
func TestT44OneOfTheSameIsGoneForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		one, other := message{uid: "a", text: text("1")}, message{uid: "a", text: text("another")}
		s := (&server{messages: []message{one, other}}).add(uids("b", 9)...)
		if r := w.pass(s); r.Delivered != 11 {
			t.Fatalf("delivered %d, want 11", r.Delivered)
		}
		s.messages = s.messages[1:]
		w.pass(s)
		time.Sleep(goneHold + 48*time.Hour)
		w.pass(s) // forgets
		if r := w.pass(s); r.Delivered != 0 || r.Wanted != 0 {
			t.Errorf("delivered %d of %d wanted, want none", r.Delivered, r.Wanted)
		}
	})
}
