//go:build linux && (amd64 || arm64)

package main_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// promise is a maildrop of 30 small messages, a root to fetch it into, and what
// must hold of both whatever happens to the program: nothing lost, nothing
// twice, nothing torn, and the server told to remove only what is safe.
type promise struct {
	binary   string
	dir      string // the configuration
	root     string
	state    string // XDG_STATE_HOME
	onServer string
	pause    time.Duration // of the server, so that there are several batches
	server   *mailtest.POP3
	messages []promised
}

type promised struct {
	uid  string
	wire []byte
	sum  [sha256.Size]byte // of the file
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
		wire := mailtest.Wire(octets)
		all = append(all, promised{fmt.Sprintf("uid-%02d", i), wire, sha256.Sum256(mailtest.Local(wire))})
	}
	return all
}

// newPromise starts a server with all messages, in a new folder below base. The
// caller must close it.
func newPromise(binary, base, onServer string, pause time.Duration) (*promise, error) {
	dir, err := os.MkdirTemp(base, "")
	if err != nil {
		return nil, err
	}
	p := &promise{
		binary: binary, dir: dir, root: filepath.Join(dir, "Mail"), state: filepath.Join(dir, "state"),
		onServer: onServer, pause: pause, messages: promisedMail(),
	}
	return p, p.serve(nil, p.messages)
}

// longPause is longer than the program waits for a batch to grow.
const longPause = 130 * time.Millisecond

// newLaterPromise is one of which half was fetched before.
func newLaterPromise(ctx context.Context, binary, base, onServer string) (*promise, error) {
	p, err := newPromise(binary, base, onServer, 0)
	if err != nil {
		return nil, err
	}
	later := p.messages[promisedMessages/2:]
	for _, m := range later {
		p.server.Mailbox(promisedUser).Remove(m.uid)
	}
	err = p.fetch(ctx)
	for _, m := range later {
		p.server.Mailbox(promisedUser).Add(m.uid, m.wire)
	}
	return p, err
}

// serve starts a server with the given messages, and configures the program for
// it. Each command is shown to hook.
func (p *promise) serve(hook func(*mailtest.POP3Event), messages []promised) error {
	p.server = mailtest.NewPOP3(mailtest.POP3Options{
		Users:    map[string]string{promisedUser: promisedPassword},
		LockWait: 10 * time.Second, // a killed program's session ends a moment after it
		Hook: func(e *mailtest.POP3Event) {
			if p.pause > 0 && e.Verb == "RETR" && e.Nth > 1 && e.Nth%(promisedMessages/promisedBatches) == 1 {
				e.Delay(p.pause)
			}
			if hook != nil {
				hook(e)
			}
		},
	})
	if err := p.server.Start(); err != nil {
		return err
	}
	for _, m := range messages {
		p.server.Mailbox(promisedUser).Add(m.uid, m.wire)
	}
	return p.configure()
}

func (p *promise) configure() error {
	config := fmt.Sprintf(`maildir: %s
outbox: off
accounts:
  work:
    address: ada@example.org
    user: %s
    password: '%s'
    pop3: {host: 127.0.0.1, port: %d, tls: none, on_server: %s, schedule: manual}
`, p.root, promisedUser, promisedPassword, p.server.Port(), p.onServer)
	return os.WriteFile(p.config(), []byte(config), 0o600)
}

func (p *promise) close() error { return errors.Join(p.server.Close(), os.RemoveAll(p.dir)) }

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

// count is what is in the folder.
type count struct {
	copies      map[[sha256.Size]byte]int
	torn, inTmp []string
}

func (p *promise) count() (count, error) {
	c := count{copies: map[[sha256.Size]byte]int{}}
	known := map[[sha256.Size]byte]bool{}
	for _, m := range p.messages {
		known[m.sum] = true
	}
	for _, sub := range []string{"new", "cur", "tmp"} {
		dir := filepath.Join(p.root, "work", "INBOX", sub)
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return c, err
		}
		for _, e := range entries {
			switch {
			case sub == "tmp":
				c.inTmp = append(c.inTmp, e.Name())
			case strings.HasPrefix(e.Name(), "."): // readers do not see it
			default:
				octets, err := os.ReadFile(filepath.Join(dir, e.Name()))
				if err != nil {
					return c, err
				}
				sum := sha256.Sum256(octets)
				c.copies[sum]++
				if !known[sum] {
					c.torn = append(c.torn, fmt.Sprintf("%s/%s (%d octets)", sub, e.Name(), len(octets)))
				}
			}
		}
	}
	return c, nil
}

// kept returns an error if the promise is broken in the middle of things: a
// torn or doubled message, or one that is neither here nor on the server.
func (p *promise) kept() error {
	c, err := p.count()
	if err != nil {
		return err
	}
	onServer := map[string]bool{}
	for _, m := range p.server.Mailbox(promisedUser).Messages() {
		onServer[m.UID] = true
	}
	var lost, twice []string
	for _, m := range p.messages {
		if n := c.copies[m.sum]; n > 1 {
			twice = append(twice, m.uid)
		} else if n == 0 && !onServer[m.uid] {
			lost = append(lost, m.uid)
		}
	}
	return broken(lost, twice, c.torn)
}

// fulfilled returns an error unless every message is here once, tmp/ is empty,
// and the server has what it should have.
func (p *promise) fulfilled() error {
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
	left, want := p.server.Mailbox(promisedUser).Len(), len(p.messages)
	if p.onServer == "delete" {
		want = 0
	}
	err = broken(lost, twice, c.torn)
	if len(c.inTmp) > 0 {
		err = errors.Join(err, fmt.Errorf("left in tmp/: %q", c.inTmp))
	}
	if left != want {
		err = errors.Join(err, fmt.Errorf("%d messages on the server, want %d", left, want))
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
