package maildir

import (
	"strings"
	"sync"
	"testing"
	"time"
)

func key(b byte) (k [KeySize]byte) {
	for i := range k {
		k[i] = b + byte(i)
	}
	return k
}

func TestT19UniqueNames(t *testing.T) {
	const each, namers, goroutines = 125_000, 2, 4
	// The same host, the same second and the same process id.
	now := time.Unix(1_700_000_000, 0)
	names := make([][]string, namers*goroutines)
	var wg sync.WaitGroup
	for i := range namers {
		n := NewNamer("mail.example.org")
		for g := range goroutines {
			wg.Go(func() {
				mine := make([]string, each)
				for j := range mine {
					mine[j] = n.Unique(now)
				}
				names[i*goroutines+g] = mine
			})
		}
	}
	wg.Wait()
	seen := make(map[string]bool, each*namers*goroutines)
	for _, list := range names {
		for _, name := range list {
			if seen[name] {
				t.Fatalf("%s came twice", name)
			}
			seen[name] = true
		}
	}
	if len(seen) != 1_000_000 {
		t.Fatalf("%d names", len(seen))
	}
}

func TestT18NamesWhenTheClockJumps(t *testing.T) {
	n := NewNamer("h")
	seen := map[string]bool{}
	for _, sec := range []int64{1_700_000_000, 1_700_000_000 + 10*365*86400, 1_700_000_000 - 10*365*86400, 0, -1} {
		for range 100 {
			name := n.Unique(time.Unix(sec, 0))
			if seen[name] || strings.HasPrefix(name, ".") {
				t.Fatalf("%s", name)
			}
			seen[name] = true
		}
	}
}

func TestT20HostEscapes(t *testing.T) {
	for _, c := range []struct{ host, want string }{
		{"", "localhost"},
		{"mail.example.org", "mail.example.org"},
		{"a/b", `a\057b`},
		{"a:b", `a\072b`},
		{"a,K=00", `a\054K=00`},
		{`a\b`, `a\134b`},
		{"a b\n\x00\x7f", `a\040b\012\000\177`},
		{"b\u00fccher", `b\303\274cher`},
		{"\xff", `\377`},
		{strings.Repeat("a", 300), strings.Repeat("a", 64)},
		{strings.Repeat("a", 62) + "/b", strings.Repeat("a", 62)}, // never half an escape
	} {
		if got := escapeHost(c.host); got != c.want {
			t.Errorf("host %q: got %q, want %q", c.host, got, c.want)
		}
	}
}

func TestNamesFitAFileSystem(t *testing.T) {
	n := NewNamer(strings.Repeat("/", 64))
	n.count.Store(1 << 62)
	name := Final(n.Unique(time.Unix(1<<40, 0)), 1<<62, key(0)) + ":2,DFPRST,U=4294967295"
	if len(name) > 255 {
		t.Errorf("%d octets: %s", len(name), name)
	}
}

func TestParseKey(t *testing.T) {
	k := key(0xa0)
	text := "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
	n := NewNamer("h,K=" + strings.Repeat("0", 32))
	unique := n.Unique(time.Unix(1, 0))
	for _, c := range []struct {
		name string
		ok   bool
	}{
		{Temporary(unique, k), true},
		{Final(unique, 0, k), true},
		{Final(unique, 12, k) + ":2,", true},
		{Final(unique, 12, k) + ":2,FRS", true},
		{Final(unique, 12, k) + ",U=17:2,S", true}, // Courier
		{Final(unique, 12, k) + ",W=1200,U=17:2,S", true},
		{"1.R.h,W=5,K=" + text + ",S=3:2,Sab", true},
		{"1.R.h,K=" + strings.ToUpper(text), true},
		{",K=" + text, true},
		{"", false},
		{"1.M2P3.h:2,S", false},
		{"1.R.h,K=", false},
		{"1.R.h,K=" + text[:30], false},
		{"1.R.h,K=" + text + "00", false},
		{"1.R.h,K=" + text[:31] + "g", false},
		{"1.R.h:2,S,K=" + text, false}, // behind the flags it is not ours
	} {
		got, ok := ParseKey(c.name)
		if ok != c.ok || ok && got != k {
			t.Errorf("%q: got %x, %t", c.name, got, ok)
		}
	}
	if !n.made(unique) || NewNamer("h").made(unique) {
		t.Error("a Namer does not know its own names from those of others")
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add("1.R.h,S=3,K=000102030405060708090a0b0c0d0e0f:2,S", int64(3), []byte("0123456789abcdef"))
	f.Add(",K=,K=", int64(-1), []byte{})
	f.Fuzz(func(t *testing.T, name string, octets int64, raw []byte) {
		if k, ok := ParseKey(name); ok {
			again, ok := ParseKey(Final("u", 1, k))
			if !ok || again != k {
				t.Errorf("%q: %x became %x", name, k, again)
			}
		}
		var k [KeySize]byte
		copy(k[:], raw)
		// Whatever the host is called, it is the key at the end that counts, and flags do not matter.
		n := NewNamer(name)
		for _, made := range []string{Final(n.Unique(time.Unix(1, 0)), octets, k), Temporary(n.Unique(time.Unix(1, 0)), k)} {
			if strings.ContainsAny(made, "/:\x00") || len(made) > 255-len(":2,DFPRST") {
				t.Errorf("bad name %q", made)
			}
			if got, ok := ParseKey(made + ":2,FS"); !ok || got != k {
				t.Errorf("%q: got %x, %t, want %x", made, got, ok, k)
			}
		}
	})
}
