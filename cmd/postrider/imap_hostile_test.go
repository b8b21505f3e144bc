package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postrider/mailtest"
)

// imapBox is an account of a configuration that receives over IMAP.
type imapBox struct {
	name     string // "work" if empty
	port     int
	tls      string // "none" if empty
	ca       *mailtest.CA
	password string // in YAML; the usual one if empty
	folders  string // in YAML; the default if empty
	extra    string // more keys of imap, one a line
}

// newHostileIMAP is newHostile for accounts with IMAP.
func newHostileIMAP(t *testing.T, accounts ...imapBox) *hostile {
	t.Helper()
	h := newHostile(t)
	h.writeIMAP(accounts...)
	return h
}

func (h *hostile) writeIMAP(accounts ...imapBox) {
	h.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "maildir: %s\noutbox: off\nlog: %s\naccounts:\n", h.mail(), h.log)
	for _, a := range accounts {
		if a.name == "" {
			a.name = "work"
		}
		if a.tls == "" {
			a.tls = "none"
		}
		if a.password == "" {
			a.password = quoted(hostilePassword)
		}
		fmt.Fprintf(&b, "  %s:\n    address: ada@example.org\n    user: ada\n    password: %s\n    imap:\n      host: 127.0.0.1\n      port: %d\n      tls: %s\n      schedule: manual\n",
			a.name, a.password, a.port, a.tls)
		if a.ca != nil {
			file := filepath.Join(h.dir, a.name+".pem")
			h.save(file, string(a.ca.PEM()))
			fmt.Fprintf(&b, "      ca_file: %s\n", file)
		}
		if a.folders != "" {
			fmt.Fprintf(&b, "      folders: %s\n", a.folders)
		}
		for line := range strings.Lines(a.extra) {
			fmt.Fprintf(&b, "      %s\n", strings.TrimSpace(line))
		}
	}
	h.save(h.config, b.String())
}

// startIMAP serves until the end of the test, with messages in the INBOX of ada.
func startIMAP(t *testing.T, o mailtest.IMAPOptions, messages ...[]byte) *mailtest.IMAP {
	t.Helper()
	if o.Users == nil {
		o.Users = map[string]string{"ada": hostilePassword}
	}
	s := mailtest.NewIMAP(o)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	fill(s, "INBOX", messages...)
	return s
}

// fill adds messages to a mailbox of ada, which is made if need be.
func fill(s *mailtest.IMAP, mailbox string, messages ...[]byte) {
	m := s.Account("ada").Mailbox(mailbox)
	for _, octets := range messages {
		m.Add(octets)
	}
}

// inbox is the INBOX of ada.
func inbox(s *mailtest.IMAP) *mailtest.IMAPMailbox { return s.Account("ada").Mailbox("INBOX") }

// onIMAP returns a hook that does something at one command.
func onIMAP(verb string, do func(*mailtest.IMAPEvent)) func(*mailtest.IMAPEvent) {
	return func(e *mailtest.IMAPEvent) {
		if e.Verb == verb {
			do(e)
		}
	}
}

// isText says whether a command asks for the text of messages.
func isText(e *mailtest.IMAPEvent) bool {
	return e.Verb == "UID FETCH" && strings.Contains(e.Arg, "BODY.PEEK[]")
}

// isListing says whether a command asks which messages there are.
func isListing(e *mailtest.IMAPEvent) bool { return e.Verb == "UID FETCH" && !isText(e) }

// texts counts the messages that were sent, over all sessions.
func texts(s *mailtest.IMAP) int { return s.Counts().Messages }

// kept returns the folders of the root that hold messages, as paths below it,
// and how many copies of each text they hold.
func (h *hostile) kept() map[string]map[string]int {
	h.t.Helper()
	folders := map[string]map[string]int{}
	err := filepath.WalkDir(h.mail(), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !d.Type().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		dir, sub := filepath.Split(filepath.Dir(path))
		place, err := filepath.Rel(h.mail(), filepath.Clean(dir))
		if err != nil || strings.HasPrefix(place, ".postrider") || sub == ".postrider" {
			return err
		}
		if sub != "new" && sub != "cur" {
			h.t.Errorf("left over: %s", path)
		}
		text, err := os.ReadFile(path)
		if folders[place] == nil {
			folders[place] = map[string]int{}
		}
		folders[place][string(text)]++
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.t.Fatal(err)
	}
	return folders
}

// keeps checks that the root holds exactly these messages, by folder, each as
// often as it is named, and nothing else.
func (h *hostile) keeps(want map[string][][]byte) {
	h.t.Helper()
	got, wrong := h.kept(), 0
	differs := func(place string, n, want int, text string) {
		if wrong++; wrong <= 10 {
			h.t.Errorf("%s: %d copies, want %d, of %q", place, n, want, clipped(text))
		}
	}
	for place, wires := range want {
		counts := map[string]int{}
		for _, w := range wires {
			counts[string(mailtest.Local(w))]++
		}
		for text, n := range counts {
			if got[place][text] != n {
				differs(place, got[place][text], n, text)
			}
		}
		for text, n := range got[place] {
			if counts[text] == 0 {
				differs(place, n, 0, text)
			}
		}
		delete(got, place)
	}
	for place, texts := range got {
		h.t.Errorf("folder %s has %d messages, want none", place, len(texts))
	}
}

// letter returns one small message with a subject of its own.
func letter(subject string) []byte {
	return fmt.Appendf(nil, "Subject: %s\r\n\r\nThis is %s.\r\n", subject, subject)
}

// flagged returns the UIDs of the messages in a mailbox that have a flag.
func flagged(m *mailtest.IMAPMailbox, flag string) (uids []uint32) {
	for _, message := range m.Messages() {
		if slices.Contains(message.Flags, flag) {
			uids = append(uids, message.UID)
		}
	}
	return uids
}

// noCleartextIMAP checks that no credential was sent without TLS.
func noCleartextIMAP(t *testing.T, s *mailtest.IMAP) {
	t.Helper()
	if n := s.Counts().Cleartext; n != 0 {
		t.Errorf("%d credentials were sent in the clear", n)
	}
}

// implicitIMAP returns an authority, and the options of a good server of its.
func implicitIMAP(t *testing.T) (*mailtest.CA, mailtest.IMAPOptions) {
	t.Helper()
	ca, o := newCA(t)
	return ca, mailtest.IMAPOptions{TLS: o.TLS, Implicit: true}
}

// names lists a directory below the root.
func names(t *testing.T, h *hostile, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(h.mail(), dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// brings checks how many messages were new.
func (o outcome) brings(n int) outcome {
	o.t.Helper()
	return o.says(fmt.Sprintf("(?m)^%d new messages? ", n))
}

// inInbox is what keeps wants to hear of messages in the INBOX alone.
func inInbox(wires ...[]byte) map[string][][]byte { return map[string][][]byte{"work/INBOX": wires} }
