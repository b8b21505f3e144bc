package fetch

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// TestMoreThanOneSessionAsksFor: a session keeps a bounded number of new
// messages in memory, whatever the server lists, and a pass takes all of them.
func TestMoreThanOneSessionAsksFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(j *Job) { j.maxFresh = 10; j.OnServer.Action = Remove; j.MaxSize = 1000 })
	s := &server{refused: map[string]int{"bad1": -1, "bad2": -1}, breaking: map[string]int{"m12": 1}}
	s.messages = append(s.messages, message{uid: "large", octets: 5000, text: text("large")})
	s.add("bad1", "bad2").add(uids("m", 35)...)
	r := w.pass(s)
	if r.Delivered != 35 || r.Disposed != 35 || len(r.Aside) != 2 || r.TooLarge != 1 {
		t.Errorf("delivered %d, disposed of %d, set aside %d, too large %d; want 35, 35, 2, 1", r.Delivered, r.Disposed, len(r.Aside), r.TooLarge)
	}
	if s.sessions != 5 {
		t.Errorf("%d sessions, want 4 and one for the line that broke", s.sessions)
	}
	w.once(uids("m", 35)...)
}

// A server that has other new messages in each session, and gives none of them,
// does not keep a pass from ending.
func TestPassEndsWithAnEndlessServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(j *Job) { j.maxFresh = 10 })
	s := &server{refused: map[string]int{}}
	dial := func(ctx context.Context) (Source, error) {
		s.messages = nil
		for _, uid := range uids(fmt.Sprintf("s%d-", s.sessions), 30) {
			s.add(uid)
			s.refused[uid] = -1
		}
		return s.dial(ctx)
	}
	if _, err := w.line.Pass(t.Context(), dial); err != nil {
		t.Fatal(err)
	}
	if s.sessions > 2 {
		t.Errorf("%d sessions", s.sessions)
	}
}

// The renumbering of more messages than a session asks for is seen through.
func TestT45MoreThanOneSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(j *Job) { j.maxFresh = 10; j.OnServer = Disposal{Action: Remove, After: 24 * time.Hour} })
	s := (&server{}).add(uids("m", 25)...)
	w.pass(s)
	for i := range s.messages {
		s.messages[i].uid = fmt.Sprintf("n%d", i)
	}
	w.again()
	if r := w.pass(s); r.Delivered != 0 || r.Matched != 25 {
		t.Errorf("delivered %d and matched %d, want 0 and 25", r.Delivered, r.Matched)
	}
	w.once(uids("m", 25)...)
}

func TestT44ManyOfOneIdentifier(t *testing.T) {
	t.Parallel()
	const many = 50_000
	w := newWorld(t, func(j *Job) { j.maxFresh = many })
	src := &session{server: &server{}}
	for i := range many {
		src.messages = append(src.messages, message{uid: "a", octets: int64(i + 1)})
	}
	start := time.Now()
	p, err := w.line.choose(t.Context(), src, false)
	if err != nil || len(p.want) != many || len(p.chosen) != many {
		t.Fatalf("%d wanted, %v", len(p.want), err)
	}
	// The square of their number would take minutes.
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestTooManyWithoutIdentifier(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	src := &session{server: &server{}, messages: make([]message, maxNoUID+1)}
	if _, err := w.line.choose(t.Context(), src, false); err == nil {
		t.Error("all of them are kept in memory")
	}
}

// TestT44EmptyListByMistake: messages of one identifier that were gone for a
// moment are known again, however many they are.
func TestT44EmptyListByMistake(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{}
	for i := range 60 {
		s.messages = append(s.messages, message{uid: "a", text: text(fmt.Sprint(i)), octets: int64(100 + i)})
	}
	w.pass(s)
	all := s.messages
	s.messages = nil
	w.pass(s)
	s.messages = all
	if r := w.pass(s); r.Delivered != 0 || r.Matched != 60 {
		t.Errorf("delivered %d and matched %d, want 0 and 60", r.Delivered, r.Matched)
	}
}

// TestT44OneOfTheSameWasRefused: the first of two messages with one UIDL, which
// never came, is removed by somebody else.
func TestT44OneOfTheSameWasRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := &server{refused: map[string]int{"a": 1}, messages: []message{{uid: "a", text: text("1")}, {uid: "a", text: text("another")}}}
	s.add(uids("b", 9)...)
	if r := w.pass(s); r.Delivered != 10 || len(r.Aside) != 1 {
		t.Fatalf("delivered %d, set aside %d, want 10 and 1", r.Delivered, len(r.Aside))
	}
	s.messages = s.messages[1:]
	if r := w.pass(s); r.Delivered != 0 || r.Matched != 1 {
		t.Errorf("delivered %d and matched %d, want 0 and 1", r.Delivered, r.Matched)
	}
	w.again()
	if r := w.pass(s); r.Wanted != 0 {
		t.Errorf("wants %d again", r.Wanted)
	}
	// A new one with that identifier comes all the same.
	s.messages = append(s.messages, message{uid: "a", text: text("new")})
	if r := w.pass(s); r.Delivered != 1 {
		t.Errorf("delivered %d, want the new one", r.Delivered)
	}
}
