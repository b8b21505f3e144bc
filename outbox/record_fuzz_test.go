package outbox

import (
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"
)

// FuzzRecord reads whatever an envelope file may hold: it is a record that
// survives being written and read again, or the item is damaged.
func FuzzRecord(f *testing.F) {
	whole, err := json.Marshal(Record{Version: recordVersion, Account: "work", From: "ada@example.org", To: []Recipient{{Address: "bob@example.com"}, {Address: "eve@example.com", Outcome: Failed, Reply: "550 no"}}, Expires: time.Unix(2e9, 0)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(`{"version":1,"to":null}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"sum":[1,2]}`))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := OpenSpool(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		id := newID(time.Now())
		if err := os.Mkdir(s.path(Active, id), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.path(Active, id, recordName), text, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := s.read(Active, id)
		var corrupt *CorruptError
		switch {
		case errors.As(err, &corrupt):
			return
		case err != nil:
			t.Fatalf("neither read nor damaged: %v", err)
		}
		for _, i := range r.waiting() {
			if r.To[i].Outcome != Waiting {
				t.Errorf("recipient %d is %q", i, r.To[i].Outcome)
			}
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatalf("cannot be written again: %v", err)
		}
		if err := os.WriteFile(s.path(Active, id, recordName), again, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.read(Active, id); err != nil {
			t.Errorf("was read, and is damaged when written again: %v\n%s", err, again)
		}
	})
}
