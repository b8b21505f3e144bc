package imap

import (
	"cmp"
	"errors"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// MaxUID is the largest UID there can be. A set that reaches to it is written
// with a star, and means all messages from its last range's first on.
const MaxUID = 1<<32 - 1

// maxRanges bounds a set that the server fills: 2 MiB, twice that while it is
// put in order, and somewhat more while it grows.
const maxRanges = 1 << 18

// maxVanishedRanges bounds what the server says has gone, which nothing depends
// on: more of it is passed over.
const maxVanishedRanges = 1 << 16

// UIDRange is the UIDs from First to Last, both of them included.
type UIDRange struct{ First, Last uint32 }

// UIDSet is a set of UIDs: its ranges ascend and do not touch. The zero value is
// empty. Sets do not share memory with the results of their methods, save where
// it is said.
type UIDSet []UIDRange

// UIDs returns the set of these UIDs. Zero is no UID, and left out.
func UIDs(uids ...uint32) UIDSet {
	var g gatherer
	for _, u := range uids {
		g.add(u, u)
	}
	return g.set()
}

// From returns the set of all UIDs from first on.
func From(first uint32) UIDSet { return UIDSet{{max(first, 1), MaxUID}} }

// Add adds one UID. It is cheap at the end of the set.
func (s *UIDSet) Add(uid uint32) { s.AddRange(uid, uid) }

// AddRange adds the UIDs from first to last, which may come the wrong way round.
func (s *UIDSet) AddRange(first, last uint32) {
	if first > last {
		first, last = last, first
	}
	if first = max(first, 1); last == 0 {
		return
	}
	// i is the first range that the new one touches or follows on, j the first
	// behind it that it does not.
	i, _ := slices.BinarySearchFunc(*s, first, func(r UIDRange, first uint32) int {
		if r.Last != MaxUID && r.Last+1 < first {
			return -1
		}
		return 1
	})
	j := i
	for j < len(*s) && (last == MaxUID || (*s)[j].First <= last+1) {
		first, last = min(first, (*s)[j].First), max(last, (*s)[j].Last)
		j++
	}
	*s = slices.Replace(*s, i, j, UIDRange{first, last})
}

// find returns the index of the range that holds uid or else follows it.
func (s UIDSet) find(uid uint32) int {
	i, _ := slices.BinarySearchFunc(s, uid, func(r UIDRange, uid uint32) int {
		if r.Last < uid {
			return -1
		}
		return 1
	})
	return i
}

// Remove takes one UID out.
func (s *UIDSet) Remove(uid uint32) {
	i := s.find(uid)
	if !s.Contains(uid) {
		return
	}
	r := (*s)[i]
	switch {
	case r.First == r.Last:
		*s = slices.Delete(*s, i, i+1)
	case r.First == uid:
		(*s)[i].First++
	case r.Last == uid:
		(*s)[i].Last--
	default:
		*s = slices.Replace(*s, i, i+1, UIDRange{r.First, uid - 1}, UIDRange{uid + 1, r.Last})
	}
}

// Contains reports whether the set holds the UID.
func (s UIDSet) Contains(uid uint32) bool {
	i := s.find(uid)
	return i < len(s) && s[i].First <= uid
}

// Empty reports that there is no UID in the set.
func (s UIDSet) Empty() bool { return len(s) == 0 }

// Count returns how many UIDs the set holds.
func (s UIDSet) Count() int64 {
	n := int64(0)
	for _, r := range s {
		n += int64(r.Last) - int64(r.First) + 1
	}
	return n
}

// Max returns the largest UID, 0 if there is none.
func (s UIDSet) Max() uint32 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].Last
}

// Union returns the UIDs that are in one of the sets or in both.
func (s UIDSet) Union(o UIDSet) UIDSet {
	var g gatherer
	g.ranges = make(UIDSet, 0, len(s)+len(o))
	for len(s) > 0 || len(o) > 0 {
		next := &s
		if len(s) == 0 || len(o) > 0 && o[0].First < s[0].First {
			next = &o
		}
		g.append((*next)[0])
		*next = (*next)[1:]
	}
	return g.ranges
}

// Intersect returns the UIDs that are in both sets.
func (s UIDSet) Intersect(o UIDSet) UIDSet {
	var both UIDSet
	for len(s) > 0 && len(o) > 0 {
		first, last := max(s[0].First, o[0].First), min(s[0].Last, o[0].Last)
		if first <= last {
			both = append(both, UIDRange{first, last})
		}
		if s[0].Last < o[0].Last {
			s = s[1:]
		} else {
			o = o[1:]
		}
	}
	return both
}

