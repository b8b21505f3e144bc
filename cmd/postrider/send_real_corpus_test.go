//go:build linux

package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"postrider/mailtest"
	"postrider/outbox"
)

// corpusAliases are the domains of all authors of the corpus.
func corpusAliases(all []mailtest.Message) (aliases []string) {
	for _, m := range all {
		author, err := usable(m.Octets)
		if err != nil {
			continue
		}
		alias := "*@" + author[strings.LastIndex(author, "@")+1:]
		if !slices.Contains(aliases, alias) {
			aliases = append(aliases, alias)
		}
	}
	return aliases
}

// origins finds the message of the corpus that a copy was made of. Each is found as
// often as it is there.
type origins struct {
	all   []mailtest.Message
	byEnd map[[32]byte][]int
	found map[int]bool
}

func newOrigins(all []mailtest.Message) *origins {
	o := &origins{all: all, byEnd: map[[32]byte][]int{}, found: map[int]bool{}}
	for i, m := range all {
		end := endOf(onTheWire(m.Octets))
		o.byEnd[end] = append(o.byEnd[end], i)
	}
	return o
}

// endOf is a hash of the last octets.
func endOf(octets []byte) [32]byte {
	return sha256.Sum256(octets[max(0, len(octets)-100):])
}

// of returns the number of the message and the fields that the copy has besides.
func (o *origins) of(copied []byte) (i int, fields []string, ok bool) {
	wire := onTheWire(copied)
	try := func(i int) bool {
		if o.found[i] {
			return false
		}
		fields, ok = matches(wire, o.all[i].Octets)
		return ok
	}
	for _, i := range o.byEnd[endOf(wire)] {
		if try(i) {
			o.found[i] = true
			return i, fields, true
		}
	}
	for i := range o.all { // those that are nothing but a header may end in Bcc
		if try(i) {
			o.found[i] = true
			return i, fields, true
		}
	}
	return 0, nil, false
}

// lacking are the fields that a message lacks and has to get.
func lacking(file []byte) (fields []string) {
	h, _, err := outbox.ReadHeader(bytes.NewReader(file))
	if err != nil {
		return nil
	}
	names := []string{"Date", "Message-ID"}
	if h.IsResent() {
		names = append(names, "Resent-Date", "Resent-Message-ID")
	}
	for _, name := range names {
		if !h.Has(name) {
			fields = append(fields, name)
		}
	}
	return fields
}

var quotation = regexp.MustCompile(`"[^"]*"|[0-9]+`)

// corpusFile is the name under which a message is dropped.
func corpusFile(i int) string { return fmt.Sprintf("%d.eml", i) }

// Every message of the corpus is dropped as it is. What has a sender and
// recipients gets to each of them once and as it was, but for Bcc and what is
// added; all else is in failed/, as it was, with a reason.
func realSendFiles(t *testing.T, binary string) {
	all := mailtest.Corpus(t)
	aliases := corpusAliases(all)
	for _, made := range realSMTPs() {
		t.Run(made.name+"/"+made.tls, func(t *testing.T) {
			t.Parallel()
			server := made.start(t, nil)
			server.AddUser(t, "ada", realSendPassword)
			s := newRealSender(t, binary, realSendAccount{server: server, tls: made.tls, aliases: aliases})
			for i, m := range all {
				s.drop(corpusFile(i), m.Octets)
			}
			code, output := s.run(nil, "send")
			if code != exitFailed && code != exitTemporary {
				t.Errorf("send ended with %d:\n%s", code, clippedLines(output))
			}
			corpusArrived(t, s, server, all, output)
		})
	}
}

