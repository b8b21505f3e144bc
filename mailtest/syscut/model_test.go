//go:build linux && (amd64 || arm64)

package syscut_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/mailtest/syscut"
)

// TestMain is also the program under test: with the model's variable set, this
// binary is a small workload instead of a test.
func TestMain(m *testing.M) {
	syscut.Trampoline()
	if mode := os.Getenv("SYSCUT_MODEL"); mode != "" {
		if err := model(mode, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// perFile is how many counted calls deliver makes for one file.
const perFile = 4

func model(mode string, args []string) error {
	switch mode {
	case "deliver":
		goroutines, _ := strconv.Atoi(args[1])
		files, _ := strconv.Atoi(args[2])
		return deliver(args[0], goroutines, files)
	case "barrage":
		defer barrage()()
		return deliver(args[0], 4, 10)
	case "noise":
		return noise(args[0])
	case "child":
		cmd := exec.Command("/proc/self/exe", args[0], "1", "1")
		cmd.Env = []string{"SYSCUT_MODEL=deliver"}
		cmd.Stdout = os.Stdout
		return cmd.Run()
	case "hidden":
		return hidden(args[0])
	case "nested":
		_, _, err := syscut.Count(context.Background(), syscut.Run{Argv: []string{"true"}})
		if errors.Is(err, syscut.ErrUnsupported) {
			return fmt.Errorf("unsupported: %w", err)
		}
		return err
	case "sleep":
		time.Sleep(time.Minute)
	}
	return nil
}

// barrage signals all threads of this process as fast as it can, with the signal by which Go
// interrupts its threads, until the returned function is called.
func barrage() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
				threads, _ := os.ReadDir("/proc/self/task")
				for _, thread := range threads {
					id, _ := strconv.Atoi(thread.Name())
					_ = unix.Tgkill(os.Getpid(), id, syscall.SIGURG)
				}
			}
		}
	}()
	return func() { close(quit); <-done }
}

// deliver writes files tmp-G-K and renames them to new-G-K, each goroutine its
// own, one after the other. A call that fails is printed and ends that file.
func deliver(dir string, goroutines, files int) error {
	var out sync.Mutex
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for k := range files {
				if err := deliverOne(dir, g, k); err != nil {
					out.Lock()
					fmt.Println(err)
					out.Unlock()
				}
			}
		})
	}
	all.Wait()
	return nil
}

func deliverOne(dir string, g, k int) error {
	from, to := name(dir, "tmp", g, k), name(dir, "new", g, k)
	f, err := os.OpenFile(from, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return wrap("openat", from, err)
	}
	defer f.Close()
	if _, err := f.WriteString(content); err != nil {
		return wrap("write", from, err)
	}
	if err := f.Sync(); err != nil {
		return wrap("fsync", from, err)
	}
	if err := os.Rename(from, to); err != nil {
		return wrap("renameat", from+" -> "+to, err)
	}
	return nil
}

const content = "some octets\n"

func name(dir, kind string, g, k int) string {
	return filepath.Join(dir, fmt.Sprintf("%s-%d-%d", kind, g, k))
}

func wrap(call, path string, err error) error {
	var errno syscall.Errno
	errors.As(err, &errno)
	return fmt.Errorf("%s %s: %d", call, path, int(errno))
}

// noise makes calls that must not count: to pipes, sockets and files outside
// the root, given the root's path as a prefix to stumble over.
func noise(root string) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	if _, err := unix.Write(pair[0], []byte("x")); err != nil {
		return err
	}
	if _, err := io.WriteString(w, "x"); err != nil {
		return err
	}
	if err := errors.Join(w.Close(), r.Close()); err != nil {
		return err
	}
	if err := os.WriteFile(root+"-beside", []byte("x"), 0o600); err != nil {
		return err
	}
	_, err = os.ReadFile("/etc/hosts")
	return err
}

// hidden asks the kernel to hide the process from others, as a program that
// holds passwords does, and touches the root by relative paths.
func hidden(root string) error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := os.Mkdir("a", 0o700); err != nil {
		return err
	}
	dir, err := os.OpenRoot("a")
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Mkdir("b", 0o700)
}
