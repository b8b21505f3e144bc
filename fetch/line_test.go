package fetch

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"postrider/ledger"
)

// The source says what it was doing, and where.
func TestErrorOfAListIsNotDressedUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.line.Pass(t.Context(), func(context.Context) (Source, error) { return &unlisted{}, nil })
	if err != errCut {
		t.Errorf("%v, want %v", err, errCut)
	}
}

type unlisted struct{ session }

func (*unlisted) List(context.Context, Mark, func(Item) error) (Listing, error) {
	return Listing{}, errCut
}

func TestPassDeliversOnce(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{}
	s.add(uids("m", 20)...)
	if r := w.pass(s); r.Delivered != 20 || r.Listed != 20 || r.Wanted != 20 {
		t.Errorf("first pass: %+v", r)
	}
	if r := w.pass(s); r.Delivered != 0 || r.Wanted != 0 {
		t.Errorf("second pass: %+v", r)
	}
	w.again()
	s.add("late")
	if r := w.pass(s); r.Delivered != 1 {
		t.Errorf("after a restart: %+v", r)
	}
	w.once(append(uids("m", 20), "late")...)
}

func TestRefusedMessageDoesNotStopTheRest(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{refused: map[string]int{"m2": 2}}
	s.add(uids("m", 4)...)
	r := w.pass(s)
	if r.Delivered != 3 || len(r.Aside) != 1 || r.Aside[0].UID != "m2" || r.Aside[0].Tries != 1 || !errors.Is(r.Aside[0].Err, errRefused) {
		t.Errorf("first pass: %+v", r)
	}
	w.again()
	s.add("m5")
	s.asked = nil
	if r = w.pass(s); r.Delivered != 1 || len(r.Aside) != 1 || r.Aside[0].Tries != 2 {
		t.Errorf("second pass: %+v", r)
	}
	if !slices.Equal(s.asked, []string{"m5", "m2"}) {
		t.Errorf("asked for %v, want the message that failed last", s.asked)
	}
	if r = w.pass(s); r.Delivered != 1 || len(r.Aside) != 0 {
		t.Errorf("third pass: %+v", r)
	}
	w.once(uids("m", 5)...)
	if n := asides(w); n != 0 {
		t.Errorf("%d messages are still set aside", n)
	}
}

func TestEmptyMessageIsNotFetched(t *testing.T) {
	t.Parallel()
	for name, octets := range map[string]int64{"announced": 100, "unknown": -1} {
		w, s := newWorld(t), &server{messages: []message{{uid: name, octets: octets}}}
		s.add("m1")
		r := w.pass(s)
		if r.Delivered != 1 || len(r.Aside) != 1 || r.Aside[0].UID != name {
			t.Errorf("%s size: %+v", name, r)
		}
		w.once("m1")
		s.remove(name)
		s.messages = append(s.messages, message{uid: name, text: text(name)})
		if r := w.pass(s); r.Delivered != 1 || len(r.Aside) != 0 {
			t.Errorf("%s size, mended: %+v", name, r)
		}
	}
}

func TestMessageWithoutOctetsIsDelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	zero := &zeroSource{}
	r, err := w.line.Pass(t.Context(), func(context.Context) (Source, error) { return zero, nil })
	if err != nil || r.Delivered != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	w.holds(map[string]int{"": 1})
}

// zeroSource has one message that really has no octets.
type zeroSource struct{ session }

func (z *zeroSource) List(_ context.Context, _ Mark, each func(Item) error) (Listing, error) {
	return Listing{Complete: true}, each(Item{Number: 1, UID: []byte("zero")})
}

func (z *zeroSource) Retrieve(_ context.Context, _ []Request, r Receiver) error {
	if _, err := r.Begin(0); err != nil {
		return err
	}
	return r.End(0, nil)
}

func (z *zeroSource) Close(context.Context) error { return nil }

func TestTooLargeMessages(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 2000) + "\r\n"
	w := newWorld(t, func(j *Job) { j.MaxSize = 1000 })
	s := &server{messages: []message{{uid: "announced", text: big}, {uid: "hidden", text: big, octets: 10}}}
	s.add("m1")
	r := w.pass(s)
	if r.Delivered != 1 || r.TooLarge != 1 || len(r.Aside) != 1 || !errors.Is(r.Aside[0].Err, ErrTooLarge) {
		t.Errorf("%+v", r)
	}
	if slices.Contains(s.asked, "announced") {
		t.Error("a message announced as too large was asked for")
	}
	w.once("m1")
	w.job.MaxSize = 0
	w.again()
	if r := w.pass(s); r.Delivered != 2 {
		t.Errorf("without the limit: %+v", r)
	}
}

