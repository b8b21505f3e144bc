package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// shell runs a script as a password command, with a limit that only a test of
// the limit reaches.
func shell(t *testing.T, script string) (string, error) {
	t.Helper()
	return runCommand(t.Context(), []string{"/bin/sh", "-c", script}, os.Environ(), 20*time.Second)
}

func TestCommandOutput(t *testing.T) {
	for script, want := range map[string]string{
		`printf hunter2`:                           "hunter2",
		`printf 'hunter2\n'`:                       "hunter2",
		`printf 'hunter2\r\n'`:                     "hunter2",
		`printf ' a b \nuser: ada\nurl: x\n'`:      " a b ",
		`printf hunter2; echo oops >&2`:            "hunter2",
		`cat; echo hunter2`:                        "hunter2", // standard input is empty
		`printf hun; sleep 0.05; printf 'ter'`:     "hunter",
		`head -c 4095 /dev/zero | tr '\0' x; echo`: strings.Repeat("x", 4095),
	} {
		if got, err := shell(t, script); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", script, got, err, want)
		}
	}
}

func TestT87CommandFailure(t *testing.T) {
	for _, c := range []struct {
		script    string
		permanent bool
		want      string
	}{
		{`exit 0`, true, "empty"},
		{`echo; echo hunter2-Geheim`, true, "empty"},
		{`printf 'hunter2-Geheim\0x'`, true, "NUL"},
		{`printf 'hunter2-Geheim\r'`, true, "NUL, CR or LF"},
		{`echo hunter2-Geheim; exit 3`, false, `run password command "/bin/sh": exit status 3`},
		{`echo hunter2-Geheim >&2; exit 1`, false, "exit status 1"},
		{`kill -9 $$`, false, "signal: killed"},
		{`head -c 4097 /dev/zero | tr '\0' x`, true, "4096"},
		{`head -c 4096 /dev/zero | tr '\0' x; echo`, true, "4096"},
		{`yes hunter2-Geheim`, true, "4096"}, // killed long before the limit
		{`head -c 5000 /dev/zero; sleep 100`, true, "4096"},
	} {
		_, err := shell(t, c.script)
		checkError(t, err, c.permanent, c.want)
	}
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for program, want := range map[string]string{
		script:              "permission denied",
		"/nonexistent/pass": "no such file",
		"no-such-program-x": "executable file not found",
	} {
		_, err := runCommand(t.Context(), []string{program, hunter}, nil, commandLimit)
		checkError(t, err, true, want)
	}
}

// argv goes to the program as it is: no shell reads it.
func TestT87NoShell(t *testing.T) {
	const text = "$(echo no) `echo no` $HOME; echo 'no' > x | \"y\" *"
	got, err := runCommand(t.Context(), []string{"/bin/echo", text}, os.Environ(), commandLimit)
	if err != nil || got != text {
		t.Errorf("got %q, %v; want %q", got, err, text)
	}
}

func makeFIFO(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A grandchild holds the FIFO open and never ends by itself; the FIFO's end of
// file shows that the cancel has killed the whole group.
func TestT87CancelKillsTheGroup(t *testing.T) {
	path := makeFIFO(t)
	fifo, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer fifo.Close()
	own, err := os.OpenFile(path, os.O_WRONLY, 0) // no end of file before the grandchild is there
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if err := fifo.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	stopping := errors.New("the daemon stops")
	result := make(chan error, 1)
	go func() {
		_, err := runCommand(ctx, []string{"/bin/sh", "-c", `(exec 3>"$0"; echo up >&3; sleep 1000) & wait`, path}, os.Environ(), commandLimit)
		result <- err
	}()
	up := make([]byte, 3)
	if _, err := io.ReadFull(fifo, up); err != nil {
		t.Fatalf("the grandchild does not come up: %v", err)
	}
	own.Close()
	cancel(stopping)
	err = <-result
	checkError(t, err, false, "the daemon stops")
	if !errors.Is(err, stopping) {
		t.Errorf("error %v does not wrap the cause of the cancel", err)
	}
	if rest, err := io.ReadAll(fifo); err != nil || len(rest) != 0 {
		t.Errorf("the grandchild lives on: %q, %v", rest, err)
	}
}

func TestT87CommandLimit(t *testing.T) {
	_, err := runCommand(t.Context(), []string{"/bin/sh", "-c", "echo hunter2-Geheim; sleep 1000"}, os.Environ(), 50*time.Millisecond)
	checkError(t, err, false, "gave no answer within 50ms")
}

// A grandchild that outlives the program and keeps its output open, as agents
// do that are started on demand, neither holds us nor spoils the answer.
func TestT87GrandchildHoldsOutput(t *testing.T) {
	path := makeFIFO(t)
	hold, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close() // ends the grandchild
	got, err := runCommand(t.Context(), []string{"/bin/sh", "-c", `cat "$0" & echo hunter2`, path}, os.Environ(), 20*time.Second)
	if err != nil || got != "hunter2" {
		t.Errorf("got %q, %v; want the answer at the program's exit", got, err)
	}
}

// A program that cannot be killed is given up after the grace.
func TestUnkillableCommandIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("limit"))
		defer cancel()
		exit := make(chan error)
		defer close(exit)
		start := time.Now()
		err := await(ctx, func() error { return <-exit }, killGrace)
		if took := time.Since(start); err == nil || err.Error() != "limit" || took != time.Minute+killGrace {
			t.Errorf("await() = %v after %v", err, took)
		}
	})
}

