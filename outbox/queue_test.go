package outbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// in makes a box with one item in a state.
func in(t *testing.T, state State) *box {
	t.Helper()
	b := newBox(t)
	subject, to := "one", []string{"a"}
	switch state {
	case Deferred:
		subject = "defer"
	case Uncertain:
		subject, to = "silent", []string{"a", "hard"}
	}
	b.drop("x", letterTo(subject, to...))
	b.mustPickup(false)
	switch state {
	case Deferred, Uncertain:
		b.mustPass()
	case Held:
		if err := b.Hold(b.only().ID); err != nil {
			t.Fatal(err)
		}
	case Corrupt:
		if err := flip(b.spool.path(Active, b.only().ID, messageName)); err != nil {
			t.Fatal(err)
		}
		b.mustPass()
	}
	equal(t, "state", b.only().State, state)
	b.server.tampers = func(string) string { return "" }
	return b
}

// Each verb in each state, and what a pass makes of it.
func TestVerbs(t *testing.T) {
	type verb struct {
		name string
		do   func(b *box, id string) error
	}
	hold := verb{"hold", func(b *box, id string) error { return b.Hold(id) }}
	release := verb{"release", func(b *box, id string) error { return b.Release(id) }}
	retry := verb{"retry", func(b *box, id string) error { return b.Retry(id) }}
	cancel := verb{"cancel", func(b *box, id string) error { return b.Cancel(id) }}
	flush := verb{"flush", func(b *box, id string) error { return b.Flush() }}
	none := verb{"nothing", func(b *box, id string) error { return nil }}
	const no, gone, sent = "refused", "", "sent"
	for _, tt := range []struct {
		state State
		verb  verb
		after string // its state, or no
		end   string // after a pass
	}{
		{Active, none, "active", sent}, {Active, hold, "held", "held"}, {Active, release, no, sent}, {Active, retry, "active", sent}, {Active, cancel, gone, gone}, {Active, flush, "active", sent},
		{Deferred, none, "deferred", "deferred"}, {Deferred, hold, "held", "held"}, {Deferred, release, no, "deferred"}, {Deferred, retry, "active", sent}, {Deferred, cancel, gone, gone}, {Deferred, flush, "deferred", sent},
		{Held, none, "held", "held"}, {Held, hold, "held", "held"}, {Held, release, "active", sent}, {Held, retry, "active", sent}, {Held, cancel, gone, gone}, {Held, flush, "held", "held"},
		{Uncertain, none, "uncertain", "uncertain"}, {Uncertain, hold, no, "uncertain"}, {Uncertain, release, no, "uncertain"}, {Uncertain, retry, "active", sent}, {Uncertain, cancel, gone, gone}, {Uncertain, flush, "uncertain", "uncertain"},
		{Corrupt, none, "corrupt", "corrupt"}, {Corrupt, hold, no, "corrupt"}, {Corrupt, release, no, "corrupt"}, {Corrupt, retry, no, "corrupt"}, {Corrupt, cancel, gone, gone}, {Corrupt, flush, "corrupt", "corrupt"},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.verb.name, " ", tt.state, " ", restart), func(t *testing.T) {
				b := in(t, tt.state)
				err := tt.verb.do(b, b.only().ID)
				var unknown *UnknownItemError
				if tt.after == no != errors.As(err, &unknown) || err != nil && unknown == nil {
					t.Fatal(err)
				}
				if tt.after != no {
					state, _, _ := strings.Cut(b.queue(), " ")
					equal(t, "after", state, tt.after)
				}
				if restart {
					b.restart()
				}
				b.mustPass()
				b.mustPass()
				state, _, _ := strings.Cut(b.queue(), " ")
				if tt.end == sent {
					equal(t, "sent", len(b.server.got), 1)
					equal(t, "end", state, "")
					equal(t, "copies", len(b.folder("work/Sent")), 1)
				} else {
					equal(t, "sent", len(b.server.got), 0)
					equal(t, "end", state, tt.end)
				}
				if tt.verb.name == "cancel" {
					equal(t, "failed/", b.files("failed"), "x x.why.txt")
				}
				if tt.state == Uncertain {
					equal(t, "reports and letters", len(b.folder("work/INBOX")), 2)
				}
			})
		}
	}
}

