package maildir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gomaildir "github.com/emersion/go-maildir"
	"golang.org/x/sys/unix"
)

// TestDeliveryByAnIndependentReader delivers a batch and reads the folder with
// go-maildir.
func TestDeliveryByAnIndependentReader(t *testing.T) {
	f := openFolder(t)
	n := NewNamer("h/o:st")
	var files []*File
	want := map[string]string{} // key of go-maildir (our base name) -> flags
	for i, flags := range []string{"", "", "S", "FRS", ""} {
		unique := n.Unique(time.Unix(1_700_000_000, 0))
		file := finished(t, f, Temporary(unique, key(byte(i))), []byte("Subject: "+unique+"\r\n\r\ntext\r\n"))
		file.Name = Final(unique, file.Octets(), key(byte(i)))
		want[file.Name] = flags
		if flags != "" {
			file.Cur = true
			file.Name += ":2," + flags
		}
		files = append(files, file)
	}
	b := f.NewBatch(files)
	drop := func(f *File, err error) { t.Errorf("%s: %v", f.Name, err) }
	b.SyncFiles(drop)
	if err := b.SyncTmp(); err != nil {
		t.Fatal(err)
	}
	if got := append(names(t, f, "new"), names(t, f, "cur")...); len(got) > 0 {
		t.Errorf("visible before Publish: %v", got)
	}
	b.Publish(drop)
	if err := b.SyncNew(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, f, "tmp"); len(got) > 0 {
		t.Errorf("left in tmp/: %v", got)
	}
	if got := len(names(t, f, "new")); got != 3 {
		t.Errorf("%d in new/", got)
	}

	dir := gomaildir.Dir(f.Dir())
	if _, err := dir.Unseen(); err != nil { // moves what is new to cur/, as readers do
		t.Fatal(err)
	}
	messages, err := dir.Messages()
	if err != nil || len(messages) != len(want) {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	for _, m := range messages {
		flags, ok := want[m.Key()]
		if !ok {
			t.Errorf("unknown key %s", m.Key())
		}
		var got string
		for _, flag := range m.Flags() {
			got += string(flag)
		}
		if got != flags {
			t.Errorf("%s has flags %q, not %q", m.Key(), got, flags)
		}
		text, err := os.ReadFile(m.Filename())
		if err != nil || !strings.HasSuffix(string(text), "\n\ntext\n") {
			t.Errorf("%q, %v", text, err)
		}
	}
	// What the reader has made of the names is still ours.
	found, err := Scan(f.Dir())
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		if !found.Delivered[name] {
			t.Errorf("%s is not seen after the reader moved it", name)
		}
	}
}

// TestT5FileThatCannotBeSynced has pipes, which cannot be synced, in the place
// of some files.
func TestT5FileThatCannotBeSynced(t *testing.T) {
	f := openFolder(t)
	var files []*File
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		file := finished(t, f, name, []byte(name))
		file.Name = name
		if name == "b" || name == "e" {
			var p [2]int
			if err := unix.Pipe(p[:]); err != nil {
				t.Fatal(err)
			}
			defer unix.Close(p[0])
			unix.Close(file.fd)
			file.fd = p[1]
		}
		files = append(files, file)
	}
	b := f.NewBatch(files)
	var dropped []string
	b.SyncFiles(func(file *File, err error) {
		if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "fsync") {
			t.Errorf("%v", err)
		}
		dropped = append(dropped, file.Name)
	})
	if !slices.Equal(dropped, []string{"b", "e"}) || len(b.Files()) != 4 {
		t.Fatalf("dropped %v, %d left", dropped, len(b.Files()))
	}
	if got := names(t, f, "tmp"); !slices.Equal(got, []string{"a", "c", "d", "f"}) {
		t.Errorf("in tmp/: %v", got)
	}
	b.Publish(func(file *File, err error) { t.Errorf("%s: %v", file.Name, err) })
	if got := names(t, f, "new"); !slices.Equal(got, []string{"a", "c", "d", "f"}) {
		t.Errorf("in new/: %v", got)
	}
}