func TestT87CommandEnvironment(t *testing.T) {
	env := Environ{
		"PATH=/usr/bin:/bin", "HOME=/home/ada", "GNUPGHOME=/g", "GPG_TTY=/dev/pts/1", "DBUS_SESSION_BUS_ADDRESS=unix:path=/b",
		"CREDENTIALS_DIRECTORY=/run/c", "NOTIFY_SOCKET=/n", "WATCHDOG_USEC=1", "WATCHDOG_PID=2", "LISTEN_FDS=1", "LISTEN_PID=7", "LISTEN_FDNAMES=x",
	}
	got := strings.Join(env.forCommand(), "\n")
	want := strings.Join(env[:6], "\n")
	if got != want {
		t.Errorf("environment differs\ngot:\n%s\nwant:\n%s", got, want)
	}
	if Environ(nil).forCommand() == nil {
		t.Error("an empty environment is nil, which exec takes for the process's own")
	}
	t.Setenv("SEEN", "by the command")
	if got, err := runCommand(t.Context(), []string{"/bin/sh", "-c", `echo "[$SEEN]"`}, nil, commandLimit); err != nil || got != "[]" {
		t.Errorf("the command sees %q of the process's environment (%v)", got, err)
	}
}

// A descriptor that a careless parent left open in us stays ours.
func TestT87DescriptorsClosed(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("needs /proc to look into another process")
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for name, closeThem := range map[string]func(){
		"close_range": closeInherited, "list": func() { closeListed("/proc/self/fd") },
	} {
		leaked, err := unix.FcntlInt(null.Fd(), unix.F_DUPFD, 100) // without close-on-exec
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(leaked)
		closeThem()
		if flags, err := unix.FcntlInt(uintptr(leaked), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: flags of the descriptor are %d (%v), want close-on-exec", name, flags, err)
		}
	}
	leaked, err := unix.FcntlInt(null.Fd(), unix.F_DUPFD, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leaked)
	got, err := shell(t, fmt.Sprintf(`test -e /proc/$$/fd/%d && echo open || echo closed`, leaked))
	if err != nil || got != "closed" {
		t.Errorf("descriptor %d is %s in the command (%v)", leaked, got, err)
	}
}

// The command leads its own session, so no terminal can stop it.
func TestCommandHasNoTerminal(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("needs /proc to see the session of another process")
	}
	got, err := shell(t, `read -r pid name state parent group session rest </proc/$$/stat; test "$session" = $$ && echo own || echo ours`)
	if err != nil || got != "own" {
		t.Errorf("the command's session is %q, %v; want its own", got, err)
	}
}

func FuzzFirstLine(f *testing.F) {
	for _, seed := range []string{"", "\n", "\r\n", "pw", "pw\n", "pw\r\nuser: x\n", "\r\r\n\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		line := string(firstLine(text))
		rest, ok := strings.CutPrefix(string(text), line)
		if !ok || strings.Contains(line, "\n") {
			t.Fatalf("firstLine(%q) = %q", text, line)
		}
		if rest != "" && rest[0] != '\n' && !strings.HasPrefix(rest, "\r\n") {
			t.Fatalf("firstLine(%q) = %q is cut in the middle", text, line)
		}
	})
}
