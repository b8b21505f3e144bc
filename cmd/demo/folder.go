package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/emersion/go-maildir"
)

// shown is how many messages of a folder are listed.
const shown = 12

// list returns the paths of the messages in the folder at dir: of those in
// new/, which no reader has seen yet, and of the rest as go-maildir finds them,
// which is not our own code.
func list(dir string) ([]string, error) {
	var all []string
	entries, err := os.ReadDir(filepath.Join(dir, "new"))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		all = append(all, filepath.Join(dir, "new", e.Name()))
	}
	err = maildir.Dir(dir).Walk(func(m *maildir.Message) error {
		all = append(all, m.Filename())
		return nil
	})
	return all, err
}

// compare finds out whether the folder at dir holds the wanted messages and no
// others, each as often as it was sent, with nothing left in tmp/.
func compare(dir string, want [][]byte) error {
	missing := map[[sha256.Size]byte]int{}
	for _, octets := range want {
		missing[sha256.Sum256(octets)]++
	}
	all, err := list(dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	var wrong []error
	for _, path := range all {
		octets, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(octets)
		if missing[sum]--; missing[sum] < 0 {
			wrong = append(wrong, fmt.Errorf("%s was not sent like this, or not so often", path))
		}
	}
	for _, octets := range want {
		sum := sha256.Sum256(octets)
		if missing[sum] > 0 {
			missing[sum]--
			wrong = append(wrong, fmt.Errorf("%s lacks a message of %d octets: %.40q", dir, len(octets), octets))
		}
	}
	left, err := os.ReadDir(filepath.Join(dir, "tmp"))
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%s was left in tmp/ of %s", left[0].Name(), dir)
	}
	return errors.Join(append(wrong, err)...)
}

// show lists some messages of an account's folder, from the first to the last.
func (d *demo) show(account string) error {
	all, err := list(d.folder(account))
	if err != nil {
		return fmt.Errorf("list %s: %w", d.folder(account), err)
	}
	d.say("%s:", d.folder(account))
	n := min(shown, len(all))
	for i := range n {
		octets, err := os.ReadFile(all[i*len(all)/n])
		if err != nil {
			return err
		}
		h := readHeader(octets)
		d.say("  %7d octets  %s  %s", len(octets), column(h.from, 26), strings.TrimRight(column(h.subject, 40), " "))
	}
	if len(all) > n {
		d.say("  and %d more", len(all)-n)
	}
	return nil
}

// readSome does to the folder work what mail readers do: it moves what was
// read to cur/ with its flags, files something elsewhere, and deletes.
func (d *demo) readSome(p *post) error {
	dir := d.folder("work")
	all, err := list(dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	if len(all) < 4 {
		return fmt.Errorf("%s has only %d messages", dir, len(all))
	}
	archive := maildir.Dir(d.path("Mail", "work", "Archive"))
	if err := archive.Init(); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	cur := func(folder, path, flags string) string {
		return filepath.Join(folder, "cur", filepath.Base(path)+":2,"+flags)
	}
	gone, err := os.ReadFile(all[2])
	if err != nil {
		return err
	}
	filed, err := os.ReadFile(all[3])
	if err != nil {
		return err
	}
	err = errors.Join(
		os.Rename(all[0], cur(dir, all[0], "S")),
		os.Rename(all[1], cur(dir, all[1], "FRS")),
		os.Remove(all[2]),
		os.Rename(all[3], cur(string(archive), all[3], "S")),
	)
	if err != nil {
		return fmt.Errorf("read mail: %w", err)
	}
	p.want["work"] = without(without(p.want["work"], gone), filed)
	d.say("In work, one message is read, one answered, one deleted, one moved to %s.", strings.TrimPrefix(string(archive), d.dir+"/"))
	return nil
}

// without is the messages but for one of the given octets.
func without(messages [][]byte, octets []byte) [][]byte {
	for i, m := range messages {
		if bytes.Equal(m, octets) {
			return append(messages[:i:i], messages[i+1:]...)
		}
	}
	return messages
}
