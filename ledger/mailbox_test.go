package ledger

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"testing"
	"time"
)

func mailbox(t testing.TB, r *Root, id string) *Mailbox {
	t.Helper()
	m, err := r.Ledger.Mailbox(id)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func save(t testing.TB, r *Root, m *Mailbox) {
	t.Helper()
	commit(t, r.Ledger, m.Save)
}

// dump returns all that a mailbox knows.
func dump(t testing.TB, m *Mailbox) (map[Key]Record, map[Key]Aside) {
	t.Helper()
	records := map[Key]Record{}
	var places []int
	for place := range m.Places() {
		r, ok := m.At(place)
		if !ok {
			continue
		}
		if found, ok := m.Find(r.Key); !ok || found != place {
			t.Fatalf("%x is at %d, but found at %d, %t", r.Key, place, found, ok)
		}
		places = append(places, place)
	}
	digests, err := m.Digests(places)
	if err != nil {
		t.Fatal(err)
	}
	for i, place := range places {
		r, _ := m.At(place)
		r.Content = digests[i]
		records[r.Key] = r
	}
	asides := map[Key]Aside{}
	m.EachAside(func(k Key, a Aside) { asides[k] = a })
	if len(records) != m.Len() {
		t.Fatalf("%d records, Len %d", len(records), m.Len())
	}
	return records, asides
}

// TestMailboxAgainstAModel does things at random, with keys many of which
// begin alike, to a mailbox and to a map.
func TestMailboxAgainstAModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			p := newPlace(t)
			r := p.open(t)
			defer func() { r.Close() }()
			m := mailbox(t, r, "pop3\x00work\x00INBOX")
			random := rand.New(rand.NewPCG(seed, 0))
			records, asides := map[Key]Record{}, map[Key]Aside{}
			key := func() (k Key) {
				n := random.IntN(400)
				binary.LittleEndian.PutUint32(k[:], uint32(n%7)) // the index looks at these
				binary.LittleEndian.PutUint32(k[4:], uint32(n))
				return k
			}
			now := time.Unix(1_700_000_000, 0).UTC()
			for step := range 3000 {
				now = now.Add(time.Second)
				k := key()
				place, known := m.Find(k)
				if _, want := records[k]; known != want {
					t.Fatalf("step %d: %x known %t, not %t", step, k, known, want)
				}
				switch action := random.IntN(100); {
				case action < 50:
					rec := Record{Key: k, Octets: random.Int64N(1<<40) - 1, Time: time.Unix(now.Unix(), 0), State: State(random.IntN(3)), Content: Digest{byte(step), byte(step >> 8), 1}}
					at := m.Add(rec)
					if known && at != place {
						t.Fatalf("step %d: moved from %d to %d", step, place, at)
					}
					records[k] = rec
				case action < 75 && known:
					m.Forget(place)
					m.Forget(place) // twice is once
					delete(records, k)
				case action < 85 && known:
					rec := records[k]
					if step%2 == 0 {
						rec.State = (rec.State + 1) % 3
						m.SetState(place, rec.State)
					} else {
						rec.Octets = int64(step)
						m.SetThere(place, rec.Octets)
					}
					records[k] = rec
				case action < 90:
					a := m.SetAside(k, fmt.Sprint(step), "why", step%2 == 0, now)
					want := Aside{UID: fmt.Sprint(step), Reason: "why", Breaks: step%2 == 0, Tries: asides[k].Tries + 1, Since: asides[k].Since}
					if want.Tries == 1 {
						want.Since = now
					}
					if a != want {
						t.Fatalf("step %d: %+v, not %+v", step, a, want)
					}
					asides[k] = want
				case action < 95:
					m.ClearAside(k)
					delete(asides, k)
				case action < 98:
					save(t, r, m)
					if m.Changed() {
						t.Fatalf("step %d: changed after Save", step)
					}
				default:
					save(t, r, m)
					checkFrame(t, p.store())
					if random.IntN(3) == 0 {
						p.close(t, r)
						r = p.open(t)
					}
					m = mailbox(t, r, m.id)
				}
				if step%50 == 0 {
					gotRecords, gotAsides := dump(t, m)
					if !maps.Equal(gotRecords, records) {
						t.Fatalf("step %d: records differ", step)
					}
					if !reflect.DeepEqual(gotAsides, asides) {
						t.Fatalf("step %d: set aside:\n%v\n%v", step, gotAsides, asides)
					}
				}
			}
			if m.Places() > 450 {
				t.Errorf("%d places for 400 keys: those of forgotten messages are not used again", m.Places())
			}
		})
	}
}

