package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"postrider/ledger"
	"postrider/maildir"
)

var (
	errCut     = errors.New("the line was cut")
	errRefused = errors.New("server refused RETR: [SYS/TEMP] not now")
)

// message is one message of a server in memory.
type message struct {
	uid    string
	text   string // with CRLF
	octets int64  // announced; 0: what it has
}

// server is a mail server in memory, with the faults that a test wants. Its
// sessions are Sources.
type server struct {
	messages   []message
	incomplete bool           // some lines of the list could not be read
	refused    map[string]int // how often RETR of this uid is refused; -1: always
	breaking   map[string]int // how often the session breaks in the middle of this uid
	deaf       bool           // says +OK to DELE and QUIT, and removes nothing
	unsure     error          // of QUIT, after which nothing was removed
	unheard    error          // of QUIT, after which everything was removed

	pace  func(i int) // called before each message
	other dialer      // serves in its place

	sessions int
	asked    []string // uids in the order of RETR, over all sessions
	disposed []string // uids of DELE
}

func (s *server) dial(ctx context.Context) (Source, error) {
	if s.other != nil {
		return s.other.dial(ctx)
	}
	s.sessions++
	return &session{server: s, messages: slices.Clone(s.messages), marked: map[int]bool{}}, nil
}

func (s *server) add(uids ...string) *server {
	for _, uid := range uids {
		s.messages = append(s.messages, message{uid: uid, text: text(uid)})
	}
	return s
}

func (s *server) remove(uid string) {
	s.messages = slices.DeleteFunc(s.messages, func(m message) bool { return m.uid == uid })
}

func text(of string) string { return "Subject: " + of + "\r\n\r\nThis is " + of + ".\r\n" }

type session struct {
	server   *server
	messages []message
	marked   map[int]bool
}

func (s *session) List(_ context.Context, _ Mark, each func(Item) error) (Listing, error) {
	for i, m := range s.messages {
		octets := m.octets
		if octets == 0 {
			octets = int64(len(m.text))
		}
		if err := each(Item{Number: i + 1, UID: []byte(m.uid), Octets: octets}); err != nil {
			return Listing{}, err
		}
	}
	return Listing{Complete: !s.server.incomplete}, nil
}

func spend(faults map[string]int, uid string) bool {
	n := faults[uid]
	if n > 0 {
		faults[uid]--
	}
	return n != 0
}

