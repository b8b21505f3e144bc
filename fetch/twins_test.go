package fetch

import (
	"os"
	"strings"
	"testing"
	"time"

	"postrider/maildir"
)

// twinWorld is a root with lines into several folders, which can begin anew.
type twinWorld struct {
	*world
	jobs map[string]Job
}

func newTwinWorld(t *testing.T, jobs ...Job) *twinWorld {
	w := &twinWorld{world: newWorld(t), jobs: map[string]Job{}}
	for _, j := range jobs {
		withNumbers(&j)
		j.Account, j.Folder, j.Log = "work", "work/"+j.Mailbox, w.job.Log
		w.jobs[j.Mailbox] = j
	}
	return w
}

// use opens the line of a mailbox, as a new process does if begin is true.
func (w *twinWorld) use(mailbox string, begin bool) *twinWorld {
	w.t.Helper()
	w.job = w.jobs[mailbox]
	if begin {
		w.again()
		return w
	}
	shared := w.line.shared
	must(w.t, w.line.Close())
	line, err := Open(shared, w.job)
	must(w.t, err)
	w.line = line
	return w
}

func labelled(from uint64, names ...string) *numbered {
	s := newNumbered()
	for i, name := range names {
		s.put(letter{name: name, twin: from + uint64(i)})
	}
	return s
}

// TestTwinsComeOncePerSet: and once more into another set. A view has what no
// set has.
func TestTwinsComeOncePerSet(t *testing.T) {
	t.Parallel()
	w := newTwinWorld(t,
		Job{Mailbox: "INBOX", Twins: "a"}, Job{Mailbox: "Work", Twins: "a"},
		Job{Mailbox: "Other", Twins: "b"}, Job{Mailbox: "All", Twins: "v", OtherTwins: []string{"a", "b", "v"}}, Job{Mailbox: "None"})
	inbox, work, other := labelled(1, "m1", "m2"), labelled(2, "m2", "m3"), labelled(1, "m1")
	all := labelled(1, "m1", "m2", "m3", "m4", "m5")
	for range 2 {
		w.use("INBOX", false).pass(inbox)
		w.once("m1", "m2")
		w.use("Work", false).pass(work)
		w.once("m3")
		w.use("Other", false).pass(other)
		w.once("m1")
		w.use("All", false).pass(all)
		w.once("m4", "m5")
		w.use("None", false).pass(labelled(1, "m1"))
		w.once("m1")
	}
	if len(work.asked) != 1 || len(all.asked) != 2 {
		t.Errorf("asked for %v and %v", work.asked, all.asked)
	}
	if s := w.log.String(); strings.Contains(s, "UIDVALIDITY") || strings.Contains(s, "anew") {
		t.Errorf("a first list is taken for a change:\n%s", s)
	}
}

// TestT21TwinsInANewEpoch: a server that names twins need not send them again.
func TestT21TwinsInANewEpoch(t *testing.T) {
	t.Parallel()
	w := newTwinWorld(t, Job{Mailbox: "INBOX", Twins: "a"})
	s := labelled(1, "m1", "m2", "m3")
	w.use("INBOX", true).pass(s)
	s.put(letter{name: "m4", twin: 4})
	s.renumber(8)
	s.forgetLog()
	if r := w.pass(s); r.Delivered != 1 || len(s.asked) != 1 || w.line.mark.Comparing {
		t.Errorf("%+v, asked for %v; %+v", r, s.asked, w.line.mark)
	}
	w.once("m1", "m2", "m3", "m4")
}

