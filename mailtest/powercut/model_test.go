//go:build linux

package powercut_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"postrider/mailtest/powercut"
)

// model is a small receiving end: it delivers batches into tmp/ and new/ of one
// folder and keeps a ledger in another, in the right order or with a step of it
// planted wrong.
type model struct {
	mail, state string
	batches     int

	noFileSync bool // the messages are not flushed before the rename
	noDirSync  bool // new/ is not flushed before "done" is committed
	doneEarly  bool // "done" is committed before the rename
}

const perBatch = 6

func messageName(batch, i int) string { return fmt.Sprintf("%03d-%d", batch, i) }

// octets makes the message of a name: of one to about ten kilobytes.
func octets(name string) []byte {
	n := 0
	for _, c := range name {
		n = n*7 + int(c)
	}
	return bytes.Repeat([]byte("Subject: "+name+"\n"), 60+n%500)
}

func (m model) tmp(name string) string { return filepath.Join(m.mail, "tmp", name) }
func (m model) new(name string) string { return filepath.Join(m.mail, "new", name) }
func (m model) ledger() string         { return filepath.Join(m.state, "ledger") }

// prepare makes the folders and an empty ledger, durably.
func (m model) prepare() error {
	for _, dir := range []string{"tmp", "new"} {
		if err := os.Mkdir(filepath.Join(m.mail, dir), 0o700); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(m.state, 0o700); err != nil {
		return err
	}
	if err := m.commit("begin"); err != nil {
		return err
	}
	for _, dir := range []string{m.mail, m.state, filepath.Dir(m.state)} {
		if err := syncPath(dir); err != nil {
			return err
		}
	}
	return nil
}

// promise is what the outside knows: the batch is done, as of a position.
type promise struct {
	batch    int
	position int64
}

func (m model) run(r *powercut.Recorder) ([]promise, error) {
	var promises []promise
	for b := range m.batches {
		if err := m.deliver(b); err != nil {
			return nil, err
		}
		position, err := r.Position()
		if err != nil {
			return nil, err
		}
		promises = append(promises, promise{b, position})
	}
	return promises, nil
}

func (m model) deliver(batch int) error {
	for i := range perBatch {
		if err := m.write(messageName(batch, i)); err != nil {
			return err
		}
	}
	if err := syncPath(filepath.Join(m.mail, "tmp")); err != nil {
		return err
	}
	if err := m.commit("intent", fmt.Sprint(batch)); err != nil {
		return err
	}
	if m.doneEarly {
		if err := m.commit("done", fmt.Sprint(batch)); err != nil {
			return err
		}
	}
	for i := range perBatch {
		name := messageName(batch, i)
		if err := os.Rename(m.tmp(name), m.new(name)); err != nil {
			return err
		}
	}
	if !m.noDirSync {
		if err := syncPath(filepath.Join(m.mail, "new")); err != nil {
			return err
		}
	}
	if m.doneEarly {
		return nil
	}
	return m.commit("done", fmt.Sprint(batch))
}

func (m model) write(name string) error {
	if err := os.WriteFile(m.tmp(name), octets(name), 0o600); err != nil || m.noFileSync {
		return err
	}
	return syncPath(m.tmp(name))
}

// commit appends a line to the ledger, durably.
func (m model) commit(words ...string) error {
	f, err := os.OpenFile(m.ledger(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(strings.Join(words, " ") + " .\n"); err != nil {
		return err
	}
	return f.Sync()
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// outcome counts messages after a recovery.
type outcome struct{ lost, twice, torn int }

// recover finishes what the ledger says was begun, then counts. A message that
// is not whole anywhere would be fetched again as long as its batch is open.
func (m model) recover(promised map[int]bool) (outcome, error) {
	var o outcome
	text, err := os.ReadFile(m.ledger())
	if err != nil {
		return o, err
	}
	intent, done := map[int]bool{}, map[int]bool{}
	for line := range strings.Lines(string(text)) {
		var word string
		var batch int
		if n, _ := fmt.Sscanf(line, "%s %d .\n", &word, &batch); n == 2 && strings.HasSuffix(line, ".\n") {
			intent[batch] = true
			done[batch] = done[batch] || word == "done"
		}
	}
	for b := range m.batches {
		for i := range perBatch {
			name := messageName(b, i)
			if intent[b] && !done[b] {
				if err := m.finish(name); err != nil {
					return o, err
				}
			}
			got, err := os.ReadFile(m.new(name))
			switch {
			case err == nil && !bytes.Equal(got, octets(name)):
				o.torn++
			case err != nil && (done[b] || promised[b]):
				o.lost++
			}
			if _, tmpErr := os.Stat(m.tmp(name)); err == nil && tmpErr == nil {
				o.twice++
			}
		}
	}
	return o, nil
}

// finish delivers a message whose batch was left open.
func (m model) finish(name string) error {
	if _, err := os.Stat(m.new(name)); err == nil {
		return nil
	}
	if got, err := os.ReadFile(m.tmp(name)); err == nil && bytes.Equal(got, octets(name)) {
		return os.Rename(m.tmp(name), m.new(name))
	}
	if err := os.RemoveAll(m.tmp(name)); err != nil {
		return err
	}
	return os.WriteFile(m.new(name), octets(name), 0o600)
}