func corpusArrived(t *testing.T, s *realSender, server *mailtest.RealSMTP, all []mailtest.Message, output string) {
	t.Helper()
	copies, failed := s.copies("work"), s.failed()
	o := newOrigins(all)
	have := map[string]int{} // what the server has: recipient and hash
	messages, thrownBack := delivered(t, server)
	for _, m := range messages {
		have[storedKey(m.To, m.Octets)]++
	}
	wanted, odd, missing := 0, 0, 0
	for _, c := range copies {
		i, fields, ok := o.of(c)
		if !ok {
			t.Errorf("a copy is none of a message that was dropped: %q", clippedTo(string(c), 500))
			continue
		}
		if _, both := failed[corpusFile(i)]; both {
			t.Errorf("%s is sent and failed", all[i].Name)
		}
		for _, f := range lacking(all[i].Octets) {
			if !slices.Contains(fields, f) {
				t.Errorf("%s lacks %s and was sent with %v", all[i].Name, f, fields)
			}
		}
		octets, foretold := server.Kept(onTheWire(c))
		if !foretold {
			odd += len(recipientsOf(t, all[i]))
			continue
		}
		for _, to := range recipientsOf(t, all[i]) {
			wanted++
			if key := storedKey(to, octets); have[key] > 0 {
				have[key]--
			} else if missing++; missing > thrownBack {
				t.Errorf("%s: %s has not got it as it was sent", all[i].Name, to)
			}
		}
	}
	if len(messages)+thrownBack != wanted+odd {
		t.Errorf("%d messages were stored and %d thrown back, want %d and %d that nobody can foretell", len(messages), thrownBack, wanted, odd)
	}
	deferred := s.items("deferred")
	refused := reasons(t, s, all, failed, o.found)
	t.Logf("%d messages sent, %d copies stored (%d in an odd form), %d thrown back, %d failed, %d deferred\n%s", len(copies), len(messages), odd, thrownBack, refused, len(deferred), clippedLines(output))
	left := s.read(s.outbox)
	for name, octets := range left {
		if len(octets) > 0 { // one without octets is about to be written
			t.Errorf("%s is left", name)
		}
	}
	if len(copies)+refused+len(deferred)+len(left) != len(all) {
		t.Errorf("of %d messages %d are sent, %d failed, %d deferred, %d left", len(all), len(copies), refused, len(deferred), len(left))
	}
	for _, id := range deferred {
		t.Logf("deferred: %s", clippedTo(s.wants(exitOK, "queue", "show", id), 800))
	}
}

// storedKey is a message in the form in which it is counted.
func storedKey(to string, octets []byte) string {
	return fmt.Sprintf("%s %x", recipient(to), sha256.Sum256(octets))
}

func envelopeOf(m mailtest.Message) (to []string, err error) {
	h, _, err := outbox.ReadHeader(bytes.NewReader(m.Octets))
	if err != nil {
		return nil, err
	}
	e, err := h.Envelope("example.org")
	for _, r := range e.To {
		to = append(to, r.Address)
	}
	return to, err
}

// recipientsOf are those of a message that was sent.
func recipientsOf(t *testing.T, m mailtest.Message) []string {
	t.Helper()
	to, err := envelopeOf(m)
	if err != nil {
		t.Errorf("%s was sent: %v", m.Name, err)
	}
	return to
}

// reasons checks what is in failed/ and returns how many messages are.
func reasons(t *testing.T, s *realSender, all []mailtest.Message, failed map[string][]byte, sent map[int]bool) (n int) {
	t.Helper()
	whys := map[string]int{}
	for i, m := range all {
		file, ok := failed[corpusFile(i)]
		if !ok {
			continue
		}
		n++
		if !bytes.Equal(file, m.Octets) {
			t.Errorf("%s: the file in failed/ is another", m.Name)
		}
		_, why, ok := strings.Cut(string(failed[corpusFile(i)+".why.txt"]), "was not sent:\n\n  ")
		why, _, _ = strings.Cut(why, "\n")
		if !ok || why == "" {
			t.Errorf("%s is in failed/ without a reason", m.Name)
		}
		if _, err := usable(m.Octets); err == nil {
			t.Logf("%s: %s", m.Name, why)
		} else {
			whys[quotation.ReplaceAllString(why, "...")]++
		}
	}
	if 2*n != len(failed) {
		t.Errorf("%d files are in failed/, of %d messages", len(failed), n)
	}
	for why, count := range whys {
		t.Logf("%d times: %s", count, why)
	}
	return n
}

// Every message of the corpus is given to sendmail, with a recipient, and a part of
// them with those of the header as well. Each gets to whom it should, once and as
// it was; those that are not taken are refused in one line. One spool is made and
// sent to every server.
func realSendSendmail(t *testing.T, binary string) {
	all := mailtest.Corpus(t)
	aliases := corpusAliases(all)
	offline := newRealSender(t, binary, realSendAccount{server: &mailtest.RealSMTP{Host: "127.0.0.1"}, port: 1, tls: "none", aliases: aliases})
	taken := giveCorpus(offline, all)
	t.Logf("%d of %d messages were taken", len(taken), len(all))
	if len(taken) < len(all)*9/10 {
		t.Errorf("%d of %d were taken", len(taken), len(all))
	}
	for _, made := range otherWay() {
		t.Run(made.name+"/"+made.tls, func(t *testing.T) {
			t.Parallel()
			server := made.start(t, nil)
			server.AddUser(t, "ada", realSendPassword)
			s := newRealSender(t, binary, realSendAccount{server: server, tls: made.tls, aliases: aliases})
			if err := os.CopyFS(s.outbox, os.DirFS(offline.outbox)); err != nil {
				t.Fatal(err)
			}
			code, output := s.run(nil, "send")
			if code != exitOK && server.Name != "opensmtpd" {
				t.Errorf("send ended with %d:\n%s", code, clippedLines(output))
			}
			givenArrived(t, s, server, all, taken, output)
		})
	}
}

