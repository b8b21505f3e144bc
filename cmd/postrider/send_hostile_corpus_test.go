package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"postrider/mailtest"
	"postrider/outbox"
)

// asSent is what a server should get of a file, save for the fields that are put
// on top: an mbox's first line, Bcc and such are taken out. It is written another
// way than package outbox does it. With from, that field is taken out too: one
// that holds a bare name gives way to one that is put on top.
func asSent(file []byte, from bool) []byte {
	wire := mailtest.Wire(regexp.MustCompile(`\r*\n|\r`).ReplaceAll(file, []byte("\n")))
	head, body, blank := bytes.Cut(wire, []byte("\r\n\r\n"))
	if bytes.HasPrefix(wire, []byte("\r\n")) || len(wire) == 0 {
		return wire
	}
	if blank {
		head = append(head, "\r\n"...)
	}
	var kept [][]byte
	drop := false
	for i, line := range bytes.SplitAfter(head, []byte("\r\n")) {
		name, _, _ := bytes.Cut(line, []byte(":"))
		name = bytes.ToLower(bytes.TrimRight(name, " \t"))
		switch {
		case i == 0 && bytes.HasPrefix(line, []byte("From ")):
			continue
		case len(line) > 0 && (line[0] == ' ' || line[0] == '\t'):
		default:
			drop = string(name) == "bcc" || string(name) == "resent-bcc" || from && string(name) == "from"
		}
		if !drop {
			kept = append(kept, line)
		}
	}
	out := bytes.Join(kept, nil)
	if blank {
		out = append(append(out, "\r\n"...), body...)
	}
	return out
}

// matches tells whether octets are what is wanted with some fields on top, and
// says which: Date, Message-ID and From, each once at most. Where a header runs
// into the text, a blank line may have been put between them.
func matches(octets, file []byte) (fields []string, ok bool) {
	for {
		for _, from := range []bool{false, slices.Contains(fields, "From")} {
			want := asSent(file, from)
			at := 0
			for at < min(len(octets), len(want)) && octets[at] == want[at] {
				at++
			}
			// The lines before and behind the blank one may begin alike.
			for ; at >= 0 && at <= len(want); at-- {
				if bytes.Equal(octets, want) || len(want) == 0 && len(octets) == 0 || string(octets) == string(want[:at])+"\r\n"+string(want[at:]) {
					return fields, true
				}
				if at == 0 || want[at-1] != '\r' && want[at-1] != '\n' {
					break
				}
			}
		}
		line, behind, _ := bytes.Cut(octets, []byte("\r\n"))
		name, _, colon := strings.Cut(string(line), ": ")
		if !colon || slices.Contains(fields, name) || !slices.Contains([]string{"Date", "Message-ID", "From", "Resent-Date", "Resent-Message-ID"}, name) {
			return fields, false
		}
		fields, octets = append(fields, name), behind
	}
}

// usable tells who the author of a message is, or why it cannot be sent as a file.
func usable(octets []byte) (author string, err error) {
	h, _, err := outbox.ReadHeader(bytes.NewReader(octets))
	if err != nil {
		return "", err
	}
	a, err := h.Sender()
	if err != nil {
		return "", err
	}
	if a.IsBare() || a.Domain == "" {
		return "", errors.New("the author has no domain")
	}
	_, err = h.Recipients()
	return a.String(), err
}

// compare checks that the server has those messages that were taken, each once,
// and as they were given.
func (h *sendingHome) compare(all []mailtest.Message, s *mailtest.SMTP, taken map[int]bool) {
	h.t.Helper()
	have := map[string]mailtest.SMTPMessage{}
	for _, m := range s.Messages() {
		for _, to := range m.To {
			if _, twice := have[to]; twice && strings.HasSuffix(to, "@corpus.example") {
				h.t.Errorf("%s got two", to)
			}
			have[to] = m
		}
	}
	for i, message := range all {
		m, ok := have[numbered(i)]
		if ok != taken[i] {
			h.t.Errorf("%s: was it sent? %v, want %v", message.Name, ok, taken[i])
		}
		if !ok {
			continue
		}
		if fields, same := matches(m.Octets, message.Octets); !same {
			h.t.Errorf("%s: added %v; sent\n%q\nof\n%q", message.Name, fields, clippedTo(string(m.Octets), 600), clippedTo(string(message.Octets), 600))
		}
	}
	h.t.Logf("%d of %d were sent", len(taken), len(all))
	for _, fault := range s.Faults() {
		if !strings.HasSuffix(fault, "at the beginning of a line in the text") {
			h.t.Errorf("fault: %s", fault)
		}
	}
}

