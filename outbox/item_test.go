package outbox

import (
	"crypto/sha256"
	"os"
	"testing"
	"time"
)

// An fsync that fails is not tried again on the same file: the octets go into
// another one, if they are still what they were.
func TestFsyncFails(t *testing.T) {
	const unsyncable = "/proc/version" // whose octets stay the same
	text, err := os.ReadFile(unsyncable)
	if err != nil {
		t.Skip("no file here whose fsync fails")
	}
	for _, intact := range []bool{true, false} {
		b := newBox(t)
		id := newID(time.Now())
		if err := os.Mkdir(b.spool.path(Incoming, id), 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(unsyncable)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if f.Sync() == nil {
			t.Skip("its fsync does not fail")
		}
		claimed := b.spool.path(Incoming, id, claimedPrefix+"x")
		if err := os.WriteFile(claimed, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		rec := &Record{Sum: sha256.Sum256(text)}
		if !intact {
			rec.Sum[0]++
		}
		err = b.settleOctets(f, id, "x", rec)
		now, _ := os.ReadFile(claimed)
		if intact != (err == nil) || intact != (string(now) == string(text)) {
			t.Errorf("intact %t: %v, %q", intact, err, now)
		}
		if _, err := os.Lstat(b.spool.path(Incoming, id, messageName+".new")); err == nil {
			t.Error("a file was left")
		}
	}
}

// Names grow with the time and are told from anything else.
func TestIDs(t *testing.T) {
	now := time.Now()
	before := ""
	for i := range 100 {
		id := newID(now.Add(time.Duration(i) * time.Second))
		if !validID(id) || id <= before {
			t.Errorf("%q after %q", id, before)
		}
		before = id
	}
	for _, id := range []string{"", "active", "../../../../etc/x", "0123456789abcdeF", "0123456789abcdefg"} {
		if validID(id) {
			t.Errorf("%q", id)
		}
	}
}

// shorten keeps whole characters.
func TestShorten(t *testing.T) {
	for _, tt := range []struct {
		name   string
		octets int
		want   string
	}{{"abc", 3, "abc"}, {"abc", 2, "ab"}, {"aéb", 2, "a"}, {"aéb", 3, "aé"}, {"\xff\xff\xff", 2, "\xff\xff"}, {"\x80\x80", 1, ""}} {
		if got := shorten(tt.name, tt.octets); got != tt.want {
			t.Errorf("%q to %d: %q, want %q", tt.name, tt.octets, got, tt.want)
		}
	}
}
