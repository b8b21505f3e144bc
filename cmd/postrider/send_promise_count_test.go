//go:build linux && (amd64 || arm64)

package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postrider/mailtest"
)

// postingCount is what is in the outbox and in the folders.
type postingCount struct {
	places  map[string][]string // where the message itself is, by letter: "outbox", a state, or "failed"
	copies  map[string][]string // of what was sent: paths
	reports map[string]int
	doubts  map[string]int // letters that say that the server may have a message
	inTmp   []string
	items   map[string][]string // in the spool, by state
	failed  map[string]bool     // names
	err     error
}

func (p *posting) count() *postingCount {
	c := &postingCount{places: map[string][]string{}, copies: map[string][]string{}, reports: map[string]int{}, doubts: map[string]int{}, items: map[string][]string{}, failed: map[string]bool{}}
	c.walk(p.outbox, c.seeOutbox)
	c.walk(p.root, c.seeFolder)
	return c
}

func (c *postingCount) walk(root string, see func(parts []string, path string) error) {
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case e.IsDir() && e.Name() == ".postrider":
			return fs.SkipDir
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		parts := strings.Split(rel, "/")
		if e.IsDir() && (parts[0] != ".spool" || len(parts) != 3) {
			return nil
		}
		return see(parts, path)
	})
	c.err = errors.Join(c.err, err)
}

// seeOutbox counts one file of the outbox, or the directory of an item.
func (c *postingCount) seeOutbox(parts []string, path string) error {
	name := parts[len(parts)-1]
	place := "outbox"
	switch {
	case parts[0] == ".spool" && len(parts) == 3:
		c.items[parts[1]] = append(c.items[parts[1]], name)
		return nil
	case parts[0] == ".spool" && (len(parts) != 4 || name != "message" && name[0] != '='):
		return nil
	case parts[0] == ".spool":
		place = parts[1]
	case parts[0] == "failed":
		c.failed[name] = true
		if strings.HasSuffix(name, ".why.txt") {
			return nil
		}
		place = "failed"
	}
	octets, err := os.ReadFile(path)
	id := letterOf(octets)
	if id != "" { // else sendmail has not got so far
		c.places[id] = append(c.places[id], place)
	}
	return err
}

// seeFolder counts one file in the Maildir.
func (c *postingCount) seeFolder(parts []string, path string) error {
	if len(parts) != 4 || strings.HasPrefix(parts[3], ".") {
		return nil
	}
	octets, err := os.ReadFile(path)
	id := letterOf(octets)
	switch folder, sub := parts[1], parts[2]; {
	case sub == "tmp":
		c.inTmp = append(c.inTmp, path)
	case folder == "Sent":
		c.copies[id] = append(c.copies[id], path)
	case bytes.Contains(octets, []byte("multipart/report")):
		c.reports[id]++
	default:
		c.doubts[id]++
	}
	return err
}

// kept returns an error if the promise is broken in the middle of things.
func (p *posting) kept() error { return p.check(false) }

// fulfilled returns an error unless every letter has met its fate and nothing else
// is left anywhere.
func (p *posting) fulfilled() error { return p.check(true) }

func (p *posting) check(over bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.count()
	errs := []error{c.err}
	if len(p.changed) > 0 {
		errs = append(errs, fmt.Errorf("torn: other octets the second time: %q", p.changed))
	}
	if faults := p.server.Faults(); len(faults) > 0 {
		errs = append(errs, fmt.Errorf("broken SMTP: %q", faults))
	}
	again, uncertain := 0, map[string]int{}
	for i := range p.letters {
		l := &p.letters[i]
		f := p.fate(l, c)
		errs = append(errs, f.check(over))
		if f.place == "uncertain" {
			uncertain[l.account]++
		}
		again += f.again
	}
	if p.uncertain == "hold" && again > 0 && !p.retried || again > 2*p.faults {
		errs = append(errs, fmt.Errorf("%d accepted twice, after %d faults", again, p.faults))
	}
	for account, n := range uncertain {
		if n > p.faults {
			errs = append(errs, fmt.Errorf("%d uncertain of %s after %d faults", n, account, p.faults))
		}
	}
	if over {
		errs = append(errs, p.tidy(c))
	}
	return errors.Join(errs...)
}

// tidy wants nothing left behind.
func (p *posting) tidy(c *postingCount) error {
	var errs []error
	if len(c.inTmp) > 0 {
		errs = append(errs, fmt.Errorf("left in tmp/: %q", c.inTmp))
	}
	for state, ids := range c.items {
		if state != "uncertain" || p.uncertain != "hold" || len(ids) > 2*p.faults {
			errs = append(errs, fmt.Errorf("left in the spool, %s: %q", state, ids))
		}
	}
	for name := range c.failed {
		if name[0] == '.' {
			errs = append(errs, fmt.Errorf("left in failed/: %s", name))
		}
		if of, why := strings.CutSuffix(name, ".why.txt"); why && !c.failed[of] {
			errs = append(errs, fmt.Errorf("failed/%s is about nothing", name))
		}
	}
	return errors.Join(errs...)
}