// numbered is a recipient to know a message of the corpus by.
func numbered(i int) string { return fmt.Sprintf("n%d@corpus.example", i) }

// corpusSender has an account that sends for all authors of the corpus.
func corpusSender(t *testing.T, s *mailtest.SMTP, all []mailtest.Message) *sendingHome {
	t.Helper()
	h := newSender(t, []sendAccount{{port: s.Port()}})
	var aliases []string
	for _, m := range all {
		if author, _ := usable(m.Octets); author != "" {
			aliases = append(aliases, quoted(author))
		}
	}
	h.replace(`aliases: ["*@work.example"]`, "aliases: ["+strings.Join(aliases, ", ")+"]")
	return h
}

// TestCorpusBySendmail gives every message to the command, with a recipient; what
// the server gets is what was given, but for Bcc and what is added. The others are
// refused in one line, with a reason and a remedy.
func TestCorpusBySendmail(t *testing.T) {
	t.Parallel()
	all := mailtest.Corpus(t)
	s := startSMTP(t, mailtest.SMTPOptions{})
	h := corpusSender(t, s, all)
	taken := map[int]bool{}
	var mu sync.Mutex
	var calls sync.WaitGroup
	room := make(chan struct{}, 16)
	for i, m := range all {
		room <- struct{}{}
		calls.Go(func() {
			defer func() { <-room }()
			o := h.pipe(string(m.Octets), "sendmail", "-i", "-f", "ada@example.org", "--", numbered(i))
			switch {
			case o.code == exitOK:
				mu.Lock()
				defer mu.Unlock()
				taken[i] = true
			case o.code != exitData:
				t.Errorf("%s: ended with %d: %s", m.Name, o.code, o.stderr)
			case !strings.HasSuffix(o.stderr, ")\n") || strings.Count(o.stderr, "\n") != 1:
				t.Errorf("%s: %q", m.Name, o.stderr)
			default:
				t.Logf("%s: %s", m.Name, strings.TrimSpace(o.stderr))
			}
		})
	}
	calls.Wait()
	h.sends(exitOK)
	h.queued("")
	h.compare(all, s, taken)
	if len(taken) < len(all)*9/10 {
		t.Errorf("%d of %d were taken", len(taken), len(all))
	}
}

// TestCorpusAsFiles drops the messages as files, with a recipient on top to know
// them by: those with an author are sent, the others are in failed/ with a reason,
// as they were.
func TestCorpusAsFiles(t *testing.T) {
	t.Parallel()
	all := mailtest.Corpus(t)
	s := startSMTP(t, mailtest.SMTPOptions{})
	h := corpusSender(t, s, all)
	dropped := slices.Clone(all)
	for i, m := range all {
		field := "Bcc: "
		if h, _, err := outbox.ReadHeader(bytes.NewReader(m.Octets)); err == nil && h.IsResent() {
			field = "Resent-Bcc: "
		}
		dropped[i].Octets = []byte(field + numbered(i) + "\n" + string(m.Octets))
		h.drop(fmt.Sprintf("%d.eml", i), string(dropped[i].Octets))
	}
	o := h.pipe("", "send").wants(exitFailed)
	h.queued("")
	failed := h.files("failed")
	taken := map[int]bool{}
	for i, m := range dropped {
		name := fmt.Sprintf("%d.eml", i)
		if !slices.Contains(failed, name) {
			taken[i] = true
			continue
		}
		if h.read(filepath.Join(h.outbox(), "failed", name)) != string(m.Octets) {
			t.Errorf("%s: the file in failed/ is another", m.Name)
		}
		if why := h.why(name); !strings.Contains(why, "was not sent:\n\n  ") {
			t.Errorf("%s: %s", m.Name, why)
		}
	}
	t.Log(o.stdout)
	h.compare(dropped, s, taken)
}