func TestBreakingMessageGetsItsOwnSession(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{breaking: map[string]int{"m1": -1}}
	s.add(uids("m", 5)...)
	r := w.pass(s)
	if r.Delivered != 4 || len(r.Aside) != 1 || r.Aside[0].UID != "m1" {
		t.Errorf("first pass: %+v", r)
	}
	w.once(uids("m", 5)[1:]...)
	w.again()
	s.add("m6")
	s.sessions, s.asked = 0, nil
	if r = w.pass(s); r.Delivered != 1 || len(r.Aside) != 1 {
		t.Errorf("second pass: %+v", r)
	}
	if s.sessions != 2 || !slices.Equal(s.asked, []string{"m6", "m1"}) {
		t.Errorf("%d sessions asked for %v", s.sessions, s.asked)
	}
	s.breaking = nil
	if r = w.pass(s); r.Delivered != 1 || len(r.Aside) != 0 {
		t.Errorf("mended: %+v", r)
	}
	w.once(uids("m", 6)...)
}

func TestEachBreakingMessageGetsItsTurn(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{breaking: map[string]int{"bad": -1, "ill": 2}}
	s.add("bad", "ill", "m1")
	for range 6 {
		w.line.Pass(t.Context(), s.dial)
		w.again() // a new process each time, as from cron
	}
	w.once("ill", "m1")
}

func TestManyBreakingMessagesStopNothing(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{breaking: map[string]int{}}
	for _, uid := range uids("bad", 8) {
		s.breaking[uid] = -1
		s.add(uid)
	}
	s.add(uids("m", 3)...)
	passes := 0
	for ; passes < 8 && len(w.folder(w.job.Folder)) < 3; passes++ {
		w.line.Pass(t.Context(), s.dial)
		w.again()
	}
	w.once(uids("m", 3)...)
	if passes > 5 {
		t.Errorf("it took %d passes", passes)
	}
}

func TestLineThatBreaksOnceLosesNothing(t *testing.T) {
	t.Parallel()
	for _, at := range uids("m", 5) {
		w, s := newWorld(t), &server{breaking: map[string]int{at: 1}}
		s.add(uids("m", 5)...)
		if r := w.pass(s); r.Delivered != 5 || len(r.Aside) != 0 {
			t.Errorf("broken at %s: %+v", at, r)
		}
		if n := asides(w); n != 0 {
			t.Errorf("broken at %s: %d messages are still set aside", at, n)
		}
		w.once(uids("m", 5)...)
	}
}

func TestDeadLineEndsThePass(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{breaking: map[string]int{}}
	s.add(uids("m", 9)...)
	for _, m := range s.messages {
		s.breaking[m.uid] = -1
	}
	if _, err := w.line.Pass(t.Context(), s.dial); !errors.Is(err, errCut) {
		t.Errorf("error %v", err)
	}
	if s.sessions > maxSessions {
		t.Errorf("%d sessions", s.sessions)
	}
	w.idle()
	s.breaking = nil
	w.pass(s)
	w.once(uids("m", 9)...)
}

// TestSuspicionEndsWithThePass: two breaks of the line in two passes are no
// sign that the message is bad.
func TestSuspicionEndsWithThePass(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{breaking: map[string]int{"m1": 1, "m2": 1}}
	s.add("m1", "m2")
	if _, err := w.line.Pass(t.Context(), s.dial); !errors.Is(err, errCut) {
		t.Errorf("error %v", err)
	}
	s.breaking["m1"] = 1
	if r := w.pass(s); r.Delivered != 2 || strings.Contains(w.log.String(), "set aside") {
		t.Errorf("%+v\n%s", r, w.log)
	}
	w.once("m1", "m2")
}

func TestCancelledPassKeepsWhatArrived(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{}
	s.add(uids("m", 6)...)
	ctx, cancel := context.WithCancel(t.Context())
	w.line.progress = &countdown{left: 1, do: cancel}
	if _, err := w.line.Pass(ctx, s.dial); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	w.idle()
	w.again()
	w.pass(s)
	w.once(uids("m", 6)...)
}

// countdown does something after so many messages.
type countdown struct {
	noProgress
	left int
	do   func()
}

func (c *countdown) Message() {
	if c.left--; c.left == 0 {
		c.do()
	}
}

func asides(w *world) (n int) {
	w.line.known.EachAside(func(ledger.Key, ledger.Aside) { n++ })
	return n
}
