//go:build linux

package main_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/mailtest"
)

// imapServer is a make of server, set up in one way.
type imapServer struct {
	name  string
	start func(testing.TB) *mailtest.RealServer
}

func realIMAPServers() []imapServer {
	return []imapServer{
		{"dovecot", func(tb testing.TB) *mailtest.RealServer { return mailtest.StartDovecot(tb, nil) }},
		{"cyrus", func(tb testing.TB) *mailtest.RealServer { return mailtest.StartCyrus(tb, nil) }},
		{"courier", func(tb testing.TB) *mailtest.RealServer { return mailtest.StartCourier(tb, nil) }},
	}
}

// dovecotTree is a Dovecot whose levels are parted by "/", so that names may
// have dots.
func dovecotTree(tb testing.TB) *mailtest.RealServer {
	return mailtest.StartDovecot(tb, nil, mailtest.RealConfig(`
mail_location = maildir:~/Maildir:LAYOUT=fs
namespace inbox {
  separator = /
}
`))
}

// imapAccount is an account of the configuration, at a real server.
type imapAccount struct {
	name     string
	server   *mailtest.RealServer
	port     int // 0: the server's own
	user     string
	tls      string // "" for implicit
	auth     string // "" for auto
	onServer string // "" for keep
	folders  string // "" for all
	maxSize  string // "" for any
}

func (a imapAccount) yaml(t *testing.T, dir string) string {
	t.Helper()
	or := func(text *string, instead string) {
		if *text == "" {
			*text = instead
		}
	}
	or(&a.tls, "implicit")
	or(&a.auth, "auto")
	or(&a.onServer, "keep")
	or(&a.folders, `["*"]`)
	or(&a.maxSize, "0")
	if a.port == 0 {
		a.port = a.server.IMAPS
		if a.tls == "starttls" {
			a.port = a.server.IMAP
		}
	}
	caFile := filepath.Join(dir, a.name+".pem")
	if err := os.WriteFile(caFile, a.server.CA.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`  %s:
    address: ada@example.org
    user: %s
    password: '%s'
    imap:
      host: %s
      port: %d
      tls: %s
      ca_file: %s
      auth: %s
      on_server: %s
      folders: %s
      max_size: %s
      schedule: manual
`, a.name, a.user, realPassword, a.server.Host, a.port, a.tls, caFile, a.auth, a.onServer, a.folders, a.maxSize)
}

func newIMAPPostrider(t *testing.T, binary string, accounts ...imapAccount) *postrider {
	t.Helper()
	p := newPostrider(t, binary)
	p.configure(accounts...)
	return p
}

// configure changes the accounts.
func (p *postrider) configure(accounts ...imapAccount) {
	p.t.Helper()
	config := fmt.Sprintf("maildir: %s\noutbox: off\nlog: {level: debug}\naccounts:\n", p.root)
	for _, a := range accounts {
		config += a.yaml(p.t, p.home)
	}
	if err := os.WriteFile(p.config, []byte(config), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// output is mustFetch for tests that read what is said.
func (p *postrider) output() string {
	p.t.Helper()
	code, output := p.run("fetch")
	if code != 0 {
		p.t.Fatalf("postrider fetch: exit code %d\n%s", code, output)
	}
	return output
}

// fetchedLine fetches and returns the line that sums it up.
func (p *postrider) fetchedLine() string {
	p.t.Helper()
	lines := strings.Split(strings.TrimSpace(p.output()), "\n")
	return lines[len(lines)-1]
}

// place is the folder of one of the account's own mailboxes that needs no
// escapes.
func (p *postrider) place(c *mailtest.RealSession, levels ...string) string {
	return strings.ReplaceAll(c.Text(levels...), c.Delimiter(), "/")
}

// folders reads all folders of an account, by their path below it, and checks
// what holds for every file that the program delivered.
func (p *postrider) folders(account string) map[string]folder {
	p.t.Helper()
	base := filepath.Join(p.root, account)
	folders := map[string]folder{}
	err := filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if info, err := os.Stat(filepath.Join(path, "cur")); err == nil && info.IsDir() {
				place, _ := filepath.Rel(base, path)
				folders[place] = append(folders[place], folder{}...)
			}
			return nil
		}
		octets, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sub := filepath.Base(filepath.Dir(path))
		place, _ := filepath.Rel(base, filepath.Dir(filepath.Dir(path)))
		name := uniqueName.FindStringSubmatch(d.Name())
		if name == nil || name[1] != fmt.Sprint(len(octets)) || sub != "new" && sub != "cur" || sub == "new" && name[2] != "" {
			p.t.Errorf("%s has %d octets, and may not be called that", path, len(octets))
		}
		if info, err := d.Info(); err != nil || info.Mode() != 0o600 {
			p.t.Errorf("%s has the mode %v (%v)", path, info.Mode(), err)
		}
		folders[place] = append(folders[place], delivered{path, octets})
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return folders
}

// sameFolders compares what is there at two times, file by file.
func sameFolders(t *testing.T, before, after map[string]folder) {
	t.Helper()
	for _, place := range slices.Sorted(maps.Keys(after)) {
		if !after[place].sameFiles(before[place]) {
			t.Errorf("folder %s has changed: %d files, then %d", place, len(before[place]), len(after[place]))
		}
	}
	if len(before) != len(after) {
		t.Errorf("%d folders, then %d", len(before), len(after))
	}
	if t.Failed() {
		t.FailNow()
	}
}

// served is what a server serves of some mailboxes, as files must have it, by
// place.
func served(c *mailtest.RealSession, boxes map[string][]string) map[string][]message {
	all := map[string][]message{}
	for place, levels := range boxes {
		all[place] = []message{}
		for _, row := range c.Rows(true, levels...) {
			all[place] = append(all[place], message{fmt.Sprintf("%s, UID %d", place, row.UID), mailtest.Local(row.Octets)})
		}
	}
	return all
}

// foldersEqual compares what is there with what has to be there.
func foldersEqual(t *testing.T, got map[string]folder, want map[string][]message) {
	t.Helper()
	for _, place := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[place]; !ok {
			t.Errorf("there is a folder %q with %d messages", place, len(got[place]))
		}
	}
	for _, place := range slices.Sorted(maps.Keys(want)) {
		if _, ok := got[place]; !ok {
			t.Errorf("there is no folder %q", place)
			continue
		}
		got[place].mustEqual(t, want[place])
	}
	if t.Failed() {
		t.FailNow()
	}
}

// note is a short message that is like no other.
func note(subject string) []byte {
	return fmt.Appendf(nil, "From: ada@example.org\r\nSubject: %s\r\n\r\nThis is %s.\r\n", subject, subject)
}

// notes appends short messages to a mailbox.
func notes(c *mailtest.RealSession, n int, subject string, levels ...string) {
	for i := range n {
		c.Append(c.Name(levels...), "", time.Time{}, note(fmt.Sprintf("%s %d", subject, i)))
	}
}

func localNotes(n int, subject string) (all []message) {
	for i := range n {
		text := fmt.Sprintf("%s %d", subject, i)
		all = append(all, message{text, mailtest.Local(note(text))})
	}
	return all
}

// subjects returns what the files of a folder are, for messages of note.
func (f folder) subjects() (all []string) {
	for _, file := range f {
		_, after, _ := bytes.Cut(file.octets, []byte("Subject: "))
		subject, _, _ := strings.Cut(string(after), "\n")
		all = append(all, subject)
	}
	slices.Sort(all)
	return all
}
