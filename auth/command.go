package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// commandLimit is how long a password command may take; a pinentry that
// nobody answers ends with it.
const commandLimit = 30 * time.Second

// killGrace is how long a killed command may take to be gone.
const killGrace = 2 * time.Second

// runCommand runs argv without a shell and returns the first line of its
// output, as pass(1) and msmtp's passwordeval have it. Its output is what has
// been written when the program itself exits: a grandchild that keeps the
// pipe open cannot hold us. Neither output nor standard error ever stands in
// an error; the exit status does.
func runCommand(ctx context.Context, argv []string, env Environ, limit time.Duration) (string, error) {
	op := "run password command " + quote(argv[0])
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, stop := context.WithTimeoutCause(ctx, limit, fmt.Errorf("gave no answer within %v", limit))
	defer stop()

	answer, childEnd, err := os.Pipe()
	if err != nil {
		return "", failed(op, err)
	}
	defer answer.Close()
	cmd := command(ctx, argv, env)
	cmd.Stdout = childEnd
	closeInherited()
	err = cmd.Start()
	childEnd.Close()
	if err != nil {
		return "", startError(op, err)
	}

	collected := make(chan output, 1)
	go func() {
		out := collect(answer)
		if len(out.text) > maxPassword {
			cancel(errTooLong)
		}
		collected <- out
	}()
	waitErr := await(ctx, cmd.Wait, killGrace)
	// Wakes a collect that still waits for a grandchild's output.
	_ = answer.SetReadDeadline(time.Now())
	out := <-collected

	var exit *exec.ExitError
	switch {
	case len(out.text) > maxPassword:
		return "", &Error{Op: op, Err: errTooLong, permanent: true}
	case waitErr != nil && ctx.Err() != nil:
		return "", failed(op, context.Cause(ctx))
	case errors.As(waitErr, &exit):
		return "", failed(op, errors.New(exit.ProcessState.String()))
	case waitErr != nil:
		return "", failed(op, waitErr)
	case out.err != nil:
		return "", failed(op, out.err)
	}
	return checked(op, string(firstLine(out.text)))
}

// command prepares the program in a session of its own: it is then the leader
// of a group that can be killed as one, and with no terminal to ask on, a
// program that wants to prompt there fails at once instead of being stopped.
// Standard input and error are /dev/null.
func command(ctx context.Context, argv []string, env Environ) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = env.forCommand()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// Called before the leader is reaped, or an instant after: its number
	// cannot have come round to somebody else yet.
	cmd.Cancel = func() error {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
			return os.ErrProcessDone
		}
		return nil
	}
	return cmd
}

// await waits for the exit of a command that ctx kills. What has become
// another user (sudo) or hangs in the kernel cannot be killed by us: after
// grace it is left to itself, and the one goroutine that outlives this
// function is there to reap it. A dead mail daemon would be worse.
func await(ctx context.Context, wait func() error, grace time.Duration) error {
	exited := make(chan error, 1)
	go func() { exited <- wait() }()
	select {
	case err := <-exited:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case err := <-exited:
		return err
	case <-timer.C:
		return context.Cause(ctx)
	}
}

// output is what the command wrote, cut after maxPassword+1 octets.
type output struct {
	text []byte
	err  error
}

// collect reads until the end, until there is too much, or until the read
// deadline says that the program has exited.
func collect(pipe *os.File) output {
	buf := make([]byte, maxPassword+1)
	n, err := io.ReadFull(pipe, buf)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		var more int
		more, err = drain(pipe, buf[n:])
		n += more
	}
	return output{text: buf[:n], err: err}
}

// drain takes what lies in the pipe without waiting. A read deadline alone
// would do the waiting but may pass over octets that have arrived: it is
// looked at before the pipe is.
func drain(pipe *os.File, buf []byte) (n int, err error) {
	if err := pipe.SetReadDeadline(time.Time{}); err != nil {
		return 0, err
	}
	raw, err := pipe.SyscallConn()
	if err != nil {
		return 0, err
	}
	var readErr error
	err = raw.Read(func(fd uintptr) bool {
		for n < len(buf) {
			m, err := unix.Read(int(fd), buf[n:])
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil && !errors.Is(err, unix.EAGAIN) {
				readErr = err
			}
			if err != nil || m == 0 {
				break
			}
			n += m
		}
		return true
	})
	return n, errors.Join(err, readErr)
}

// firstLine returns the text up to its first LF or CRLF.
func firstLine(text []byte) []byte {
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		text = text[:i+1]
	}
	return trimNewline(text)
}

// startError drops the program's name, which op already tells.
func startError(op string, err error) error {
	var path *fs.PathError
	var lookup *exec.Error
	switch {
	case errors.As(err, &path):
		err = path.Err
	case errors.As(err, &lookup):
		err = lookup.Err
	}
	lasting := errors.Is(err, exec.ErrNotFound) || errors.Is(err, exec.ErrDot) ||
		errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
	return &Error{Op: op, Err: err, permanent: lasting}
}
