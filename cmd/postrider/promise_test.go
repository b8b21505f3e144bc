//go:build linux && (amd64 || arm64)

package main_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/mailtest"
	"postrider/mailtest/syscut"
)

// TestMain lets this test binary start the program under the supervisor that
// kills it.
func TestMain(m *testing.M) {
	syscut.Trampoline()
	os.Exit(m.Run())
}

// promise is some messages on a server, a root to fetch them into, and what
// must hold of both whatever happens to the program: nothing lost, nothing
// twice, nothing torn, and the server told to remove only what is safe.
type promise struct {
	binary   string
	dir      string // the configuration
	root     string
	state    string // XDG_STATE_HOME
	onServer string
	pause    time.Duration // of the server, so that there are several batches
	post     func(p *promise, watch func(told)) office
	office   office
	messages []promised
	dateless bool // the kernel refused to set a date
	littered bool // the program has said that a file stays in tmp/
	matching bool // the next run removes nothing on the server
	unrest   bool // the server changes in the middle of a run, which may then fail
}

// promised is a message.
type promised struct {
	uid  string
	wire []byte
	sum  [sha256.Size]byte // of the file

	folders   []string  // below the account's, one of which it has to be in
	info      string    // what the name of its file ends in; empty: it is in new/
	date      time.Time // of its file; zero: any
	mailboxes []string  // that have it on an IMAP server
	flags     []string  // there
}

// office is the server of a promise.
type office interface {
	start() error
	put([]promised)
	remove(uids map[string]bool)                  // as the program would have it
	account() string                              // its lines in the configuration
	left() map[string]bool                        // what can be fetched, by uid
	settled(messages []promised, over bool) error // over: all is done that on_server wants
	Close() error
}

// told is what the program tells the server to do with messages, before the
// server does it.
type told struct {
	uids  map[string]bool
	final bool // the messages are going to be gone
}

const (
	promisedMessages = 30
	promisedBatches  = 3 // into which the server's pauses divide them
	promisedUser     = "ada"
	promisedPassword = "a pass:word"
)

// promisedMail is everyday mail with some oddities of the line format.
func promisedMail() []promised {
	var all []promised
	for i, m := range mailtest.Generate(7, promisedMessages, 3000) {
		octets := m.Octets
		switch i {
		case 3:
			octets = []byte("Subject: dots\n\n.\n..\n.hidden\n\n.\n")
		case 4:
			octets = []byte("Subject: carriage returns\n\na\rb\r\r\n\r")
		case 5:
			octets = []byte("X")
		}
		all = append(all, newPromised(fmt.Sprintf("uid-%02d", i), octets))
	}
	return all
}

func newPromised(uid string, octets []byte) promised {
	wire := mailtest.Wire(octets)
	return promised{uid: uid, wire: wire, sum: sha256.Sum256(mailtest.Local(wire)), folders: []string{"INBOX"}}
}

// prepare lays a promise out in a new folder below base; there is no server yet.
func (p *promise) prepare(base string) error {
	dir, err := os.MkdirTemp(base, "")
	p.dir, p.root, p.state = dir, filepath.Join(dir, "Mail"), filepath.Join(dir, "state")
	return err
}

// longPause is longer than the program waits for a batch to grow.
const longPause = 130 * time.Millisecond

// serve starts a server with the given messages, and configures the program for
// it. watch may be nil.
func (p *promise) serve(watch func(told), messages []promised) error {
	if watch == nil {
		watch = func(told) {}
	}
	p.office = p.post(p, watch)
	if err := p.office.start(); err != nil {
		return err
	}
	p.office.put(messages)
	return p.configure()
}

// serveHalf has the first half of the messages fetched; the others came later.
func (p *promise) serveHalf(ctx context.Context) error {
	if err := p.serve(nil, p.messages[:len(p.messages)/2]); err != nil {
		return err
	}
	err := p.fetch(ctx)
	p.putRest()
	return err
}

func (p *promise) putRest() { p.office.put(p.messages[len(p.messages)/2:]) }

func (p *promise) configure() error {
	config := fmt.Sprintf(`maildir: %s
outbox: off
accounts:
  work:
    address: ada@example.org
    user: %s
    password: '%s'
    %s
`, p.root, promisedUser, promisedPassword, p.office.account())
	return os.WriteFile(p.config(), []byte(config), 0o600)
}

func (p *promise) close() error { return errors.Join(p.office.Close(), os.RemoveAll(p.dir)) }

func (p *promise) config() string { return filepath.Join(p.dir, "config.yaml") }
func (p *promise) argv() []string { return []string{p.binary, "-c", p.config(), "fetch"} }
func (p *promise) env() []string {
	return []string{"HOME=" + p.dir, "XDG_STATE_HOME=" + p.state, "PATH=" + os.Getenv("PATH")}
}

// supervised is the program to be cut, and what it prints.
func (p *promise) supervised() (syscut.Run, *bytes.Buffer) {
	output := &bytes.Buffer{}
	return syscut.Run{
		Argv: p.argv(), Env: p.env(), Roots: []string{p.root, p.state}, Stdout: output, Stderr: output,
	}, output
}

