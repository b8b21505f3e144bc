//go:build linux

package mailtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A server that keeps its mail in Maildirs is filled by files: written in tmp/,
// then renamed into new/, for the server may look at any time. Nothing is
// synced; this mail need not outlive the test.

func makeMaildir(path string) error {
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(path, sub), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// writeMaildir makes the n-th message and returns where it lies in tmp/.
// Servers number new mail in the order of the seconds in the names.
func writeMaildir(path string, n int, octets []byte) (string, error) {
	const firstSecond = 1700000000
	tmp := filepath.Join(path, "tmp", fmt.Sprintf("%d.N%d.real", firstSecond+n, n))
	return tmp, os.WriteFile(tmp, octets, 0o600)
}

// publishMaildir makes a message in tmp/ one that the server has.
func publishMaildir(tmp string) error {
	maildir := filepath.Dir(filepath.Dir(tmp))
	return os.Rename(tmp, filepath.Join(maildir, "new", filepath.Base(tmp)))
}

// deliverMaildir puts messages, in the form their files shall have, into a
// Maildir; delivered counts on from one call to the next.
func deliverMaildir(s *RealServer, path string, delivered *int, messages [][]byte, form func(wire []byte) []byte) error {
	for _, m := range messages {
		*delivered++
		tmp, err := writeMaildir(path, *delivered, form(m))
		if err != nil {
			return err
		}
		if err := s.give(tmp); err != nil {
			return err
		}
		if err := publishMaildir(tmp); err != nil {
			return err
		}
	}
	return nil
}

func countMaildir(path string) (int, error) {
	n := 0
	for _, sub := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(path, sub))
		if err != nil {
			return 0, err
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				n++
			}
		}
	}
	return n, nil
}
