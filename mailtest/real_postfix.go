//go:build linux

package mailtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
)

// StartPostfix runs a Postfix until the end of the test, and skips the test where
// none is unpacked below $POSTRIDER_TEST_SERVERS/postfix or
// /opt/postrider-test/postfix. Logins are PLAIN, LOGIN and CRAM-MD5. A nil ca
// stands for a new one.
//
// Its master needs to be root, and so does the test: a namespace in which the test
// is root does not do, since the programs change to another user. Nobody owns
// the queue and the store.
//
// It puts an empty line where a header ends without one, "X-Mailbox-Line: " before
// a first line that begins with "From ", and takes spaces before a colon out. That it
// would remove fields of its own is switched off.
func StartPostfix(tb testing.TB, ca *CA) *RealSMTP {
	tb.Helper()
	root := unpackedServer("postfix")
	if !isExecutable(filepath.Join(root, "usr/lib/postfix/sbin/master")) {
		missingServer(tb, "postfix is not unpacked in %s", root)
	}
	if os.Geteuid() != 0 {
		tb.Skip("postfix needs root")
	}
	return startRealSMTP(tb, RealSMTP{
		Name:       "postfix",
		Mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5"},
		Soft:       true,
		flavour:    &postfix{root: root},
	}, ca)
}

type postfix struct{ root string }

// No name is looked up, nothing leaves the machine, and nothing is waited for.
var postfixMain = template.Must(template.New("main.cf").Parse(`
compatibility_level = 3.7
queue_directory = {{.Dir}}/queue
data_directory = {{.Dir}}/data
command_directory = {{.Root}}/usr/sbin
daemon_directory = {{.Root}}/usr/lib/postfix/sbin
shlib_directory = {{.Root}}/usr/lib/postfix
meta_directory = {{.Dir}}/config
maillog_file = {{.Dir}}/mainlog
maillog_file_prefixes = {{.Dir}}
import_environment = MAIL_CONFIG LD_LIBRARY_PATH
mail_owner = {{.User}}
default_privs = daemon
setgid_group = mail
inet_interfaces = {{.Host}}
inet_protocols = ipv4
myhostname = {{.Banner}}.example
mydestination =
mynetworks =
alias_maps =
alias_database =
local_recipient_maps =
local_header_rewrite_clients =
append_dot_mydomain = no
virtual_mailbox_domains = regexp:{{.Dir}}/config/anything
virtual_mailbox_maps = static:store/
virtual_mailbox_base = {{.Dir}}
virtual_minimum_uid = 1
virtual_uid_maps = static:{{.UID}}
virtual_gid_maps = static:{{.GID}}
virtual_mailbox_limit = 0
mailbox_size_limit = 0
header_size_limit = 10000000
message_drop_headers =
hopcount_limit = 1000
disable_mime_input_processing = yes
message_size_limit = 100000000
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_client_restrictions =
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = check_recipient_access regexp:{{.Dir}}/config/recipients, permit_sasl_authenticated, reject
smtpd_delay_reject = yes
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
smtpd_sasl_auth_enable = yes
smtpd_sasl_path = smtpd
smtpd_sasl_local_domain = {{.Banner}}
smtpd_sasl_security_options = noanonymous
smtpd_tls_auth_only = yes
smtpd_tls_security_level = may
smtpd_tls_cert_file = {{.Dir}}/cert.pem
smtpd_tls_key_file = {{.Dir}}/key.pem
smtpd_tls_session_cache_database =
`))

var postfixMaster = template.Must(template.New("master.cf").Parse(`
{{.Host}}:{{.Port}} inet n - n - - smtpd
{{.Host}}:{{.TLSPort}} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`))

var postfixSASL = template.Must(template.New("smtpd.conf").Parse(`pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {{.Dir}}/sasldb
mech_list: PLAIN LOGIN CRAM-MD5
`))

func (p *postfix) configure(s *RealSMTP) (argv, env []string, as *osAccount, err error) {
	for _, dir := range []string{"config", "config/sasl", "data", "queue"} {
		if err := os.Mkdir(s.path(dir), 0o755); err != nil {
			return nil, nil, nil, err
		}
	}
	for _, dir := range strings.Fields("active bounce corrupt defer deferred flush hold incoming private saved trace pid public maildrop") {
		if err := os.Mkdir(s.path("queue", dir), 0o700); err != nil {
			return nil, nil, nil, err
		}
		if err := s.give(s.path("queue", dir)); err != nil {
			return nil, nil, nil, err
		}
	}
	if err := s.give(s.path("data")); err != nil {
		return nil, nil, nil, err
	}
	for name, text := range map[string]string{
		"anything":   "/^/ all\n",
		"recipients": "/^hard-/ 550 5.1.1 no such mailbox\n/^soft-/ 450 4.2.0 mailbox is busy\n",
	} {
		if err := os.WriteFile(s.path("config", name), []byte(text), 0o644); err != nil {
			return nil, nil, nil, err
		}
	}
	for name, t := range map[string]*template.Template{
		"config/main.cf": postfixMain, "config/master.cf": postfixMaster, "config/sasl/smtpd.conf": postfixSASL,
	} {
		if err := s.write(t, name, "Root", p.root); err != nil {
			return nil, nil, nil, err
		}
	}
	// The server reads its configuration from root's files alone.
	for _, name := range []string{"", "main.cf", "master.cf"} {
		if err := os.Lchown(s.path("config", name), 0, 0); err != nil {
			return nil, nil, nil, err
		}
	}
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return nil, nil, nil, err
	}
	argv = []string{filepath.Join(p.root, "usr/lib/postfix/sbin/master"), "-d", "-c", s.path("config")}
	return argv, p.env(s), &osAccount{user: "root", group: "root"}, nil
}

func (p *postfix) env(s *RealSMTP) []string {
	libraries, _ := filepath.Glob(filepath.Join(p.root, "usr/lib/*-linux-gnu*"))
	libraries = append(libraries, filepath.Join(p.root, "usr/lib/postfix"))
	return []string{"MAIL_CONFIG=" + s.path("config"), "LD_LIBRARY_PATH=" + strings.Join(libraries, ":")}
}

func (p *postfix) addUser(s *RealSMTP, user, password string) error {
	cmd := s.account.command([]string{filepath.Join(p.root, "usr/sbin/saslpasswd2"), "-p", "-c",
		"-f", s.path("sasldb"), "-u", s.banner, user}, p.env(s))
	cmd.Stdin = strings.NewReader(password)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("saslpasswd2: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

func (p *postfix) queued(s *RealSMTP) (int, error) {
	return countFiles("", s.path("queue/incoming"), s.path("queue/active"), s.path("queue/deferred"))
}

func (p *postfix) trace() ([]string, string) {
	return []string{"Return-Path", "X-Original-To", "Delivered-To", "Received"}, "X-Original-To"
}
