//go:build linux && (amd64 || arm64)

package syscut

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// supervisor owns one run: the process group and the filter's listener.
type supervisor struct {
	listener listener
	group    int
	shapes   map[int32]shape
	roots    roots
	n        int // the call to act on; 0 for none
	action   Action
	observe  func(Call)
	result   Result
}

// supervise runs r, acts on its n-th call, and waits for its end.
func supervise(ctx context.Context, r Run, n int, a Action) (Result, error) {
	if r.Timeout == 0 {
		r.Timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	rs, err := newRoots(r.Roots)
	if err != nil {
		return Result{}, err
	}
	cmd, socket, err := command(r)
	if err != nil {
		return Result{}, err
	}
	defer socket.Close()
	l, err := launch(cmd, socket)
	if err != nil {
		return Result{}, err
	}
	s := &supervisor{listener: l, group: cmd.Process.Pid, shapes: shapes(), roots: rs, n: n, action: a, observe: r.Observe}
	err = errors.Join(s.watch(ctx, cmd), complaint(socket))
	return s.result, err
}

// launch starts the program in a process group of its own and returns the
// listener of its filter. On error nothing is left running.
func launch(cmd *exec.Cmd, socket *os.File) (listener, error) {
	theirs := cmd.ExtraFiles[0]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 5 * time.Second // a grandchild may hold the pipes open
	err := cmd.Start()
	theirs.Close()
	if err != nil {
		return -1, fmt.Errorf("start trampoline: %w", err)
	}
	l, err := handover(socket)
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return -1, err
	}
	return l, nil
}

// watch answers notifications until the program has ended, and fills in the
// result. Nothing of the program's process group is left running.
func (s *supervisor) watch(ctx context.Context, cmd *exec.Cmd) error {
	// Closed only after the end: a call that waits on a closed listener would
	// go on with ENOSYS.
	defer unix.Close(int(s.listener))
	ended, end, err := os.Pipe()
	if err != nil {
		_ = s.kill()
		_ = cmd.Wait()
		return fmt.Errorf("make pipe: %w", err)
	}
	defer ended.Close()

	gone, stopped := make(chan struct{}), make(chan struct{})
	inTime := context.AfterFunc(ctx, func() { defer close(stopped); s.stop(ctx, gone) })
	served := make(chan error, 1)
	go func() { served <- s.serve(int(ended.Fd())) }()

	waitErr := cmd.Wait()
	close(gone)
	late := !inTime()
	if late {
		<-stopped
	}
	_ = s.kill() // children that outlived the program
	end.Close()
	if err := <-served; err != nil {
		return err
	}
	if late {
		return fmt.Errorf("run %s: %w after %d calls", cmd.Args[3], context.Cause(ctx), len(s.result.Calls))
	}
	s.result.ExitCode = cmd.ProcessState.ExitCode()
	var status *exec.ExitError
	if waitErr != nil && !errors.As(waitErr, &status) {
		return fmt.Errorf("wait for %s: %w", cmd.Args[3], waitErr)
	}
	return nil
}

// stop ends a program that runs too long. It is asked first, in the way that
// makes a Go program show where each of its goroutines is.
func (s *supervisor) stop(ctx context.Context, gone <-chan struct{}) {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && unix.Kill(-s.group, unix.SIGQUIT) == nil {
		select {
		case <-gone:
		case <-time.After(3 * time.Second):
		}
	}
	_ = s.kill()
}

func (s *supervisor) kill() error { return unix.Kill(-s.group, unix.SIGKILL) }

// serve is the supervisor's loop; it ends when the filter has no users left,
// when the other end of ended is closed, or when it has killed the program.
func (s *supervisor) serve(ended int) error {
	s.listener.wakeTogether()
	fds := []unix.PollFd{{Fd: int32(s.listener), Events: unix.POLLIN}, {Fd: int32(ended)}}
	var n notification
	for {
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		} else if err != nil {
			_ = s.kill()
			return fmt.Errorf("wait for a call: %w", err)
		}
		if fds[1].Revents != 0 || fds[0].Revents&unix.POLLIN == 0 {
			return nil
		}
		err := s.listener.receive(&n)
		if err == unix.ENOENT {
			continue // the thread died while it waited
		}
		if err != nil {
			_ = s.kill()
			return fmt.Errorf("receive call: %w", err)
		}
		if done, err := s.decide(&n); done {
			return err
		}
	}
}

// decide counts one call and answers it. It reports true when the program was
// killed and no other call is to be answered.
func (s *supervisor) decide(n *notification) (done bool, err error) {
	shape, thread := s.shapes[n.Number], int(n.Thread)
	path, counts := shape.resolve(thread, n.Args, s.roots)
	if !s.listener.valid(n.ID) {
		return false, nil
	}
	action := Continue
	if counts {
		call := Call{Name: shape.name, Path: path, Thread: thread}
		s.result.Calls = append(s.result.Calls, call)
		if s.observe != nil {
			s.observe(call)
		}
		if len(s.result.Calls) == s.n {
			s.result.Reached, s.result.Call = true, call
			action = s.action
		}
	}
	if action == Kill {
		s.result.Killed = true
		if err := s.kill(); err != nil {
			return true, fmt.Errorf("kill at call %d: %w", s.n, err)
		}
		return true, nil
	}
	if err := s.listener.send(n.ID, syscall.Errno(action)); err != nil && err != unix.ENOENT {
		_ = s.kill()
		return true, fmt.Errorf("answer %s: %w", shape.name, err)
	}
	return false, nil
}
