package auth

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// maxPassword bounds what a file or a command may give, in octets with the
// newline. More is an error: half a secret is never sent.
const maxPassword = 4096

// Source says where a password (or an access token) comes from. Exactly one
// field is set.
type Source struct {
	Literal    string   // the password itself
	File       string   // path of a file that holds it
	Env        string   // name of an environment variable
	Credential string   // name of a file in $CREDENTIALS_DIRECTORY (systemd.exec(5))
	Command    []string // argv of a program that prints it; no shell
}

// String names the kind of source and nothing else.
func (s Source) String() string { return "password source (" + strings.Join(s.kinds(), ", ") + ")" }

// Format writes String for every verb, so that not even %#v shows a literal.
func (s Source) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue keeps a literal out of logs.
func (s Source) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps a literal out of JSON.
func (s Source) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Source) kinds() []string {
	var set []string
	for _, kind := range []struct {
		name string
		set  bool
	}{
		{"literal", s.Literal != ""},
		{"file", s.File != ""},
		{"env", s.Env != ""},
		{"credential", s.Credential != ""},
		{"command", len(s.Command) > 0},
	} {
		if kind.set {
			set = append(set, kind.name)
		}
	}
	return set
}

// Password gives one account's password. It is safe for concurrent use.
//
// It holds its source as functions: however it is printed, no secret shows.
type Password struct {
	ask   func(ctx context.Context) (string, error)
	cache bool // ask starts a program: keep the answer, and never run two

	mu      sync.Mutex
	kept    secret // the command's answer, nil when there is none
	running *run   // the command that runs now
}

// run is one run of the command; its fields are read after done is closed.
type run struct {
	done      chan struct{}
	password  string
	err       error
	abandoned bool // ended because the caller who started it went away
}

// NewPassword makes a Password; nothing is read before the first Get. A
// source with no field or several set gives an error from Get. The program of
// a Command is looked up in the PATH of this process and runs with env.
func NewPassword(s Source, env Environ) *Password {
	p := &Password{}
	kinds := s.kinds()
	if len(kinds) != 1 {
		p.ask = func(context.Context) (string, error) {
			return "", refused("get password", "exactly one source is needed, but there are %d", len(kinds))
		}
		return p
	}
	switch kinds[0] {
	case "literal":
		p.ask = func(context.Context) (string, error) { return checked("use literal password", s.Literal) }
	case "env":
		p.ask = func(context.Context) (string, error) { return readEnv(s.Env, env) }
	case "file":
		p.ask = func(context.Context) (string, error) { return readFile(s.File) }
	case "credential":
		p.ask = func(context.Context) (string, error) { return readCredential(s.Credential, env) }
	case "command":
		p.cache = true
		p.ask = func(ctx context.Context) (string, error) {
			return runCommand(ctx, s.Command, env, commandLimit)
		}
	}
	return p
}

// Get returns the password. Files, credentials and variables are read again
// each time; a command runs once, its answer is kept for the life of the
// process, and callers who come while it runs share its outcome. A run that
// failed is not kept. Errors are *Error.
func (p *Password) Get(ctx context.Context) (string, error) {
	for {
		if ctx.Err() != nil {
			return "", failed("get password", context.Cause(ctx))
		}
		if !p.cache {
			return p.ask(ctx)
		}
		r, mine := p.join()
		if mine {
			p.lead(ctx, r)
			return r.password, r.err
		}
		select {
		case <-r.done:
			// Whoever started it gave up, and we did not: run it ourselves.
			if !r.abandoned {
				return r.password, r.err
			}
		case <-ctx.Done():
		}
	}
}

// Forget drops what a command has said, because a server refused it: the next
// Get runs the command again. A run that has not ended yet is newer than what
// was refused, and is left alone.
func (p *Password) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = nil
}

// join returns the run to wait for: a finished one that holds the kept
// answer, the one under way, or a new one, which is then the caller's to lead.
func (p *Password) join() (r *run, mine bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept != nil {
		done := make(chan struct{})
		close(done)
		return &run{done: done, password: p.kept()}, false
	}
	if p.running == nil {
		p.running = &run{done: make(chan struct{})}
		return p.running, true
	}
	return p.running, false
}

func (p *Password) lead(ctx context.Context, r *run) {
	r.password, r.err = p.ask(ctx)
	r.abandoned = r.err != nil && ctx.Err() != nil
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.err == nil {
		p.kept = hide(r.password)
	}
	p.running = nil
	close(r.done)
}

func readEnv(name string, env Environ) (string, error) {
	op := "read password from environment variable " + quote(name)
	value := env.Get(name)
	if value == "" {
		return "", refused(op, "it is not set or empty")
	}
	return checked(op, value)
}

// checked passes a password on if a mail protocol can carry it.
func checked(op, password string) (string, error) {
	if err := checkPassword(password); err != nil {
		return "", &Error{Op: op, Err: err, permanent: true}
	}
	return password, nil
}

// checkPassword is the last gate before the wire: a CR or LF would be read as
// the next command (RFC 5034, RFC 4616 section 2 for NUL).
func checkPassword(password string) error {
	switch {
	case password == "":
		return errEmpty
	case strings.ContainsAny(password, "\x00\r\n"):
		return errControl
	}
	return nil
}
