package maildir

import "testing"

func TestFlags(t *testing.T) {
	t.Parallel()
	for f, want := range map[Flags]string{0: ":2,", Seen: ":2,S", Draft | Flagged | Passed | Replied | Seen: ":2,DFPRS", Replied | Flagged: ":2,FR"} {
		if got := f.Info(); got != want {
			t.Errorf("%b: %q, want %q", f, got, want)
		}
	}
}
