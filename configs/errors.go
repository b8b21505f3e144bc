package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one mistake in the configuration.
type Error struct {
	File    string // as it was named to Load or Parse; "" when no file was found
	Line    int    // counted from 1; 0 when the mistake is the file itself
	Key     string // the path of keys, such as accounts.work.imap.port; "" for the file as a whole
	Problem string // what is wrong; never quotes a value of the file
	Remedy  string // what to do about it; may be ""
}

// wrong is an Error that does not know yet where it happened.
func wrong(problem, remedy string) Error { return Error{Problem: problem, Remedy: remedy} }

// Error is FILE:LINE: KEY: PROBLEM (REMEDY), without the parts that are not known.
func (e Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d", e.Line)
		}
		b.WriteString(": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Problem)
	if e.Remedy != "" {
		b.WriteString(" (" + e.Remedy + ")")
	}
	return b.String()
}

// Permanent says that trying again without changing the file will not help.
func (e Error) Permanent() bool { return true }

// Errors is everything that is wrong with a configuration, in the order of the lines. It is never empty.
type Errors struct {
	List []Error
}

// Error has one line for each mistake, in the form FILE:LINE: KEY: PROBLEM (REMEDY).
func (e *Errors) Error() string {
	lines := make([]string, len(e.List))
	for i := range e.List {
		lines[i] = e.List[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Permanent says that trying again without changing the file will not help.
func (e *Errors) Permanent() bool { return true }

// alone is the error for a mistake after which no other can be looked for.
func alone(e Error) *Errors { return &Errors{List: []Error{e}} }

// collected puts mistakes in the order of the lines and drops repeated ones: a mapping that is merged twice is wrong once. It returns nil when there
// are none.
func collected(list []Error) error {
	if len(list) == 0 {
		return nil
	}
	slices.SortStableFunc(list, func(a, b Error) int { return cmp.Compare(a.Line, b.Line) })
	return &Errors{List: slices.Compact(list)}
}