// A message that is taken out says who has it.
func TestCancelTellsWhoHasIt(t *testing.T) {
	b := newBox(t)
	b.drop("x", letterTo("one", "a", "soft"))
	b.mustPass()
	if err := b.Cancel(b.only().ID[:10]); err != nil {
		t.Fatal(err)
	}
	why, err := os.ReadFile(b.outbox("failed", "x.why.txt"))
	if err != nil || !strings.Contains(string(why), "a@b.example: has got it") || !strings.Contains(string(why), "soft@b.example: has not got it") {
		t.Errorf("%s, %v", why, err)
	}
	for _, id := range []string{"", "zzz", "../active"} {
		var unknown *UnknownItemError
		if err := b.Cancel(id); !errors.As(err, &unknown) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// Messages wait for their time, or until they cannot be taken back any more.
func TestHeldUntil(t *testing.T) {
	for _, tt := range []struct {
		name string
		hold time.Duration
		at   string
		want time.Duration
	}{
		{"undo", time.Minute, "", time.Minute},
		{"send at", 0, "2h", 2 * time.Hour},
		{"both", time.Minute, "2h", 2 * time.Hour},
		{"undo longer", time.Hour, "10m", time.Hour},
		{"passed", 0, "1999-12-31T00:00:00Z", 0},
		{"after the lifetime", 0, "30d", 30 * 24 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t)
				defer b.close()
				b.rules.Hold = tt.hold
				b.restart()
				text := letterTo("one", "a")
				if tt.at != "" {
					text = sendAtField + ": " + tt.at + "\n" + text
				}
				b.drop("x", text)
				begin := time.Now()
				b.mustPickup(false)
				wake, err := b.Wake(time.Now())
				if err != nil || tt.want > 0 && !wake.Equal(begin.Add(tt.want)) {
					t.Errorf("wakes at %v, %v", wake, err)
				}
				if tt.want > 0 {
					time.Sleep(tt.want - time.Second)
					b.restart()
					equal(t, "sent early", b.mustPass().Sent, 0)
					equal(t, "state", b.only().State, Held)
					time.Sleep(time.Second)
				}
				equal(t, "sent", b.mustPass().Sent, 1)
				if strings.Contains(b.server.texts[0], sendAtField) {
					t.Errorf("%q", b.server.texts[0])
				}
			})
		})
	}
}

// What is released or tried by hand after its lifetime gets another one.
func TestReleaseAfterTheLifetime(t *testing.T) {
	for name, do := range map[string]func(*Outbox, string) error{"release": (*Outbox).Release, "retry": (*Outbox).Retry} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := in(t, Held)
				defer b.close()
				time.Sleep(b.rules.RetryFor + time.Hour)
				b.mustPass()
				if err := do(b.Outbox, b.only().ID); err != nil {
					t.Fatal(err)
				}
				equal(t, "sent", b.mustPass().Sent, 1)
			})
		})
	}
}

// A process without the lock sees the queue, whatever moves meanwhile.
func TestItemsWithoutLock(t *testing.T) {
	b := in(t, Deferred)
	spool, err := OpenSpool(b.outbox())
	if err != nil {
		t.Fatal(err)
	}
	if err := spool.Lock(); !errors.Is(err, ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	items, err := spool.Items()
	if err != nil || len(items) != 1 || items[0].State != Deferred || items[0].Subject != "defer" {
		t.Errorf("%+v, %v", items, err)
	}
	it, path, err := spool.Show(items[0].ID[:8])
	if text, _ := os.ReadFile(path); err != nil || it.ID != items[0].ID || string(text) != letterTo("defer", "a") {
		t.Errorf("%+v, %q, %v", it, path, err)
	}
}

// The spool's directories are made whatever of them is missing.
func TestOpenSpool(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "Outbox")
	for _, missing := range []string{"", spoolName, spoolName + "/incoming", spoolName + "/corrupt"} {
		if err := os.RemoveAll(filepath.Join(dir, missing)); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenSpool(dir); err != nil {
			t.Fatal(err)
		}
		for _, state := range states() {
			if st, err := os.Stat(filepath.Join(dir, spoolName, string(state))); err != nil || st.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v, %v", state, st, err)
			}
		}
	}
	os.RemoveAll(dir)
	os.WriteFile(dir, nil, 0o600)
	if _, err := OpenSpool(dir); err == nil {
		t.Error("made a spool in a file")
	}
}
