package outbox

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A login that is refused keeps all mail of the account queued and tells the
// user once; other accounts go on.
func TestLoginRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		defer b.close()
		wrong := true
		b.server.down = func(account string) error {
			if wrong && account == "work" {
				return loginError{}
			}
			return nil
		}
		b.drop("x", letterTo("one", "a"))
		b.drop("y", strings.Replace(letterTo("two", "a"), "ada@example.org", "ada@home.example", 1))
		r := b.mustPass()
		if r.Sent != 1 || r.Waiting != 1 || !isLogin(r.Err) {
			t.Errorf("%+v", r)
		}
		for range 8 { // two days
			b.restart()
			r := b.mustPass() // paused
			if r.Waiting != 1 || r.Err != nil {
				t.Errorf("paused: %+v", r)
			}
			time.Sleep(loginDelay)
			b.mustPass()
		}
		it := b.only()
		if it.State != Active || it.Attempts != 0 || it.Paused == "" || !it.Next.IsZero() {
			t.Errorf("%+v", it)
		}
		equal(t, "letters", len(b.folder("work/INBOX")), 1)
		wrong = false
		equal(t, "sent", b.mustPass().Sent, 0)
		if err := b.Flush(); err != nil {
			t.Fatal(err)
		}
		equal(t, "sent", b.mustPass().Sent, 1)
		wrong = true // which is news again
		b.drop("x", letterTo("three", "a"))
		b.mustPass()
		equal(t, "letters", len(b.folder("work/INBOX")), 2)
	})
}

// A pause stands if the letter cannot be delivered; the letter follows. Trouble
// of the line in between does not make it news.
func TestLoginLetterDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		defer b.close()
		var down error = loginError{}
		b.server.down = func(string) error { return down }
		b.drop("x", letterTo("one", "a"))
		os.MkdirAll(b.mail("work"), 0o700)
		if err := os.WriteFile(b.mail("work/INBOX"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		b.mustPass()
		equal(t, "waiting", b.mustPass().Waiting, 1)
		equal(t, "dials", b.server.dials, 1)
		os.Remove(b.mail("work/INBOX"))
		for _, down = range []error{loginError{}, errLine, loginError{}, errLine, loginError{}} {
			time.Sleep(loginDelay)
			b.restart()
			b.mustPass()
		}
		equal(t, "dials", b.server.dials, 6)
		equal(t, "letters", len(b.folder("work/INBOX")), 1)
	})
}

// A server that cannot be reached is tried ever more rarely, and at once again
// when it could be; its messages fail when their time is over.
func TestNetworkDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		defer b.close()
		down := true
		b.server.down = func(string) error {
			if down {
				return errLine
			}
			return nil
		}
		b.drop("x", letterTo("one", "a"))
		begin := time.Now()
		var last time.Duration
		for n := 1; time.Since(begin) < 6*time.Hour; n++ {
			r := b.mustPass()
			if !errors.Is(r.Err, errLine) || r.Waiting != 1 {
				t.Fatalf("%+v", r)
			}
			equal(t, "dials", b.server.dials, n)
			it := b.only()
			wait := time.Until(it.PausedUntil)
			if n > 1 && n < 7 && wait < last*3/2 || wait > maxDelay*11/10 || it.Attempts != 0 || it.State != Deferred {
				t.Errorf("%d: waits %v after %v: %+v", n, wait, last, it)
			}
			last = wait
			b.restart()
			b.mustPass()
			equal(t, "dials in the pause", b.server.dials, n)
			time.Sleep(wait)
		}
		down = false
		equal(t, "sent", b.mustPass().Sent, 1)
		down = true
		b.drop("x", letterTo("two", "a"))
		b.mustPass()
		if wait := time.Until(b.only().PausedUntil); wait > 2*time.Minute {
			t.Errorf("success did not end the backoff: %v", wait)
		}
		// Expiry does not wait for the end of a pause.
		time.Sleep(b.rules.RetryFor - time.Second)
		b.mustPass()
		time.Sleep(time.Second)
		equal(t, "failed", b.mustPass().Failed, 1)
		equal(t, "reports", len(b.folder("work/INBOX")), 1)
	})
}

// An account that is not in the configuration any more keeps its mail until the
// lifetime is over; then it is in failed/.
func TestAccountRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		defer b.close()
		b.drop("x", letterTo("one", "a"))
		b.mustPickup(false)
		b.rules.Accounts = b.rules.Accounts[1:]
		b.restart()
		b.server.down = func(string) error { return errors.New("there is no such account") }
		equal(t, "waiting", b.mustPass().Waiting, 1)
		time.Sleep(b.rules.RetryFor)
		equal(t, "failed", b.mustPass().Failed, 1)
		equal(t, "failed/", b.files("failed"), "x x.why.txt")
	})
}

// A stop is no failure of the server: nothing is paused or put off by it.
func TestT96Stop(t *testing.T) {
	for _, when := range []string{"given", "dot", "told"} {
		t.Run(when, func(t *testing.T) {
			b := newBox(t)
			for _, name := range []string{"x", "y", "z"} {
				b.drop(name, letterTo("m"+name, "a"))
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			b.server.event = func(what string) {
				if what == when {
					cancel()
				}
			}
			if _, err := b.Pass(ctx, false, b.server.dial, func(r Report) {
				if !errors.Is(r.Err, context.Canceled) || r.Sent != 1 || r.Waiting != 2 {
					t.Errorf("%+v", r)
				}
			}); err != nil {
				t.Error(err)
			}
			b.server.event = nil
			b.restart()
			items, _ := b.List()
			for _, it := range items {
				if it.State != Active || it.Attempts != 0 || it.Paused != "" {
					t.Errorf("%+v", it)
				}
			}
			equal(t, "sent", b.mustPass().Sent, 2)
			equal(t, "accepted", b.server.accepted(), "mx a, my a, mz a")
		})
	}
}
