//go:build linux

package mailtest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"text/template"
	"time"
)

// StartDovecot runs a Dovecot 2.3 with POP3, POP3S, IMAP and IMAPS until the
// end of the test, and skips the test where none is installed. Logins are USER
// and PASS, PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-1 and SCRAM-SHA-256. A nil ca
// stands for a new one.
//
// Its store is a Maildir for each user. It serves NUL, lone CR and 8-bit octets
// as they are. An empty message it serves as an empty line, though it announces
// no octets. A dot that is a message's very first octet it forgets to stuff.
//
// Note that it takes every loopback connection for a safe one: it lets a
// password through without TLS.
func StartDovecot(tb testing.TB, ca *CA, opts ...RealOption) *RealServer {
	tb.Helper()
	binary, err := lookPath("dovecot")
	if err != nil {
		missingServer(tb, "dovecot is not installed")
	}
	version, err := exec.Command(binary, "--version").Output()
	if err != nil {
		tb.Fatalf("ask dovecot for its version: %v", err)
	}
	// 2.4 has another configuration language.
	if !strings.HasPrefix(string(version), "2.3.") {
		missingServer(tb, "dovecot is %s, and only 2.3 is known here", strings.TrimSpace(string(version)))
	}
	return startReal(tb, "dovecot", &dovecot{binary: binary}, ca, opts)
}

type dovecot struct {
	binary    string
	changes   int // of passwords: seconds for the files' age
	delivered int // names of files count up, for the server sorts by them
}

// Everything is one user's and nothing is chrooted, so that no step needs root.
var dovecotConf = template.Must(template.New("dovecot.conf").Parse(`
protocols = imap pop3
listen = {{.Host}}
base_dir = {{.Dir}}/run
state_dir = {{.Dir}}/run
log_path = /dev/stderr
login_greeting = {{.Banner}}
ssl = yes
ssl_cert = <{{.Dir}}/cert.pem
ssl_key = <{{.Dir}}/key.pem
disable_plaintext_auth = yes
auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256
auth_failure_delay = 0
default_internal_user = {{.User}}
default_internal_group = {{.Group}}
default_login_user = {{.User}}
first_valid_uid = 1
first_valid_gid = 0
mail_location = maildir:~/Maildir
mail_fsync = never
mail_max_userip_connections = 1000
mail_privileged_group =
mail_access_groups =
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {{.Dir}}/passwd/%u
}
userdb {
  driver = static
  args = uid={{.UID}} gid={{.GID}} home={{.Dir}}/mail/%u
}
namespace inbox {
  inbox = yes
}
service anvil {
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service imap-login {
  chroot =
  inet_listener imap {
    port = {{.IMAP}}
  }
  inet_listener imaps {
    port = {{.IMAPS}}
  }
}
service pop3-login {
  chroot =
  inet_listener pop3 {
    port = {{.POP3}}
  }
  inet_listener pop3s {
    port = {{.POP3S}}
  }
}
{{.Extra}}
`))

func (d *dovecot) configure(s *RealServer) (argv, env []string, err error) {
	for _, dir := range []string{"run", "mail", "passwd"} {
		if err := os.Mkdir(s.path(dir), 0o755); err != nil {
			return nil, nil, err
		}
	}
	if err := writeTemplate(dovecotConf, s, "dovecot.conf"); err != nil {
		return nil, nil, err
	}
	return []string{d.binary, "-F", "-c", s.path("dovecot.conf")}, nil, nil
}

// addUser writes the user's own password file and returns when it counts: the
// server looks at such a file once a second, and at the seconds of its age.
func (d *dovecot) addUser(s *RealServer, user, password string) error {
	// Base64, because a colon would end the field.
	secret := base64.StdEncoding.EncodeToString([]byte(password))
	entry := fmt.Sprintf("%s:{PLAIN.b64}%s::::::\n", user, secret)
	file := s.path("passwd.new")
	if err := os.WriteFile(file, []byte(entry), 0o600); err != nil {
		return err
	}
	d.changes++
	if err := os.Chtimes(file, time.Time{}, time.Unix(int64(d.changes), 0)); err != nil {
		return err
	}
	if err := s.give(file); err != nil {
		return err
	}
	if err := os.Rename(file, s.path("passwd", user)); err != nil {
		return err
	}
	if err := makeMaildir(s.path("mail", user, "Maildir")); err != nil {
		return err
	}
	if err := s.give(s.path("mail", user)); err != nil {
		return err
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		err := s.tryLogin(user, password)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (d *dovecot) deliver(s *RealServer, user string, messages [][]byte) error {
	return deliverMaildir(s, s.path("mail", user, "Maildir"), &d.delivered, messages, func(m []byte) []byte {
		// The server puts a CR before an LF that has none, so mail is kept with
		// LF alone, unless that would not give the same octets back.
		if bytes.Contains(m, []byte("\r\r\n")) {
			return m
		}
		return Local(m)
	})
}

func (d *dovecot) count(s *RealServer, user string) (int, error) {
	return countMaildir(s.path("mail", user, "Maildir"))
}

func (d *dovecot) mechanisms() []string {
	return []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"}
}

func (d *dovecot) served(wire []byte) (octets []byte, ok bool) {
	if len(wire) == 0 {
		return []byte("\r\n"), true
	}
	return wire, wire[0] != '.'
}

// lookPath finds a daemon, also where a plain user's PATH does not lead.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin/", "/usr/local/sbin/"} {
		if err == nil {
			break
		}
		path, err = exec.LookPath(dir + name)
	}
	return path, err
}