// checkFrame inspects a store that is open.
func checkFrame(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if torn, err := inspectFrame(f); torn || err != nil {
		t.Fatalf("torn %t, %v", torn, err)
	}
}

// TestUnsavedChangesAreLost: only a commit makes them durable.
func TestUnsavedChangesAreLost(t *testing.T) {
	p := newPlace(t)
	r := p.open(t)
	m := mailbox(t, r, "a")
	place := m.Add(Record{Key: keyOf(1)})
	save(t, r, m)
	for _, change := range []func(){
		func() { m.SetState(place, Inferred) }, func() { m.SetThere(place, 7) }, func() { m.SetState(place, Delivered) }, func() { m.SetThere(place, 0) },
	} {
		change()
		if !m.Changed() {
			t.Error("a change is not noticed")
		}
		save(t, r, m)
	}
	m.Add(Record{Key: keyOf(2)})
	m.SetAside(keyOf(3), "u", "why", false, time.Now())
	p.close(t, r)
	r = p.open(t)
	records, asides := dump(t, mailbox(t, r, "a"))
	if len(records) != 1 || len(asides) != 0 {
		t.Errorf("%v, %v", records, asides)
	}
	p.close(t, r)
}

func TestMailboxesDoNotMix(t *testing.T) {
	p := newPlace(t)
	r := p.open(t)
	ids := []string{"pop3\x00a\x00INBOX", "pop3\x00a\x00INBOX2", "pop3\x00\x00aINBOX", "imap\x00a\x00INBOX"}
	for i, id := range ids {
		m := mailbox(t, r, id)
		for n := range 100 {
			m.Add(Record{Key: keyOf(n), Octets: int64(i)})
		}
		save(t, r, m)
	}
	p.close(t, r)
	r = p.open(t)
	for i, id := range ids {
		records, _ := dump(t, mailbox(t, r, id))
		if len(records) != 100 || records[keyOf(7)].Octets != int64(i) {
			t.Errorf("%q: %d records, %+v", id, len(records), records[keyOf(7)])
		}
	}
	p.close(t, r)
}

// TestFindWithCollisions has keys that all begin alike.
func TestFindWithCollisions(t *testing.T) {
	p := newPlace(t)
	r := p.open(t)
	defer r.Close()
	m := mailbox(t, r, "a")
	k := func(n int) (k Key) {
		copy(k[:], "same")
		binary.BigEndian.PutUint32(k[12:], uint32(n))
		return k
	}
	for n := range 1000 {
		if place := m.Add(Record{Key: k(n)}); place != n {
			t.Fatalf("place %d of %d", place, n)
		}
	}
	for n := 0; n < 1000; n += 2 {
		m.Forget(n)
	}
	for n := range 1200 {
		place, ok := m.Find(k(n))
		if want := n < 1000 && n%2 == 1; ok != want || ok && place != n {
			t.Fatalf("%d: %d, %t", n, place, ok)
		}
	}
	// Come and go without end: the index does not fill up with what is gone.
	for n := range 5000 {
		m.Forget(m.Add(Record{Key: k(2000 + n)}))
	}
	if len(m.index.slots) > 4096 || m.Len() != 500 {
		t.Errorf("%d slots for %d records", len(m.index.slots), m.Len())
	}
}

