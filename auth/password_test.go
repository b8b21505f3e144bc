package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

const hunter = "hunter2-Geheim"

// checkError fails unless err is a permanent or temporary *Error that says
// want and does not tell the secret.
func checkError(t *testing.T, err error, permanent bool, want string) {
	t.Helper()
	var own *Error
	if !errors.As(err, &own) {
		t.Fatalf("got error %v (%T), want an *Error", err, err)
	}
	if own.Permanent() != permanent {
		t.Errorf("%q: Permanent() = %v, want %v", err, own.Permanent(), permanent)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("error does not say what it should\ngot:  %q\nwant: %q in it", err, want)
	}
	if strings.Contains(err.Error(), hunter) {
		t.Errorf("error tells the secret: %q", err)
	}
}

func TestSourceNeedsExactlyOneKind(t *testing.T) {
	for _, s := range []Source{
		{},
		{Literal: hunter, Env: "P"},
		{File: "f", Command: []string{"c"}},
		{Literal: hunter, File: "f", Env: "e", Credential: "c", Command: []string{"c"}},
	} {
		_, err := NewPassword(s, nil).Get(t.Context())
		checkError(t, err, true, "exactly one source")
	}
}

func TestEnv(t *testing.T) {
	env := Environ{"OTHER=x", "PW=" + hunter + "=1", "PW=second", "EMPTY=", "BAD=a\nb"}
	got, err := NewPassword(Source{Env: "PW"}, env).Get(t.Context())
	if err != nil || got != hunter+"=1" {
		t.Errorf("Get() = %q, %v; want the first entry's value whole", got, err)
	}
	for name, want := range map[string]string{
		"EMPTY": "not set or empty", "UNSET": `"UNSET": it is not set`, "P": "not set", "BAD": "NUL, CR or LF",
	} {
		_, err := NewPassword(Source{Env: name}, env).Get(t.Context())
		checkError(t, err, true, want)
	}
}

// The rule is the same for every source: what a protocol can carry passes
// unchanged, what would end a line or a field is refused.
func TestT65PasswordCharacters(t *testing.T) {
	for _, good := range []string{
		" ", `"quoted" \back\slash`, "{12}", "päss wörd", "\xff\xfe\x80", "🔑", "a\tb\x7f\x01", "*", "=", strings.Repeat("x", 4096),
	} {
		for kind, p := range everySource(t, good) {
			if got, err := p.Get(t.Context()); err != nil || got != good {
				t.Errorf("%s: Get() = %q, %v; want %q", kind, got, err, good)
			}
		}
	}
	for _, bad := range []string{
		hunter + "\x00", "\x00", hunter + "\rDELE 1", "\r" + hunter, hunter + "\r",
	} {
		for kind, p := range everySource(t, bad) {
			if kind == "env" && strings.Contains(bad, "\x00") {
				continue
			}
			_, err := p.Get(t.Context())
			checkError(t, err, true, "NUL, CR or LF")
		}
	}
	for kind, p := range everySource(t, hunter+"\nDELE 1") {
		got, err := p.Get(t.Context())
		if kind == "command" { // its first line counts
			if got != hunter || err != nil {
				t.Errorf("command: Get() = %q, %v; want its first line", got, err)
			}
			continue
		}
		checkError(t, err, true, "NUL, CR or LF")
	}
}

// everySource holds the same password in each kind of source.
func everySource(t *testing.T, password string) map[string]*Password {
	t.Helper()
	dir := privateDir(t)
	path := writeFile(t, filepath.Join(dir, "pw"), password, 0o600)
	env := Environ{"PW=" + password, "CREDENTIALS_DIRECTORY=" + dir}
	return map[string]*Password{
		"literal":    NewPassword(Source{Literal: password}, env),
		"env":        NewPassword(Source{Env: "PW"}, env),
		"file":       NewPassword(Source{File: path}, env),
		"credential": NewPassword(Source{Credential: "pw"}, env),
		"command":    NewPassword(Source{Command: []string{"/bin/cat", path}}, nil),
	}
}

func TestGetAfterCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for kind, p := range everySource(t, hunter) {
		_, err := p.Get(ctx)
		checkError(t, err, false, "context canceled")
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v does not wrap context.Canceled", kind, err)
		}
	}
}

