package outbox

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func (b *box) mustPickup(patience bool) Picked {
	b.t.Helper()
	p, err := b.Pickup(context.Background(), patience)
	if err != nil {
		b.t.Fatalf("pickup: %v", err)
	}
	return p
}

// What is no complete message of ours stays where it is, and blocks nothing.
func TestT68OddFiles(t *testing.T) {
	b := newBox(t)
	text := letterTo("odd", "a")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	b.drop("a.tmp", text)
	b.drop("b.part", text)
	b.drop("c~", text)
	b.drop("#d#", text)
	b.drop(".e", text)
	b.drop("empty", "")
	b.drop("f", text)
	must(os.Link(b.outbox("f"), b.outbox("hard link")))
	must(os.Symlink(b.outbox("f"), b.outbox("link")))
	must(os.Symlink("nowhere", b.outbox("dangling")))
	must(os.Mkdir(b.outbox("folder"), 0o700))
	must(unix.Mkfifo(b.outbox("fifo"), 0o600))
	l, err := net.Listen("unix", b.outbox("s"))
	must(err)
	defer l.Close()
	want := "#d# .e a.tmp b.part c~ dangling empty f fifo folder hard link link s"
	if os.Geteuid() == 0 {
		b.drop("foreign", text)
		must(os.Chown(b.outbox("foreign"), 12345, 12345))
		want = strings.Replace(want, " hard", " foreign hard", 1)
		if unix.Mknod(b.outbox("device"), syscall.S_IFCHR|0o600, int(unix.Mkdev(1, 3))) == nil {
			want = strings.Replace(want, " empty", " device empty", 1)
		}
	} else {
		b.drop("unreadable", text)
		must(os.Chmod(b.outbox("unreadable"), 0))
		want += " unreadable"
	}
	for _, name := range []string{"with\nnewline", "-n", "esc\x1b[2J", "bad\xffutf8", strings.Repeat("n", 255), strings.Repeat("é", 127)} {
		b.drop(name, letterTo("good", "a"))
	}
	equal(t, "queued", b.mustPickup(false).Queued, 6)
	equal(t, "files", b.files(), want)
	equal(t, "sent", b.mustPass().Sent, 6)
	equal(t, "files", b.files(), want)
}

// A name that leaves no room for what is put behind it does not block failed/.
func TestT68LongNamesThatFail(t *testing.T) {
	b := newBox(t)
	for _, name := range []string{strings.Repeat("n", 255), strings.Repeat("n", 254), strings.Repeat("é", 127)} {
		b.drop(name, strings.Replace(letterTo("x", "a"), "ada@", "eve@", 1))
	}
	equal(t, "refused", b.mustPickup(false).Refused, 3)
	names := strings.Fields(b.files("failed"))
	if len(names) != 6 || b.files() != "failed" {
		t.Errorf("%d files: %q", len(names), names)
	}
	for _, name := range names {
		if strings.HasSuffix(name, whySuffix) {
			continue
		}
		if why, err := os.ReadFile(b.outbox("failed", name+whySuffix)); err != nil || !bytes.Contains(why, []byte("no account sends for \"eve@example.org\"")) {
			t.Errorf("%s: %q, %v", name, why, err)
		}
	}
}

// failed/ never takes the place of anything, not even with names made for that.
func TestFailedNamesCollide(t *testing.T) {
	b := newBox(t)
	bad := func(n int) string {
		return strings.Replace(letterTo(fmt.Sprint(n), "a"), "ada@", "eve@", 1)
	}
	for i, name := range []string{"a.why.txt", "a", "a", "a.2", "a.why.txt"} {
		b.drop(name, bad(i))
		b.mustPickup(false)
	}
	all := map[string]int{}
	paths, _ := filepath.Glob(b.outbox("failed", "*"))
	for _, path := range paths {
		text, _ := os.ReadFile(path)
		if bytes.HasPrefix(text, []byte("From: eve")) {
			all[string(text)]++
		}
	}
	if len(all) != 5 || len(paths) != 10 {
		t.Errorf("%d messages in %q", len(all), paths)
	}
}

