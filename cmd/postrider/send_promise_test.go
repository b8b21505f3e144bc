//go:build linux && (amd64 || arm64)

package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"postrider/mailtest"
	"postrider/mailtest/syscut"
)

// posting is some messages that are given to the program to be sent, the server
// that they are sent to, and what must hold of both whatever happens: each is
// accepted once for each recipient, or else is where the user finds it.
type posting struct {
	binary    string
	dir       string // the configuration, and what is on its way to the outbox
	outbox    string
	root      string
	state     string // XDG_STATE_HOME
	uncertain string // of the configuration: hold or resend
	noSent    bool   // no copies are kept
	letters   []letter
	faults    int // so often was the program disturbed, and may not know what the server has
	port      int // where the program connects to, if not to the server
	server    *mailtest.SMTP
	watch     func(accepted) // may be nil
	args      []string       // of the run that is disturbed, if they depend on it
	retried   bool           // the user has something sent again that the server may have

	mu       sync.Mutex
	accepted []accepted
	begun    map[string]int    // texts that the server has asked for, by recipient
	refused  map[string]int    // refusals so far, by recipient
	octets   map[string][]byte // of each letter, as the server got it first
	changed  []string          // letters of which it got other octets later
}

// letter is a message and its fate. What its recipients are called decides it:
// see hook.
type letter struct {
	id      string // in its X-Letter field
	name    string // of the file; empty: given to sendmail, with the arguments
	args    []string
	text    string
	gone    string // what must be at the server, below the fields that were added
	to      []string
	account string
	refuse  bool // it can never be sent
	dsns    int  // how many there are in the end on recipients that have not got it
	given   bool // the program has promised to send it
}

// accepted is one acceptance of a message by the server.
type accepted struct {
	letter string
	to     []string
}

// newLetter makes one of a header without X-Letter. Its line "Bcc: ..." must not go out.
func newLetter(id, name, header, body string, to ...string) letter {
	l := letter{id: id, name: name, to: to, account: "work", given: true}
	if slices.ContainsFunc(to, func(to string) bool { return !hopes(to) }) {
		l.dsns = 1
	}
	l.text = header + "X-Letter: " + id + "\n\n" + body
	for line := range strings.Lines(l.text) {
		if !strings.HasPrefix(line, "Bcc: ") {
			l.gone += line
		}
	}
	if !strings.HasSuffix(l.gone, "\n") {
		l.gone += "\n"
	}
	return l
}

// mailToSend has one letter of each kind that is done with soon.
func mailToSend() []letter {
	return slices.DeleteFunc(everyLetter(), func(l letter) bool { return l.id == "lost" || l.id == "late" || l.id == "both" })
}

func everyLetter() []letter {
	const ada, home, own = "From: Ada <ada@example.org>\n", "From: ada@home.example\n", "Date: Mon, 2 Mar 2026 10:00:00 +0100\nMessage-ID: <own-%s@example.org>\n"
	all := []letter{
		newLetter("bcc", "bcc.eml", ada+"To: b1@example.com\nBcc: b2@example.com, b3@example.com\nSubject: one\n", ".\n..\n.dots\n", "b1@example.com", "b2@example.com", "b3@example.com"),
		newLetter("own", "own", ada+fmt.Sprintf(own, "a")+"To: o1@example.com, o2@example.com\n", strings.Repeat("A line of text.\n", 3000), "o1@example.com", "o2@example.com"),
		newLetter("mixed", "mixed.eml", ada+"To: ok-m@example.com\nCc: hard-m@example.com, soft-m@example.com\n", "mixed", "ok-m@example.com", "hard-m@example.com", "soft-m@example.com"),
		newLetter("hard", "hard.eml", ada+"To: hard-h@example.com\n", "nobody\n", "hard-h@example.com"),
		newLetter("dot", "dot.eml", ada+"To: later-d@example.com\n", "at the dot\n", "later-d@example.com"),
		newLetter("never", "never.eml", ada+"To: never-n@example.com\n", "never\n", "never-n@example.com"),
		newLetter("stranger", "stranger.eml", "From: mallory@example.net\nTo: s@example.com\n", "no account\n", "s@example.com"),
		newLetter("nobody", "nobody.eml", "To: n@example.com\n", "no sender\n", "n@example.com"),
		newLetter("home", "home.eml", home+"To: p1@example.com\n", "home\n", "p1@example.com"),
		newLetter("away", "away.eml", home+"To: soft-p@example.com\nBcc: p2@example.com\n", "away\n", "soft-p@example.com", "p2@example.com"),
		newLetter("lost", "lost.eml", ada+"To: lost-l@example.com\n", "lost\n", "lost-l@example.com"),
		newLetter("late", "late.eml", ada+"To: late-l@example.com\n", "late\n", "late-l@example.com"),
		newLetter("both", "both.eml", ada+"To: ok-b@example.com, hard-b@example.com, late-b@example.com\n", "both\n", "ok-b@example.com", "hard-b@example.com", "late-b@example.com"),
		newLetter("cron", "", "Subject: from cron\n", ".\ndone\n", "c1@example.com"),
		newLetter("header", "", ada+"To: t1@example.com\nBcc: t2@example.com\n", "-t\n", "t1@example.com", "t2@example.com", "t3@example.com"),
	}
	for i := range all {
		switch l := &all[i]; l.id {
		case "stranger", "nobody":
			l.refuse = true
		case "home", "away":
			l.account = "home"
		case "both":
			l.dsns = 2 // at different times
		case "cron":
			l.args = []string{"-i", "-FCron", "c1@example.com"}
		case "header":
			l.args = []string{"-t", "-oi", "t3@example.com"}
		}
	}
	return all
}

