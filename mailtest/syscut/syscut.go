//go:build linux && (amd64 || arm64)

package syscut

import (
	"context"
	"fmt"
	"io"
	"syscall"
	"time"
)

// Run describes a program to be supervised. It is not changed by this package.
type Run struct {
	Argv []string // the program (looked up in PATH) and its arguments
	Env  []string // as in exec.Cmd: nil means this process's
	Dir  string   // working directory; "" means this process's

	// Roots are the folders below which a call counts. A call that names two
	// paths counts when either lies below a root. Without roots every call on a
	// path counts, except below /dev, /proc and /sys.
	Roots []string

	// Observe, if set, is told of every counted call before it runs, in their
	// order; the program waits meanwhile. What the program told a server before
	// the call has happened before, too.
	Observe func(Call)

	Stdout, Stderr io.Writer     // nil discards
	Timeout        time.Duration // after which the run is ended (SIGQUIT, then SIGKILL) and is an error; 0 means 30 s
}

// Action is what happens to a call.
type Action int

const (
	// Continue lets the call run.
	Continue Action = 0
	// Kill sends SIGKILL to the whole process group before the call runs.
	Kill Action = -1
)

// Fail makes the call return errno without running.
func Fail(errno syscall.Errno) Action { return Action(errno) }

func (a Action) String() string {
	switch a {
	case Continue:
		return "continue"
	case Kill:
		return "kill"
	default:
		return fmt.Sprintf("fail with %q", syscall.Errno(a).Error())
	}
}

// Call is one counted system call.
type Call struct {
	Name   string // the kernel's name: "renameat2"
	Path   string // absolute; "old -> new" for calls that name two
	Thread int    // thread id
}

func (c Call) String() string { return c.Name + " " + c.Path }

// Result tells how a run ended.
type Result struct {
	Reached  bool   // the run made at least n calls, so the action took place
	Call     Call   // the n-th call, when reached
	Killed   bool   // the program was killed by the action
	ExitCode int    // -1 when it was killed
	Calls    []Call // all counted calls, up to and including the one that was killed
}

// Count runs the program undisturbed, returns its calls in the order in which
// they were made and its exit code. The number may differ a little from run to
// run when the program has several threads.
func Count(ctx context.Context, r Run) (calls []Call, exit int, err error) {
	res, err := supervise(ctx, r, 0, Continue)
	return res.Calls, res.ExitCode, err
}

// At runs the program and applies a to its n-th call (n counts from 1).
//
// Calls run one after the other as far as the supervisor lets them start, but a
// call that another thread was allowed to start before the n-th may still be
// running, or be cut short, when a Kill arrives; the n-th call itself and all
// after it never run. A program that fails or dies by itself is not an error;
// one that cannot be started or exceeds its Timeout is.
func At(ctx context.Context, r Run, n int, a Action) (Result, error) {
	if n < 1 {
		return Result{}, fmt.Errorf("cut at call %d: calls count from 1", n)
	}
	return supervise(ctx, r, n, a)
}