// TestTwinOfWhatACrashInterrupted: whichever mailbox comes first afterwards.
func TestTwinOfWhatACrashInterrupted(t *testing.T) {
	t.Parallel()
	for last := retrieved; last <= delivered; last++ {
		for _, begin := range []bool{true, false} {
			w := newTwinWorld(t, Job{Mailbox: "INBOX", Twins: "a"}, Job{Mailbox: "Work", Twins: "a"})
			inbox, work := labelled(1, "m1", "m2"), labelled(1, "m1", "m2")
			w.use("INBOX", true).walkTo(&server{other: inbox}, last)
			for len(w.line.shared.Slots) > 0 {
				<-w.line.shared.Slots
			}
			for range 3 {
				w.use("Work", begin).pass(work)
				w.use("INBOX", begin).pass(inbox)
			}
			total := map[string]int{}
			for _, folder := range []string{"work/INBOX", "work/Work"} {
				for text, n := range w.folder(folder) {
					total[text] += n
				}
			}
			if len(total) != 2 || total[local(text("m1"))] != 1 || total[local(text("m2"))] != 1 {
				t.Errorf("ended when %v, new process %v: %v", last, begin, total)
			}
			for _, mailbox := range []string{"INBOX", "Work"} {
				if m := w.use(mailbox, begin).line.Mark(); !m.Quiet(w.job, time.Now()) {
					t.Errorf("ended when %v, %s: %+v", last, mailbox, m)
				}
			}
		}
	}
}

// TestTwinsInOneMailbox: it is one message to the server, so it comes once.
func TestTwinsInOneMailbox(t *testing.T) {
	t.Parallel()
	w := newTwinWorld(t, Job{Mailbox: "INBOX", Twins: "a"})
	s := newNumbered()
	s.put(letter{name: "m1", twin: 5})
	s.put(letter{name: "m1", twin: 5})
	s.add("m2", "m2") // without such a number these are two
	w.use("INBOX", true)
	w.pass(s)
	w.pass(s)
	w.holds(map[string]int{local(text("m1")): 1, local(text("m2")): 2})
	if n := listedOnRecord(w.world); n != 4 {
		t.Errorf("%d on record, want all 4", n)
	}
	w.marked(nil, 5)
}

// TestT14TwinsAfterALostLedger: what the folders' names tell has its twins noted
// again when it is listed.
func TestT14TwinsAfterALostLedger(t *testing.T) {
	t.Parallel()
	w := newTwinWorld(t, Job{Mailbox: "INBOX", Twins: "a"}, Job{Mailbox: "Work", Twins: "a"})
	w.use("INBOX", true).pass(labelled(1, "m1", "m2"))
	w.close()
	w.loseLedger()
	w.open()
	w.pass(labelled(1, "m1", "m2"))
	if r := w.use("Work", true).pass(labelled(1, "m1", "m2", "m3")); r.Delivered != 1 {
		t.Errorf("%+v", r)
	}
	w.once("m3")
}

// TestTwinUnderDelete: what another mailbox has brought is delivered, and removed here.
func TestTwinUnderDelete(t *testing.T) {
	t.Parallel()
	w := newTwinWorld(t, Job{Mailbox: "INBOX", Twins: "a"}, Job{Mailbox: "Work", Twins: "a", OnServer: Disposal{Action: Remove}})
	inbox, work := labelled(1, "m1"), labelled(1, "m1", "m2")
	work.action = Remove
	inbox.refused = map[uint32]int{1: 1}
	w.use("INBOX", true).pass(inbox)
	w.use("Work", true).pass(work)
	w.once("m1", "m2")
	w.use("INBOX", true).pass(inbox)
	if len(work.letters) != 0 || len(w.folder("work/INBOX")) != 0 {
		t.Errorf("left %v; in INBOX %v", work.names(), w.folder("work/INBOX"))
	}
	again := labelled(1, "m1")
	again.action, again.epoch = Remove, 8
	if r := w.use("Work", true).pass(again); r.Delivered != 0 {
		t.Errorf("%+v", r)
	}
}

// TestTwinUnderSeen: it is as good as delivered here, and marked so.
func TestTwinUnderSeen(t *testing.T) {
	t.Parallel()
	w := newTwinWorld(t, Job{Mailbox: "INBOX", Twins: "a"}, Job{Mailbox: "Work", Twins: "a", OnServer: Disposal{Action: MarkSeen}})
	w.use("INBOX", true).pass(labelled(1, "m1"))
	work := labelled(1, "m1")
	work.action = MarkSeen
	w.use("Work", true).pass(work)
	w.pass(work)
	if len(work.asked) != 0 || len(work.disposed) != 1 || !work.flagged[1] {
		t.Errorf("asked for %v, marked %v", work.asked, work.disposed)
	}
}

