package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func fileSize(t testing.TB, path string) int64 {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

// contents is everything that a store says.
type contents struct {
	ID     string
	Epoch  uint64
	Open   []Batch
	Found  map[Key]bool
	Memory map[string]string
	Known  map[string]map[Key]Record
	Aside  map[string]map[Key]Aside
}

var (
	sampleMailboxes = []string{"pop3\x00home\x00INBOX", "pop3\x00work\x00INBOX", "never"}
	sampleMemory    = []string{"pop3\x00home", "pop3\x00work", "never"}
)

// readAll opens the store and reads everything in it.
func readAll(path string) (c contents, torn bool, err error) {
	l, err := openStore(path)
	if err != nil {
		return c, false, err
	}
	defer l.Close()
	c, err = contentsOf(l)
	return c, l.torn, err
}

func contentsOf(l *Ledger) (c contents, err error) {
	c = contents{Open: l.Open(""), Found: l.found, Memory: map[string]string{}, Known: map[string]map[Key]Record{}, Aside: map[string]map[Key]Aside{}}
	if c.ID, c.Epoch, err = l.identity(); err != nil {
		return c, err
	}
	for _, name := range sampleMemory {
		v, err := l.Memory(name)
		if err != nil {
			return c, err
		}
		c.Memory[name] = string(v)
	}
	for _, id := range sampleMailboxes {
		m, err := l.Mailbox(id)
		if err != nil {
			return c, err
		}
		known, aside := map[Key]Record{}, map[Key]Aside{}
		var places []int
		for place := range m.Places() {
			if _, ok := m.At(place); ok {
				places = append(places, place)
			}
		}
		digests, err := m.Digests(places)
		if err != nil {
			return c, err
		}
		for i, place := range places {
			r, _ := m.At(place)
			r.Content = digests[i]
			known[r.Key] = r
		}
		m.EachAside(func(k Key, a Aside) { aside[k] = a })
		c.Known[id], c.Aside[id] = known, aside
	}
	return c, nil
}

// sample makes a small store with something of everything, and returns its
// contents before and after the last commit.
func sample(t *testing.T) (path string, before, after contents) {
	p := newPlace(t)
	p.options.Keys = found(keyOf(1000), keyOf(1001), keyOf(1002))
	r := p.open(t)
	if err := r.Raise(); err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0).UTC()
	for n, id := range sampleMailboxes[:2] {
		m := mailbox(t, r, id)
		for i := range 20 + n*200 { // a small bucket, and one with branches
			m.Add(Record{Key: keyOf(i), Octets: int64(i), Time: now, Content: Digest{byte(i), 1}})
		}
		m.SetAside(keyOf(5000), "uid", "why", false, now)
		m.SetAside(keyOf(5001), "uid", "why", true, now)
		commit(t, r.Ledger, func(t *Tx) error { return errors.Join(m.Save(t), t.Remember(sampleMemory[n], []byte("value"))) })
		commit(t, r.Ledger, func(t *Tx) error { _, err := t.Intend(r.Ledger, batch(id, "f", 2+n*10)); return err })
	}
	if before, err := contentsOf(r.Ledger); err != nil || len(before.Open) != 2 {
		t.Fatal(err)
	}
	p.close(t, r)
	if before, _, _ = readAll(p.store()); before.ID == "" {
		t.Fatal("no contents")
	}
	r = p.open(t)
	m := mailbox(t, r, sampleMailboxes[1])
	m.Add(Record{Key: keyOf(7777), Octets: 1, Time: now, Content: Digest{9}})
	commit(t, r.Ledger, func(t *Tx) error { return errors.Join(m.Save(t), t.Settle(r.Ledger, r.Ledger.open[0])) })
	p.close(t, r)
	after, torn, err := readAll(p.store())
	if err != nil || torn || reflect.DeepEqual(before, after) {
		t.Fatalf("torn %t, %v", torn, err)
	}
	return p.store(), before, after
}

// judge says what is wrong with the way in which a damaged store was taken; ""
// if nothing is. The contents must be right or the error clear; where one copy
// of the head is damaged, the store may say that it lacks its last commit.
func judge(path string, before, after contents) (wrong string, fine bool) {
	got, torn, err := readAll(path)
	var damage *DamageError
	switch {
	case errors.As(err, &damage):
		return "", false
	case err != nil:
		return fmt.Sprintf("an error that does not speak of damage: %v", err), false
	case reflect.DeepEqual(got, after):
		return "", true
	case torn && reflect.DeepEqual(got, before):
		return "", false
	}
	return "other contents, and no word of it", false
}

