//go:build linux && (amd64 || arm64)

package syscut_test

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
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/mailtest/syscut"
)

// workload returns a run of this binary as one of the models.
func workload(tb testing.TB, mode, dir string, args ...string) syscut.Run {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	return syscut.Run{
		Argv:  append([]string{self, dir}, args...),
		Env:   append(os.Environ(), "SYSCUT_MODEL="+mode, "GORACE=atexit_sleep_ms=0"),
		Roots: []string{dir},
	}
}

func deliverRun(tb testing.TB, dir string, goroutines, files int) syscut.Run {
	tb.Helper()
	return workload(tb, "deliver", dir, fmt.Sprint(goroutines), fmt.Sprint(files))
}

func TestCountIsExactOverThreads(t *testing.T) {
	syscut.Require(t)
	for range 5 {
		var seen []syscut.Call
		r := deliverRun(t, t.TempDir(), 8, 10)
		r.Observe = func(c syscut.Call) { seen = append(seen, c) }
		calls, exit, err := syscut.Count(t.Context(), r)
		if !slices.Equal(seen, calls) {
			t.Errorf("%d calls were observed, %d counted", len(seen), len(calls))
		}
		if err != nil || exit != 0 {
			t.Fatalf("exit %d, error %v", exit, err)
		}
		names := map[string]int{}
		threads := map[int]bool{}
		for _, c := range calls {
			names[c.Name]++
			threads[c.Thread] = true
		}
		for _, want := range []string{"openat", "write", "fsync", "renameat"} {
			if names[want] != 80 {
				t.Errorf("%s was counted %d times, want 80", want, names[want])
			}
		}
		if len(calls) != 80*perFile {
			t.Errorf("%d calls in all, want %d: %v", len(calls), 80*perFile, names)
		}
		if len(threads) < 2 {
			t.Error("all calls came from one thread: the count over threads was not put to the test")
		}
	}
}

// A signal interrupts a waiting call and has it made again; it is still one.
func TestCountIsExactUnderSignals(t *testing.T) {
	calls, exit, err := syscut.Count(t.Context(), workload(t, "barrage", t.TempDir()))
	if err != nil || exit != 0 || len(calls) != 40*perFile {
		t.Errorf("exit %d, error %v, %d calls, want %d", exit, err, len(calls), 40*perFile)
	}
}

func TestOnlyRootsCount(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	r := workload(t, "noise", root)
	calls, exit, err := syscut.Count(t.Context(), r)
	if err != nil || exit != 0 || len(calls) != 0 {
		t.Errorf("exit %d, error %v, calls %v; want none", exit, err, calls)
	}
	r.Roots = nil
	calls, _, err = syscut.Count(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, c := range calls {
		fmt.Fprintln(&text, c)
	}
	for _, want := range []string{"openat " + root + "-beside\n", "write " + root + "-beside\n", "openat /etc/hosts\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("without roots %q is missing among\n%s", want, &text)
		}
	}
}

func TestRelativePathsOfAHiddenProcess(t *testing.T) {
	// The root is reached by a symbolic link: calls by descriptor show the
	// folder's own name, others the link's.
	base := t.TempDir()
	root, link := filepath.Join(base, "folder"), filepath.Join(base, "link")
	if err := errors.Join(os.Mkdir(root, 0o700), os.Symlink(root, link)); err != nil {
		t.Fatal(err)
	}
	calls, exit, err := syscut.Count(t.Context(), workload(t, "hidden", link))
	if err != nil || exit != 0 {
		t.Fatalf("exit %d, error %v", exit, err)
	}
	var mkdirs []string
	for _, c := range calls {
		if c.Name == "mkdirat" {
			mkdirs = append(mkdirs, c.Path)
		}
	}
	want := []string{filepath.Join(root, "a"), filepath.Join(root, "a", "b")}
	if strings.Join(mkdirs, " ") != strings.Join(want, " ") {
		t.Errorf("mkdirat of %q, want %q", mkdirs, want)
	}
}

func TestKillAtEachCall(t *testing.T) {
	for _, goroutines := range []int{1, 8} {
		t.Run(fmt.Sprint(goroutines), func(t *testing.T) { killAtEachCall(t, goroutines, 2) })
	}
}

