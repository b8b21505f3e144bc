package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func batch(mailbox, folder string, n int) Batch {
	b := Batch{Mailbox: mailbox, Folder: folder, Time: time.Unix(1_700_000_000, 5).UTC()}
	for i := range n {
		b.Intents = append(b.Intents, Intent{
			Key: keyOf(i), Tmp: fmt.Sprintf("%d.R.h,K=<&\u00fc>", i), Name: fmt.Sprintf("%d.R.h,S=%d", i, i), Cur: i%2 == 0,
			Octets: int64(i), Sum: [32]byte{byte(i), 255}, Listed: int64(i) - 1, State: State(i % 3),
		})
	}
	return b
}

func TestIntentsOverRestarts(t *testing.T) {
	p := newPlace(t)
	r := p.open(t)
	var handles []Batch
	for i, mailbox := range []string{"pop3\x00a\x00INBOX", "pop3\x00b\x00INBOX", "pop3\x00a\x00INBOX"} {
		commit(t, r.Ledger, func(t *Tx) error {
			b, err := t.Intend(r.Ledger, batch(mailbox, "f", i*100))
			handles = append(handles, b)
			return err
		})
	}
	check := func(want ...Batch) {
		t.Helper()
		if got := r.Ledger.Open(""); !reflect.DeepEqual(got, want) && len(got)+len(want) > 0 {
			t.Errorf("open:\n%+v\nnot\n%+v", got, want)
		}
	}
	check(handles...)
	p.close(t, r)
	r = p.open(t)
	check(handles...)
	if got := r.Ledger.Open("pop3\x00a\x00INBOX"); len(got) != 2 || got[1].number != handles[2].number {
		t.Errorf("%+v", got)
	}
	if got := r.Ledger.Open("pop3\x00a"); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	commit(t, r.Ledger, func(t *Tx) error { return t.Settle(r.Ledger, handles[1]) })
	commit(t, r.Ledger, func(t *Tx) error { return t.Settle(r.Ledger, handles[1]) })
	check(handles[0], handles[2])

	// A number is never that of a batch that is still open.
	p.close(t, r)
	r = p.open(t)
	commit(t, r.Ledger, func(t *Tx) error {
		b, err := t.Intend(r.Ledger, batch("c", "f", 1))
		handles = append(handles, b)
		return err
	})
	check(handles[0], handles[2], handles[3])
	commit(t, r.Ledger, func(t *Tx) error {
		for _, b := range handles {
			if err := t.Settle(r.Ledger, b); err != nil {
				return err
			}
		}
		return nil
	})
	check()
	p.close(t, r)
	r = p.open(t)
	check()
	p.close(t, r)
}

// TestIntentAndRecordAreOneChange: a commit is whole or not at all.
func TestIntentAndRecordAreOneChange(t *testing.T) {
	p := newPlace(t)
	r := p.open(t)
	m := mailbox(t, r, "a")
	var b Batch
	commit(t, r.Ledger, func(t *Tx) (err error) { b, err = t.Intend(r.Ledger, batch("a", "f", 1)); return err })
	m.Add(Record{Key: keyOf(0)})
	stop := errors.New("stop")
	err := r.Ledger.Commit(func(t *Tx) error { return errors.Join(m.Save(t), t.Settle(r.Ledger, b), stop) })
	if !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	if len(r.Ledger.Open("")) != 1 || !m.Changed() {
		t.Error("a change that failed is in memory")
	}
	p.close(t, r)
	r = p.open(t)
	if len(r.Ledger.Open("")) != 1 || mailbox(t, r, "a").Len() != 0 {
		t.Error("half of a change is on disk")
	}
	p.close(t, r)
}

// TestIntentsThatJSONWouldChange are refused: recovery would not find the file.
func TestIntentsThatJSONWouldChange(t *testing.T) {
	for _, b := range []Batch{
		{Mailbox: "\xff"}, {Folder: "\xff"}, {Intents: []Intent{{Tmp: "\xff"}}}, {Intents: []Intent{{Name: "a\xc3"}}},
	} {
		if _, err := encodeBatch(b); err == nil {
			t.Errorf("%+v was taken", b)
		}
	}
}

func TestGroupCommit(t *testing.T) {
	const n = 64
	p := newPlace(t)
	synctest.Test(t, func(t *testing.T) {
		r := p.open(t)
		defer r.Close()
		gate := make(chan struct{})
		var mu sync.Mutex
		transactions := map[int]int{}
		var wg sync.WaitGroup
		put := func(i int, wait bool) {
			err := r.Ledger.Commit(func(tx *Tx) error {
				mu.Lock()
				transactions[tx.tx.ID()]++
				mu.Unlock()
				if wait {
					<-gate
				}
				return tx.Remember(fmt.Sprint(i), []byte{byte(i)})
			})
			if err != nil {
				t.Error(err)
			}
		}
		wg.Go(func() { put(0, true) })
		synctest.Wait()
		for i := 1; i < n; i++ {
			wg.Go(func() { put(i, false) })
		}
		synctest.Wait() // all of them stand in line
		close(gate)
		wg.Wait()
		if len(transactions) != 2 {
			t.Errorf("%d commits were made in %d transactions: %v", n, len(transactions), transactions)
		}
		for i := range n {
			if v, err := r.Ledger.Memory(fmt.Sprint(i)); err != nil || !bytes.Equal(v, []byte{byte(i)}) {
				t.Errorf("%d: %v, %v", i, v, err)
			}
		}
	})
}

