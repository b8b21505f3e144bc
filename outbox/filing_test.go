package outbox

import (
	"os"
	"strings"
	"testing"

	"postrider/ledger"
)

// A delivery into a folder that broke off is finished once, and a damaged file
// is made again.
func TestSettleBatch(t *testing.T) {
	for name, tt := range map[string]struct {
		do func(b *box, in ledger.Intent)
		is int
	}{
		"in tmp": {func(*box, ledger.Intent) {}, 1},
		"published": {func(b *box, in ledger.Intent) {
			os.Rename(b.mail("work/Sent/tmp", in.Tmp), b.mail("work/Sent/cur", in.Name))
		}, 1},
		"taken":   {func(b *box, in ledger.Intent) { os.Remove(b.mail("work/Sent/tmp", in.Tmp)) }, 0},
		"damaged": {func(b *box, in ledger.Intent) { os.Truncate(b.mail("work/Sent/tmp", in.Tmp), 3) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.drop("x", letterTo("one", "a"))
			var cut *box
			b.event = func(what string) {
				if what == "sent" {
					cut = b.copied(t)
				}
			}
			b.mustPass()
			b.close()
			// Back to the moment between the intent and the rename.
			cut.open()
			cut.event = nil
			equal(t, "copies", len(cut.folder("work/Sent")), 1)
			cut.halfFiled(t, tt.do)
			cut.restart()
			copies := cut.folder("work/Sent")
			equal(t, "copies", len(copies), 1+tt.is)
			for _, text := range copies {
				if !strings.HasSuffix(text, "\n\n.text\n") {
					t.Errorf("a copy is %q", text)
				}
			}
			equal(t, "open", len(cut.root.Ledger.Open(filed)), 0)
		})
	}
}

// While it cannot be found out what became of a copy, none is made again, its
// message is not sent, and all else goes on.
func TestFolderGoneInBetween(t *testing.T) {
	b := newBox(t)
	b.drop("x", letterTo("one", "a"))
	b.mustPass()
	b.halfFiled(t, func(*box, ledger.Intent) {})
	if err := os.Rename(b.mail("work/Sent"), b.mail("away")); err != nil {
		t.Fatal(err)
	}
	b.restart()
	b.drop("z", strings.ReplaceAll(letterTo("other", "a"), "ada@example.org", "ada@home.example"))
	for range 2 {
		if _, err := b.pass(); err == nil || !strings.Contains(err.Error(), "is gone") {
			t.Errorf("%v", err)
		}
	}
	equal(t, "accepted", b.server.accepted(), "one a, other a")
	equal(t, "queue", b.queue(), "active two")
	if err := os.Rename(b.mail("away"), b.mail("work/Sent")); err != nil {
		t.Fatal(err)
	}
	b.mustPass()
	equal(t, "accepted", b.server.accepted(), "one a, other a")
	equal(t, "queue", b.queue(), "")
	equal(t, "copies", len(b.folder("work/Sent")), 2)
}

// halfFiled leaves a copy for a new item in the state that do brings about.
func (b *box) halfFiled(t *testing.T, do func(*box, ledger.Intent)) {
	b.drop("y", letterTo("two", "a"))
	b.mustPickup(false)
	it := b.only()
	m := &sending{id: it.ID, record: &it.Record, step: &step{Attempts: 1, Told: map[int]told{0: {Sent, "250"}}}}
	if err := b.saveSteps([]*sending{m}); err != nil {
		t.Fatal(err)
	}
	m.step.apply(m.record)
	dir, b2, err := b.intended(m)
	if err != nil {
		t.Fatal(err)
	}
	do(b, b2.Intents[0])
	dir.Close()
}