// A file is taken only when nobody writes to it any more.
func TestT69SlowWriter(t *testing.T) {
	b := newBox(t)
	text := letterTo("slow", "a")
	f, err := os.Create(b.outbox("x"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, text[:30])
	if closed, known := lease(int(f.Fd())); !known && !closed {
		// The writer's own descriptor does not say whether leases work here; another one does.
		if fd, err := openIn(b.files2(), "x"); err == nil {
			_, known = lease(fd)
			unix.Close(fd)
		}
		if !known {
			t.Skip("no leases on this file system")
		}
	}
	old := time.Now().Add(-time.Hour)
	for range 3 {
		if err := os.Chtimes(b.outbox("x"), old, old); err != nil {
			t.Fatal(err)
		}
		if p := b.mustPickup(false); p.Queued != 0 || p.Wait <= 0 {
			t.Errorf("%+v", p)
		}
	}
	fmt.Fprint(f, text[30:])
	// A file that is closed and still mapped for writing has a writer.
	m, err := unix.Mmap(int(f.Fd()), 0, 10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	equal(t, "queued while mapped", b.mustPickup(false).Queued, 0)
	if err := unix.Munmap(m); err != nil {
		t.Fatal(err)
	}
	if p := b.mustPickup(true); p.Queued != 0 || p.Wait <= 0 || p.Wait > quietFor {
		t.Errorf("with patience: %+v", p)
	}
	equal(t, "queued", b.mustPickup(false).Queued, 1)
}

func (b *box) files2() *os.File { return b.Outbox.files }

// A writer that came between the look and the rename is seen after it, and gets
// his file back.
func TestT70WriterAtTheClaim(t *testing.T) {
	b := newBox(t)
	b.drop("x", letterTo("one", "a"))
	d, ok, err := look(b.files2(), "x", false, time.Now())
	if err != nil || !ok || d.wait > 0 {
		t.Fatal(d, ok, err)
	}
	f, err := os.OpenFile(b.outbox("x"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.spool.claim(b.files2(), d, time.Now())
	if err != nil || c.name != "x" {
		t.Fatal(c, err)
	}
	if p := b.mustPickup(false); p.Queued != 0 || p.Wait != quietFor {
		t.Errorf("%+v", p)
	}
	equal(t, "files", b.files(), "x")
	fmt.Fprint(f, "more\n")
	f.Close()
	equal(t, "sent", b.mustPass().Sent, 1)
	if !strings.HasSuffix(b.server.texts[0], ".text\nmore\n") {
		t.Errorf("%q", b.server.texts)
	}
}

// A file that was exchanged after it was looked at is not taken for it.
func TestT70Exchanged(t *testing.T) {
	for name, exchange := range map[string]func(path string) error{
		"file":    func(path string) error { return os.Rename(path+".tmp", path) },
		"link":    func(path string) error { os.Remove(path); return os.Symlink("/etc/passwd", path) },
		"fifo":    func(path string) error { os.Remove(path); return unix.Mkfifo(path, 0o600) },
		"folder":  func(path string) error { os.Remove(path); return os.Mkdir(path, 0o700) },
		"gone":    os.Remove,
		"2 names": func(path string) error { return os.Link(path, path+"~") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.drop("x", letterTo("one", "a"))
			b.drop("x.tmp", letterTo("other", "a"))
			d, ok, err := look(b.files2(), "x", false, time.Now())
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			if err := exchange(b.outbox("x")); err != nil {
				t.Fatal(err)
			}
			before := b.files()
			c, err := b.spool.claim(b.files2(), d, time.Now())
			if err != nil || c.id != "" {
				t.Errorf("claimed %v, %v", c, err)
			}
			equal(t, "files", b.files(), before)
			equal(t, "queue", b.queue(), "")
		})
	}
}

// Once queued, the message does not need the file any more.
func TestT71RemovedAfterQueueing(t *testing.T) {
	b := newBox(t)
	b.drop("x", letterTo("one", "a"))
	b.mustPickup(false)
	if err := os.Remove(b.outbox("x")); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	b.drop("x", letterTo("two", "a"))
	equal(t, "sent", b.mustPass().Sent, 2)
	b.mustPass()
	equal(t, "accepted", b.server.accepted(), "one a, two a")
}

// The right account, or none.
func TestT85Account(t *testing.T) {
	b := newBox(t)
	var used []string
	b.server.down = func(account string) error { used = append(used, account); return errLine }
	for _, from := range []string{"ada@home.example", "eve@home.example", "other@example.org"} {
		b.drop(from, strings.Replace(letterTo("x", "a"), "ada@example.org", from, 1))
	}
	if _, err := b.pass(); err != nil {
		t.Fatal(err)
	}
	equal(t, "accounts", strings.Join(used, " "), "home")
	equal(t, "failed/", b.files("failed"), "eve@home.example eve@home.example.why.txt other@example.org other@example.org.why.txt")
}

// NUL is refused, and a lone CR where it would change what fields there are.
func TestOddOctets(t *testing.T) {
	b := newBox(t)
	b.drop("nul", letterTo("nul", "a")+"\x00")
	b.drop("cr", strings.Replace(letterTo("c\rr", "a"), "", "", 1))
	b.drop("body", letterTo("body", "a")+"a\rb\n")
	p := b.mustPickup(false)
	equal(t, "queue", b.queue(), "active body")
	equal(t, "refused", p.Refused, 2)
	equal(t, "announced", b.only().Wire, 0)
}

// What cannot be done now leaves the file where it was, and is done later.
func TestPickupFails(t *testing.T) {
	b := newBox(t)
	b.drop("bad", strings.Replace(letterTo("x", "a"), "ada@", "eve@", 1))
	b.drop("failed", "in the way")
	b.drop("good", letterTo("good", "a"))
	r, err := b.pass()
	if err == nil || r.Sent != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	equal(t, "files", b.files(), "bad failed")
	b.restart()
	equal(t, "files", b.files(), "bad failed")
	if err := os.Remove(b.outbox("failed")); err != nil {
		t.Fatal(err)
	}
	b.mustPass()
	equal(t, "files", b.files(), "failed")
	equal(t, "failed/", b.files("failed"), "bad bad.why.txt")
}

// An outbox that is not the one that was opened is an error, not an empty one.
func TestOutboxReplaced(t *testing.T) {
	b := newBox(t)
	b.drop("x", letterTo("x", "a"))
	if err := os.Rename(b.outbox(), b.outbox()+".old"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.pass(); err == nil {
		t.Error("no error for an outbox that is gone")
	}
	if err := os.Mkdir(b.outbox(), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := b.pass(); err == nil || !strings.Contains(err.Error(), "another directory") {
		t.Errorf("%v", err)
	}
	os.Remove(b.outbox())
	os.Symlink(b.outbox()+".old", b.outbox())
	equal(t, "sent through a link", b.mustPass().Sent, 1)
}

// Many files at once cost little memory and few descriptors, and all are sent.
func TestT95ManyFiles(t *testing.T) {
	b := newBox(t)
	many := 2000
	if testing.Short() {
		many = 300
	}
	for i := range many {
		b.drop(fmt.Sprint(i), letterTo(fmt.Sprint("m", i), "a"))
		b.drop(fmt.Sprint(i, ".tmp"), "x")
	}
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most, files, n := uint64(0), 0, 0
	b.server.event = func(string) {
		if n++; n%300 == 0 {
			var now runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
			fds, _ := os.ReadDir("/proc/self/fd")
			files = max(files, len(fds))
		}
	}
	equal(t, "sent", b.mustPass().Sent, many)
	equal(t, "queue", b.queue(), "")
	if grown := int64(most) - int64(before.HeapAlloc); grown > 16<<20 || files > 200 {
		t.Errorf("%d MiB, %d descriptors", grown>>20, files)
	} else {
		t.Logf("%d KiB, %d descriptors", grown>>10, files)
	}
}
