package outbox

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// sendAtField holds a message until its time. It does not go out.
const sendAtField = "X-Postrider-Send-At"

// SendAt returns the time that the X-Postrider-Send-At field sets, or the zero
// time when there is none. Two of them are a Refusal: they may differ.
func (h *Header) SendAt(now time.Time) (time.Time, error) {
	var at time.Time
	found := false
	for f := range h.Fields() {
		if !f.Is(sendAtField) {
			continue
		}
		if found {
			return time.Time{}, refuse("the message has two "+sendAtField+": fields", "keep one of them")
		}
		found = true
		var err error
		if at, err = ParseSendAt(f.Text(), now); err != nil {
			return time.Time{}, err
		}
	}
	return at, nil
}

// ParseSendAt reads a time as RFC 3339 writes it, or a duration from now as the
// configuration writes it, such as 90s, 2h, 14d or 1h30m. A time that has passed
// is no error: the message is due.
func ParseSendAt(value string, now time.Time) (time.Time, error) {
	value = strings.TrimSpace(value)
	// RFC 3339 section 5.6 lets the letters be small and a space stand for the T.
	stamp := strings.ToUpper(value)
	if len(stamp) > 10 && stamp[10] == ' ' {
		stamp = stamp[:10] + "T" + stamp[11:]
	}
	if at, err := time.Parse(time.RFC3339, stamp); err == nil {
		return at, nil
	}
	if wait, ok := parseWait(value); ok {
		return now.Add(wait), nil
	}
	return time.Time{}, refuse(fmt.Sprintf("the %s: field holds %s, which is no time", sendAtField, show(value)),
		"write a time with its zone, such as 2026-03-01T08:00:00+01:00, or how long to wait, such as 90s, 2h or 14d")
}

// parseWait takes whole numbers with units from large to small. A plain 0 needs
// no unit; any other number does, because nobody agrees on what a bare 60 means.
func parseWait(s string) (time.Duration, bool) {
	if s == "0" {
		return 0, true
	}
	var total time.Duration
	rest := s
	for _, unit := range []struct {
		letter byte
		length time.Duration
	}{{'d', 24 * time.Hour}, {'h', time.Hour}, {'m', time.Minute}, {'s', time.Second}} {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 || digits == len(rest) || rest[digits] != unit.letter {
			continue
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil || n > int64((math.MaxInt64-total)/unit.length) {
			return 0, false
		}
		total += time.Duration(n) * unit.length
		rest = rest[digits+1:]
	}
	return total, s != "" && rest == ""
}
