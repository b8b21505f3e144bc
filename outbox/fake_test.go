package outbox

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"postrider/ledger"
	"postrider/maildir"
)

// box is an outbox with its root, in a directory of its own, and a server.
type box struct {
	t      *testing.T
	dir    string
	rules  Rules
	resend bool
	log    bytes.Buffer
	event  func(what string) // told before each decision
	server *server
	root   *ledger.Root
	*Outbox
}

func newBox(t *testing.T) *box {
	t.Helper()
	b := &box{t: t, dir: t.TempDir(), server: &server{}}
	b.rules = Rules{Host: "host.example", RetryFor: 5 * 24 * time.Hour, Accounts: []Account{
		{Routed: Routed{Name: "work", Address: "ada@example.org", Aliases: []string{"*@ada.example"}}, Sent: "work/Sent", Inbox: "work/INBOX"},
		{Routed: Routed{Name: "home", Address: "ada@home.example"}, Sent: "home/Sent", Inbox: "home/INBOX"},
	}}
	for _, name := range []string{"Mail", "state"} {
		if err := os.Mkdir(filepath.Join(b.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b.open()
	return b
}

func (b *box) outbox(path ...string) string {
	return filepath.Join(append([]string{b.dir, "Outbox"}, path...)...)
}

func (b *box) mail(path ...string) string {
	return filepath.Join(append([]string{b.dir, "Mail"}, path...)...)
}

// tryOpen opens the outbox as a new process does.
func (b *box) tryOpen() error {
	root, err := ledger.OpenRoot(b.mail(), ledger.RootOptions{Identities: filepath.Join(b.dir, "state"), Keys: func(root string, each func([16]byte)) error { return maildir.Keys(root, each) }})
	if err != nil {
		return err
	}
	o, err := Open(Options{
		Dir: b.outbox(), Rules: b.rules, Resend: b.resend, Root: root, Names: maildir.NewNamer("host"), Syncer: maildir.NewSyncer(4),
		Log: slog.New(eventHandler{slog.NewTextHandler(&b.log, nil), b}),
	})
	if err != nil {
		return errors.Join(err, root.Close())
	}
	b.root, b.Outbox = root, o
	return nil
}

// eventHandler tells of each line that is logged.
type eventHandler struct {
	slog.Handler
	b *box
}

func (h eventHandler) Handle(ctx context.Context, r slog.Record) error {
	if h.b.event != nil {
		h.b.event(r.Message)
	}
	return h.Handler.Handle(ctx, r)
}

func (b *box) open() {
	b.t.Helper()
	if err := b.tryOpen(); err != nil {
		b.t.Fatalf("open: %v", err)
	}
	b.t.Cleanup(b.close)
}

func (b *box) close() {
	if b.Outbox != nil {
		if err := errors.Join(b.Outbox.Close(), b.root.Close()); err != nil {
			b.t.Error(err)
		}
	}
	b.Outbox = nil
}

// restart is the end of the process and the beginning of another one.
func (b *box) restart() {
	b.t.Helper()
	b.close()
	b.open()
}

// copied is the box as a power cut at this moment would leave it, if the disk
// had everything.
func (b *box) copied(t *testing.T) *box {
	c := &box{t: t, dir: filepath.Join(t.TempDir(), "copy"), rules: b.rules, resend: b.resend, server: b.server.copied()}
	if err := os.CopyFS(c.dir, os.DirFS(b.dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(c.dir, "state")); err != nil {
		t.Fatal(err)
	}
	return c
}

func (b *box) drop(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(b.outbox(name), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// letter is a message to addresses that say what becomes of it; see server.
func letterTo(subject string, to ...string) string {
	for i := range to {
		to[i] += "@b.example"
	}
	return "From: ada@example.org\nTo: " + strings.Join(to, ", ") + "\nSubject: " + subject + "\n\n.text\n"
}

// pass makes one pass and adds its reports.
func (b *box) pass() (sum Report, err error) {
	_, err = b.Pass(context.Background(), false, b.server.dial, func(r Report) {
		sum.Sent, sum.Deferred, sum.Failed = sum.Sent+r.Sent, sum.Deferred+r.Deferred, sum.Failed+r.Failed
		sum.Partly, sum.Uncertain, sum.Waiting, sum.Err = sum.Partly+r.Partly, sum.Uncertain+r.Uncertain, sum.Waiting+r.Waiting, errors.Join(sum.Err, r.Err)
	})
	return sum, err
}

func (b *box) mustPass() Report {
	b.t.Helper()
	r, err := b.pass()
	if err != nil {
		b.t.Fatalf("pass: %v", err)
	}
	return r
}

// queue shows what is in the spool: its states in their order, with subjects.
func (b *box) queue() string {
	b.t.Helper()
	items, err := b.List()
	if err != nil {
		b.t.Fatal(err)
	}
	var all []string
	for _, it := range items {
		all = append(all, string(it.State)+" "+it.Subject)
	}
	left, _ := os.ReadDir(b.outbox(spoolName, string(Incoming)))
	for range left {
		all = append(all, "incoming")
	}
	return strings.Join(all, ", ")
}

func (b *box) only() Item {
	b.t.Helper()
	items, err := b.List()
	if err != nil || len(items) != 1 {
		b.t.Fatalf("%d items, %v", len(items), err)
	}
	return items[0]
}

// folder returns the texts of the messages in a folder.
func (b *box) folder(name string) (texts []string) {
	b.t.Helper()
	for _, sub := range []string{"new", "cur"} {
		paths, _ := filepath.Glob(b.mail(name, sub, "*"))
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				b.t.Fatal(err)
			}
			texts = append(texts, string(text))
		}
	}
	if tmp, _ := filepath.Glob(b.mail(name, "tmp", "*")); len(tmp) > 0 {
		b.t.Errorf("left in tmp/: %v", tmp)
	}
	return texts
}

// files are the names in a directory of the outbox.
func (b *box) files(path ...string) string {
	b.t.Helper()
	entries, err := os.ReadDir(b.outbox(path...))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != spoolName {
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	return strings.Join(names, " ")
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// intended does the first half of delivering a copy: up to the intent.
func (b *box) intended(m *sending) (*maildir.Folder, ledger.Batch, error) {
	dir, err := maildir.Open(b.mail(), b.mail("work/Sent"), b.syncer)
	if err != nil {
		return nil, ledger.Batch{}, err
	}
	batch := ledger.Batch{Mailbox: filed, Folder: "work/Sent", Time: time.Now()}
	var copies []*copying
	for _, l := range b.lettersOf(m, time.Now()) {
		copies = append(copies, &l.copying)
	}
	if _, err := b.fill(dir, copies, &batch); err != nil {
		return nil, batch, err
	}
	return dir, batch, b.root.Ledger.Commit(func(t *ledger.Tx) (err error) {
		batch, err = t.Intend(b.root.Ledger, batch)
		return err
	})
}