func killAtEachCall(t *testing.T, goroutines, files int) {
	dirs := map[int]string{}
	setup := func(n int) (syscut.Run, error) {
		dirs[n] = t.TempDir()
		return deliverRun(t, dirs[n], goroutines, files), nil
	}
	total := goroutines * files * perFile
	check := func(n int, r syscut.Result) error {
		if n > total {
			if r.Reached || r.Killed || r.ExitCode != 0 {
				return fmt.Errorf("after the last call: %+v", r)
			}
			return nil
		}
		if !r.Reached || !r.Killed || r.ExitCode != -1 || len(r.Calls) != n {
			return fmt.Errorf("reached %v, killed %v, exit %d, %d calls", r.Reached, r.Killed, r.ExitCode, len(r.Calls))
		}
		return compareEffects(dirs[n], r.Calls)
	}
	stats, err := syscut.Sweep(t.Context(), syscut.Kill, syscut.Options{}, setup, check)
	if err != nil {
		t.Fatal(err)
	}
	if stats.Runs != total+1 || stats.Calls != total || len(stats.Cuts) != perFile {
		t.Errorf("%+v, want %d runs", stats, total+1)
	}
}

// compareEffects checks that dir holds what the calls but the last have done.
// Of each goroutine's calls only its last one may have been under way.
func compareEffects(dir string, calls []syscut.Call) error {
	type progress struct{ opened, written, renamed, underway bool }
	states := map[string]*progress{}
	last := map[string]*progress{} // by goroutine
	for _, c := range calls[:len(calls)-1] {
		file := filepath.Base(c.Path[:min(len(c.Path), len(strings.Split(c.Path, " ")[0]))])
		goroutine := strings.Split(file, "-")[1]
		if p := last[goroutine]; p != nil {
			p.underway = false
		}
		key := strings.TrimPrefix(file, "tmp-")
		p := states[key]
		if p == nil {
			p = &progress{}
			states[key] = p
		}
		*p = progress{
			opened:   p.opened || c.Name == "openat",
			written:  p.written || c.Name == "write",
			renamed:  p.renamed || c.Name == "renameat",
			underway: true,
		}
		last[goroutine] = p
	}
	seen := 0
	for key, p := range states {
		tmp, tmpErr := os.ReadFile(filepath.Join(dir, "tmp-"+key))
		moved, newErr := os.ReadFile(filepath.Join(dir, "new-"+key))
		for _, err := range []error{tmpErr, newErr} {
			if err == nil {
				seen++
			}
		}
		if p.underway {
			continue
		}
		want := ""
		if p.written {
			want = content
		}
		if p.renamed && (newErr != nil || string(moved) != want || tmpErr == nil) {
			return fmt.Errorf("file %s should be renamed: new %q (%v), tmp %q (%v)", key, moved, newErr, tmp, tmpErr)
		}
		if p.opened && !p.renamed && (tmpErr != nil || string(tmp) != want || newErr == nil) {
			return fmt.Errorf("file %s should be in tmp: new %q (%v), tmp %q (%v)", key, moved, newErr, tmp, tmpErr)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) != seen {
		return fmt.Errorf("%d files, of which %d are explained by the calls", len(entries), seen)
	}
	if len(calls) > 0 && calls[len(calls)-1].Name == "openat" {
		if _, err := os.Stat(calls[len(calls)-1].Path); err == nil {
			return fmt.Errorf("the killed call ran: %v", calls[len(calls)-1])
		}
	}
	return nil
}

func TestFailEachCall(t *testing.T) {
	const goroutines, files = 4, 2
	out := map[int]*bytes.Buffer{}
	setup := func(n int) (syscut.Run, error) {
		r := deliverRun(t, t.TempDir(), goroutines, files)
		out[n] = &bytes.Buffer{}
		r.Stdout = out[n]
		return r, nil
	}
	check := func(n int, r syscut.Result) error {
		want := ""
		if r.Reached {
			want = fmt.Sprintf("%s: %d\n", r.Call, int(unix.ENOSPC))
		}
		if got := out[n].String(); got != want {
			return fmt.Errorf("the program saw %q, want %q", got, want)
		}
		if r.Killed || r.ExitCode != 0 {
			return fmt.Errorf("killed %v, exit %d", r.Killed, r.ExitCode)
		}
		return nil
	}
	stats, err := syscut.Sweep(t.Context(), syscut.Fail(syscall.ENOSPC), syscut.Options{}, setup, check)
	if err != nil {
		t.Fatal(err)
	}
	// A file that failed makes fewer calls, hence the inequality.
	if want := goroutines*files*perFile - perFile; stats.Runs < want {
		t.Errorf("%d runs, want at least %d", stats.Runs, want)
	}
}

func TestKillTakesChildren(t *testing.T) {
	dir := t.TempDir()
	r := workload(t, "child", dir)
	r.Roots = []string{dir}
	calls, exit, err := syscut.Count(t.Context(), r)
	if err != nil || exit != 0 || len(calls) != perFile {
		t.Fatalf("exit %d, error %v, calls %v", exit, err, calls)
	}
	dir = t.TempDir()
	r = workload(t, "child", dir)
	res, err := syscut.At(t.Context(), r, perFile, syscut.Kill)
	if err != nil || !res.Killed {
		t.Fatalf("%+v, %v", res, err)
	}
	if _, err := os.Stat(name(dir, "tmp", 0, 0)); err != nil {
		t.Errorf("the child's file: %v", err)
	}
}

func TestTimeoutAndCancel(t *testing.T) {
	r := workload(t, "sleep", t.TempDir())
	var printed bytes.Buffer
	r.Timeout, r.Stderr = 200*time.Millisecond, &printed
	if _, _, err := syscut.Count(t.Context(), r); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want deadline exceeded", err)
	}
	if !strings.Contains(printed.String(), "goroutine ") {
		t.Errorf("the program did not say where it was: %q", &printed)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.Timeout = 0
	if _, _, err := syscut.Count(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
}

func TestStartErrors(t *testing.T) {
	for _, c := range []struct {
		argv []string
		want string
	}{
		{nil, "start program: empty argv"},
		{[]string{"/nonexistent/program"}, "no such file or directory"},
		{[]string{"/etc"}, "start program: "},
	} {
		_, _, err := syscut.Count(t.Context(), syscut.Run{Argv: c.argv})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %q", c.argv, err, c.want)
		}
	}
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("no interpreter\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, _, err := syscut.Count(t.Context(), syscut.Run{Argv: []string{script}})
	if err == nil || !strings.Contains(err.Error(), "trampoline: execute "+script+": exec format error") {
		t.Errorf("error %v", err)
	}
}

// A program under supervision cannot supervise another one: the kernel allows
// one listener. That is told apart from other failures.
func TestUnsupported(t *testing.T) {
	var out bytes.Buffer
	r := workload(t, "nested", t.TempDir())
	r.Stdout, r.Stderr = &out, &out
	_, exit, err := syscut.Count(t.Context(), r)
	if err != nil || exit != 3 || !strings.Contains(out.String(), "unsupported: "+syscut.ErrUnsupported.Error()) {
		t.Errorf("exit %d, error %v, printed %q", exit, err, &out)
	}
}

func TestSweepStopsAtTheFirstError(t *testing.T) {
	bad := errors.New("a planted difference")
	setup := func(int) (syscut.Run, error) { return deliverRun(t, t.TempDir(), 1, 4), nil }
	check := func(n int, _ syscut.Result) error {
		if n >= 7 {
			return bad
		}
		return nil
	}
	o := syscut.Options{From: 3, Stride: 2, Parallel: 2}
	stats, err := syscut.Sweep(t.Context(), syscut.Kill, o, setup, check)
	if !errors.Is(err, bad) || !strings.Contains(err.Error(), "kill at call ") {
		t.Errorf("error %v", err)
	}
	if stats.Runs > 4 {
		t.Errorf("%d runs after 3, 5, 7 and perhaps 9", stats.Runs)
	}
}

func BenchmarkRun(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			r := deliverRun(b, b.TempDir(), 8, 25)
			cmd := exec.Command(r.Argv[0], r.Argv[1:]...)
			cmd.Env = r.Env
			if err := cmd.Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("counted", func(b *testing.B) {
		for b.Loop() {
			calls, _, err := syscut.Count(b.Context(), deliverRun(b, b.TempDir(), 8, 25))
			if err != nil || len(calls) != 200*perFile {
				b.Fatalf("%d calls, %v", len(calls), err)
			}
		}
	})
}
