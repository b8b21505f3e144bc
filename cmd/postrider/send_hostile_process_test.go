//go:build linux

package main_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/mailtest"
)

// TestT95ManySendmails: fifty at once, while send runs, again and again; what was
// promised arrives, once. Then many files at once, with few descriptors.
func TestT95ManySendmails(t *testing.T) {
	t.Parallel()
	s := newSubmitter(t, buildPostrider(t), mailtest.SMTPOptions{})
	const calls = 50
	ctx, stop := context.WithCancel(t.Context())
	var sender, all sync.WaitGroup
	sender.Go(func() {
		for ctx.Err() == nil {
			if code, out := s.call("postrider", "", "send", "-q"); code != 0 {
				t.Errorf("send ended with %d: %s", code, out)
			}
		}
	})
	room := make(chan struct{}, 16)
	for i := range calls {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			s.wants(0, "sendmail", fmt.Sprintf("From: ada@example.org\nTo: bob@example.com\nMessage-ID: <%d@many>\n\ntext\n", i), "-t")
		})
	}
	all.Wait()
	stop()
	sender.Wait()
	dir := filepath.Join(s.dir, "Outbox")
	const files = 400
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.eml", i)), fmt.Appendf(nil, "From: ada@example.org\nTo: bob@example.com\nMessage-ID: <file%d@many>\n\n%s\n", i, strings.Repeat("text ", 200)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// With too few descriptors it may fail, but nothing is sent twice for that.
	limited := func(descriptors int) (most int64, err error) {
		c := exec.CommandContext(t.Context(), "/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" send -q`, descriptors), s.binary)
		c.Env, c.Dir = s.env, s.dir
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		ended, watched := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(watched)
			most = peakUntil(c.Process.Pid, ended)
		}()
		err = c.Wait()
		close(ended)
		<-watched
		return most, err
	}
	_, _ = limited(64)
	most, err := limited(256)
	if err != nil {
		t.Errorf("send with 256 descriptors: %v", err)
	}
	accepted := s.server.Accepted()
	for id, n := range accepted {
		if n != 1 {
			t.Errorf("%s was sent %d times", id, n)
		}
	}
	if len(accepted) != calls+files {
		t.Errorf("%d of %d messages were sent", len(accepted), calls+files)
	}
	if left := s.left(); len(left) > 0 {
		t.Errorf("%d files are left", len(left))
	}
	if most > 64<<20 {
		t.Errorf("%d KiB of memory", most>>10)
	}
}

// TestT96TerminateSend: the signal ends send within five seconds, wherever it is,
// and the next run carries on; nobody gets anything twice.
func TestT96TerminateSend(t *testing.T) {
	t.Parallel()
	binary := buildPostrider(t)
	for _, verb := range []string{"GREETING", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "TEXT", "DOT", "QUIT"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			reached := make(chan struct{})
			var once sync.Once
			s := newSubmitter(t, binary, mailtest.SMTPOptions{Hook: func(e *mailtest.SMTPEvent) {
				if e.Verb == verb && e.Session == 1 {
					once.Do(func() { close(reached) })
					e.Stall(0, 0)
				}
			}})
			s.wants(0, "sendmail", notice, "-t")
			c := s.command(t.Context(), "postrider", "", "send")
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-reached:
			case <-time.After(20 * time.Second):
				t.Error("the server never saw it")
			}
			start := time.Now()
			if err := c.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			err := c.Wait()
			took := time.Since(start)
			var exit *exec.ExitError
			if code := 0; errors.As(err, &exit) {
				code = exit.ExitCode()
				if code != 75 {
					t.Errorf("ended with %d", code)
				}
			} else if verb != "QUIT" {
				t.Errorf("ended with %v", err)
			}
			if took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			left := strings.Join(s.left(), " ")
			if uncertain := strings.Contains(left, "uncertain"); uncertain != (verb == "DOT") && verb != "TEXT" {
				t.Errorf("left: %s", left)
			}
			if _, rest, ok := strings.Cut(left, "uncertain/"); ok && verb == "TEXT" { // the dot was on its way behind the text, which the server never read
				s.wants(0, "postrider", "", "queue", "retry", rest[:16])
			}
			s.wants(0, "postrider", "", "queue", "flush")
			s.wants(0, "postrider", "", "send")
			if n := len(s.server.Messages()); n != 1 {
				t.Errorf("%d messages", n)
			}
		})
	}
}