func (s *session) Retrieve(ctx context.Context, want []Request, r Receiver) error {
	for i, w := range want {
		if err := ctx.Err(); err != nil {
			return err
		}
		if s.server.pace != nil {
			s.server.pace(i)
		}
		m := s.messages[w.Number-1]
		s.server.asked = append(s.server.asked, m.uid)
		if spend(s.server.refused, m.uid) {
			if err := r.End(i, errRefused); err != nil {
				return err
			}
			continue
		}
		to, err := r.Begin(i)
		if err != nil {
			return errors.Join(err, r.End(i, err))
		}
		breaks := spend(s.server.breaking, m.uid)
		part := m.text
		if breaks {
			part = part[:len(part)/2]
		}
		if _, err := io.WriteString(to, part); err != nil {
			return errors.Join(err, r.End(i, err))
		}
		if breaks {
			return errors.Join(errCut, r.End(i, errCut))
		}
		if err := r.End(i, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) Dispose(_ context.Context, numbers []int, each func(int, error)) error {
	for _, n := range numbers {
		s.server.disposed = append(s.server.disposed, s.messages[n-1].uid)
		s.marked[n] = true
		each(n, nil)
	}
	return nil
}

func (s *session) Close(context.Context) error {
	if len(s.marked) == 0 || s.server.deaf {
		return nil
	}
	if s.server.unsure != nil {
		return s.server.unsure
	}
	for n := range s.marked {
		gone := s.messages[n-1]
		i := slices.Index(s.server.messages, gone)
		s.server.messages = slices.Delete(s.server.messages, i, i+1)
	}
	return s.server.unheard
}

func (s *session) Abort() {}

// world is a root on disk with one line into it, which can end and begin anew
// as a process does.
type world struct {
	t    *testing.T
	dir  string
	job  Job
	root *ledger.Root
	line *Line
	log  *record
}

func newWorld(t *testing.T, change ...func(*Job)) *world {
	t.Helper()
	w := &world{t: t, dir: fastDir(t), log: &record{}}
	w.job = Job{Protocol: "pop3", Account: "work", Mailbox: "INBOX", Folder: "work/INBOX", Log: slog.New(slog.NewTextHandler(w.log, nil))}
	for _, f := range change {
		f(&w.job)
	}
	w.open()
	t.Cleanup(w.close)
	return w
}

// fastDir returns a temporary directory, in memory where there is one.
func fastDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "fetch")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func deleting(j *Job) { j.OnServer.Action = Remove }

func (w *world) open() {
	w.t.Helper()
	root, err := ledger.OpenRoot(w.mail(), ledger.RootOptions{Identities: filepath.Join(w.dir, "roots"), Accept: true, Keys: maildir.Keys})
	if err != nil {
		w.t.Fatal(err)
	}
	w.root = root
	w.line, err = Open(Shared{Root: root, Names: maildir.NewNamer("host"), Syncer: maildir.NewSyncer(4), Slots: make(chan struct{}, 8)}, w.job)
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) mail() string { return filepath.Join(w.dir, "Mail") }

func (w *world) close() {
	if w.line != nil {
		w.line.Close()
		w.root.Close()
	}
	w.line = nil
}

// again ends the process and begins the next.
func (w *world) again() {
	w.t.Helper()
	w.close()
	w.open()
}

// dialer is a server of either kind.
type dialer interface {
	dial(context.Context) (Source, error)
}

// pass makes a pass that must not fail.
func (w *world) pass(s dialer) Result {
	w.t.Helper()
	r, err := w.line.Pass(w.t.Context(), s.dial)
	if err != nil {
		w.t.Fatalf("pass: %v\n%s", err, w.log)
	}
	w.idle()
	return r
}

// idle checks that a line between two passes holds nothing.
func (w *world) idle() {
	w.t.Helper()
	if n := len(w.line.shared.Slots); n != 0 {
		w.t.Errorf("%d slots are still taken", n)
	}
}

// folder returns the texts of the messages in a folder, and how many there are
// of each.
func (w *world) folder(name string) map[string]int {
	w.t.Helper()
	found := map[string]int{}
	for _, sub := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(w.mail(), name, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.t.Fatal(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(w.mail(), name, sub, e.Name()))
			if err != nil {
				w.t.Fatal(err)
			}
			found[string(b)]++
		}
	}
	return found
}

// once checks that the folder holds exactly one copy of each of these texts,
// and that nothing of ours is left in tmp/.
func (w *world) once(uids ...string) {
	w.t.Helper()
	want := map[string]int{}
	for _, uid := range uids {
		want[strings.ReplaceAll(text(uid), "\r\n", "\n")]++
	}
	w.holds(want)
	left, err := os.ReadDir(filepath.Join(w.mail(), w.job.Folder, "tmp"))
	if err != nil || len(left) > 0 {
		w.t.Errorf("left in tmp/: %v, %v", left, err)
	}
}

func (w *world) holds(want map[string]int) {
	w.t.Helper()
	got := w.folder(w.job.Folder)
	for text, n := range want {
		if got[text] != n {
			w.t.Errorf("%d times in the folder, want %d: %q", got[text], n, text)
		}
	}
	for text, n := range got {
		if want[text] == 0 {
			w.t.Errorf("%d times in the folder, want none: %q", n, text)
		}
	}
}

// record is a log in memory.
type record struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func uids(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%d", prefix, i+1)
	}
	return list
}

func (w *world) loseLedger() {
	w.t.Helper()
	if err := os.Remove(filepath.Join(w.mail(), ".postrider", "state.db")); err != nil {
		w.t.Fatal(err)
	}
}
