//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// watchMemory runs send and returns its exit code, what it printed, and the octets of
// memory it had at most.
func (s *realSender) watchMemory(args ...string) (code int, output string, most int64) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	var out bytes.Buffer
	c := s.command(ctx, nil, args...)
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { most = highWater(c.Process.Pid, ended) })
	_ = c.Wait() // the code says how it ended
	close(ended)
	watch.Wait()
	return c.ProcessState.ExitCode(), out.String(), most
}

// highWater follows the peak of a process's memory. What wait4 tells counts the
// process that started it, too.
func highWater(pid int, ended <-chan struct{}) (most int64) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if _, rest, ok := strings.Cut(string(text), "VmHWM:"); ok {
			var kib int64
			if _, err := fmt.Sscanf(rest, "%d kB", &kib); err == nil {
				most = max(most, kib<<10)
			}
		}
		select {
		case <-ended:
			return most
		case <-tick.C:
		}
	}
}
