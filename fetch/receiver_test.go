package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// scripted is a numbered session of which the test writes Retrieve.
type scripted struct {
	Source
	retrieve func(want []Request, r Receiver) error
}

func (s *scripted) Retrieve(_ context.Context, want []Request, r Receiver) error {
	return s.retrieve(want, r)
}

// passOf makes one pass in which the first session is scripted.
func (w *world) passOf(s *numbered, retrieve func(want []Request, r Receiver) error) (Result, error) {
	w.t.Helper()
	first := true
	r, err := w.line.Pass(w.t.Context(), func(ctx context.Context) (Source, error) {
		src, err := s.dial(ctx)
		if first {
			first = false
			return &scripted{src, retrieve}, err
		}
		return src, err
	})
	w.idle()
	return r, err
}

// send is a message that comes whole: it begins as one and ends as another.
func send(r Receiver, begin, end int, name string) error {
	to, err := r.Begin(begin)
	if err != nil {
		return errors.Join(err, r.End(begin, err))
	}
	if _, err := io.WriteString(to, text(name)); err != nil {
		return errors.Join(err, r.End(end, err))
	}
	return r.End(end, nil)
}

func TestReceiver(t *testing.T) {
	t.Parallel()
	m := uids("m", 3)
	for _, tt := range []struct {
		name      string
		retrieve  func(r Receiver) error
		delivered int
		aside     int
		open      Numbers
	}{
		{"in any order", func(r Receiver) error {
			return errors.Join(send(r, 2, 2, m[2]), send(r, 0, 0, m[0]), send(r, 1, 1, m[1]))
		}, 3, 0, nil},
		{"the name comes last", func(r Receiver) error {
			return errors.Join(send(r, -1, 2, m[2]), send(r, -1, 0, m[0]), send(r, -1, 1, m[1]))
		}, 3, 0, nil},
		{"what began as one ends as another", func(r Receiver) error {
			return errors.Join(send(r, 0, 2, m[2]), send(r, 1, 0, m[0]), send(r, 2, 1, m[1]))
		}, 3, 0, nil},
		{"what nobody asked for", func(r Receiver) error {
			return errors.Join(send(r, -1, -1, "junk"), send(r, 0, 0, m[0]), send(r, 1, -1, "junk"), send(r, 1, 1, m[1]), r.End(-1, errRefused), send(r, 2, 2, m[2]))
		}, 3, 0, nil},
		{"twice", func(r Receiver) error {
			return errors.Join(send(r, 0, 0, m[0]), send(r, 0, 0, m[0]), send(r, -1, 0, m[0]), send(r, 1, 1, m[1]), send(r, 2, 2, m[2]), r.End(2, errRefused))
		}, 3, 0, nil},
		{"gone", func(r Receiver) error {
			return errors.Join(r.End(1, ErrGone), send(r, 0, 0, m[0]), send(r, 2, 2, m[2]))
		}, 2, 0, nil},
		{"empty, begun and not", func(r Receiver) error {
			_, err := r.Begin(0)
			return errors.Join(err, r.End(0, nil), r.End(1, ErrEmpty), send(r, 2, 2, m[2]))
		}, 1, 2, Numbers{{1, 2}}},
		{"said to be empty behind its octets", func(r Receiver) error {
			to, err := r.Begin(0)
			_, e := io.WriteString(to, "half")
			return errors.Join(err, e, r.End(0, fmt.Errorf("%w (NIL)", ErrEmpty)), send(r, 1, 1, m[1]), send(r, 2, 2, m[2]))
		}, 2, 1, Numbers{{1, 1}}},
		{"no end at all", func(r Receiver) error { return send(r, 1, 1, m[1]) }, 1, 0, Numbers{{1, 1}, {3, 3}}},
		{"cut short, and nothing said of it", func(r Receiver) error {
			to, err := r.Begin(0)
			_, e := io.WriteString(to, "half")
			return errors.Join(err, e, r.End(0, errCut), send(r, 1, 1, m[1]), send(r, 2, 2, m[2]))
		}, 2, 0, Numbers{{1, 1}}},
		{"left in the middle", func(r Receiver) error {
			err := errors.Join(send(r, 1, 1, m[1]), send(r, 2, 2, m[2]))
			to, e := r.Begin(0)
			_, e2 := io.WriteString(to, "half")
			return errors.Join(err, e, e2)
		}, 2, 0, Numbers{{1, 1}}},
	} {
		w, s := newWorld(t, withNumbers), newNumbered(m...)
		r, err := w.passOf(s, func(_ []Request, r Receiver) error { return tt.retrieve(r) })
		if err != nil || r.Delivered != tt.delivered || len(r.Aside) != tt.aside {
			t.Errorf("%s: %+v, %v", tt.name, r, err)
		}
		w.marked(tt.open, 4)
		if got := len(w.folder(w.job.Folder)); got != tt.delivered {
			t.Errorf("%s: %d in the folder, want %d", tt.name, got, tt.delivered)
		}
		if tt.name != "gone" {
			w.again()
			w.pass(s)
			w.once(m...)
		}
	}
}

