package configs

import (
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

const scheduleRemedy = `write "@every 5m", "manual", or cron's five fields such as "*/5 8-18 * * 1-5"`

// parseSchedule takes manual, @every DURATION, or what robfig/cron/v3's standard parser takes: five fields, @hourly and its like, with TZ=ZONE before.
func parseSchedule(s string) (Schedule, error) {
	if s == "manual" {
		return Schedule{Manual: true}, nil
	}
	if every, ok := strings.CutPrefix(s, "@every "); ok {
		// Read by us and not by cron, which knows no days and rounds what is under a second.
		d, err := parsePositive(strings.TrimSpace(every))
		if err != nil {
			return Schedule{}, err
		}
		return Schedule{Every: d}, nil
	}
	// The parser indexes past the end of a zone that nothing follows.
	if (strings.HasPrefix(s, "TZ=") || strings.HasPrefix(s, "CRON_TZ=")) && !strings.Contains(s, " ") {
		return Schedule{}, wrong("is a time zone without a schedule", scheduleRemedy)
	}
	// After the zone is taken off the parser would accept @every again: one spelling is enough.
	times, err := cron.ParseStandard(s)
	if _, constant := times.(cron.ConstantDelaySchedule); err != nil || constant {
		return Schedule{}, wrong("is not a schedule", scheduleRemedy)
	}
	// Fields may be right one by one and never meet, as in the 30th of February.
	if times.Next(time.Unix(0, 0)).IsZero() {
		return Schedule{}, wrong("is a schedule that never comes", scheduleRemedy)
	}
	return Schedule{Cron: s}, nil
}

// parseDisposal takes keep, seen, delete, delete after DURATION and move FOLDER.
func parseDisposal(s string) (Disposal, error) {
	const remedy = "write keep, seen, delete, delete after 30d, or move FOLDER"
	verb, rest, _ := strings.Cut(s, " ")
	rest = strings.TrimSpace(rest)
	switch {
	case s == "keep":
		return Disposal{Action: Keep}, nil
	case s == "seen":
		return Disposal{Action: Seen}, nil
	case s == "delete":
		return Disposal{Action: Delete}, nil
	case verb == "delete":
		after, ok := strings.CutPrefix(rest, "after ")
		if !ok {
			return Disposal{}, wrong("is not a thing to do", remedy)
		}
		d, err := parseDuration(strings.TrimSpace(after))
		return Disposal{Action: Delete, After: d}, err
	case verb == "move" && rest != "":
		return Disposal{Action: Move, Folder: rest}, controls(rest)
	}
	return Disposal{}, wrong("is not a thing to do", remedy)
}

// parsePOP3Disposal is parseDisposal without what only IMAP can do: RFC 1939 knows neither flags nor folders.
func parsePOP3Disposal(s string) (Disposal, error) {
	d, err := parseDisposal(s)
	if err != nil {
		return d, wrong("is not a thing to do", "write keep, delete, or delete after 30d")
	}
	if d.Action == Seen || d.Action == Move {
		return d, wrong("is for IMAP: a POP3 server has neither flags nor folders", "write keep, delete, or delete after 30d")
	}
	return d, nil
}