// throughHeader tells which messages are given with -t.
func throughHeader(i int, m mailtest.Message) bool {
	_, err := envelopeOf(m)
	return i%4 == 0 && err == nil
}

// giveCorpus returns the numbers of the messages that sendmail has taken, and the
// recipients of each.
func giveCorpus(s *realSender, all []mailtest.Message) map[int][]string {
	s.t.Helper()
	taken := map[int][]string{}
	var mu sync.Mutex
	var calls sync.WaitGroup
	room := make(chan struct{}, 8)
	for i, m := range all {
		room <- struct{}{}
		calls.Go(func() {
			defer func() { <-room }()
			args, to := []string{"sendmail", "-f", "ada@example.org", "-i", numbered(i)}, []string{numbered(i)}
			if throughHeader(i, m) {
				args, to = []string{"sendmail", "-t", "-i", numbered(i)}, append(to, recipientsOf(s.t, m)...)
			}
			var errs bytes.Buffer
			c := s.command(s.t.Context(), m.Octets, args...)
			c.Stderr = &errs
			_ = c.Run() // the code says how it ended
			switch code := c.ProcessState.ExitCode(); {
			case code == exitOK:
				mu.Lock()
				defer mu.Unlock()
				taken[i] = to
			case code != exitData || strings.Count(errs.String(), "\n") != 1:
				s.t.Errorf("%s: sendmail ended with %d: %s", m.Name, code, errs.String())
			default:
				s.t.Logf("%s: %s", m.Name, strings.TrimSpace(errs.String()))
			}
		})
	}
	calls.Wait()
	return taken
}

func givenArrived(t *testing.T, s *realSender, server *mailtest.RealSMTP, all []mailtest.Message, taken map[int][]string, output string) {
	t.Helper()
	have, copies := stored(t, server), s.copies("work")
	kept, odd := keptOf(server, copies)
	oddly, missing, total := 0, map[int]bool{}, 0
	for i, to := range taken {
		for _, a := range to {
			if !strings.HasSuffix(a, "@corpus.example") {
				continue // others may get several
			}
			if len(have[a]) == 0 {
				missing[i] = true
				continue
			}
			if len(have[a]) > 1 {
				t.Errorf("%s: %s got %d", all[i].Name, a, len(have[a]))
			}
			copied, ok := kept[sha256.Sum256(have[a][0])]
			if !ok {
				oddly++
				continue
			}
			if fields, same := matches(onTheWire(copied), all[i].Octets); !same {
				t.Errorf("%s: sent with %v is\n%q\nof\n%q", all[i].Name, fields, clippedTo(string(copied), 600), clippedTo(string(all[i].Octets), 600))
			}
		}
		if !missing[i] {
			total += len(to)
		}
	}
	n := 0
	for _, messages := range have {
		n += len(messages)
	}
	if _, thrownBack := delivered(t, server); n+thrownBack != total {
		t.Errorf("%d messages were stored and %d thrown back, want %d", n, thrownBack, total)
	}
	if oddly != len(odd) {
		t.Errorf("%d messages are stored in a form that was not foretold, %d can have one", oddly, len(odd))
	}
	deferred := s.items("deferred")
	failed := len(s.failed()) / 2
	t.Logf("%d messages sent, %d copies stored (%d messages in an odd form), %d failed, %d deferred\n%s", len(copies), n, oddly, failed, len(deferred), clippedLines(output))
	if len(missing) != failed+len(deferred) {
		t.Errorf("%d messages did not arrive; %d failed and %d are deferred", len(missing), failed, len(deferred))
	}
	if len(copies)+len(missing) != len(taken) {
		t.Errorf("%d messages were taken; %d copies and %d missing", len(taken), len(copies), len(missing))
	}
	for name, why := range s.failed() {
		if filepath.Ext(name) == ".txt" {
			t.Logf("%s", clippedTo(string(why), 400))
		}
	}
}