// TestT21NoEndWhileComparing: of what the server has said nothing it is not known
// whether it was delivered.
func TestT21NoEndWhileComparing(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, withNumbers), newNumbered(uids("m", 3)...)
	w.pass(s)
	s.renumber(8)
	_, err := w.passOf(s, func(_ []Request, r Receiver) error { return send(r, 1, 1, "m2") })
	if err != nil || !w.line.mark.Comparing {
		t.Errorf("%v; %+v", err, w.line.mark)
	}
	w.again()
	w.pass(s)
	w.once(uids("m", 3)...)
}

// TestSuspect: the message at which the session breaks is asked for last in the next.
func TestSuspect(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		retrieve func(r Receiver) error
		last     uint32
	}{
		{"nothing has come", func(Receiver) error { return errCut }, 1},
		{"between messages", func(r Receiver) error { return errors.Join(send(r, 0, 0, "m1"), errCut) }, 2},
		{"in the middle, out of order", func(r Receiver) error {
			to, _ := r.Begin(2)
			io.WriteString(to, "half")
			return errors.Join(r.End(2, errCut), errCut)
		}, 3},
		{"in the middle, after others", func(r Receiver) error {
			send(r, 0, 0, "m1")
			send(r, 3, 3, "m4")
			to, _ := r.Begin(1)
			io.WriteString(to, "half")
			return errors.Join(r.End(1, errCut), errCut)
		}, 2},
		{"in the middle of one without a name", func(r Receiver) error {
			send(r, 0, 0, "m1")
			to, _ := r.Begin(-1)
			io.WriteString(to, "half")
			return errors.Join(r.End(-1, errCut), errCut)
		}, 2},
		{"in the middle of one that gets its name", func(r Receiver) error {
			to, _ := r.Begin(-1)
			io.WriteString(to, "half")
			return errors.Join(r.End(3, errCut), errCut)
		}, 4},
	} {
		w, s := newWorld(t, withNumbers), newNumbered(uids("m", 4)...)
		if _, err := w.passOf(s, func(_ []Request, r Receiver) error { return tt.retrieve(r) }); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := s.asked[len(s.asked)-1]; got != tt.last {
			t.Errorf("%s: asked for %v, want %d last", tt.name, s.asked, tt.last)
		}
		w.once(uids("m", 4)...)
	}
}

// TestAnyOrder: messages in a random order, with late names, over a few breaks.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 1))
		w, s := newWorld(t, withNumbers), newNumbered(uids("m", 60)...)
		s.late = seed%2 == 1
		s.shuffle = func(order []int) {
			random.Shuffle(len(order), func(i, k int) { order[i], order[k] = order[k], order[i] })
		}
		s.breaking = map[uint32]int{uint32(random.IntN(60)): 1, uint32(random.IntN(60)): 1}
		w.pass(s)
		w.once(uids("m", 60)...)
		w.marked(nil, 61)
	}
}

// TestTwoLinesAtOnceIntoOneFolder: neither takes the other's unfinished files.
func TestTwoLinesAtOnceIntoOneFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withNumbers, func(j *Job) { j.Mailbox = "m" })
	other := w.job
	other.Mailbox = "n"
	shared := w.line.shared
	shared.Slots = make(chan struct{}, 8)
	second, err := Open(shared, other)
	must(t, err)
	defer second.Close()
	w.line.shared.Slots = shared.Slots
	var crew sync.WaitGroup
	for name, line := range map[string]*Line{"m": w.line, "n": second} {
		crew.Go(func() {
			for i := range 4 {
				s := newNumbered()
				s.add(uids(name, 20*(i+1))...)
				if r, err := line.Pass(t.Context(), s.dial); err != nil || r.Delivered != 20 {
					t.Errorf("%s: %+v, %v", name, r, err)
				}
				if err := line.recover(time.Now()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	crew.Wait()
	w.idle()
	w.once(slices.Concat(uids("m", 80), uids("n", 80))...)
}
