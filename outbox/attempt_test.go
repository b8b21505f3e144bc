package outbox

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFates(t *testing.T) {
	for _, tt := range []struct {
		name    string
		mails   [][]string // subject and recipients
		got     string
		queue   string
		failed  string
		reports int
		copies  int
		sum     Report
	}{
		{name: "sent", mails: [][]string{{"one", "a", "b"}}, got: "one a, one b", copies: 1, sum: Report{Sent: 1}},
		{name: "T81 mixed", mails: [][]string{{"one", "a", "hard", "soft"}}, got: "one a", queue: "deferred one", reports: 1, copies: 1, sum: Report{Deferred: 1}},
		{name: "T82 refused", mails: [][]string{{"refuse", "a"}}, failed: "0.eml 0.eml.why.txt", reports: 1, sum: Report{Failed: 1}},
		{name: "T82 nobody", mails: [][]string{{"one", "hard"}}, failed: "0.eml 0.eml.why.txt", reports: 1, sum: Report{Failed: 1}},
		{name: "some for good", mails: [][]string{{"one", "a", "hard"}}, got: "one a", reports: 1, copies: 1, sum: Report{Sent: 1, Partly: 1}},
		{name: "deferred", mails: [][]string{{"defer", "a"}, {"one", "a"}}, got: "one a", queue: "deferred defer", copies: 1, sum: Report{Deferred: 1, Sent: 1}},
		{name: "T79 cut in the text", mails: [][]string{{"cut", "a"}, {"one", "a"}}, got: "one a", queue: "deferred cut", copies: 1, sum: Report{Deferred: 1, Sent: 1}},
		{name: "421 after the message", mails: [][]string{{"bye", "a"}, {"one", "a"}}, got: "one a", queue: "deferred bye", copies: 1, sum: Report{Deferred: 1, Sent: 1}},
		{name: "lost reply", mails: [][]string{{"lost", "a", "hard", "soft"}, {"one", "a"}}, got: "lost a, one a", queue: "uncertain lost", reports: 2, copies: 1, sum: Report{Uncertain: 1, Sent: 1}},
		{name: "lost message", mails: [][]string{{"silent", "a"}}, queue: "uncertain silent", reports: 1, sum: Report{Uncertain: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBox(t)
			for i, m := range tt.mails {
				b.drop(fmt.Sprint(i, ".eml"), letterTo(m[0], m[1:]...))
			}
			sum := b.mustPass()
			for range 2 { // and nothing more comes of it
				equal(t, "accepted", b.server.accepted(), tt.got)
				equal(t, "queue", b.queue(), tt.queue)
				equal(t, "failed/", b.files("failed"), tt.failed)
				equal(t, "reports", len(b.folder("work/INBOX")), tt.reports)
				equal(t, "copies", len(b.folder("work/Sent")), tt.copies)
				b.restart()
				b.mustPass()
			}
			equal(t, "sum", fmt.Sprint(sum), fmt.Sprint(tt.sum))
		})
	}
}

// With a server that takes few messages in a session, others go on; only the
// message that was refused in their middle waits.
func TestFewMessagesASession(t *testing.T) {
	b := newBox(t)
	b.server.sessions = 2
	for i := range 5 {
		b.drop(fmt.Sprint(i), letterTo(fmt.Sprint("m", i), "a"))
	}
	if r := b.mustPass(); r.Sent != 4 || r.Deferred != 1 || r.Err != nil {
		t.Errorf("%+v", r)
	}
	equal(t, "dials", b.server.dials, 2)
}

// One that cuts every line is left alone after a few, and the attempts of what
// was not tried do not count.
func TestFruitlessSessions(t *testing.T) {
	b := newBox(t)
	for i := range 10 {
		b.drop(fmt.Sprint(i), letterTo("cut", "a"))
	}
	r := b.mustPass()
	equal(t, "dials", b.server.dials, fruitless)
	if r.Deferred != 3 || r.Waiting != 7 || !errors.Is(r.Err, errLine) {
		t.Errorf("%+v", r)
	}
	attempts := 0
	items, _ := b.List()
	for _, it := range items {
		attempts += it.Attempts
		if it.State != Deferred || it.Last == "" || it.PausedUntil.IsZero() {
			t.Errorf("%+v", it)
		}
	}
	equal(t, "attempts", attempts, 3)
}

