//go:build linux

package mailtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How long a server gets to end in order before it is killed.
const realStopTimeout = 10 * time.Second

// osAccount is the user a server runs as. Names and numbers are both needed:
// servers look their own user up by name.
type osAccount struct {
	uid, gid    int
	user, group string
}

// unprivilegedAccount is the test's own user, or nobody in place of root, so
// that a server is started in one way whoever runs the test.
func unprivilegedAccount() (*osAccount, error) {
	var u *user.User
	var err error
	if os.Geteuid() == 0 {
		u, err = user.Lookup("nobody")
	} else {
		u, err = user.LookupId(strconv.Itoa(os.Geteuid()))
	}
	if err != nil {
		return nil, fmt.Errorf("no user to run it: %w", err)
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		return nil, fmt.Errorf("no group to run it: %w", err)
	}
	a := &osAccount{user: u.Username, group: g.Name}
	if a.uid, err = strconv.Atoi(u.Uid); err != nil {
		return nil, err
	}
	if a.gid, err = strconv.Atoi(u.Gid); err != nil {
		return nil, err
	}
	return a, nil
}

// command prepares argv to be run as the account.
func (a *osAccount) command(argv, env []string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return cmd
}

// realProcess is a server in the foreground and the children it has made.
type realProcess struct {
	pid  int
	done chan struct{} // closed when it has ended
}

// startProcess runs argv as account; what it prints is added to the file log.
func startProcess(argv, env []string, account *osAccount, log string) (*realProcess, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := account.command(argv, env)
	cmd.Stdout, cmd.Stderr = out, out
	// A group of its own, to be killed whole; and gone even if the test is
	// killed, for no clean-up runs then: a signal says so, and the end of the
	// standard input where a change of namespaces makes the kernel forget it.
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}

	p := &realProcess{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the thread ends that started the
		// child, so this one must last as long as the child. It ends when the
		// child does; stop waits for it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		defer stdin.Close()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		// How it ends is no news: it was told to.
		_ = cmd.Wait()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// stop ends the server and whatever is left of its group. It may be called
// again.
func (p *realProcess) stop() error {
	var late error
	select {
	case <-p.done:
		return nil
	default:
	}
	_ = syscall.Kill(-p.pid, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(realStopTimeout):
		late = errors.New("it did not end when told to and was killed")
	}
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	<-p.done
	// Children die in their own time, and hold the server's port till then.
	for end := time.Now().Add(realStopTimeout); len(p.programs()) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return errors.Join(late, fmt.Errorf("%v did not end when killed", p.programs()))
		}
	}
	return late
}

// has says whether a program called name runs in the server's group.
func (p *realProcess) has(name string) bool {
	return slices.Contains(p.programs(), name)
}

// programs are the names of what runs in the server's group.
func (p *realProcess) programs() []string {
	var names []string
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		// pid (name) state ppid pgrp ...
		line, _ := os.ReadFile(file)
		_, rest, _ := strings.Cut(string(line), "(")
		program, rest, _ := strings.Cut(rest, ") ")
		fields := strings.Fields(rest)
		if len(fields) > 2 && fields[2] == strconv.Itoa(p.pid) && fields[0] != "Z" && fields[0] != "X" {
			names = append(names, program)
		}
	}
	return names
}
