//go:build linux

package mailtest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"
)

// StartCourier runs a Courier mail server with POP3, POP3S, IMAP and IMAPS
// until the end of the test, and skips the test where none is unpacked below
// $POSTRIDER_TEST_SERVERS/courier or /opt/postrider-test/courier. Logins are
// USER and PASS, PLAIN, LOGIN and CRAM-MD5; a password in clear is refused
// without TLS. A nil ca stands for a new one.
//
// Its store is a Maildir for each user. To a client that has sent UTF8 (RFC
// 6856) it serves them octet for octet, NUL and lone CR included, but for an
// empty message, which it serves as an empty line. To any other client it serves
// a message with 8-bit octets in a header as an attachment of a message of its
// own. A dot that is a message's very first octet it forgets to stuff. It asks
// for ten seconds between two logins (LOGIN-DELAY) and does not insist.
//
// RealConfig's lines are settings of imapd, in the shell's syntax.
//
// It looks for everything at fixed places, so it runs in user and mount
// namespaces of its own, where its files lie at these places; where the test may
// not make them, there is no server.
func StartCourier(tb testing.TB, ca *CA, opts ...RealOption) *RealServer {
	tb.Helper()
	root := unpackedServer("courier")
	if !isExecutable(filepath.Join(root, "usr/lib/courier/courier/courierpop3login")) {
		missingServer(tb, "courier is not installed")
	}
	if a, err := unprivilegedAccount(); err == nil {
		if out, err := a.command([]string{"unshare", "-Urm", "unshare", "-U", "true"}, nil).CombinedOutput(); err != nil {
			missingServer(tb, "courier needs namespaces, which cannot be made: %v: %s", err, out)
		}
	}
	return startReal(tb, "courier", &courier{root: root, users: map[string]string{}}, ca, opts)
}

type courier struct {
	root      string
	users     map[string]string // lines of userdb, by name
	delivered int
}

// Run as root of the namespaces, this leads the server to its own files and
// goes back to the user it was, since root would want to change groups.
var courierNamespace = template.Must(template.New("namespace").Parse(`set -e
mount -t overlay overlay -o lowerdir={{.Root}}/usr:/usr /usr
mount -t overlay overlay -o lowerdir={{.Dir}}/etc:/etc /etc
mount --bind {{.Dir}}/etc/courier /etc/courier
mount -t tmpfs tmpfs /run
mkdir -p /run/courier/authdaemon
exec unshare -U --map-user={{.UID}} --map-group={{.GID}} "$@"
`))

// As the package's own start scripts have it, but in the foreground: when one
// of the daemons ends, because its port is taken, all end.
var courierRun = template.Must(template.New("run").Parse(`set -a
. {{.Root}}/etc/courier/imapd
. {{.Root}}/etc/courier/imapd-ssl
unset TLS_DHPARAMS TLS_CACHEFILE TLS_TRUSTCERTS
TLS_CERTFILE={{.Dir}}/both.pem
{{.Extra}}
IMAP_CAPABILITY_TLS="$IMAP_CAPABILITY AUTH=PLAIN AUTH=CRAM-MD5"
POP3AUTH="PLAIN LOGIN CRAM-MD5"
POP3AUTH_TLS="$POP3AUTH"
set +a
pop3="/usr/lib/courier/courier/courierpop3login /usr/lib/courier/courier/courierpop3d Maildir"
imap="/usr/lib/courier/courier/imaplogin /usr/bin/imapd Maildir"
listen() {
	/usr/sbin/couriertcpd -address={{.Host}} -maxprocs=100 -maxperip=100 -nodnslookup -noidentlookup "$@" &
}
trap 'trap "" TERM; kill $(jobs -p) 2>/dev/null; wait; exit 0' TERM
exec 3<&0
{ read -u 3; kill $$; } &
/usr/lib/courier/courier-authlib/authdaemond &
POP3_STARTTLS=YES POP3_TLS_REQUIRED=1 listen {{.POP3}} $pop3
IMAP_STARTTLS=YES IMAP_TLS_REQUIRED=1 listen {{.IMAP}} $imap
POP3_TLS=1 POP3_STARTTLS=NO POP3_TLS_REQUIRED=0 listen {{.POP3S}} /usr/bin/couriertls -server -tcpd $pop3
IMAP_TLS=1 IMAP_STARTTLS=NO IMAP_TLS_REQUIRED=0 listen {{.IMAPS}} /usr/bin/couriertls -server -tcpd $imap
wait -n
kill $(jobs -p)
`))