// goesOn writes to a store whose damage was not seen, as there was nothing
// wrong with its contents, and finds out whether that brings it to light.
func goesOn(path string, after contents) error {
	l, err := openStore(path)
	if err != nil {
		return err
	}
	for i := range 5 {
		m, err := l.Mailbox(sampleMailboxes[2])
		if err != nil {
			return err
		}
		for n := range 100 {
			m.Add(Record{Key: keyOf(n + i*100)})
		}
		if err := l.Commit(m.Save); err != nil {
			return err
		}
	}
	if err := l.Close(); err != nil {
		return err
	}
	got, _, err := readAll(path)
	if err != nil {
		return err
	}
	if n := len(got.Known[sampleMailboxes[2]]); n != 500 {
		return fmt.Errorf("%d records in the new mailbox", n)
	}
	got.Known[sampleMailboxes[2]] = map[Key]Record{}
	if !reflect.DeepEqual(got, after) {
		return errors.New("other contents after writing")
	}
	return nil
}

// TestT16EveryByteFlipped changes each octet of a small store, in all of its
// bits and in one.
func TestT16EveryByteFlipped(t *testing.T) {
	path, before, after := sample(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(16, 0))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	used := usedPages(t, path)
	found, harmless, tried := 0, 0, 0
	var quiet []int
	for at, old := range whole {
		// Most of the file is empty or free: there it is enough to look here and there.
		page := at / os.Getpagesize()
		empty := old == 0 && at > 0 && whole[at-1] == 0 || page >= len(used) || !used[page]
		if empty && random.IntN(100) > 0 || raceDetector && random.IntN(10) > 0 {
			continue
		}
		for _, mask := range []byte{0xff, 1 << random.IntN(8)}[random.IntN(2):] {
			tried++
			f.WriteAt([]byte{old ^ mask}, int64(at))
			wrong, fine := judge(path, before, after)
			switch {
			case wrong != "":
				t.Errorf("octet %d (page %d, %d), %#x for %#x: %s", at, at/os.Getpagesize(), at%os.Getpagesize(), old^mask, old, wrong)
			case fine:
				harmless++
				quiet = append(quiet, at)
			default:
				found++
			}
		}
		f.WriteAt([]byte{old}, int64(at))
		if t.Failed() && tried > 5000 {
			return
		}
	}
	t.Logf("%d octets, %d changes: %d found, %d harmless", len(whole), tried, found, harmless)
	if found < 8000 && !raceDetector {
		t.Errorf("only %d were found", found)
	}
	second := filepath.Join(filepath.Dir(path), "second.db")
	for _, i := range random.Perm(len(quiet))[:min(200, len(quiet))] {
		changed := append([]byte(nil), whole...)
		changed[quiet[i]] ^= 0xff
		if err := os.WriteFile(second, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		var damage *DamageError
		if err := goesOn(second, after); err != nil && !errors.As(err, &damage) {
			t.Errorf("octet %d: %v", quiet[i], err)
		}
	}
}

// usedPages tells which pages of a store are neither free nor empty.
func usedPages(t *testing.T, path string) []bool {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, _, err := head(f)
	if err != nil {
		t.Fatal(err)
	}
	w := &frame{f: f, meta: m, seen: make([]bool, m.next)}
	if err := w.walk(m.root, nil, nil, 0); err != nil {
		t.Fatal(err)
	}
	w.seen[0], w.seen[1], w.seen[m.freelist] = true, true, true
	return w.seen
}

// TestT16ElementsMissing: a page that says it has fewer elements than it has
// would make what is in the others come again.
func TestT16ElementsMissing(t *testing.T) {
	path, before, after := sample(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	small := 0
	for page, used := range usedPages(t, path) {
		at := page*os.Getpagesize() + 10
		n := binary.NativeEndian.Uint16(whole[at:])
		if !used || page < 2 {
			continue
		}
		for fewer := range n {
			if n == 1 {
				small++
			}
			changed := append([]byte(nil), whole...)
			binary.NativeEndian.PutUint16(changed[at:], fewer)
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			if wrong, fine := judge(path, before, after); wrong != "" || fine {
				t.Errorf("page %d with %d of %d elements: %s", page, fewer, n, wrong)
			}
		}
	}
	if small == 0 {
		t.Error("no page with one element was tried")
	}
}

// TestT16EveryLength cuts off a store at each length.
func TestT16EveryLength(t *testing.T) {
	path, before, after := sample(t)
	size := fileSize(t, path)
	for n := size; n >= 0; n-- {
		// Between pages there is little that could differ.
		page := int64(os.Getpagesize())
		between := n%page > 70 && n%page < page-20
		if between && n%61 != 0 || raceDetector && n%page > 2 && n%61 != 0 {
			continue
		}
		if err := os.Truncate(path, n); err != nil {
			t.Fatal(err)
		}
		if wrong, _ := judge(path, before, after); wrong != "" {
			t.Errorf("%d of %d octets: %s", n, size, wrong)
		}
	}
	if st, err := os.Stat(path); err != nil || st.Size() != 0 {
		t.Errorf("the store was changed: %v", err)
	}
}

// TestT16PagesExchanged: a page that a disk wrote to a wrong place.
func TestT16PagesExchanged(t *testing.T) {
	path, before, after := sample(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := os.Getpagesize()
	for from := range len(whole) / size {
		for to := range len(whole) / size {
			if raceDetector && (from+to)%5 > 0 {
				continue
			}
			changed := append([]byte(nil), whole...)
			copy(changed[to*size:(to+1)*size], whole[from*size:])
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			if wrong, _ := judge(path, before, after); wrong != "" {
				t.Errorf("page %d instead of %d: %s", from, to, wrong)
			}
		}
	}
}

// TestT16TornHead: of a store that may lack its last commit, what is in the
// folders is asked, and nothing is removed on servers.
func TestT16TornHead(t *testing.T) {
	for head := range 2 {
		p := newPlace(t)
		r := p.open(t)
		m := mailbox(t, r, "a")
		m.Add(Record{Key: keyOf(1)})
		save(t, r, m)
		p.close(t, r)
		whole, err := os.ReadFile(p.store())
		if err != nil {
			t.Fatal(err)
		}
		whole[head*os.Getpagesize()+40] ^= 1
		os.WriteFile(p.store(), whole, 0o600)
		p.options.Keys = found(keyOf(1))
		r = p.open(t)
		m = mailbox(t, r, "a")
		_, known := m.Find(keyOf(1))
		if !known {
			_, known = m.Adopt(keyOf(1), 1, time.Now())
		}
		if !r.Behind || !known {
			t.Errorf("head %d: behind %t, known %t", head, r.Behind, known)
		}
		p.close(t, r)
		r = p.open(t)
		if r.Behind {
			t.Errorf("head %d: it did not heal", head)
		}
		p.close(t, r)
	}
}

// TestT98LaterLayout: a store of a later version is refused, not damaged.
func TestT98LaterLayout(t *testing.T) {
	p := newPlace(t)
	r := p.open(t)
	commit(t, r.Ledger, func(t *Tx) error {
		return t.setMeta(keyVersion, []byte{0, 0, 0, 2})
	})
	p.close(t, r)
	var damage *DamageError
	if err := p.fails(t); errors.As(err, &damage) {
		t.Errorf("%v", err)
	}
}

// FuzzInspect: whatever the file says, the inspection comes to an end, and what
// it lets pass does not make bbolt panic.
func FuzzInspect(f *testing.F) {
	p := newPlace(f)
	r := p.open(f)
	fill(f, r, 300)
	p.close(f, r)
	whole, err := os.ReadFile(p.store())
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{0, 1, 2, 3})
	f.Add([]byte{40, 0, 255, 255, 200, 3, 1, 1})
	path := filepath.Join(fastDir(f), "store")
	f.Fuzz(func(t *testing.T, edits []byte) {
		changed := append([]byte(nil), whole...)
		for ; len(edits) >= 4; edits = edits[4:] {
			at := (int(edits[0])<<16 | int(edits[1])<<8 | int(edits[2])) % len(changed)
			changed[at] = edits[3]
		}
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := inspect(path); err == nil {
			if _, _, err := readAll(path); err != nil && !errors.Is(err, errFormat) {
				t.Error(err)
			}
		}
	})
}