// TestForgetKeepsNoDigest: a place that is used again has the new digest, or
// none.
func TestForgetKeepsNoDigest(t *testing.T) {
	p := newPlace(t)
	r := p.open(t)
	defer r.Close()
	m := mailbox(t, r, "a")
	place := m.Add(Record{Key: keyOf(1), Content: Digest{1}})
	save(t, r, m)
	m.Forget(place)
	if again := m.Add(Record{Key: keyOf(2)}); again != place {
		t.Fatalf("place %d, then %d", place, again)
	}
	for range 2 {
		if d, err := m.Digests([]int{place}); err != nil || d[0] != (Digest{}) {
			t.Errorf("%v, %v", d, err)
		}
		save(t, r, m)
		m = mailbox(t, r, "a")
	}
}

// fill puts n records into a mailbox and returns it loaded anew.
func fill(t testing.TB, r *Root, n int) *Mailbox {
	t.Helper()
	m := mailbox(t, r, "a")
	for i := range n {
		m.Add(Record{Key: keyOf(i), Octets: int64(i), Time: time.Unix(int64(i), 0), Content: Digest{byte(i)}})
		if i%10_000 == 0 {
			save(t, r, m)
		}
	}
	save(t, r, m)
	return mailbox(t, r, "a")
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

func TestT22MemoryOf100000(t *testing.T) {
	const n = 100_000
	p := newPlace(t)
	r := p.open(t)
	defer func() { r.Close() }()
	fill(t, r, n)
	p.close(t, r)

	before := heap()
	r = p.open(t)
	opened := heap() - before
	m := mailbox(t, r, "a")
	loaded := heap() - before - opened
	if opened > 1<<20 || loaded > 7<<20 {
		t.Errorf("%d octets for the open ledger, %d for the mailbox", opened, loaded)
	}
	t.Logf("%d octets for the open ledger, %d for the mailbox, file of %d octets", opened, loaded, fileSize(t, p.store()))
	for i := range n {
		place, ok := m.Find(keyOf(i))
		if got, _ := m.At(place); !ok || got.Octets != int64(i) || got.Time.Unix() != int64(i) {
			t.Fatalf("%d: %+v", i, got)
		}
	}
	i := 0
	if allocs := testing.AllocsPerRun(1000, func() { m.Find(keyOf(i)); m.At(i); i++ }); allocs != 0 {
		t.Errorf("%v allocations for a look-up", allocs)
	}
	// One more message costs a page or two, whatever the size.
	written := pagesWritten(t, r, m)
	if written > 20 {
		t.Errorf("%d pages for one record", written)
	}
	if m.Len() != n+1 {
		t.Errorf("%d", m.Len())
	}
}

func pagesWritten(t testing.TB, r *Root, m *Mailbox) int64 {
	before := r.Ledger.db.Stats()
	m.Add(Record{Key: keyOf(1 << 40)})
	save(t, r, m)
	after := r.Ledger.db.Stats()
	return (after.TxStats.GetPageAlloc() - before.TxStats.GetPageAlloc()) / int64(os.Getpagesize())
}

func BenchmarkLoadAndFind100000(b *testing.B) {
	const n = 100_000
	p := newPlace(b)
	r := p.open(b)
	fill(b, r, n)
	p.close(b, r)
	keys := make([]Key, n)
	for i := range keys {
		keys[i] = keyOf(i)
	}
	for _, part := range []string{"open", "load", "find"} {
		b.Run(part, func(b *testing.B) {
			b.ReportAllocs()
			if part == "open" {
				for b.Loop() {
					p.close(b, p.open(b))
				}
				return
			}
			r := p.open(b)
			defer r.Close()
			m := mailbox(b, r, "a")
			for b.Loop() {
				if part == "load" {
					m = mailbox(b, r, "a")
					continue
				}
				for _, k := range keys {
					if _, ok := m.Find(k); !ok {
						b.Fatal("not found")
					}
				}
			}
		})
	}
}
