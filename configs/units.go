package configs

import (
	"math"
	"strconv"
	"strings"
	"time"
)

const durationRemedy = "write it like 90s, 5m, 36h, 14d or 1h30m"

// parseDuration takes whole numbers with units from large to small, such as 14d or 1h30m. A plain 0 needs no unit; any other number does, because nobody
// agrees on what a bare 60 means.
func parseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	units := []struct {
		letter byte
		length time.Duration
	}{{'d', 24 * time.Hour}, {'h', time.Hour}, {'m', time.Minute}, {'s', time.Second}}
	var total time.Duration
	rest := s
	for _, unit := range units {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 || digits == len(rest) || rest[digits] != unit.letter {
			continue
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil || n > int64((math.MaxInt64-total)/unit.length) {
			return 0, wrong("is too long a time", durationRemedy)
		}
		total += time.Duration(n) * unit.length
		rest = rest[digits+1:]
	}
	if s == "" || rest != "" {
		return 0, wrong("is not a duration", durationRemedy)
	}
	return total, nil
}

// parsePositive is parseDuration for a time that cannot be nothing.
func parsePositive(s string) (time.Duration, error) {
	d, err := parseDuration(s)
	if err == nil && d == 0 {
		return 0, wrong("must be more than 0", durationRemedy)
	}
	return d, err
}

const sizeRemedy = "write it like 50MB (millions), 50MiB or 1GiB, or as octets"

// parseSize takes octets, plain or with a decimal (kB, MB, GB, TB) or binary (KiB, MiB, GiB, TiB) unit in any case.
func parseSize(s string) (int64, error) {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	units := map[string]int64{
		"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
		"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
	}
	unit, known := units[strings.ToLower(strings.TrimLeft(s[digits:], " "))]
	if digits == 0 || !known {
		return 0, wrong("is not a size", sizeRemedy)
	}
	n, err := strconv.ParseInt(s[:digits], 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return 0, wrong("is too large a size", sizeRemedy)
	}
	return n * unit, nil
}