func TestBatchOfNothing(t *testing.T) {
	f := openFolder(t)
	b := f.NewBatch(nil)
	drop := func(*File, error) { t.Error("dropped") }
	b.SyncFiles(drop)
	b.Publish(drop)
	if err := errors.Join(b.SyncTmp(), b.SyncNew()); err != nil {
		t.Error(err)
	}
}

// TestT13NeverOverAnotherFile publishes by rename and by link.
func TestT13NeverOverAnotherFile(t *testing.T) {
	for name, move := range map[string]func(f *Folder, tmp, name string) error{
		"rename": func(f *Folder, tmp, name string) error { return f.publish(tmp, name, false) },
		"link":   func(f *Folder, tmp, name string) error { return f.linkUnlink(tmp, f.new, name) },
	} {
		t.Run(name, func(t *testing.T) {
			f := openFolder(t)
			os.WriteFile(f.path("new", "taken"), []byte("other"), 0o600)
			os.Symlink("nowhere", f.path("new", "link"))
			os.Mkdir(f.path("new", "dir"), 0o700)
			finished(t, f, "t", []byte("ours"))
			for _, target := range []string{"taken", "link", "dir"} {
				if err := move(f, "t", target); !errors.Is(err, fs.ErrExist) {
					t.Errorf("%s: %v", target, err)
				}
			}
			if got, _ := os.ReadFile(f.path("new", "taken")); string(got) != "other" {
				t.Errorf("the other message is now %q", got)
			}
			if err := move(f, "t", "free"); err != nil {
				t.Error(err)
			}
			if got, _ := os.ReadFile(f.path("new", "free")); string(got) != "ours" || len(names(t, f, "tmp")) > 0 {
				t.Errorf("%q, tmp/: %v", got, names(t, f, "tmp"))
			}
			if err := move(f, "t", "free2"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("without a file: %v", err)
			}
		})
	}
}

func TestLinkThatWasCutOffBeforeTheUnlink(t *testing.T) {
	f := openFolder(t)
	finished(t, f, "t", []byte("ours"))
	if err := os.Link(f.path("tmp", "t"), f.path("new", "n")); err != nil {
		t.Fatal(err)
	}
	if err := f.linkUnlink("t", f.new, "n"); err != nil {
		t.Error(err)
	}
	if got := names(t, f, "tmp"); len(got) > 0 {
		t.Errorf("in tmp/: %v", got)
	}
}

// TestPublishThatReportsAnErrorButWorked is what NFS does when an answer is
// lost.
func TestPublishThatReportsAnErrorButWorked(t *testing.T) {
	f := openFolder(t)
	file := finished(t, f, "t", []byte("ours"))
	file.Name = "n"
	if err := os.Rename(f.path("tmp", "t"), f.path("new", "n")); err != nil {
		t.Fatal(err)
	}
	b := f.NewBatch([]*File{file})
	b.Publish(func(_ *File, err error) { t.Error(err) })
	if len(b.Files()) != 1 {
		t.Error("it left the batch")
	}
}

// TestPublishKeepsWhatFailedInTmp: an intent names the file there.
func TestPublishKeepsWhatFailedInTmp(t *testing.T) {
	f := openFolder(t)
	var files []*File
	for _, c := range []struct{ tmp, name string }{
		{"a", "a"}, {"b", "taken"}, {"c", strings.Repeat("x", 300)}, {"gone", "gone"}, {"d", "d"},
	} {
		file := finished(t, f, c.tmp, []byte(c.tmp))
		file.Name = c.name
		files = append(files, file)
	}
	os.WriteFile(f.path("new", "taken"), []byte("other"), 0o600)
	os.Remove(f.path("tmp", "gone"))
	b := f.NewBatch(files)
	b.SyncFiles(func(_ *File, err error) { t.Error(err) })
	failed := map[string]error{}
	b.Publish(func(file *File, err error) { failed[file.Tmp] = err })
	if len(failed) != 3 || !errors.Is(failed["b"], fs.ErrExist) || !errors.Is(failed["c"], unix.ENAMETOOLONG) || !errors.Is(failed["gone"], fs.ErrNotExist) {
		t.Errorf("%v", failed)
	}
	if got := names(t, f, "tmp"); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("in tmp/: %v", got)
	}
	if got := names(t, f, "new"); !slices.Equal(got, []string{"a", "d", "taken"}) {
		t.Errorf("in new/: %v", got)
	}
	if err := b.SyncNew(); err != nil {
		t.Error(err)
	}
	// After it a delivered message can no longer be taken away by mistake.
	for _, file := range b.Files() {
		if err := file.Abort(); err != nil {
			t.Error(err)
		}
	}
	if got := names(t, f, "new"); len(got) != 3 {
		t.Errorf("in new/: %v", got)
	}
}