// fetch runs the program undisturbed; it must end well.
func (p *promise) fetch(ctx context.Context) error {
	if code, output := p.tryFetch(ctx); code != 0 {
		return fmt.Errorf("fetch ended with %d:\n%s", code, output)
	}
	return nil
}

// tryFetch runs the program undisturbed and returns its exit code and output.
func (p *promise) tryFetch(ctx context.Context) (code int, output string) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.argv()[0], p.argv()[1:]...)
	cmd.Env = p.env()
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		return -1, err.Error()
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// count is what is in the folders.
type count struct {
	copies  map[[sha256.Size]byte]int
	torn    []string // or not where it should be
	inTmp   []string
	undated []string // with another date than the server's
}

func (p *promise) count() (count, error) {
	c := count{copies: map[[sha256.Size]byte]int{}}
	known := map[[sha256.Size]byte]*promised{}
	for i := range p.messages {
		known[p.messages[i].sum] = &p.messages[i]
	}
	err := filepath.WalkDir(p.root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case e.IsDir() && e.Name() == ".postrider":
			return fs.SkipDir
		case e.IsDir(), strings.HasPrefix(e.Name(), "."): // readers do not see it
			return nil
		}
		return c.see(p.root, path, known)
	})
	return c, err
}

// see counts one file.
func (c *count) see(root, path string, known map[[sha256.Size]byte]*promised) error {
	dir, name := filepath.Split(path)
	sub := filepath.Base(dir)
	folder, err := filepath.Rel(filepath.Join(root, "work"), filepath.Dir(filepath.Clean(dir)))
	if err != nil {
		return err
	}
	if sub == "tmp" {
		c.inTmp = append(c.inTmp, name)
		return nil
	}
	octets, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(octets)
	c.copies[sum]++
	what := fmt.Sprintf("%s/%s/%s (%d octets)", folder, sub, name, len(octets))
	m := known[sum]
	switch {
	case m == nil:
		c.torn = append(c.torn, what)
		return nil
	case !slices.Contains(m.folders, folder),
		m.info == "" && (sub != "new" || strings.Contains(name, ":")),
		m.info != "" && (sub != "cur" || !strings.HasSuffix(name, m.info)):
		c.torn = append(c.torn, fmt.Sprintf("%s: %s, which belongs in %q with %q", what, m.uid, m.folders, m.info))
	}
	if !m.date.IsZero() && info.ModTime().Unix() != m.date.Unix() {
		c.undated = append(c.undated, what)
	}
	return nil
}

// kept returns an error if the promise is broken in the middle of things: a
// torn or doubled message, or one that is neither here nor on the server.
func (p *promise) kept() error {
	c, err := p.count()
	if err != nil {
		return err
	}
	left := p.office.left()
	var lost, twice []string
	for _, m := range p.messages {
		if n := c.copies[m.sum]; n > 1 {
			twice = append(twice, m.uid)
		} else if n == 0 && !left[m.uid] {
			lost = append(lost, m.uid)
		}
	}
	return errors.Join(broken(lost, twice, c.torn), p.office.settled(p.messages, false))
}

// fulfilled returns an error unless everything has arrived and the server has
// what it should have.
func (p *promise) fulfilled() error {
	return errors.Join(p.arrived(), p.office.settled(p.messages, true))
}

// arrived returns an error unless every message is here once and tmp/ is empty.
func (p *promise) arrived() error {
	c, err := p.count()
	if err != nil {
		return err
	}
	var lost, twice []string
	for _, m := range p.messages {
		switch n := c.copies[m.sum]; {
		case n == 0:
			lost = append(lost, m.uid)
		case n > 1:
			twice = append(twice, m.uid)
		}
	}
	err = broken(lost, twice, c.torn)
	if len(c.inTmp) > 0 && !p.littered {
		err = errors.Join(err, fmt.Errorf("left in tmp/: %q", c.inTmp))
	}
	if len(c.undated) > 0 && !p.dateless {
		err = errors.Join(err, fmt.Errorf("without the server's date: %q", c.undated))
	}
	return err
}

func broken(lost, twice, torn []string) error {
	if len(lost)+len(twice)+len(torn) == 0 {
		return nil
	}
	return fmt.Errorf("%d lost %q, %d twice %q, %d torn %q", len(lost), lost, len(twice), twice, len(torn), torn)
}

// settle fetches until the program has nothing left to do, and then wants the
// promise fulfilled. The second run must find nothing new.
func (p *promise) settle(ctx context.Context) error {
	if p.unrest {
		p.tryFetch(ctx)
		if err := p.kept(); err != nil {
			return fmt.Errorf("after unrest: %w", err)
		}
	}
	if err := p.fetch(ctx); err != nil {
		return err
	}
	before, err := p.count()
	if err != nil {
		return err
	}
	if err := p.fetch(ctx); err != nil {
		return fmt.Errorf("second %w", err)
	}
	after, err := p.count()
	if err != nil {
		return err
	}
	for sum, n := range after.copies {
		if before.copies[sum] != n {
			return fmt.Errorf("a second run delivered more: %v", sum)
		}
	}
	return p.fulfilled()
}
