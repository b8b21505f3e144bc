//go:build linux

package mailtest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"
)

// StartExim runs an Exim until the end of the test, and skips the test where none
// is unpacked below $POSTRIDER_TEST_SERVERS/exim or /opt/postrider-test/exim.
// Logins are PLAIN, LOGIN and CRAM-MD5. A nil ca stands for a new one.
//
// It puts an empty line where a header ends without one, and takes off lines of
// nothing but spaces that a field ends with. That it would remove fields of its own
// is switched off.
//
// It looks its own user up by a fixed name, so it runs in user and mount namespaces
// of its own, where the user has that name; where the test may not make them,
// there is no server.
func StartExim(tb testing.TB, ca *CA) *RealSMTP {
	tb.Helper()
	root := unpackedServer("exim")
	if !isExecutable(filepath.Join(root, "usr/sbin/exim4")) {
		missingServer(tb, "exim is not unpacked in %s", root)
	}
	if a, err := unprivilegedAccount(); err == nil {
		if out, err := a.command([]string{"unshare", "-Urm", "unshare", "-U", "true"}, nil).CombinedOutput(); err != nil {
			missingServer(tb, "exim needs namespaces, which cannot be made: %v: %s", err, out)
		}
	}
	return startRealSMTP(tb, RealSMTP{
		Name:       "exim",
		Mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5"},
		Soft:       true,
		flavour:    &exim{root: root, users: make(map[string]string)},
	}, ca)
}

type exim struct {
	root  string
	users map[string]string // passwords in base64
}

var eximPasswd = template.Must(template.New("passwd").Parse(`root:x:0:0::/:/bin/sh
Debian-exim:x:{{.UID}}:{{.GID}}::{{.Dir}}:/bin/sh
`))

var eximGroup = template.Must(template.New("group").Parse(`root:x:0:
Debian-exim:x:{{.GID}}:
`))

// As for Courier: root of the namespaces is left again.
var eximNamespace = template.Must(template.New("namespace").Parse(`set -e
mount --bind {{.Dir}}/passwd /etc/passwd
mount --bind {{.Dir}}/group /etc/group
exec unshare -U --map-user={{.UID}} --map-group={{.GID}} "$@"
`))

// Each recipient gets a copy of its own. No name is looked up, and no number of
// messages is too much for one connection.
var eximConf = template.Must(template.New("exim.conf").Parse(`
exim_path = {{.Root}}/usr/sbin/exim4
exim_user = {{.UID}}
exim_group = {{.GID}}
deliver_drop_privilege = true
primary_hostname = {{.Banner}}.example
smtp_banner = {{.Banner}} ESMTP
spool_directory = {{.Dir}}/spool
log_file_path = {{.Dir}}/%slog
pid_file_path = {{.Dir}}/pid
local_interfaces = {{.Host}}
daemon_smtp_ports = {{.Port}} : {{.TLSPort}}
tls_on_connect_ports = {{.TLSPort}}
tls_advertise_hosts = *
tls_certificate = {{.Dir}}/cert.pem
tls_privatekey = {{.Dir}}/key.pem
auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}
host_lookup =
dns_dnssec_ok = 0
rfc1413_query_timeout = 0s
smtp_accept_max = 0
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
message_size_limit = 100M
header_line_maxsize = 0
check_spool_space = 0
keep_environment =
accept_8bitmime = true
return_path_remove = false
envelope_to_remove = false
delivery_date_remove = false
received_headers_max = 1000
smtputf8_advertise_hosts = *
acl_smtp_rcpt = recipient

begin acl
recipient:
  deny !authenticated = *
    message = log in first
  deny local_parts = ^hard-
    message = no such mailbox
  defer local_parts = ^soft-
    message = mailbox is busy
  accept

begin routers
all:
  driver = accept
  transport = store

begin transports
store:
  driver = appendfile
  directory = {{.Dir}}/store
  maildir_format
  envelope_to_add
  return_path_add
  batch_max = 1
  user = {{.UID}}
  group = {{.GID}}

begin retry
* * F,1h,1s

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${if eq{${base64:$auth3}}{${lookup{$auth2}lsearch{{"{"}}{{.Dir}}/users}{$value}fail}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if eq{${base64:$auth2}}{${lookup{$auth1}lsearch{{"{"}}{{.Dir}}/users}{$value}fail}}}
  server_set_id = $auth1
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${base64d:${lookup{$auth1}lsearch{{"{"}}{{.Dir}}/users}{$value}fail}}
  server_set_id = $auth1
`))

func (x *exim) configure(s *RealSMTP) (argv, env []string, as *osAccount, err error) {
	if err := os.Mkdir(s.path("spool"), 0o755); err != nil {
		return nil, nil, nil, err
	}
	if err := s.give(s.path("spool")); err != nil {
		return nil, nil, nil, err
	}
	for name, t := range map[string]*template.Template{
		"exim.conf": eximConf, "passwd": eximPasswd, "group": eximGroup, "namespace": eximNamespace,
	} {
		if err := s.write(t, name, "Root", x.root); err != nil {
			return nil, nil, nil, err
		}
	}
	if err := x.writeUsers(s); err != nil {
		return nil, nil, nil, err
	}
	libraries, _ := filepath.Glob(filepath.Join(x.root, "usr/lib/*-linux-gnu*"))
	argv = []string{"unshare", "-Urm", "sh", s.path("namespace"), filepath.Join(x.root, "usr/sbin/exim4"), "-C", s.path("exim.conf"), "-bdf"}
	return argv, []string{"LD_LIBRARY_PATH=" + strings.Join(libraries, ":")}, s.account, nil
}

// writeUsers replaces the list of users, which the server reads at each login.
func (x *exim) writeUsers(s *RealSMTP) error {
	var list strings.Builder
	for _, user := range slices.Sorted(maps.Keys(x.users)) {
		fmt.Fprintf(&list, "%s: %s\n", user, x.users[user])
	}
	file := s.path("users.new")
	return errors.Join(os.WriteFile(file, []byte(list.String()), 0o600), s.give(file), os.Rename(file, s.path("users")))
}

func (x *exim) addUser(s *RealSMTP, user, password string) error {
	x.users[user] = base64.StdEncoding.EncodeToString([]byte(password))
	return x.writeUsers(s)
}

func (x *exim) queued(s *RealSMTP) (int, error) { return countFiles("", s.path("spool/input")) }

func (x *exim) trace() ([]string, string) {
	return []string{"Return-path", "Envelope-to", "Received"}, "Envelope-to"
}
