package ledger

import "testing"

func TestTwins(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := p.open(t)
	has := func(n uint64, sets ...string) bool {
		t.Helper()
		ok, err := r.Ledger.HasTwin(sets, n)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if has(1, "a") {
		t.Error("a new ledger has a twin")
	}
	commit(t, r.Ledger, func(tx *Tx) error { return tx.AddTwins("a", 1, 1<<63) })
	p.close(t, r)
	r = p.open(t)
	defer p.close(t, r)
	for _, tt := range []struct {
		n    uint64
		sets []string
		want bool
	}{
		{1, []string{"a"}, true},
		{1 << 63, []string{"b", "a"}, true},
		{2, []string{"a"}, false},
		{1, []string{"b"}, false},
		{1, nil, false},
	} {
		if got := has(tt.n, tt.sets...); got != tt.want {
			t.Errorf("twin %d in %v: %v", tt.n, tt.sets, got)
		}
	}
}
