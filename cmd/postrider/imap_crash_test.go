//go:build linux && (amd64 || arm64)

package main_test

import "testing"

func TestT1KillAtEveryCallIMAP(t *testing.T) {
	killAtEveryCall(t, []killing{
		{"keep", "keep", inboxScene.first, 31},
		{"delete", "delete", inboxScene.first, 31},
		{"seen", "seen", inboxScene.first, 31},
		{"move", "move " + moved, inboxScene.first, 31},
		{"delete, few extensions", "delete", plainScene.first, 29},
		{"keep, later run", "keep", inboxScene.later, 17},
		{"delete, later run", "delete", inboxScene.later, 17},
		{"move, later run", "move " + moved, inboxScene.later, 17},
		{"delete, in batches", "delete", inboxScene.batched, 40},
		{"move, in batches", "move " + moved, inboxScene.batched, 40},
		{"keep, several sessions", "keep", crowdScene.first, 173},
		{"delete, several sessions", "delete", crowdScene.first, 173},
		{"seen, several sessions, later run", "seen", crowdsScene.later, 173},
		{"move, several sessions, later run", "move " + moved, crowdsScene.later, 173},
		{"move, by copying, later run", "move " + moved, copiesScene.later, 173},
		{"delete, several mailboxes, later run", "delete", severalScene.later, 23},
		{"keep, labels", "keep", labelsScene.first, 23},
		{"delete, labels, later run", "delete", labelsScene.later, 23},
	})
}

// The server gives its messages new numbers: before the run, or in the middle of
// it.
func TestT1KillWhileMatchingIMAP(t *testing.T) {
	killAtEveryCall(t, []killing{
		{"keep", "keep", inboxScene.renumbered, 17},
		{"delete", "delete", inboxScene.renumbered, 17},
		{"move, nothing was", "move " + moved, inboxScene.refused, 17},
		{"delete, nothing was", "delete", inboxScene.refused, 17},
		{"keep, during the texts", "keep", inboxScene.renumberedAt("text"), 17},
		{"delete, during the removal", "delete", inboxScene.renumberedAt("UID STORE"), 17},
		{"delete, after marking", "delete", inboxScene.renumberedAt("UID EXPUNGE"), 17},
		{"move, during the move", "move " + moved, inboxScene.renumberedAt("UID MOVE"), 17},
		{"seen, several sessions", "seen", crowdsScene.refused, 211},
		{"keep, another name", "keep", severalScene.renamed, 19},
		{"delete, another name", "delete", severalScene.renamed, 19},
		{"keep, labels", "keep", labelsScene.renumbered, 23},
	})
}

func TestT2KillInRecoveryIMAP(t *testing.T) {
	for _, k := range []killing{
		{"delete", "delete", inboxScene.first, 3},
		{"move, in batches", "move " + moved, inboxScene.batched, 2},
		{"keep, labels", "keep", labelsScene.first, 2},
		{"keep, matching", "keep", inboxScene.renumbered, 2},
	} {
		t.Run(k.name, func(t *testing.T) { killInRecovery(t, k.make, k.onServer, k.one) })
	}
}

func TestT4FailEveryCallIMAP(t *testing.T) {
	failEveryCall(t, []killing{
		{"keep", "keep", inboxScene.first, 43},
		{"delete", "delete", inboxScene.first, 43},
		{"seen, later run", "seen", inboxScene.later, 29},
		{"move, later run", "move " + moved, inboxScene.later, 29},
		{"delete, several sessions", "delete", crowdScene.first, 173},
		{"keep, labels", "keep", labelsScene.first, 61},
		{"delete, matching", "delete", inboxScene.refused, 29},
		{"keep, matching", "keep", inboxScene.renumbered, 29},
	})
}

func TestServerIsToldLastIMAP(t *testing.T) {
	binary := buildPostrider(t)
	for _, onServer := range []string{"delete", "seen", "move " + moved} {
		if err := toldLast(t, binary, inboxScene.first, onServer); err != nil {
			t.Errorf("%s: %v", onServer, err)
		}
	}
}

func TestServerToldTooEarlyIsFoundIMAP(t *testing.T) {
	binary := planted(t, removedUnrecorded()...)
	for _, onServer := range []string{"delete", "move " + moved} {
		if err := toldLast(t, binary, inboxScene.first, onServer); err == nil {
			t.Errorf("%s before the commit of \"delivered\" was not found", onServer)
		} else {
			t.Log(err)
		}
	}
}

// Mistakes that lose mail in a crash: UID STORE and UID EXPUNGE, or UID MOVE,
// before the delivery; a mark beyond what is recorded; a message noted as
// delivered, for its other mailboxes, when it is merely listed.
func TestT1MistakesAreFoundIMAP(t *testing.T) {
	early := planted(t, removedTooEarly())
	for _, c := range []struct {
		name, binary, onServer string
		make                   maker
	}{
		{"expunged too early", early, "delete", inboxScene.first},
		{"moved too early", early, "move " + moved, inboxScene.first},
		{"marked too early", planted(t, markedTooEarly()), "keep", inboxScene.batched},
		{"twin noted too early", planted(t, twinTooEarly()), "keep", labelsScene.batched},
	} {
		t.Run(c.name, func(t *testing.T) { lostInACrash(t, c.binary, c.make, c.onServer, 16) })
	}
}

// A message that comes during a pass, into a mailbox that was fetched by then and
// into the view of all messages, is left to the next pass.
func TestMailThatComesMeanwhileIsNotTwiceIMAP(t *testing.T) {
	p, err := labelsScene.first(t.Context(), buildPostrider(t), t.TempDir(), "keep")
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	o := p.office.(*imapPost)
	late := newPromised("late", []byte("Subject: late\n\nI come last.\n"))
	late.mailboxes = []string{"[Gmail]/All Mail", "INBOX"}
	late.describe(0)
	o.expect(&late)
	o.during("text", func() { o.put([]promised{late}) })
	if err := p.fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.messages = append(p.messages, late)
	if err := p.kept(); err != nil {
		t.Errorf("after the first pass: %v", err)
	}
	if err := p.settle(t.Context()); err != nil {
		t.Error(err)
	}
}
