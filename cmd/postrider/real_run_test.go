//go:build linux

package main_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/mailtest"
)

// buildPostrider builds the program, as `go build` does for everybody.
func buildPostrider(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "postrider")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build postrider: %v\n%s", err, out)
	}
	return binary
}

// realAccount is an account of the configuration, at a real server.
type realAccount struct {
	name     string
	server   *mailtest.RealServer
	ca       *mailtest.CA // nil: the server's own
	user     string
	tls      string
	onServer string
	auth     string // "" for the default
}

func (a realAccount) yaml(t *testing.T, dir string) string {
	t.Helper()
	port, ca := a.server.POP3S, a.ca
	if a.tls == "starttls" {
		port = a.server.POP3
	}
	if ca == nil {
		ca = a.server.CA
	}
	caFile := filepath.Join(dir, a.name+".pem")
	if err := os.WriteFile(caFile, ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	auth := a.auth
	if auth == "" {
		auth = "auto"
	}
	return fmt.Sprintf(`  %s:
    address: ada@example.org
    user: %s
    password: '%s'
    pop3:
      host: %s
      port: %d
      tls: %s
      ca_file: %s
      auth: %s
      on_server: %s
      schedule: manual
`, a.name, a.user, realPassword, a.server.Host, port, a.tls, caFile, auth, a.onServer)
}

// postrider is the program with a configuration and a root of its own.
type postrider struct {
	t                          *testing.T
	binary, home, root, config string
}

func newPostrider(t *testing.T, binary string, accounts ...realAccount) *postrider {
	t.Helper()
	home := t.TempDir()
	p := &postrider{t: t, binary: binary, home: home, root: filepath.Join(home, "Mail"), config: filepath.Join(home, "config.yaml")}
	config := fmt.Sprintf("maildir: %s\noutbox: off\naccounts:\n", p.root)
	for _, a := range accounts {
		config += a.yaml(t, home)
	}
	if err := os.WriteFile(p.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// run runs one verb and returns its exit code and all that it printed.
func (p *postrider) run(args ...string) (code int, output string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.binary, append([]string{"-c", p.config}, args...)...)
	cmd.Env = []string{"HOME=" + p.home, "XDG_STATE_HOME=" + filepath.Join(p.home, "state"), "PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		p.t.Fatalf("postrider %s did not end:\n%s", strings.Join(args, " "), out)
	case err == nil:
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		code = exit.ExitCode()
	default:
		p.t.Fatalf("postrider %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return code, string(out)
}

func (p *postrider) mustFetch() {
	p.t.Helper()
	if code, output := p.run("fetch"); code != 0 {
		p.t.Fatalf("postrider fetch: exit code %d\n%s", code, output)
	}
}

// message is one message as its file must hold it.
type message struct {
	name   string
	octets []byte
}

// mail is messages as they are given to a server and as they have to arrive.
type mail struct {
	wire  [][]byte
	local []message
}

// add adds a message unless s cannot send it.
func (m *mail) add(s *mailtest.RealServer, name string, wire []byte) {
	served, ok := s.Served(wire)
	if !ok {
		return
	}
	m.wire = append(m.wire, wire)
	m.local = append(m.local, message{name, mailtest.Local(served)})
}

// folder is the files of a Maildir's new/ and cur/, by name.
type folder []delivered

type delivered struct {
	path   string
	octets []byte
}

var uniqueName = regexp.MustCompile(`^[0-9]+\.[^,:/]+,S=([0-9]+),K=[^,:/]+(:2,[A-Z]*)?$`)

// inbox reads an account's INBOX folder and checks what holds for every file.
func (p *postrider) inbox(account string) folder {
	p.t.Helper()
	inbox := filepath.Join(p.root, account, "INBOX")
	var files folder
	for _, sub := range []string{"tmp", "new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(inbox, sub))
		if err != nil {
			p.t.Fatal(err)
		}
		for _, e := range entries {
			path := filepath.Join(inbox, sub, e.Name())
			if sub == "tmp" {
				p.t.Errorf("%s is left", path)
				continue
			}
			octets, err := os.ReadFile(path)
			if err != nil {
				p.t.Fatal(err)
			}
			if name := uniqueName.FindStringSubmatch(e.Name()); name == nil || name[1] != fmt.Sprint(len(octets)) {
				p.t.Errorf("%s has %d octets and a name that does not say so", path, len(octets))
			}
			if info, err := e.Info(); err != nil || info.Mode() != 0o600 {
				p.t.Errorf("%s has the mode %v (%v)", path, info.Mode(), err)
			}
			files = append(files, delivered{path, octets})
		}
	}
	return files
}

func (f folder) messages() []message {
	var messages []message
	for _, file := range f {
		messages = append(messages, message{filepath.Base(file.path), file.octets})
	}
	return messages
}

func (f folder) sameFiles(g folder) bool {
	return slices.EqualFunc(f, g, func(a, b delivered) bool {
		return a.path == b.path && bytes.Equal(a.octets, b.octets)
	})
}

// mustEqual compares what is there with what has to be there: every message as
// often as it was sent, in any order.
func (f folder) mustEqual(t *testing.T, want []message) {
	t.Helper()
	missing := map[[sha256.Size]byte]int{}
	for _, m := range want {
		missing[sha256.Sum256(m.octets)]++
	}
	extra := 0
	const shown = 5
	for _, file := range f {
		sum := sha256.Sum256(file.octets)
		if missing[sum]--; missing[sum] >= 0 {
			continue
		}
		if extra++; extra <= shown {
			t.Errorf("%s was not sent, or not so often: %.60q", file.path, file.octets)
		}
	}
	lost := 0
	for _, m := range want {
		sum := sha256.Sum256(m.octets)
		if missing[sum] <= 0 {
			continue
		}
		missing[sum]--
		if lost++; lost <= shown {
			t.Errorf("%s is missing: %.60q", m.name, m.octets)
		}
	}
	if lost+extra > 0 {
		t.Fatalf("%d messages have to be here: %d are missing, %d are too many", len(want), lost, extra)
	}
}
