package imap

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestUIDSet(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"1", "1"},
		{"1,2,3", "1:3"},
		{"3,2,1", "1:3"},
		{"5:2", "2:5"},
		{"1:3,2:9,11", "1:9,11"},
		{"9,7,5,6", "5:7,9"},
		{"4294967295", "4294967295"},
		{"7:*", "7:*"},
		{"*:7", "7:*"},
		{"1:4294967295", "1:*"},
		{"10,1:*", "1:*"},
		{"", "error"},
		{"0", "error"},
		{"1,", "error"},
		{"1:", "error"},
		{"4294967296", "error"},
		{"-1", "error"},
		{"1:2:3", "error"},
	} {
		s, err := ParseUIDSet(tt.in)
		got := s.String()
		if err != nil {
			got = "error"
		}
		if got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.in, got, tt.want)
		}
	}
}

// The set is compared with a plain map of what it should hold.
func TestUIDSetOperations(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		random := func() (UIDSet, map[uint32]bool) {
			var s UIDSet
			var g gatherer
			m := make(map[uint32]bool)
			for range r.IntN(30) {
				first := uint32(1 + r.IntN(60))
				last := first + uint32(r.IntN(5))
				s.AddRange(last, first)
				g.add(last, first)
				for u := first; u <= last; u++ {
					m[u] = true
				}
			}
			if g := g.set(); !slices.Equal(g, s) {
				t.Fatalf("gathered %v, added %v", g, s)
			}
			for range r.IntN(10) {
				u := uint32(1 + r.IntN(66))
				s.Remove(u)
				delete(m, u)
			}
			return s, m
		}
		a, ma := random()
		b, mb := random()
		both, either, only := a.Intersect(b), a.Union(b), a.Minus(b)
		n := int64(0)
		for u := range uint32(80) {
			for _, c := range []struct {
				name string
				set  UIDSet
				want bool
			}{
				{"a", a, ma[u]}, {"intersect", both, ma[u] && mb[u]},
				{"union", either, ma[u] || mb[u]}, {"minus", only, ma[u] && !mb[u]},
			} {
				if c.set.Contains(u) != c.want {
					t.Fatalf("%v, %v: %s %v: contains %d is %t", a, b, c.name, c.set, u, !c.want)
				}
			}
			if ma[u] {
				n++
			}
		}
		if a.Count() != n || len(slices.Collect(a.All())) != int(n) {
			t.Fatalf("%v: count %d, want %d", a, a.Count(), n)
		}
		for _, s := range []UIDSet{a, both, either, only} {
			valid(t, s)
		}
	}
}

func valid(t *testing.T, s UIDSet) {
	t.Helper()
	for i, r := range s {
		if r.First == 0 || r.First > r.Last || i > 0 && uint64(r.First) <= uint64(s[i-1].Last)+1 {
			t.Fatalf("not a set: %v", s)
		}
	}
}

func TestUIDSetPieces(t *testing.T) {
	var s UIDSet
	for u := uint32(1); u < 100_000; u += 2 {
		s.Add(u)
	}
	var all UIDSet
	for piece := range s.Pieces(900) {
		if n := len(piece.String()); n > 900 || n < 880 && piece.Max() < 99_000 {
			t.Fatalf("a piece of %d octets", n)
		}
		all = all.Union(piece)
	}
	if !slices.Equal(all, s) {
		t.Error("the pieces are not the whole")
	}
	for u := range UIDs(7, 8, 9).Pieces(1) {
		if u.String() != "7:9" {
			t.Errorf("got %v", u)
		}
	}
}

// No order of numbers takes more than n log n steps, nor more memory than the limit.
func TestGathererIsQuick(t *testing.T) {
	const n = 250_000
	for name, order := range map[string]func(i int) uint32{
		"ascending":  func(i int) uint32 { return uint32(2*i + 1) },
		"descending": func(i int) uint32 { return uint32(2*(n-i) + 1) },
		"dense down": func(i int) uint32 { return uint32(n - i) },
		"shuffled":   func(i int) uint32 { return uint32(uint64(i)*2654435761%n)*2 + 1 },
		"inward":     func(i int) uint32 { return uint32(4*(i%2)*(n-i)+2*i) + 1 },
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			var g gatherer
			for i := range n {
				if u := order(i); !g.add(u, u) {
					t.Fatal("refused")
				}
			}
			valid(t, g.set())
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("it took %v", d)
			}
		})
	}
	var g gatherer
	for i := range uint32(3 * maxRanges) {
		if !g.add(4*i+1, 4*i+1) {
			if i < maxRanges {
				t.Fatalf("refused at %d ranges", i)
			}
			return
		}
	}
	t.Error("there is no end to a set")
}

func FuzzUIDSet(f *testing.F) {
	f.Add("1:3,5,7:*")
	f.Add("4294967295:1,2")
	f.Add(strings.Repeat("9,7,", 40))
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseUIDSet(text)
		if err != nil {
			return
		}
		valid(t, s)
		again, err := ParseUIDSet(s.String())
		if err != nil || fmt.Sprint(again) != fmt.Sprint(s) {
			t.Errorf("%q: %v became %v (%v)", text, s, again, err)
		}
		if !s.Minus(s).Empty() || s.Union(s).String() != s.String() {
			t.Errorf("%v minus itself, or united with itself, is another set", s)
		}
	})
}

// What the server says has gone is passed over if it is too much: that it is
// said must not end the session, for ever the same.
func TestGathererGivesUp(t *testing.T) {
	t.Parallel()
	g := gatherer{most: 1 << 11}
	for i := range uint32(1 << 14) {
		if !g.add(2*i+1, 2*i+1) {
			t.Fatalf("no room for range %d", i)
		}
	}
	if s := g.set(); !s.Empty() {
		t.Errorf("%d ranges", len(s))
	}
}
