package remote

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"postrider/fetch"
	"postrider/imap"
	"postrider/maildir"
)

func TestFlagsOf(t *testing.T) {
	for _, tt := range []struct {
		names []string
		want  maildir.Flags
	}{
		{nil, 0},
		{[]string{`\Seen`, `\Answered`, `\Flagged`, `\Draft`, "$Forwarded"}, maildir.Seen | maildir.Replied | maildir.Flagged | maildir.Draft | maildir.Passed},
		{[]string{`\Deleted`, `\Recent`, `\*`, "Seen", "NonJunk"}, 0},
	} {
		if got := flagsOf(tt.names); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.names, got, tt.want)
		}
	}
}

// TestTwinOf: the same number and size are the same message, and one of them
// alone is not.
func TestTwinOf(t *testing.T) {
	seen := map[uint64]string{}
	for _, id := range []uint64{1, 7, 1 << 63} {
		for _, octets := range []int64{0, 1, 7, 1 << 40} {
			twin := twinOf(id, octets)
			if twin == 0 || seen[twin] != "" || twin != twinOf(id, octets) {
				t.Errorf("%d of %d octets: %d, as is %s", id, octets, twin, seen[twin])
			}
			seen[twin] = fmt.Sprint(id, octets)
		}
	}
	if twinOf(0, 5) != 0 {
		t.Error("no number has a twin")
	}
}

func TestHalves(t *testing.T) {
	for _, text := range []string{"1:2", "1,5", "1:7", "3,9:11,4000000000:4000000005"} {
		set, err := imap.ParseUIDSet(text)
		if err != nil {
			t.Fatal(err)
		}
		a, b := halves(set)
		if a.Empty() || b.Empty() || !a.Intersect(b).Empty() || a.Union(b).String() != set.String() || a.Max() > b[0].First {
			t.Errorf("%s: %s and %s", text, a, b)
		}
	}
}

func TestFoundChanged(t *testing.T) {
	const all = imap.StatusMessages | imap.StatusUIDNext | imap.StatusUIDValidity | imap.StatusHighestModSeq
	mark := fetch.Mark{Epoch: 9, Next: 11, Told: 12, ModSeq: 50}
	for name, tt := range map[string]struct {
		status  *imap.Status
		changed bool
		added   int64
	}{
		"no status":          {nil, true, 0},
		"empty status":       {&imap.Status{}, true, 0},
		"nothing":            {&imap.Status{Has: all, Messages: 8, UIDNext: 12, UIDValidity: 9, HighestModSeq: 50}, false, 1},
		"only flags":         {&imap.Status{Has: all, Messages: 8, UIDNext: 12, UIDValidity: 9, HighestModSeq: 51}, false, 1},
		"new":                {&imap.Status{Has: all, Messages: 8, UIDNext: 14, UIDValidity: 9, HighestModSeq: 51}, true, 3},
		"UIDNEXT is lower":   {&imap.Status{Has: all, Messages: 8, UIDNext: 5, UIDValidity: 9, HighestModSeq: 51}, true, 0},
		"other UIDVALIDITY":  {&imap.Status{Has: all, Messages: 8, UIDNext: 12, UIDValidity: 8, HighestModSeq: 50}, true, 1},
		"UIDNEXT not told":   {&imap.Status{Has: all &^ imap.StatusUIDNext, Messages: 8, UIDValidity: 9, HighestModSeq: 50}, false, 0},
		"nothing to compare": {&imap.Status{Has: imap.StatusUIDValidity | imap.StatusMessages, Messages: 8, UIDValidity: 9}, true, 0},
	} {
		f := Found{Mailbox: imap.Mailbox{Status: tt.status}}
		if got := f.Changed(mark); got != tt.changed {
			t.Errorf("%s: changed: %v", name, got)
		}
		if got := f.Added(mark); got != tt.added {
			t.Errorf("%s: %d added, want %d", name, got, tt.added)
		}
	}
}

// TestOutOfStep: what a server answers is no reason to go one step at a time.
func TestOutOfStep(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{imap.ErrAhead, true},
		{&ServerError{"h:1", fmt.Errorf("list: %w", imap.ErrAhead)}, true},
		{&ServerError{"h:1", &imap.ConnError{Doing: "read", Err: io.ErrUnexpectedEOF}}, true},
		{&imap.ProtocolError{Doing: "read", Detail: "nonsense"}, true},
		{&ServerError{"h:1", &imap.ResponseError{Command: "SELECT", Status: "NO"}}, false},
		{&imap.ResponseError{Command: "SELECT", Status: "BYE"}, false},
		{&fetch.LocalError{Err: errors.New("disk full")}, false},
	} {
		if got := outOfStep(tt.err); got != tt.want {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
}

func TestRemediesIMAP(t *testing.T) {
	for want, r := range map[string]imap.ResponseError{
		"try tls: implicit":                   {Command: "STARTTLS", Status: "BAD", Text: "what?"},
		"left alone for 1m30s":                {Command: "LIST", Status: "NO", Text: "Request is throttled. Suggested Backoff Time: 90000 milliseconds"},
		"is IMAP switched on":                 {Command: "SELECT", Status: "BAD", Text: "User is authenticated but not connected."},
		"check --online lists":                {Command: "EXAMINE", Status: "NO", Code: "NONEXISTENT", Text: "no such mailbox"},
		"check --online lists the mailboxes":  {Command: "EXAMINE", Status: "NO", Text: "Mailbox doesn't exist: Wrok (0.001 secs)."},
		"server refused UID FETCH: [LIMIT] x": {Command: "UID FETCH", Status: "NO", Code: "LIMIT", Text: "x"},
	} {
		text := (&ServerError{"h:1", fmt.Errorf("do something: %w", &r)}).Error()
		if !strings.Contains(text, want) {
			t.Errorf("nothing of %q in %q", want, text)
		}
	}
}
