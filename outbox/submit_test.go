package outbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func given(t *testing.T, to string) Given {
	t.Helper()
	a, err := ParseAddress("", to)
	if err != nil {
		t.Fatal(err)
	}
	return Given{To: []Target{{Address: a}}, Complete: true}
}

// Any number of processes submit while another one sweeps, takes and sends: each
// message that was accepted arrives once.
func TestT84SubmitBesideSender(t *testing.T) {
	b := newBox(t)
	g := given(t, "a@b.example")
	const each, writers = 25, 6
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			spool, err := OpenSpool(b.outbox())
			for i := range each {
				if err == nil {
					_, err = spool.Submit(context.Background(), b.rules, strings.NewReader(fmt.Sprintf("Subject: m%d.%d\n\nx\n", w, i)), g)
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for busy := true; busy; {
		select {
		case <-done:
			busy = false
		default:
		}
		b.mustPass()
	}
	b.mustPass()
	equal(t, "queue", b.queue(), "")
	got := map[string]int{}
	for _, g := range b.server.got {
		if got[g]++; got[g] > 1 {
			t.Errorf("%s came twice", g)
		}
	}
	equal(t, "arrived", len(got), each*writers)
}

type brokenReader struct{ err error }

func (r brokenReader) Read([]byte) (int, error) { return 0, r.err }

// What is not accepted leaves nothing behind.
func TestT84NotAccepted(t *testing.T) {
	b := newBox(t)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	no := errors.New("broken pipe")
	for name, tt := range map[string]struct {
		ctx  context.Context
		text io.Reader
		is   func(error) bool
	}{
		"broken":    {t.Context(), io.MultiReader(strings.NewReader("Subject: x\n\n"), brokenReader{no}), func(err error) bool { return errors.Is(err, no) }},
		"cancelled": {cancelled, strings.NewReader("Subject: x\n\n"), func(err error) bool { return errors.Is(err, context.Canceled) }},
		"NUL":       {t.Context(), strings.NewReader("Subject: x\n\n\x00"), func(err error) bool { var r *Refusal; return errors.As(err, &r) }},
		"account":   {t.Context(), strings.NewReader("From: eve@nowhere.example\n\n"), func(err error) bool { var r *Refusal; return errors.As(err, &r) }},
	} {
		if id, err := b.spool.Submit(tt.ctx, b.rules, tt.text, given(t, "a@b.example")); !tt.is(err) {
			t.Errorf("%s: %q, %v", name, id, err)
		}
		equal(t, name, b.queue(), "")
	}
}

// A sweep leaves what a command is writing, and what another has just made.
func TestSweepOfIncoming(t *testing.T) {
	b := newBox(t)
	r, w := io.Pipe()
	g := given(t, "a@b.example")
	result := make(chan error)
	go func() {
		_, err := b.spool.Submit(context.Background(), b.rules, r, g)
		result <- err
	}()
	fmt.Fprint(w, "Subject: slow\n")
	for range 3 {
		b.mustPickup(false)
		equal(t, "queue", b.queue(), "incoming")
	}
	fmt.Fprint(w, "\ntext\n")
	w.Close()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	equal(t, "sent", b.mustPass().Sent, 1)
	dead := b.spool.path(Incoming, newID(time.Now()))
	if err := errors.Join(os.Mkdir(dead, 0o700), os.WriteFile(dead+"/message", []byte("half"), 0o600)); err != nil {
		t.Fatal(err)
	}
	b.mustPickup(false)
	equal(t, "queue", b.queue(), "")
}
