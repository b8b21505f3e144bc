package fetch

import (
	"iter"
	"slices"
	"sort"
)

// Numbers is a set of message numbers as ranges that ascend and do not touch.
type Numbers []Range

// Range is the numbers from First to Last, both of them included.
type Range struct{ First, Last uint32 }

// numbersOf returns the set of the given numbers, which it sorts. For many that
// come in any order it is better than Add.
func numbersOf(list []uint32) (s Numbers) {
	slices.Sort(list)
	for _, n := range list {
		s.Add(n)
	}
	return s
}

// Add adds one number. It is cheap at the end of the set, and takes the time of
// its length elsewhere.
func (s *Numbers) Add(n uint32) {
	if k := len(*s); k == 0 || (*s)[k-1].Last < n && n-(*s)[k-1].Last > 1 {
		*s = append(*s, Range{n, n})
		return
	} else if last := (*s)[k-1].Last; last < n && last+1 == n {
		(*s)[k-1].Last = n
		return
	}
	i := s.find(n)
	r := *s
	switch {
	case i < len(r) && r[i].First <= n: // it is there
	case i < len(r) && r[i].First == n+1 && i > 0 && r[i-1].Last+1 == n:
		r[i-1].Last = r[i].Last
		*s = slices.Delete(r, i, i+1)
	case i < len(r) && r[i].First == n+1:
		r[i].First = n
	case i > 0 && r[i-1].Last+1 == n:
		r[i-1].Last = n
	default:
		*s = slices.Insert(r, i, Range{n, n})
	}
}

// find returns the index of the first range that ends at n or behind it.
func (s Numbers) find(n uint32) int {
	return sort.Search(len(s), func(i int) bool { return s[i].Last >= n })
}

// Contains reports whether the set holds the number.
func (s Numbers) Contains(n uint32) bool {
	i := s.find(n)
	return i < len(s) && s[i].First <= n
}

// Count returns how many numbers the set holds.
func (s Numbers) Count() (n int64) {
	for _, r := range s {
		n += int64(r.Last-r.First) + 1
	}
	return n
}

// ordered reports whether the set is what Add makes.
func (s Numbers) ordered() bool {
	for i, r := range s {
		if r.First > r.Last || i > 0 && (r.First <= s[i-1].Last || r.First-s[i-1].Last == 1) {
			return false
		}
	}
	return true
}

// All yields every number, ascending.
func (s Numbers) All() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for _, r := range s {
			for n := r.First; ; n++ {
				if !yield(n) {
					return
				}
				if n == r.Last {
					break
				}
			}
		}
	}
}
