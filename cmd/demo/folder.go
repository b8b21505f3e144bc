package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-maildir"
)

// shown is how many messages of a folder are listed.
const shown = 3

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

// flagsOf are the letters behind the name of a message.
func flagsOf(path string) string {
	_, flags, _ := strings.Cut(filepath.Base(path), ":2,")
	return flags
}

// sameLetter is what two letters that cannot be told apart have in common.
type sameLetter struct {
	sum   [sha256.Size]byte
	flags string
	date  int64 // in Unix seconds; 0: any
}

func (l letter) same() sameLetter {
	s := sameLetter{sum: sha256.Sum256(l.octets), flags: l.flags}
	if !l.date.IsZero() {
		s.date = l.date.Unix()
	}
	return s
}

// read returns the message at path.
func read(path string) (letter, error) {
	octets, err := os.ReadFile(path)
	if err != nil {
		return letter{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return letter{}, err
	}
	return letter{octets, flagsOf(path), info.ModTime()}, nil
}

// compare finds out whether the folder at dir holds the wanted messages and no
// others, each as often as it was sent, with nothing left in tmp/.
func compare(dir string, want []letter) error {
	missing := map[sameLetter]int{}
	for _, l := range want {
		missing[l.same()]++
	}
	all, err := list(dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	var wrong []error
	for _, path := range all {
		l, err := read(path)
		if err != nil {
			return err
		}
		s := l.same()
		if missing[s] == 0 {
			s.date = 0
		}
		if missing[s]--; missing[s] < 0 {
			wrong = append(wrong, fmt.Errorf("%s was not sent like this, or not so often", path))
		}
	}
	for _, l := range want {
		if s := l.same(); missing[s] > 0 {
			missing[s]--
			wrong = append(wrong, fmt.Errorf("%s lacks a message of %d octets with the flags %q: %.40q", dir, len(l.octets), l.flags, l.octets))
		}
	}
	left, err := os.ReadDir(filepath.Join(dir, "tmp"))
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%s was left in tmp/ of %s", left[0].Name(), dir)
	}
	return errors.Join(append(wrong, err)...)
}

// show lists some messages of a folder, from the oldest to the newest.
func (d *demo) show(folder string) error {
	all, err := list(d.folder(folder))
	if err != nil {
		return fmt.Errorf("list %s: %w", folder, err)
	}
	letters := make([]letter, len(all))
	marked := map[rune]int{}
	for i, path := range all {
		if letters[i], err = read(path); err != nil {
			return err
		}
		for _, flag := range letters[i].flags {
			marked[flag]++
		}
	}
	slices.SortStableFunc(letters, func(a, b letter) int { return a.date.Compare(b.date) })
	text := fmt.Sprintf("Mail/%s: %s", folder, count(len(all), "message"))
	if len(marked) > 0 {
		text += fmt.Sprintf(", %d read, %d answered, %d flagged", marked['S'], marked['R'], marked['F'])
	}
	d.say("%s", text)
	n := min(shown, len(letters))
	for i := range n {
		l := letters[(2*i+1)*len(letters)/(2*n)]
		h := readHeader(l.octets)
		d.say("  %s  %-2s  %s  %s", l.date.Format(time.DateOnly), l.flags, column(h.from, 26), strings.TrimRight(column(h.subject, 40), " "))
	}
	return nil
}

// readSome does to an INBOX what mail readers do: it moves what was read to
// cur/ with its flags, files something elsewhere, and deletes.
func (d *demo) readSome(p *post) error {
	const inbox, archive = "work/INBOX", "work/Archive"
	all, err := list(d.folder(inbox))
	if err != nil {
		return fmt.Errorf("list %s: %w", inbox, err)
	}
	if len(all) < 4 || flagsOf(all[3]) != "" {
		return fmt.Errorf("%s has fewer than 4 unread messages", inbox)
	}
	if err := maildir.Dir(d.folder(archive)).Init(); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	for i, becomes := range []struct{ folder, flags string }{{inbox, "S"}, {inbox, "RS"}, {}, {archive, "S"}} {
		l, err := read(all[i])
		if err != nil {
			return err
		}
		l = p.take(inbox, l.octets)
		if becomes.folder == "" {
			err = os.Remove(all[i])
		} else {
			l.flags = becomes.flags
			p.expect(becomes.folder, l)
			err = os.Rename(all[i], filepath.Join(d.folder(becomes.folder), "cur", filepath.Base(all[i])+":2,"+l.flags))
		}
		if err != nil {
			return fmt.Errorf("read mail: %w", err)
		}
	}
	d.say("In Mail/%s one message is read, one answered, one deleted, one moved to Mail/%s.", inbox, archive)
	return nil
}
