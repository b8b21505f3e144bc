package fetch

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/ledger"
	"postrider/maildir"
)

// file returns the path of a name of the intent in one of the directories.
func (w *world) file(sub, name string) string {
	return filepath.Join(w.mail(), w.job.Folder, sub, name)
}

// TestT11ReaderMovesMail: what the reader does between the rename and the
// record brings no second copy.
func TestT11ReaderMovesMail(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, deleting), &server{}
	s.add("read", "removed", "elsewhere", "untouched")
	in := w.walkTo(s, visible)
	w.close()
	must(t, os.Rename(w.file("new", in[0].Name), w.file("cur", in[0].Name+":2,S")))
	must(t, os.Remove(w.file("new", in[1].Name)))
	must(t, os.MkdirAll(filepath.Join(w.mail(), "archive", "cur"), 0o700))
	must(t, os.Rename(w.file("new", in[2].Name), filepath.Join(w.mail(), "archive", "cur", in[2].Name+":2,S")))
	w.open()
	if r := w.pass(s); r.Delivered != 0 || r.Disposed != 2 {
		t.Errorf("%+v", r)
	}
	w.once("read", "untouched")
	// Of the other two nothing proves that they were delivered: they stay on the server for a week.
	left := []string{s.messages[0].uid, s.messages[1].uid}
	if !slices.Equal(left, []string{"removed", "elsewhere"}) {
		t.Errorf("left on the server: %v", left)
	}
	for place := range w.line.known.Places() {
		r, ok := w.line.known.At(place)
		if at, wanted := w.line.dueTime(r); ok && r.State == ledger.Inferred && (!wanted || at.After(time.Now().Add(inferredHold+time.Second))) {
			t.Error("not even after a week")
		}
	}
}

// TestRecoverEachKind has one intent of each kind: what is on disk of it, and
// what has to become of it.
func TestRecoverEachKind(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{}
	s.add("whole", "torn", "changed", "gone", "moved", "both")
	in := w.walkTo(s, intended)
	w.close()
	must(t, os.Truncate(w.file("tmp", in[1].Tmp), 3))
	must(t, os.WriteFile(w.file("tmp", in[2].Tmp), make([]byte, in[2].Octets), 0o600))
	must(t, os.Remove(w.file("tmp", in[3].Tmp)))
	must(t, os.Rename(w.file("tmp", in[4].Tmp), w.file("new", in[4].Name)))
	must(t, os.Link(w.file("tmp", in[5].Tmp), w.file("new", in[5].Name)))
	w.open()
	r := w.pass(s)
	if r.Delivered != 2 || !slices.Equal(s.asked[6:], []string{"torn", "changed"}) {
		t.Errorf("%+v, asked for %v", r, s.asked[6:])
	}
	w.once("whole", "torn", "changed", "moved", "both")
}

func TestT13NameIsTaken(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{}
	s.add("mine")
	in := w.walkTo(s, intended)
	w.close()
	must(t, os.WriteFile(w.file("new", in[0].Name), []byte("another's\n"), 0o600))
	w.open()
	w.pass(s)
	w.holds(map[string]int{local(text("mine")): 1, "another's\n": 1})
}

// TestOldIntentIsFetchedAgain: after a day the absence of the file may be the
// work of a cleaner of tmp/.
func TestOldIntentIsFetchedAgain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		age       time.Duration
		delivered int
	}{{inferenceAge - time.Minute, 0}, {inferenceAge + time.Minute, 1}} {
		w, s := newWorld(t), &server{}
		s.add("m1")
		in := w.walkTo(s, intended)
		must(t, os.Remove(w.file("tmp", in[0].Tmp)))
		if err := w.line.recover(time.Now().Add(tt.age)); err != nil {
			t.Fatal(err)
		}
		if n := len(w.root.Ledger.Open("")); n != 0 {
			t.Errorf("%d batches are open", n)
		}
		<-w.line.shared.Slots // of the delivery that walkTo left behind
		if r, err := w.line.Pass(t.Context(), s.dial); err != nil || r.Delivered != tt.delivered {
			t.Errorf("after %v: %+v, %v", tt.age, r, err)
		}
	}
}