// A report is made on each recipient that failed, once, whenever it did.
func TestT82ReportsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		defer b.close()
		b.drop("x", letterTo("one", "hard-a", "soft-b", "c"))
		b.mustPass()
		for range 6 {
			time.Sleep(24 * time.Hour)
			b.mustPass()
			b.restart()
		}
		reports := b.folder("work/INBOX")
		if len(reports) != 2 || strings.Count(strings.Join(reports, ""), "Final-Recipient: rfc822; hard-a") != 1 || strings.Count(strings.Join(reports, ""), "Final-Recipient: rfc822; soft-b") != 1 {
			t.Errorf("%d reports: %v", len(reports), reports)
		}
		equal(t, "accepted", b.server.accepted(), "one c")
		equal(t, "queue", b.queue(), "")
		equal(t, "copies", len(b.folder("work/Sent")), 1)
	})
}

// A message from the null sender makes no report.
func TestT82NullSender(t *testing.T) {
	b := newBox(t)
	to, _ := ParseAddress("", "hard@b.example")
	_, err := b.spool.Submit(t.Context(), b.rules, strings.NewReader("From: ada@example.org\nSubject: bounce\n\nx\n"), Given{From: &Address{}, To: []Target{{Address: to}}})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "failed", b.mustPass().Failed, 1)
	equal(t, "reports", len(b.folder("work/INBOX")), 0)
	if !strings.Contains(b.files("failed"), ".eml.why.txt") {
		t.Errorf("in failed/: %s", b.files("failed"))
	}
}

// What is put off comes back at its time, later each time, also over restarts,
// until its lifetime is over.
func TestT83Backoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		defer b.close()
		b.drop("x", letterTo("defer", "a"))
		begin := time.Now()
		var last time.Duration
		for n := 1; n < 12; n++ {
			b.mustPass()
			it := b.only()
			equal(t, "attempts", it.Attempts, n)
			wait := time.Until(it.Next)
			if n > 1 && n < 8 && wait < last*3/2 && last < maxDelay/2 || wait > maxDelay*11/10 || wait < firstDelay*9/10 {
				t.Errorf("attempt %d: waits %v after %v", n, wait, last)
			}
			last = wait
			b.restart()
			if r := b.mustPass(); r != (Report{}) {
				t.Errorf("tried before its time: %+v", r)
			}
			wake, err := b.Wake(time.Now())
			if err != nil || !wake.Equal(it.Next) {
				t.Errorf("wakes at %v, %v; want %v", wake, err, it.Next)
			}
			time.Sleep(wait)
		}
		time.Sleep(time.Until(begin.Add(b.rules.RetryFor)))
		equal(t, "failed", b.mustPass().Failed, 1)
		equal(t, "queue", b.queue(), "")
		if why, _ := os.ReadFile(b.outbox("failed", "x.why.txt")); !strings.Contains(string(why), "in 120h0m0s, in the end because: 451") {
			t.Errorf("why: %s", why)
		}
	})
}

// With resend, what may have been accepted is sent again with the same octets.
func TestResend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		defer b.close()
		b.resend = true
		b.restart()
		b.drop("x", letterTo("lost", "a"))
		b.mustPass()
		equal(t, "queue", b.queue(), "deferred lost")
		b.server.tampers = func(string) string { return "" }
		time.Sleep(2 * time.Minute)
		equal(t, "sent", b.mustPass().Sent, 1)
		if n := len(b.server.texts); n != 2 || b.server.texts[0] != b.server.texts[1] {
			t.Errorf("%q", b.server.texts)
		}
	})
}

// A message that is not what it was is put aside, and holds up no other.
func TestCorrupt(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"changed": func(dir string) error { return flip(dir + "/message") },
		"longer": func(dir string) error {
			return os.WriteFile(dir+"/message", []byte(letterTo("other longer", "a")), 0o600)
		},
		"gone":        func(dir string) error { return os.Remove(dir + "/message") },
		"no envelope": func(dir string) error { return os.Remove(dir + "/envelope") },
		"nonsense":    func(dir string) error { return os.WriteFile(dir+"/envelope", []byte("{"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.drop("x", letterTo("bad", "a"))
			if _, err := b.Pickup(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			if err := damage(b.spool.path(Active, b.only().ID)); err != nil {
				t.Fatal(err)
			}
			b.drop("y", letterTo("good", "a"))
			b.mustPass()
			equal(t, "accepted", b.server.accepted(), "good a")
			equal(t, "state", b.only().State, Corrupt)
			if err := b.Cancel(b.only().ID); err != nil {
				t.Error(err)
			}
			equal(t, "queue", b.queue(), "")
		})
	}
}

// flip changes the last octets of a file.
func flip(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text[:len(text)-2], 'X', '\n'), 0o600)
}
