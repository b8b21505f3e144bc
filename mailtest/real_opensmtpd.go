//go:build linux

package mailtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
)

// StartOpenSMTPD runs an OpenSMTPD until the end of the test, and skips the test
// where none is unpacked below $POSTRIDER_TEST_SERVERS/opensmtpd or
// /opt/postrider-test/opensmtpd.
//
// It takes mail in clear and from anybody: TLS of Debian 12's version fails with
// that system's OpenSSL 3 at every handshake, whatever the key
// (https://github.com/OpenSMTPD/OpenSMTPD/issues/1171), and it offers no login
// without TLS. It knows no PIPELINING, no SMTPUTF8 and no refusal for now.
//
// It adds Date and Message-ID, and its own name to addresses without a domain, refuses
// a header that is none, and closes the line on one that is too long.
//
// It needs to be root, changes to users of its own and looks for everything at
// fixed places, so it runs in a mount namespace where users and places are there.
func StartOpenSMTPD(tb testing.TB, ca *CA) *RealSMTP {
	tb.Helper()
	root := unpackedServer("opensmtpd")
	if !isExecutable(filepath.Join(root, "usr/sbin/smtpd")) {
		missingServer(tb, "opensmtpd is not unpacked in %s", root)
	}
	if os.Geteuid() != 0 {
		tb.Skip("opensmtpd needs root")
	}
	if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		missingServer(tb, "opensmtpd needs a mount namespace, which cannot be made: %v: %s", err, out)
	}
	return startRealSMTP(tb, RealSMTP{Name: "opensmtpd", flavour: &opensmtpd{root: root}}, ca)
}

type opensmtpd struct{ root string }

// Its own users have numbers that nobody has.
var opensmtpdPasswd = template.Must(template.New("passwd").Parse(`root:x:0:0::/:/bin/sh
opensmtpd:x:64001:64001::/:/usr/sbin/nologin
opensmtpq:x:64002:64002::/:/usr/sbin/nologin
keeper:x:{{.UID}}:{{.GID}}::{{.Dir}}:/bin/sh
`))

var opensmtpdGroup = template.Must(template.New("group").Parse(`root:x:0:
opensmtpd:x:64001:
opensmtpq:x:64002:
keeper:x:{{.GID}}:
`))

var opensmtpdNamespace = template.Must(template.New("namespace").Parse(`set -e
mount -t overlay overlay -o lowerdir={{.Root}}/usr:/usr /usr
mount --bind {{.Dir}}/passwd /etc/passwd
mount --bind {{.Dir}}/group /etc/group
mount --bind {{.Dir}}/spool /var/spool
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir -p /var/lib/opensmtpd/empty
exec "$@"
`))

var opensmtpdConf = template.Must(template.New("smtpd.conf").Parse(`
table everybody { "@" = "keeper" }
smtp max-message-size 100M
smtp limit max-mails 100000
listen on {{.Host}} port {{.Port}} hostname {{.Banner}}.example
action keep maildir "{{.Dir}}/store" virtual <everybody>
match from any for rcpt-to regex "^hard-" reject
match from any for any action keep
`))

func (o *opensmtpd) configure(s *RealSMTP) (argv, env []string, as *osAccount, err error) {
	if err := os.Mkdir(s.path("spool"), 0o755); err != nil {
		return nil, nil, nil, err
	}
	for name, t := range map[string]*template.Template{
		"smtpd.conf": opensmtpdConf, "passwd": opensmtpdPasswd, "group": opensmtpdGroup, "namespace": opensmtpdNamespace,
	} {
		if err := s.write(t, name, "Root", o.root); err != nil {
			return nil, nil, nil, err
		}
	}
	// The server reads root's files alone, and the keeper gets to the store.
	if err := os.Lchown(s.path("smtpd.conf"), 0, 0); err != nil {
		return nil, nil, nil, err
	}
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return nil, nil, nil, err
	}
	libraries, _ := filepath.Glob(filepath.Join(o.root, "usr/lib/*-linux-gnu*"))
	argv = []string{"unshare", "-m", "sh", s.path("namespace"), "/usr/sbin/smtpd", "-d", "-f", s.path("smtpd.conf")}
	return argv, []string{"LD_LIBRARY_PATH=" + strings.Join(libraries, ":")}, &osAccount{user: "root", group: "root"}, nil
}

func (o *opensmtpd) addUser(*RealSMTP, string, string) error { return nil }

func (o *opensmtpd) queued(s *RealSMTP) (int, error) {
	return countFiles("", s.path("spool/smtpd/queue"))
}

func (o *opensmtpd) trace() ([]string, string) {
	return []string{"Return-Path", "Delivered-To", "Received"}, "Delivered-To"
}
