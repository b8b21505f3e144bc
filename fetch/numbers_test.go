package fetch

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestNumbers(t *testing.T) {
	t.Parallel()
	const top = math.MaxUint32
	for _, tt := range []struct {
		add  []uint32
		want Numbers
	}{
		{nil, nil},
		{[]uint32{5}, Numbers{{5, 5}}},
		{[]uint32{5, 5}, Numbers{{5, 5}}},
		{[]uint32{1, 2, 3}, Numbers{{1, 3}}},
		{[]uint32{3, 2, 1}, Numbers{{1, 3}}},
		{[]uint32{1, 3, 2}, Numbers{{1, 3}}},
		{[]uint32{1, 5, 3}, Numbers{{1, 1}, {3, 3}, {5, 5}}},
		{[]uint32{1, 5, 2, 4}, Numbers{{1, 2}, {4, 5}}},
		{[]uint32{1, 2, 3, 4, 2, 1, 4}, Numbers{{1, 4}}},
		{[]uint32{9, 1, 5, 2, 8, 4, 3}, Numbers{{1, 5}, {8, 9}}},
		{[]uint32{top}, Numbers{{top, top}}},
		{[]uint32{top, 0}, Numbers{{0, 0}, {top, top}}},
		{[]uint32{top, top - 1, top, 0, 1}, Numbers{{0, 1}, {top - 1, top}}},
	} {
		var s Numbers
		for _, n := range tt.add {
			s.Add(n)
		}
		if all := numbersOf(slices.Clone(tt.add)); !slices.Equal(s, tt.want) || !slices.Equal(all, tt.want) {
			t.Errorf("added %v: %v, at once %v, want %v", tt.add, s, all, tt.want)
		}
	}
	if n := (Numbers{{0, top}}).Count(); n != 1<<32 {
		t.Errorf("all numbers are %d", n)
	}
	for n := range (Numbers{{top - 1, top}}).All() {
		if n < top-1 {
			t.Fatal("it began anew behind the last number")
		}
	}
}

func TestNumbersInOrder(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		s    Numbers
		want bool
	}{
		{nil, true}, {Numbers{{1, 1}}, true}, {Numbers{{1, 2}, {4, 4}}, true},
		{Numbers{{2, 1}}, false}, {Numbers{{1, 2}, {3, 4}}, false}, {Numbers{{1, 5}, {4, 9}}, false}, {Numbers{{5, 6}, {1, 2}}, false},
	} {
		if tt.s.ordered() != tt.want {
			t.Errorf("%v: %v", tt.s, !tt.want)
		}
	}
}

// FuzzNumbers compares the set with a map.
func FuzzNumbers(f *testing.F) {
	f.Add([]byte{1, 3, 2}, uint32(0))
	f.Add([]byte{9, 1, 5, 2, 8, 4, 3, 3}, uint32(math.MaxUint32-4))
	f.Fuzz(func(t *testing.T, add []byte, from uint32) {
		var s Numbers
		in := map[uint32]bool{}
		for _, b := range add {
			n := from + uint32(b) // over the end, too
			s.Add(n)
			in[n] = true
			if !s.ordered() {
				t.Fatalf("added %d: %v", n, s)
			}
		}
		var all []uint32
		for n := range s.All() {
			if all = append(all, n); !in[n] {
				t.Fatalf("%v has %d, which was not added", s, n)
			}
		}
		if len(all) != len(in) || s.Count() != int64(len(in)) || !slices.IsSorted(all) {
			t.Fatalf("%v: %d numbers, counted %d, want %d", s, len(all), s.Count(), len(in))
		}
		for b := range 260 {
			if n := from + uint32(b); s.Contains(n) != in[n] {
				t.Fatalf("%v contains %d: %v", s, n, s.Contains(n))
			}
		}
	})
}

// BenchmarkNumbers: the worst order in which a server can list what has gaps.
func BenchmarkNumbers(b *testing.B) {
	for _, n := range []uint32{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				var list []uint32
				for i := n; i > 0; i-- {
					list = append(list, 2*i)
				}
				if s := numbersOf(list); len(s) != int(n) {
					b.Fatal(len(s))
				}
			}
		})
	}
}
