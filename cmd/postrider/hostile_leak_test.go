//go:build linux

package main

import (
	"os"
	"runtime"
	"testing"
	"time"

	"postrider/mailtest"
)

// TestNothingIsLeftOpen is not parallel: it counts what the process has. Good
// and bad runs leave neither goroutines nor descriptors behind.
func TestNothingIsLeftOpen(t *testing.T) {
	ca, options := newCA(t)
	options.Hook = func(e *mailtest.POP3Event) {
		switch {
		case e.Verb == "RETR" && e.Session%4 == 1:
			e.Cut(20)
		case e.Verb == "AUTH" && e.Session%4 == 2:
			e.Refuse("[AUTH] no")
		case e.Verb == "UIDL" && e.Session%4 == 3:
			e.Stall(0, 0)
		}
	}
	options.Mechanisms = []string{"PLAIN"}
	s := startPOP3(t, options, letters(4)...)
	h := newHostile(t, hostileAccount{port: s.Port(), tls: "implicit", ca: ca, extra: "timeout: 1s"})
	h.run("fetch")
	open := func() (goroutines, files int) {
		// The server's side of a session ends when it learns that ours has.
		for deadline := time.Now().Add(5 * time.Second); s.Counts().Open > 0 && time.Now().Before(deadline); {
			runtime.Gosched()
		}
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return runtime.NumGoroutine(), len(entries)
	}
	goroutines, files := open()
	for range 8 {
		h.run("fetch")
	}
	// One or two of the runtime's and the server's own come and go.
	if g, f := open(); g > goroutines+3 || f > files+3 {
		t.Errorf("%d goroutines and %d descriptors, before %d and %d", g, f, goroutines, files)
	}
}
