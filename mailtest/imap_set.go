package mailtest

import (
	"slices"
	"strconv"
)

// imapStar is "*" in a set that is not resolved yet.
const imapStar = 0

// imapRange is a range of numbers, both ends included.
type imapRange struct{ first, last uint32 }

// imapSet is a sequence-set (RFC 9051 section 9).
type imapSet []imapRange

// resolve puts a number in place of the star, and the ranges in order.
func (s imapSet) resolve(star uint32) imapSet {
	sorted := make(imapSet, 0, len(s))
	for _, r := range s {
		if r.first == imapStar {
			r.first = star
		}
		if r.last == imapStar {
			r.last = star
		}
		if r.first > r.last {
			r.first, r.last = r.last, r.first
		}
		sorted = append(sorted, r)
	}
	slices.SortFunc(sorted, func(a, b imapRange) int {
		switch {
		case a.first < b.first:
			return -1
		case a.first > b.first:
			return 1
		}
		return 0
	})
	merged := sorted[:0]
	for _, r := range sorted {
		if n := len(merged); n > 0 && uint64(r.first) <= uint64(merged[n-1].last)+1 {
			merged[n-1].last = max(merged[n-1].last, r.last)
		} else {
			merged = append(merged, r)
		}
	}
	return merged
}

// descending says whether a range is written the wrong way round.
func (s imapSet) descending() bool {
	return slices.ContainsFunc(s, func(r imapRange) bool {
		return r.first != imapStar && r.last != imapStar && r.first > r.last
	})
}

// contains looks a number up in a set that is resolved.
func (s imapSet) contains(n uint32) bool {
	_, found := slices.BinarySearchFunc(s, n, func(r imapRange, n uint32) int {
		switch {
		case r.last < n:
			return -1
		case r.first > n:
			return 1
		}
		return 0
	})
	return found
}

// add appends a number to a set; ascending numbers make ranges.
func (s imapSet) add(n uint32) imapSet {
	if last := len(s) - 1; last >= 0 && s[last].last+1 == n && n != 0 {
		s[last].last = n
		return s
	}
	return append(s, imapRange{n, n})
}

func (s imapSet) String() string {
	var text []byte
	for i, r := range s {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendUint(text, uint64(r.first), 10)
		if r.last != r.first {
			text = append(text, ':')
			text = strconv.AppendUint(text, uint64(r.last), 10)
		}
	}
	return string(text)
}