// fate is what has become of a letter.
type fate struct {
	*letter
	*postingCount
	posting *posting
	place   string         // of the message; empty: nowhere
	took    map[string]int // how often the server took it, by recipient
	again   int            // more often than once
	octets  []byte         // as the server got it, in local form
}

// fateOf is fate while nobody holds the lock.
func (p *posting) fateOf(l *letter) fate {
	c := p.count()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fate(l, c)
}

func (p *posting) fate(l *letter, c *postingCount) fate {
	f := fate{letter: l, postingCount: c, posting: p, took: map[string]int{}}
	for _, a := range p.accepted {
		if a.letter != l.id {
			continue
		}
		for _, to := range a.to {
			f.took[to]++
			f.again = max(f.again, f.took[to]-1)
		}
	}
	if at := c.places[l.id]; len(at) > 0 {
		f.place = at[0]
	}
	f.octets = mailtest.Local(p.octets[l.id])
	return f
}

func (f fate) wrong(format string, args ...any) error {
	return fmt.Errorf("%s (%s, accepted %v, %d copies, %d reports): %s", f.id, f.places[f.id], f.took, len(f.copies[f.id]), f.reports[f.id], fmt.Sprintf(format, args...))
}

// hopes says whether a recipient may get the letter at all.
func hopes(to string) bool {
	kind, _, _ := strings.Cut(to, "-")
	return kind != "hard" && kind != "never" && kind != "late"
}

// check wants the letter in one place, or sent; and over, at the end of its way.
func (f fate) check(over bool) error {
	if places := f.places[f.id]; len(places) > 1 {
		return f.wrong("twice, in %q", places)
	}
	if err := f.checkOctets(); err != nil {
		return err
	}
	took := len(f.took) > 0
	copies, reports := len(f.copies[f.id]), f.reports[f.id]
	switch {
	case copies > 1 || reports > f.dsns || f.doubts[f.id] > f.posting.faults:
		return f.wrong("twice in a folder")
	case copies == 1 && !took:
		return f.wrong("a copy of what was not accepted")
	case !f.given && f.place == "" && !took: // sendmail may have been killed before it was anywhere
		return nil
	case f.place == "uncertain":
		if begun := f.posting.begun[f.to[0]] + f.posting.begun[f.to[len(f.to)-1]]; begun == 0 {
			return f.wrong("uncertain, and the server never saw its text")
		}
		return nil
	case f.place == "failed":
		return f.checkFailed(took)
	case f.place != "" && over:
		return f.wrong("not done")
	case f.place != "":
		return nil
	}
	return f.checkDone()
}

// checkDone is about one that has left the spool.
func (f fate) checkDone() error {
	if f.refuse {
		return f.wrong("lost")
	}
	for _, to := range f.to {
		if hopes(to) != (f.took[to] > 0) {
			return f.wrong("lost for %s", to)
		}
	}
	switch {
	case len(f.took) == 0:
		return f.wrong("lost")
	case len(f.copies[f.id]) != 1 && !f.posting.noSent:
		return f.wrong("lost: no copy of what was sent")
	case f.reports[f.id] != f.dsns:
		return f.wrong("not all is reported")
	}
	return nil
}

// checkFailed is about one in failed/.
func (f fate) checkFailed(took bool) error {
	names := slices.DeleteFunc([]string{f.name, f.name + ".2"}, func(name string) bool { return !f.failed[name] || !f.failed[name+".why.txt"] })
	switch {
	case took:
		return f.wrong("sent, and failed")
	case !f.refuse && f.dsns == 0:
		return f.wrong("failed without a reason")
	case f.name != "" && len(names) == 0:
		return f.wrong("no file says why: %v", f.failed)
	case f.reports[f.id] != f.dsns:
		return f.wrong("not all is reported")
	}
	return nil
}

// checkOctets wants at the server what was given, without Bcc and with fields on
// top, and the same in the copy.
func (f fate) checkOctets() error {
	if len(f.octets) == 0 {
		return nil
	}
	added, same := strings.CutSuffix(string(f.octets), f.gone)
	if !same {
		return f.wrong("torn: the server has %q of %q", f.octets, f.gone)
	}
	for line := range strings.Lines(added) {
		name, _, _ := strings.Cut(line, ":")
		if name != "Date" && name != "Message-ID" && name != "From" || strings.Contains(f.text, "\n"+name+":") || strings.HasPrefix(f.text, name+":") {
			return f.wrong("torn: the server has %q on top", line)
		}
	}
	for _, path := range f.copies[f.id] {
		octets, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.TrimSuffix(string(octets), "\n") != strings.TrimSuffix(string(f.octets), "\n") || !strings.HasSuffix(path, ":2,S") || filepath.Base(filepath.Dir(path)) != "cur" {
			return f.wrong("torn: the copy %s is %q", path, octets)
		}
	}
	return nil
}
