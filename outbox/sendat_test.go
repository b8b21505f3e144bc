package outbox

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseSendAt(t *testing.T) {
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Time{
		"2026-03-02T07:00:00Z":           time.Date(2026, 3, 2, 7, 0, 0, 0, time.UTC),
		"2026-03-02T07:00:00+08:00":      time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC),
		"2026-03-02t07:00:00z":           time.Date(2026, 3, 2, 7, 0, 0, 0, time.UTC),
		"  2026-03-02 07:00:00.5-01:00 ": time.Date(2026, 3, 2, 8, 0, 0, 5e8, time.UTC),
		"1999-01-01T00:00:00Z":           time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
		"90s":                            now.Add(90 * time.Second),
		"2h":                             now.Add(2 * time.Hour),
		"14d":                            now.Add(14 * 24 * time.Hour),
		"1h30m":                          now.Add(90 * time.Minute),
		"0":                              now,
	} {
		if got, err := ParseSendAt(value, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, want %v (%v)", value, got, want, err)
		}
	}
	for _, value := range []string{"", "60", "2", "-2h", "+2h", "30m1h", "2h ago", "1.5h", "tomorrow", "2026-03-02", "2026-03-02T07:00:00", "2026-02-30T07:00:00Z",
		"99999999999d", "9223372036854775807s", "106751d1000h", "2h\x00", "90 s", strings.Repeat("9", 1000)} {
		got, err := ParseSendAt(value, now)
		var r *Refusal
		if !errors.As(err, &r) || !strings.Contains(err.Error(), "such as") || len(err.Error()) > 300 {
			t.Errorf("%q is %v, %v, want a Refusal", value, got, err)
		}
	}
}

func TestHeaderSendAt(t *testing.T) {
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	h, _ := read(t, "To: a\nx-postrider-send-at:\n 2h\n\nX-Postrider-Send-At: 9h")
	if at, err := h.SendAt(now); err != nil || !at.Equal(now.Add(2*time.Hour)) {
		t.Errorf("%v, %v", at, err)
	}
	h, _ = read(t, "To: a\n\n")
	if at, err := h.SendAt(now); err != nil || !at.IsZero() {
		t.Errorf("%v, %v", at, err)
	}
	for _, header := range []string{"X-Postrider-Send-At: 2h\nX-Postrider-Send-At: 3h\n", "X-Postrider-Send-At:\n", "X-Postrider-Send-At: soon\n"} {
		h, _ = read(t, header+"\n")
		if at, err := h.SendAt(now); err == nil {
			t.Errorf("%q is %v", header, at)
		}
	}
}

// FuzzSendAt checks that no value is taken for a time in a second way: what is a
// time is the same written out, and a wait never goes back.
func FuzzSendAt(f *testing.F) {
	for _, seed := range []string{"2026-03-02T07:00:00.5+08:00", "1h30m", "14d", "0", "soon"} {
		f.Add(seed)
	}
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string) {
		at, err := ParseSendAt(value, now)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n\x00") {
				t.Fatalf("error %q", err)
			}
			return
		}
		if strings.Contains(value, "-") {
			again, err := ParseSendAt(at.Format(time.RFC3339Nano), now)
			if err != nil && at.Year() < 10_000 || err == nil && !again.Equal(at) {
				t.Fatalf("%q is %v, which is %v (%v)", value, at, again, err)
			}
		} else if strings.Trim(value, " \t\r\n\v\f\u0085\u00a00123456789dhms") == "" && at.Before(now) {
			t.Fatalf("%q is %v", value, at)
		}
	})
}
