package fetch

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"postrider/ledger"
)

func TestDeleteAfterDelivery(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, deleting), &server{refused: map[string]int{"m2": 1}}
	s.add(uids("m", 3)...)
	if r := w.pass(s); r.Disposed != 2 || len(s.messages) != 1 || s.messages[0].uid != "m2" {
		t.Errorf("%+v, left %v", r, s.messages)
	}
	if r := w.pass(s); r.Disposed != 1 || len(s.messages) != 0 {
		t.Errorf("second pass: %+v", r)
	}
	w.pass(s)
	if n := listedOnRecord(w); n != 0 {
		t.Errorf("%d on record as listed by an empty server", n)
	}
	w.once(uids("m", 3)...)
}

func TestKeepRemovesNothing(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{}
	s.add(uids("m", 3)...)
	w.pass(s)
	w.pass(s)
	if len(s.disposed) != 0 {
		t.Errorf("asked to remove %v", s.disposed)
	}
}

func TestDeleteAfterDays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: dir, log: &record{}}
		w.job = Job{Protocol: "pop3", Account: "work", Mailbox: "INBOX", Folder: "work/INBOX", Log: slog.New(slog.DiscardHandler), OnServer: Disposal{Action: Remove, After: 30 * 24 * time.Hour}}
		w.open()
		defer w.close()
		s := &server{}
		s.add("old")
		w.pass(s)
		time.Sleep(20 * 24 * time.Hour)
		s.add("young")
		w.pass(s)
		time.Sleep(10*24*time.Hour - 2*time.Second)
		w.again()
		if r := w.pass(s); r.Disposed != 0 {
			t.Errorf("too early: %+v", r)
		}
		time.Sleep(2 * time.Second)
		if r := w.pass(s); r.Disposed != 1 || !slices.Equal(s.disposed, []string{"old"}) {
			t.Errorf("%+v, asked to remove %v", r, s.disposed)
		}
		w.once("old", "young")
	})
}

// TestT50QuitIsNotConfirmed: whether the server removed the messages or not,
// the next pass comes to the same end.
func TestT50QuitIsNotConfirmed(t *testing.T) {
	t.Parallel()
	silence := errors.New("no reply to QUIT")
	for name, s := range map[string]*server{"not removed": {unsure: silence}, "removed": {unheard: silence}} {
		w := newWorld(t, deleting)
		s.add(uids("m", 3)...)
		if r, err := w.line.Pass(t.Context(), s.dial); !errors.Is(err, silence) || r.Disposed != 0 || r.Delivered != 3 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		s.unsure, s.unheard = nil, nil
		w.again()
		if r := w.pass(s); r.Delivered != 0 || len(s.messages) != 0 {
			t.Errorf("%s, second pass: %+v", name, r)
		}
		w.once(uids("m", 3)...)
	}
}

func TestT42ServerOnlyClaimsToRemove(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, deleting), &server{deaf: true}
	s.add(uids("m", 3)...)
	for range 3 {
		w.pass(s)
		w.again()
	}
	if len(s.disposed) != 9 {
		t.Errorf("asked %d times to remove 3 messages in 3 passes", len(s.disposed))
	}
	w.once(uids("m", 3)...)
}

func TestDue(t *testing.T) {
	t.Parallel()
	now := time.Now()
	day := 24 * time.Hour
	tests := []struct {
		name   string
		policy Disposal
		state  ledger.State
		age    time.Duration
		due    bool
	}{
		{"delete", Disposal{Action: Remove}, ledger.Disposing, 0, true},
		{"delete, and the clock was set back", Disposal{Action: Remove}, ledger.Disposing, -3650 * day, true},
		{"delete after, young", Disposal{Action: Remove, After: 7 * day}, ledger.Delivered, 6 * day, false},
		{"delete after, old", Disposal{Action: Remove, After: 7 * day}, ledger.Delivered, 7*day + time.Second, true},
		{"delete after, from the future", Disposal{Action: Remove, After: 7 * day}, ledger.Delivered, -day, false},
		{"inferred, young", Disposal{Action: Remove}, ledger.Inferred, 6 * day, false},
		{"inferred, old", Disposal{Action: Remove}, ledger.Inferred, 8 * day, true},
		{"inferred, delete after more", Disposal{Action: Remove, After: 9 * day}, ledger.Inferred, 8 * day, false},
	}
	w := newWorld(t)
	for _, tt := range tests {
		w.line.job.OnServer = tt.policy
		place := w.line.known.Add(ledger.Record{Key: ledger.Key{1}, Octets: 1, Time: now.Add(-tt.age), State: tt.state})
		r, _ := w.line.known.At(place)
		if at, wanted := w.line.dueTime(r); (wanted && !at.After(now)) != tt.due {
			t.Errorf("%s: due %v", tt.name, !tt.due)
		}
	}
}

func TestNothingIsRemovedWithAnOldLedger(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, deleting), &server{}
	s.add("m1")
	w.root.Behind = true
	w.pass(s)
	if len(s.disposed) != 0 {
		t.Errorf("asked to remove %v", s.disposed)
	}
}