// Minus returns the UIDs of s that are not in o.
func (s UIDSet) Minus(o UIDSet) UIDSet {
	var left UIDSet
	for _, r := range s {
		for len(o) > 0 && o[0].Last < r.First {
			o = o[1:]
		}
		first, rest := r.First, o
		for len(rest) > 0 && rest[0].First <= r.Last {
			if first < rest[0].First {
				left = append(left, UIDRange{first, rest[0].First - 1})
			}
			if rest[0].Last >= r.Last {
				first = 0
				break
			}
			first = rest[0].Last + 1
			rest = rest[1:]
		}
		if o = rest; first > 0 {
			left = append(left, UIDRange{first, r.Last})
		}
	}
	return left
}

// All yields every UID, ascending.
func (s UIDSet) All() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for _, r := range s {
			for u := r.First; ; u++ {
				if !yield(u) {
					return
				}
				if u == r.Last {
					break
				}
			}
		}
	}
}

// Pieces yields the set in parts whose text has at most so many octets, or one
// range. They share memory with the set.
func (s UIDSet) Pieces(octets int) iter.Seq[UIDSet] {
	return func(yield func(UIDSet) bool) {
		start, length := 0, 0
		var scratch [24]byte
		for i, r := range s {
			n := len(r.append(scratch[:0]))
			if i > start && length+len(",")+n > octets {
				if !yield(s[start:i:i]) {
					return
				}
				start, length = i, 0
			}
			length += len(",") + n
		}
		if start < len(s) {
			yield(s[start:])
		}
	}
}

// String returns the set as commands have it (RFC 9051 section 9, sequence-set).
func (s UIDSet) String() string { return string(s.append(nil)) }

func (s UIDSet) append(dst []byte) []byte {
	for i, r := range s {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = r.append(dst)
	}
	return dst
}

func (r UIDRange) append(dst []byte) []byte {
	dst = strconv.AppendUint(dst, uint64(r.First), 10)
	switch r.Last {
	case r.First:
		return dst
	case MaxUID:
		return append(dst, ":*"...)
	}
	return strconv.AppendUint(append(dst, ':'), uint64(r.Last), 10)
}

// ParseUIDSet parses the text of a set. Its ranges may come in any order, and
// the wrong way round.
func ParseUIDSet(s string) (UIDSet, error) {
	var g gatherer
	for part := range strings.SplitSeq(s, ",") {
		a, b, ranged := strings.Cut(part, ":")
		first, ok := parseUID(a)
		last := first
		if ok && ranged {
			last, ok = parseUID(b)
		}
		if !ok {
			return nil, errors.New("parse UID set: not a set of UIDs")
		}
		if !g.add(first, last) {
			return nil, errors.New("parse UID set: too many ranges")
		}
	}
	return g.set(), nil
}

func parseUID(s string) (uint32, bool) {
	if s == "*" {
		return MaxUID, true
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n > 0
}

// gatherer builds a set of ranges that come in any order, in no more than n log n
// steps, and never of more than maxRanges ranges.
type gatherer struct {
	ranges UIDSet
	mixed  bool // the ranges are not a set yet
	full   int  // put in order when there are so many
	most   int  // with more ranges it gives up and is empty; 0: it has no room for more than maxRanges
	over   bool // it has given up
}

// add reports whether there was room.
func (g *gatherer) add(first, last uint32) bool {
	if first > last {
		first, last = last, first
	}
	if last == 0 || g.over {
		return true
	}
	g.append(UIDRange{max(first, 1), last})
	if len(g.ranges) < max(g.full, 1<<10) {
		return true
	}
	g.sort()
	most := cmp.Or(g.most, maxRanges)
	g.full = min(2*len(g.ranges), 2*most)
	if len(g.ranges) > most && g.most > 0 {
		g.ranges, g.over = nil, true
	}
	return len(g.ranges) <= most
}

// append adds a range, to the last one if they touch.
func (g *gatherer) append(r UIDRange) {
	n := len(g.ranges) - 1
	if n < 0 {
		g.ranges = append(g.ranges, r)
		return
	}
	last := &g.ranges[n]
	switch {
	case r.First >= last.First && (last.Last == MaxUID || r.First <= last.Last+1):
		last.Last = max(last.Last, r.Last)
	case r.First > last.Last:
		g.ranges = append(g.ranges, r)
	case r.Last+1 == last.First && (n == 0 || g.mixed):
		last.First = r.First // a server that counts down
	default:
		g.ranges = append(g.ranges, r)
		g.mixed = true
	}
}

func (g *gatherer) sort() {
	if !g.mixed {
		return
	}
	slices.SortFunc(g.ranges, func(a, b UIDRange) int {
		switch {
		case a.First < b.First:
			return -1
		case a.First > b.First:
			return 1
		}
		return 0
	})
	merged := gatherer{ranges: g.ranges[:0]}
	for _, r := range g.ranges {
		merged.append(r)
	}
	g.ranges, g.mixed = merged.ranges, false
}

func (g *gatherer) set() UIDSet {
	g.sort()
	return g.ranges
}