// counting is a Password over a command that the test plays.
func counting(ask func(ctx context.Context, run int) (string, error)) (p *Password, runs *int) {
	runs = new(int)
	return &Password{cache: true, ask: func(ctx context.Context) (string, error) {
		*runs++
		return ask(ctx, *runs)
	}}, runs
}

func TestCommandAnswerIsKeptUntilForget(t *testing.T) {
	p, runs := counting(func(_ context.Context, run int) (string, error) {
		if run == 1 {
			return "", failed("run", errors.New("locked"))
		}
		return fmt.Sprint("answer ", run), nil
	})
	if _, err := p.Get(t.Context()); err == nil {
		t.Error("first Get gave no error")
	}
	for range 3 {
		if got, err := p.Get(t.Context()); got != "answer 2" || err != nil {
			t.Errorf("Get() = %q, %v; want the second run's answer", got, err)
		}
	}
	p.Forget()
	if got, err := p.Get(t.Context()); got != "answer 3" || err != nil {
		t.Errorf("Get() after Forget = %q, %v; want a new run", got, err)
	}
	if *runs != 3 {
		t.Errorf("the command ran %d times, want 3", *runs)
	}
}

func TestConcurrentGetsShareOneRun(t *testing.T) {
	for _, outcome := range []error{nil, failed("run", errors.New("locked"))} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			p, runs := counting(func(context.Context, int) (string, error) {
				<-release
				return hunter, outcome
			})
			var callers sync.WaitGroup
			for range 20 {
				callers.Go(func() {
					if _, err := p.Get(t.Context()); err != outcome {
						t.Errorf("Get() error = %v, want %v", err, outcome)
					}
				})
			}
			synctest.Wait()
			p.Forget() // concerns an older answer, not the run under way
			close(release)
			callers.Wait()
			if *runs != 1 {
				t.Errorf("the command ran %d times, want once", *runs)
			}
		})
	}
}

// One caller's cancel is its own: the others get their password, and a waiting
// caller can leave.
func TestCancelledLeaderDoesNotFailOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, runs := counting(func(ctx context.Context, run int) (string, error) {
			if run == 1 {
				<-ctx.Done()
				return "", failed("run", context.Cause(ctx))
			}
			return hunter, nil
		})
		first, cancelFirst := context.WithCancel(t.Context())
		waiter, cancelWaiter := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		get := func(ctx context.Context, want string) {
			callers.Go(func() {
				got, err := p.Get(ctx)
				if got != want || (want == "") != errors.Is(err, context.Canceled) {
					t.Errorf("Get() = %q, %v; want %q", got, err, want)
				}
			})
			synctest.Wait()
		}
		get(first, "")
		get(t.Context(), hunter)
		get(waiter, "")
		cancelWaiter()
		synctest.Wait()
		cancelFirst()
		callers.Wait()
		if *runs != 2 {
			t.Errorf("the command ran %d times, want 2", *runs)
		}
	})
}

// No formatting of any value that knows a secret may show it.
func TestT88NoSecretInFormattedValues(t *testing.T) {
	source := Source{Literal: hunter, Command: []string{"echo", hunter}}
	kept := NewPassword(Source{Command: []string{"/bin/echo", hunter}}, nil)
	if _, err := kept.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	values := map[string]any{
		"source": source, "source pointer": &source, "password": NewPassword(Source{Literal: hunter}, nil),
		"kept password": kept, "nested": struct{ S any }{[]any{source, kept}},
	}
	for _, auth := range []string{"plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", "xoauth2", "oauthbearer"} {
		choice := choose(t, auth)
		if _, _, err := choice.Client.Start(); err != nil {
			t.Fatal(err)
		}
		values[auth], values[auth+" choice"] = choice.Client, choice
		values[auth+" inside"] = mechanism(choice.Client)
	}
	for name, value := range values {
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", value)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", value)
		text, _ := json.Marshal(value)
		log.Write(text)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			fmt.Fprintf(&log, verb+"\n", value)
		}
		for _, form := range []string{hunter, fmt.Sprintf("%x", hunter), fmt.Sprint([]byte(hunter))} {
			if strings.Contains(log.String(), form) || strings.Contains(log.String(), strings.Trim(form, "[]")) {
				t.Errorf("%s shows the secret as %q in\n%s", name, form, log.String())
			}
		}
	}
}