// TestTwinKnownByItsContent: the server names twins since it numbers anew.
func TestTwinKnownByItsContent(t *testing.T) {
	t.Parallel()
	w := newTwinWorld(t, Job{Mailbox: "INBOX", Twins: "a"}, Job{Mailbox: "Work", Twins: "a"})
	w.use("INBOX", true).pass(newNumbered("m1"))
	inbox := labelled(1, "m1")
	inbox.epoch = 8
	if r := w.pass(inbox); r.Matched != 1 {
		t.Errorf("%+v", r)
	}
	if r := w.use("Work", true).pass(labelled(1, "m1")); r.Delivered != 0 {
		t.Errorf("%+v", r)
	}
}

// TestFlagsAndDates: read messages go to cur/ with their flags, the others to
// new/, each with the date of its arrival; a crash changes none of that.
func TestFlagsAndDates(t *testing.T) {
	t.Parallel()
	date := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	for last := retrieved; last <= delivered+1; last++ {
		w, s := newWorld(t, withNumbers), newNumbered()
		s.put(letter{name: "m1", date: date})
		s.put(letter{name: "m2", date: date.Add(time.Hour), flags: maildir.Seen})
		s.put(letter{name: "m3", date: date.Add(2 * time.Hour), flags: maildir.Flagged})
		s.put(letter{name: "m4", flags: maildir.Seen | maildir.Replied | maildir.Passed | maildir.Flagged | maildir.Draft})
		if last <= delivered {
			in := w.walkTo(&server{other: s}, last)
			if last == visible { // and the date was not set yet
				for i, sub := range []string{"new", "cur", "new", "cur"} {
					must(t, os.Chtimes(w.file(sub, in[i].Name), time.Now(), time.Now()))
				}
			}
			w.again()
		}
		w.pass(s)
		w.once("m1", "m2", "m3", "m4")
		for i, want := range []struct{ sub, info string }{{"new", ""}, {"cur", ":2,S"}, {"new", ""}, {"cur", ":2,DFPRS"}} {
			name, at := w.find(want.sub, text(s.letters[i].name))
			_, info, flagged := strings.Cut(name, ":")
			if name == "" || flagged != (want.info != "") || flagged && ":"+info != want.info {
				t.Errorf("ended when %v: m%d is not in %s with %q: %q", last, i+1, want.sub, want.info, name)
			}
			if d := s.letters[i].date; !d.IsZero() && !at.Equal(d) || d.IsZero() && time.Since(at) > time.Hour {
				t.Errorf("ended when %v: m%d is of %v, want %v", last, i+1, at, d)
			}
		}
	}
}

// find returns the name and the date of the message of this text.
func (w *world) find(sub, of string) (name string, at time.Time) {
	w.t.Helper()
	entries, err := os.ReadDir(w.file(sub, ""))
	must(w.t, err)
	for _, e := range entries {
		b, err := os.ReadFile(w.file(sub, e.Name()))
		must(w.t, err)
		if string(b) == local(of) {
			info, err := e.Info()
			must(w.t, err)
			return e.Name(), info.ModTime()
		}
	}
	return "", at
}

// TestTwinsThatCannotBeReadEndThePass: a ledger that cannot be read ends the pass.
func TestTwinsThatCannotBeReadEndThePass(t *testing.T) {
	t.Parallel()
	w := newTwinWorld(t, Job{Mailbox: "INBOX", Twins: "a"})
	w.use("INBOX", true)
	w.breakLedger()
	_, err := w.line.Pass(t.Context(), labelled(1, "m1").dial)
	if err == nil {
		t.Error("it went on")
	}
	if has, err := w.root.Ledger.HasTwin([]string{"a"}, 1); has || err == nil {
		t.Errorf("%v, %v", has, err)
	}
}