// TestT02EndInsideRecovery: recovery has moved the files and cannot record it.
func TestT02EndInsideRecovery(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{}
	s.add(uids("m", 4)...)
	w.walkTo(s, intended)
	w.breakLedger()
	if err := w.line.recover(time.Now()); err == nil {
		t.Fatal("recovery recorded it")
	}
	if n := len(w.folder(w.job.Folder)); n != 4 {
		t.Fatalf("recovery has moved %d, want 4: the test is of no use", n)
	}
	for range 2 {
		w.again()
	}
	if r := w.pass(s); r.Delivered != 0 {
		t.Errorf("%+v", r)
	}
	w.once(uids("m", 4)...)
}

// TestDeliverToChanged: messages that were on their way arrive where they were
// going, and the new ones in the new folder.
func TestDeliverToChanged(t *testing.T) {
	t.Parallel()
	for last := intended; last <= visible; last++ {
		w, s := newWorld(t), &server{}
		s.add("before")
		w.walkTo(s, last)
		w.job.Folder = "elsewhere"
		w.again()
		s.add("after")
		if r := w.pass(s); r.Delivered != 1 {
			t.Errorf("%v: %+v", last, r)
		}
		w.once("after")
		if got := w.folder("work/INBOX"); got[local(text("before"))] != 1 {
			t.Errorf("%v: in the old folder: %v", last, got)
		}
	}
}

func TestOrphansAreRemovedAndOthersStay(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{}
	s.add("m1")
	w.walkTo(s, retrieved)
	must(t, os.WriteFile(w.file("tmp", "1234.another.host"), nil, 0o600))
	w.again()
	left, _ := os.ReadDir(filepath.Join(w.mail(), w.job.Folder, "tmp"))
	if len(left) != 1 || left[0].Name() != "1234.another.host" {
		t.Errorf("in tmp/: %v", left)
	}
}

// TestTwoLinesOneFolder: the recovery of one account leaves alone what another
// one is about to deliver into the same folder.
func TestTwoLinesOneFolder(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{}
	s.add("first")
	w.walkTo(s, intended)
	w.close()
	job := w.job
	w.job.Account = "second"
	w.open() // only the other account recovers
	other := &server{}
	other.add("second")
	w.pass(other)
	w.job = job
	w.again()
	if r := w.pass(s); r.Delivered != 0 {
		t.Errorf("%+v", r)
	}
	w.once("first", "second")
}

func TestPassRecoversWhatAnEarlierOneLeft(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{}
	s.add(uids("m", 3)...)
	w.walkTo(s, intended)
	for range 3 {
		select {
		case <-w.line.shared.Slots:
		default:
		}
	}
	r, err := w.line.Pass(t.Context(), func(ctx context.Context) (Source, error) {
		if n := len(w.folder(w.job.Folder)); n != 3 {
			t.Errorf("%d recovered before the network was used, want 3", n)
		}
		return s.dial(ctx)
	})
	if err != nil || r.Delivered != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	w.once(uids("m", 3)...)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestFolderIsGone: a folder whose disk is not mounted is not made anew while
// messages are on their way into it, as they would look like moved by the
// reader, and be lost.
func TestFolderIsGone(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), &server{}
	s.add("a", "b")
	w.walkTo(s, intended)
	w.close()
	folder, away := filepath.Join(w.mail(), w.job.Folder), filepath.Join(w.dir, "away")
	must(t, os.Rename(folder, away))
	root, err := ledger.OpenRoot(w.mail(), ledger.RootOptions{Identities: filepath.Join(w.dir, "roots"), Keys: maildir.Keys})
	must(t, err)
	_, err = Open(Shared{Root: root, Names: maildir.NewNamer("host"), Syncer: maildir.NewSyncer(4), Slots: make(chan struct{}, 8)}, w.job)
	if err == nil || !strings.Contains(err.Error(), folder) || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("error %v", err)
	}
	must(t, root.Close())
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder was made anew: %v", err)
	}
	must(t, os.Rename(away, folder))
	w.open()
	w.pass(s)
	w.once("a", "b")
}
