package fetch

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"postrider/ledger"
)

func (w *world) remember(text string) {
	w.t.Helper()
	must(w.t, w.root.Ledger.Commit(func(t *ledger.Tx) error { return t.Remember(markName(w.job), []byte(text)) }))
}

func TestMarkIsReadAsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withNumbers)
	m := Mark{Epoch: 7, Next: 100, Open: Numbers{{3, 3}, {5, 9}}, Told: 101, ModSeq: 1 << 60, Due: 5, Counted: 6, Policy: "p", Comparing: true}
	for i, f := range reflect.VisibleFields(reflect.TypeOf(m)) {
		if reflect.ValueOf(m).Field(i).IsZero() {
			t.Errorf("the test leaves %s out", f.Name)
		}
	}
	w.line.setMark(m)
	must(t, w.line.save())
	w.again()
	if got := w.line.Mark(); !reflect.DeepEqual(got, m) || !w.line.renumbered {
		t.Errorf("%+v, want %+v", got, m)
	}
	other := w.job
	other.Mailbox = "Sent"
	if got, err := LoadMark(w.root.Ledger, other); err != nil || !reflect.DeepEqual(got, Mark{}) {
		t.Errorf("of another mailbox: %+v, %v", got, err)
	}
}

// TestGarbledMark: it is as if there was none. All is listed, and nothing
// delivered that is on record.
func TestGarbledMark(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"{", "[]", `"x"`, `{"epoch":7,"next":"x"}`, `{"epoch":7,"next":99,"open":[{"First":9,"Last":1}]}`,
		`{"epoch":7,"next":99,"open":[{"First":5,"Last":6},{"First":1,"Last":1}]}`, "{}", `{"epoch":8,"next":99,"later":1}`,
	} {
		w, s := newWorld(t, withNumbers), newNumbered(uids("m", 4)...)
		w.pass(s)
		w.remember(text)
		w.again()
		s.add("m5")
		if r := w.pass(s); r.Delivered != 1 || len(s.asked) != 5 {
			t.Errorf("%s: %+v, asked for %v", text, r, s.asked)
		}
		w.once(uids("m", 5)...)
		if w.line.mark.Next != 6 || w.line.mark.Comparing {
			t.Errorf("%s: then %+v", text, w.line.mark)
		}
	}
}

func TestQuiet(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	job := Job{Folder: "f"}
	settled := Mark{Epoch: 7, Next: 5, Policy: job.policy()}
	for name, tt := range map[string]struct {
		change func(*Mark, *Job)
		quiet  bool
	}{
		"settled":        {func(*Mark, *Job) {}, true},
		"never carried":  {func(m *Mark, _ *Job) { *m = Mark{} }, false},
		"open":           {func(m *Mark, _ *Job) { m.Open.Add(3) }, false},
		"comparing":      {func(m *Mark, _ *Job) { m.Comparing = true }, false},
		"due later":      {func(m *Mark, _ *Job) { m.Due = 1001 }, true},
		"due":            {func(m *Mark, _ *Job) { m.Due = 1000 }, false},
		"due at once":    {func(m *Mark, _ *Job) { m.Due = 1 }, false},
		"other policy":   {func(_ *Mark, j *Job) { j.OnServer.Action = MarkSeen }, false},
		"other patience": {func(_ *Mark, j *Job) { j.OnServer.After = time.Hour }, false},
		"other size":     {func(_ *Mark, j *Job) { j.MaxSize = 5 }, false},
		"other folder":   {func(_ *Mark, j *Job) { j.Folder = "g" }, false},
	} {
		m, j := settled, job
		tt.change(&m, &j)
		if m.Quiet(j, now) != tt.quiet {
			t.Errorf("%s: quiet %v", name, !tt.quiet)
		}
	}
}

// TestFailureToReadTheMarkIsNamed: a ledger that fails is no mark that is not there.
func TestFailureToReadTheMarkIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withNumbers)
	w.breakLedger()
	if m, err := LoadMark(w.root.Ledger, w.job); err == nil || !strings.Contains(fmt.Sprint(err), "ledger") {
		t.Errorf("%+v, %v", m, err)
	}
}
