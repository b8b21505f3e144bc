package configs

import (
	"slices"
	"strings"
)

// read takes the key, if it is there, and puts what parse makes of it into dst, which holds the default.
func read[T any](m *mapping, name string, dst *T, parse func(string) (T, error)) {
	if v, ok := m.take(name); ok {
		readValue(v, dst, parse)
	}
}

// readValue puts what parse makes of the value into dst and says whether that went well.
func readValue[T any](v value, dst *T, parse func(string) (T, error)) bool {
	text, ok := v.text()
	if !ok {
		return false
	}
	got, err := parse(text)
	if err != nil {
		v.refuse(err)
		return false
	}
	*dst = got
	return true
}

// readList is read for a list, whose items parse takes one by one.
func readList[T any](m *mapping, name string, dst *[]T, parse func(string) (T, error)) {
	v, ok := m.take(name)
	if !ok {
		return
	}
	var all []T
	for _, item := range v.list() {
		var got T
		if readValue(item, &got, parse) {
			all = append(all, got)
		}
	}
	*dst = all
}

// oneOf parses one of the words.
func oneOf(words ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if slices.Contains(words, s) {
			return s, nil
		}
		remedy := ""
		if w := nearest(s, words); w != "" {
			remedy = "did you mean " + w + "?"
		}
		return "", wrong("is not one of "+strings.Join(words, ", "), remedy)
	}
}

// parseBool takes true and false. YAML 1.1 had six more words for each, and libraries still differ about them.
func parseBool(s string) (bool, error) {
	if s != "true" && s != "false" {
		return false, wrong("is neither true nor false", "")
	}
	return s == "true", nil
}

// finish reports every key that was not taken. elsewhere says of keys where they belong. x- keys hold anchors and are free where the caller says so.
func (m *mapping) finish(free bool, elsewhere map[string]string) {
	for _, p := range m.pairs {
		if len(m.d.errs) > maxErrors || !m.d.visit() {
			return
		}
		if slices.Contains(m.asked, p.name) || free && strings.HasPrefix(p.name, "x-") {
			continue
		}
		v, near := m.child(p), nearest(p.name, m.asked)
		v.line = p.line
		switch place := elsewhere[p.name]; {
		case place != "":
			v.fail("belongs "+place, "")
		case near != "":
			v.fail("unknown key", "did you mean "+near+"?")
		default:
			if p.unspeakable {
				v.key = m.key
			}
			v.fail("unknown key", "known: "+strings.Join(m.asked, ", "))
		}
	}
}

// nearest is the word that was probably meant by s: the same but for case, - and _, or at most a third of it wrong. "" if there is none.
func nearest(s string, words []string) string {
	if len(s) > 40 {
		return ""
	}
	plain := strings.NewReplacer("-", "", "_", "", " ", "")
	s = plain.Replace(strings.ToLower(s))
	best, least := "", len(s)/3+1
	for _, w := range words {
		if d := distance(s, plain.Replace(w)); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance counts the letters to add, drop, change or swap with their neighbour to make b of a.
func distance(a, b string) int {
	before, last := []int(nil), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
