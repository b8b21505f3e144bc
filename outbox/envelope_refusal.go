package outbox

import (
	"strconv"
	"unicode/utf8"
)

// Refusal is a message, an address or a value that cannot be sent as it is. It
// is written for the user who made it.
type Refusal struct {
	Problem string // what is wrong, as half a sentence; foreign text in it is quoted and short
	Remedy  string // what to do about it
}

// Error reads as PROBLEM (REMEDY).
func (r *Refusal) Error() string { return r.Problem + " (" + r.Remedy + ")" }

// Permanent says that trying again changes nothing.
func (r *Refusal) Permanent() bool { return true }

func refuse(problem, remedy string) error { return &Refusal{Problem: problem, Remedy: remedy} }

// show makes foreign text fit for one line of a terminal: quoted, what does not
// print escaped, and cut.
func show(text string) string {
	const most = 60
	if len(text) <= most {
		return strconv.Quote(text)
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return strconv.Quote(text[:cut]) + "..."
}