// TestSyncErrorsCount closes a directory under the batch.
func TestSyncErrorsCount(t *testing.T) {
	for _, sub := range []string{"tmp", "new", "cur"} {
		f := openFolder(t)
		file := finished(t, f, "t", []byte("x"))
		file.Name, file.Cur = "n", sub == "cur"
		b := f.NewBatch([]*File{file})
		fd := map[string]*int{"tmp": &f.tmp, "new": &f.new, "cur": &f.cur}[sub]
		unix.Close(*fd)
		*fd = -1
		if sub == "tmp" {
			if err := b.SyncTmp(); !errors.Is(err, unix.EBADF) {
				t.Errorf("tmp: %v", err)
			}
			continue
		}
		if err := b.SyncNew(); !errors.Is(err, unix.EBADF) {
			t.Errorf("%s: %v", sub, err)
		}
		if err := f.SyncAll(); !errors.Is(err, unix.EBADF) {
			t.Errorf("%s: %v", sub, err)
		}
	}
}

func TestSyncerBoundsAllOfTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSyncer(3)
		release := make(chan struct{})
		var now, done atomic.Int32
		for range 20 {
			go s.do(func() error {
				now.Add(1)
				<-release
				now.Add(-1)
				done.Add(1)
				return nil
			})
		}
		for n := int32(0); n < 20; n++ {
			synctest.Wait() // nobody can go on
			if got := now.Load(); got != min(3, 20-n) {
				t.Errorf("%d at once after %d", got, n)
			}
			release <- struct{}{}
		}
		synctest.Wait()
		if done.Load() != 20 {
			t.Errorf("%d were done", done.Load())
		}
	})
}

// TestBatchesOfManyLines delivers into one folder from many goroutines.
func TestBatchesOfManyLines(t *testing.T) {
	root := t.TempDir()
	s := NewSyncer(4)
	n := NewNamer("h")
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			f, err := Open(root, filepath.Join(root, "INBOX"), s)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			if err := f.Probe(); err != nil {
				t.Error(err)
			}
			for range 5 {
				var files []*File
				for range 4 {
					unique := n.Unique(time.Now())
					file := finished(t, f, Temporary(unique, key(byte(g))), []byte("x"))
					file.Name = Final(unique, 1, key(byte(g)))
					files = append(files, file)
				}
				b := f.NewBatch(files)
				drop := func(_ *File, err error) { t.Error(err) }
				b.SyncFiles(drop)
				b.Publish(drop)
				if _, err := f.Sweep(nil, n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	found, err := Scan(filepath.Join(root, "INBOX"))
	if err != nil || len(found.Delivered) != 8*5*4 || len(found.Tmp) != 0 {
		t.Errorf("%d delivered, %d in tmp/, %v", len(found.Delivered), len(found.Tmp), err)
	}
}

func TestPublishedDate(t *testing.T) {
	date := time.Date(1999, 12, 31, 23, 59, 59, 0, time.UTC)
	for _, cur := range []bool{false, true} {
		f := openFolder(t)
		file := finished(t, f, "t", []byte("x"))
		file.Name, file.Cur, file.Date = "n", cur, date
		f.NewBatch([]*File{file}).Publish(func(_ *File, err error) { t.Error(err) })
		st, err := os.Stat(f.path(map[bool]string{false: "new", true: "cur"}[cur], "n"))
		if err != nil || !st.ModTime().Equal(date) {
			t.Errorf("cur %t: %v, %v", cur, st, err)
		}
	}
}