// someMail is for many runs of the program.
func someMail(ids ...string) []letter {
	var some []letter
	for _, l := range everyLetter() {
		if slices.Contains(ids, l.id) {
			some = append(some, l)
		}
	}
	return some
}

const postingPassword = "a pass:word"

// newPosting starts a server, and puts the letters where the program finds
// them. The caller must close it.
func newPosting(binary, base string, letters []letter) (*posting, error) {
	dir, err := os.MkdirTemp(base, "")
	if err != nil {
		return nil, err
	}
	p := &posting{binary: binary, dir: dir, uncertain: "hold", letters: letters}
	p.place(dir)
	return p, errors.Join(p.serve(), p.drop(0))
}

// place says where outbox, root and state are.
func (p *posting) place(dir string) {
	p.outbox, p.root, p.state = filepath.Join(dir, "Outbox"), filepath.Join(dir, "Mail"), filepath.Join(dir, "state")
}

// serve starts the server and configures the program for it.
func (p *posting) serve() error {
	if p.begun == nil {
		p.begun, p.refused, p.octets = map[string]int{}, map[string]int{}, map[string][]byte{}
	}
	p.server = mailtest.NewSMTP(mailtest.SMTPOptions{
		Users: map[string]string{"ada": postingPassword}, Mechanisms: []string{"PLAIN"}, Hook: p.hook,
		Quirks: mailtest.SMTPQuirks{ClearAuth: true},
	})
	if err := p.server.Start(); err != nil {
		return err
	}
	return p.configure()
}

// hook refuses: recipients that begin with "hard-" for good, with "late-" for now
// and always, and with "soft-" once,
// messages for "never-" always and for "later-" once. For "lost-" it cuts the
// line after the first final dot.
func (p *posting) hook(e *mailtest.SMTPEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := func() bool { // and not again
		p.refused[e.To[len(e.To)-1]]++
		return p.refused[e.To[len(e.To)-1]] == 1
	}
	to := ""
	if len(e.To) > 0 {
		to = e.To[len(e.To)-1]
	}
	switch e.Verb {
	case "RCPT":
		switch {
		case strings.HasPrefix(to, "hard-"):
			e.Refuse(550, "5.1.1 nobody is here of that name")
		case strings.HasPrefix(to, "late-"), strings.HasPrefix(to, "soft-") && first():
			e.Refuse(450, "4.2.1 come back later")
		}
	case "TEXT":
		for _, to := range e.To {
			p.begun[to]++
		}
	case "DOT":
		id := letterOf(e.Octets)
		if p.octets[id] == nil {
			p.octets[id] = bytes.Clone(e.Octets)
		} else if !bytes.Equal(p.octets[id], e.Octets) {
			p.changed = append(p.changed, id)
		}
		switch {
		case strings.HasPrefix(to, "never-"):
			e.Refuse(554, "5.6.0 not such a message")
			return
		case strings.HasPrefix(to, "later-") && first():
			e.Refuse(451, "4.3.0 not now")
			return
		case strings.HasPrefix(to, "lost-") && first():
			e.Cut(0)
		}
		a := accepted{id, e.To}
		p.accepted = append(p.accepted, a)
		if p.watch != nil {
			p.watch(a)
		}
	}
}

func letterOf(octets []byte) string {
	_, rest, found := bytes.Cut(octets, []byte("X-Letter: "))
	id, _, _ := bytes.Cut(rest, []byte("\n"))
	if !found {
		return ""
	}
	return strings.TrimSpace(string(id))
}