// TestGroupCommitUnderLoad: every commit that was confirmed is on disk.
func TestGroupCommitUnderLoad(t *testing.T) {
	const goroutines, each = 32, 25
	p := newPlace(t)
	p.dir = t.TempDir() // a real disk, where a commit takes its time
	r := p.open(t)
	var mu sync.Mutex
	transactions := map[int]bool{}
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			m, err := r.Ledger.Mailbox(fmt.Sprint(g))
			if err != nil {
				t.Error(err)
				return
			}
			for i := range each {
				m.Add(Record{Key: keyOf(i)})
				err := r.Ledger.Commit(func(tx *Tx) error {
					mu.Lock()
					transactions[tx.tx.ID()] = true
					mu.Unlock()
					return m.Save(tx)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(transactions) > goroutines*each/4 {
		t.Errorf("%d transactions for %d commits", len(transactions), goroutines*each)
	}
	t.Logf("%d transactions for %d commits", len(transactions), goroutines*each)
	p.close(t, r)
	r = p.open(t)
	for g := range goroutines {
		if n := mailbox(t, r, fmt.Sprint(g)).Len(); n != each {
			t.Errorf("mailbox %d: %d", g, n)
		}
	}
	p.close(t, r)
}

func TestFailedCommitPoisons(t *testing.T) {
	p := newPlace(t)
	r := p.open(t)
	m := mailbox(t, r, "a")
	if err := r.Ledger.Err(); err != nil {
		t.Error(err)
	}
	stop := errors.New("stop")
	first := r.Ledger.Commit(func(*Tx) error { return stop })
	ran := false
	second := r.Ledger.Commit(func(*Tx) error { ran = true; return nil })
	if !errors.Is(first, stop) || second != first || ran || r.Ledger.Err() != first || !strings.Contains(first.Error(), p.store()) {
		t.Errorf("%v; %v; ran %t", first, second, ran)
	}
	if _, err := r.Ledger.Mailbox("a"); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	if _, err := m.Digests(nil); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	if err := r.Raise(); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	p.close(t, r)
	r = p.open(t) // a new start recovers
	commit(t, r.Ledger, func(*Tx) error { return nil })
	p.close(t, r)
}

// TestPanicInACommit: a damaged store makes bbolt panic.
func TestPanicInACommit(t *testing.T) {
	p := newPlace(t)
	r := p.open(t)
	defer r.Close()
	var damage *DamageError
	if err := r.Ledger.Commit(func(*Tx) error { panic("page 7") }); !errors.As(err, &damage) || !strings.Contains(err.Error(), "page 7") {
		t.Errorf("%v", err)
	}
	if r.Ledger.Err() == nil {
		t.Error("the ledger goes on")
	}
}

// TestCommitWhileClosing never panics, and what is confirmed is on disk.
func TestCommitWhileClosing(t *testing.T) {
	for range 20 {
		p := newPlace(t)
		r := p.open(t)
		confirmed := make([]bool, 8)
		var wg sync.WaitGroup
		for i := range confirmed {
			wg.Go(func() {
				confirmed[i] = r.Ledger.Commit(func(t *Tx) error { return t.Remember(fmt.Sprint(i), []byte("x")) }) == nil
			})
		}
		p.close(t, r)
		wg.Wait()
		if err := r.Ledger.Commit(func(*Tx) error { return nil }); err == nil {
			t.Error("a closed ledger takes a commit")
		}
		r = p.open(t)
		for i, ok := range confirmed {
			if v, err := r.Ledger.Memory(fmt.Sprint(i)); err != nil || ok && v == nil {
				t.Errorf("%d: %q, %v", i, v, err)
			}
		}
		p.close(t, r)
	}
}

func TestMemory(t *testing.T) {
	p := newPlace(t)
	r := p.open(t)
	set := func(name, value string) {
		commit(t, r.Ledger, func(t *Tx) error { return t.Remember(name, []byte(value)) })
	}
	set("a", "1")
	set("b", "2")
	set("a", "3")
	set("b", "")
	set("never", "")
	p.close(t, r)
	r = p.open(t)
	for name, want := range map[string]string{"a": "3", "b": "", "never": "", "c": ""} {
		if v, err := r.Ledger.Memory(name); err != nil || string(v) != want || want == "" && v != nil {
			t.Errorf("%s: %q, %v", name, v, err)
		}
	}
	p.close(t, r)
}

func TestMemories(t *testing.T) {
	p := newPlace(t)
	r := p.open(t)
	defer p.close(t, r)
	commit(t, r.Ledger, func(tx *Tx) error {
		return errors.Join(tx.Remember("a", []byte("0")), tx.Remember("ab", []byte("1")), tx.Remember("abc", []byte("2")), tx.Remember("b", []byte("3")))
	})
	var got []string
	err := r.Ledger.Memories("ab", func(name string, value []byte) error {
		got = append(got, name+"="+string(value))
		return nil
	})
	if err != nil || !slices.Equal(got, []string{"ab=1", "abc=2"}) {
		t.Errorf("%v, %v", got, err)
	}
}