var courierAuth = template.Must(template.New("authdaemonrc").Parse(`authmodulelist="authuserdb"
authmodulelistorig="authuserdb"
daemons=2
authdaemonvar=/run/courier/authdaemon
`))

// The server changes to a user of this name for TLS: who it is anyway.
var courierPasswd = template.Must(template.New("passwd").Parse(`root:x:0:0::/:/bin/sh
courier:x:{{.UID}}:{{.GID}}::/:/bin/sh
`))

func (c *courier) configure(s *RealServer) (argv, env []string, err error) {
	s.banner = "" // it greets in words that cannot be changed
	if err := os.MkdirAll(s.path("etc/courier"), 0o755); err != nil {
		return nil, nil, err
	}
	for name, t := range map[string]*template.Template{
		"namespace": courierNamespace, "run": courierRun,
		"etc/courier/authdaemonrc": courierAuth, "etc/passwd": courierPasswd,
	} {
		if err := writeTemplate(t, s, name, "Root", c.root); err != nil {
			return nil, nil, err
		}
	}
	var both []byte
	for _, name := range []string{"key.pem", "cert.pem"} {
		part, err := os.ReadFile(s.path(name))
		if err != nil {
			return nil, nil, err
		}
		both = append(both, part...)
	}
	if err := os.WriteFile(s.path("both.pem"), both, 0o600); err != nil {
		return nil, nil, err
	}
	return c.inside(s, "bash", s.path("run")), nil, nil
}

// inside is what to run to have argv run in new namespaces.
func (c *courier) inside(s *RealServer, argv ...string) []string {
	return append([]string{"unshare", "-Urm", "sh", s.path("namespace")}, argv...)
}

func (c *courier) addUser(s *RealServer, user, password string) error {
	crypted, err := c.hash(s, "-md5", password)
	if err != nil {
		return err
	}
	hmac, err := c.hash(s, "-hmac-md5", password)
	if err != nil {
		return err
	}
	c.users[user] = fmt.Sprintf("%s\tuid=%d|gid=%d|home=%s|shell=/bin/sh|pop3pw=%s|imappw=%s|hmac-md5pw=%s\n",
		user, s.account.uid, s.account.gid, s.path("mail", user), crypted, crypted, hmac)
	if err := makeMaildir(s.path("mail", user, "Maildir")); err != nil {
		return err
	}
	if err := s.give(s.path("mail")); err != nil {
		return err
	}
	var list strings.Builder
	for _, u := range slices.Sorted(maps.Keys(c.users)) {
		list.WriteString(c.users[u])
	}
	userdb := s.path("etc/courier/userdb")
	if err := errors.Join(os.WriteFile(userdb, []byte(list.String()), 0o600), s.give(userdb)); err != nil {
		return err
	}
	out, err := s.account.command(c.inside(s, "/usr/sbin/makeuserdb"), nil).CombinedOutput()
	if err != nil {
		return fmt.Errorf("makeuserdb: %w: %s", err, out)
	}
	return s.tryLogin(user, password)
}

// hash is a password in the form in which the server keeps it.
func (c *courier) hash(s *RealServer, kind, password string) (string, error) {
	cmd := exec.Command(filepath.Join(c.root, "usr/sbin/userdbpw"), kind)
	cmd.Env = []string{"LD_LIBRARY_PATH=" + filepath.Join(c.root, "usr/lib")}
	cmd.Stdin = strings.NewReader(password + "\n")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("userdbpw: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func (c *courier) deliver(s *RealServer, user string, messages [][]byte) error {
	return deliverMaildir(s, s.path("mail", user, "Maildir"), &c.delivered, messages, Local)
}

// count waits for the sessions to end, since this server says +OK to QUIT before
// it deletes.
func (c *courier) count(s *RealServer, user string) (int, error) {
	deadline := time.Now().Add(10 * time.Second)
	for s.process.has("courierpop3d") {
		if time.Now().After(deadline) {
			return 0, errors.New("a session is still open")
		}
		time.Sleep(10 * time.Millisecond)
	}
	return countMaildir(s.path("mail", user, "Maildir"))
}

func (c *courier) mechanisms() []string {
	return []string{"PLAIN", "LOGIN", "CRAM-MD5"}
}

func (c *courier) served(wire []byte) (octets []byte, ok bool) {
	if len(wire) == 0 {
		return []byte("\r\n"), true
	}
	return wire, wire[0] != '.'
}