func (p *posting) configure() error {
	port, sent := p.port, ""
	if port == 0 {
		port = p.server.Port()
	}
	if p.noSent {
		sent = `, sent: ""`
	}
	account := func(name, address string) string {
		return fmt.Sprintf("  %s:\n    address: %s\n    user: ada\n    password: %q\n    smtp: {host: 127.0.0.1, port: %d, tls: none%s}\n", name, address, postingPassword, port, sent)
	}
	config := fmt.Sprintf("maildir: %q\noutbox: {path: %q, uncertain: %s}\naccounts:\n", p.root, p.outbox, p.uncertain)
	config += account("work", "ada@example.org") + account("home", "ada@home.example")
	return os.WriteFile(p.config(), []byte(config), 0o600)
}

// drop puts the letters from the n-th on into the outbox or gives them to
// sendmail.
func (p *posting) drop(n int) error {
	if err := os.MkdirAll(p.outbox, 0o700); err != nil {
		return err
	}
	for i := range p.letters[n:] {
		if err := p.put(&p.letters[n+i]); err != nil {
			return err
		}
	}
	return nil
}

func (p *posting) put(l *letter) error {
	switch {
	case !l.given: // somebody else does
		return nil
	case l.name != "":
		return os.WriteFile(filepath.Join(p.outbox, l.name), []byte(l.text), 0o600)
	}
	cmd := p.command(context.Background(), append([]string{"sendmail"}, l.args...)...)
	cmd.Stdin = strings.NewReader(l.text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("sendmail: %w\n%s", err, out)
	}
	return nil
}

func (p *posting) close() error { return errors.Join(p.server.Close(), os.RemoveAll(p.dir)) }

func (p *posting) config() string { return filepath.Join(p.dir, "config.yaml") }
func (p *posting) stdin() string  { return filepath.Join(p.dir, "letter") }
func (p *posting) argv(args ...string) []string {
	return append([]string{p.binary, "-c", p.config()}, args...)
}
func (p *posting) env() []string {
	return []string{"HOME=" + p.dir, "XDG_STATE_HOME=" + p.state, "PATH=" + os.Getenv("PATH")}
}

func (p *posting) command(ctx context.Context, args ...string) *exec.Cmd {
	argv := p.argv(args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = p.env()
	return cmd
}

// supervised is the program to be cut, and what it prints. Sendmail gets the last
// letter.
func (p *posting) supervised(args ...string) (syscut.Run, *bytes.Buffer) {
	output := &bytes.Buffer{}
	if len(p.args) > 0 {
		args = p.args
	}
	argv := p.argv(args...)
	if args[0] == "sendmail" {
		argv = append([]string{"sh", "-c", `exec "$0" "$@" <` + p.stdin()}, argv...)
	}
	return syscut.Run{
		Argv: argv, Env: p.env(), Roots: []string{p.outbox, p.root, p.state}, Stdout: output, Stderr: output,
	}, output
}

// run runs the program undisturbed and returns its exit code and output.
func (p *posting) run(ctx context.Context, args ...string) (code int, output string) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := p.command(ctx, args...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		return -1, err.Error()
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// send runs it to send, which has to end as it does when messages are refused
// and put off.
func (p *posting) send(ctx context.Context) (output string, err error) {
	code, output := p.run(ctx, "send")
	if code != 0 && code != 1 && code != 75 {
		return output, fmt.Errorf("send ended with %d:\n%s", code, output)
	}
	return output, nil
}

// flush makes all that was put off due.
func (p *posting) flush(ctx context.Context) error {
	if code, output := p.run(ctx, "queue", "flush"); code != 0 {
		return fmt.Errorf("queue flush ended with %d:\n%s", code, output)
	}
	return nil
}

// settle sends until nothing is left to do, and then wants the promise
// fulfilled. One more run must do nothing.
func (p *posting) settle(ctx context.Context) error {
	var printed []string
	for range 3 { // what was put off once, and by a fault a second time
		output, err := p.send(ctx)
		printed = append(printed, output)
		if err == nil {
			err = p.kept()
		}
		if err == nil {
			err = p.flush(ctx)
		}
		if err != nil {
			return fmt.Errorf("%w\nsend printed:\n%s", err, strings.Join(printed, "--\n"))
		}
	}
	code, output := p.run(ctx, "send")
	if !strings.HasPrefix(output, "0 messages sent") || code != 0 {
		return fmt.Errorf("a last send ended with %d:\n%s\nthose before printed:\n%s", code, output, strings.Join(printed, "--\n"))
	}
	if err := p.fulfilled(); err != nil {
		return fmt.Errorf("%w\nsend printed:\n%s", err, strings.Join(printed, "--\n"))
	}
	return nil
}
