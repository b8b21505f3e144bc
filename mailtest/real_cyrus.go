//go:build linux

package mailtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/template"
)

// StartCyrus runs a Cyrus IMAP server with POP3, POP3S, IMAP and IMAPS until
// the end of the test, and skips the test where none is installed. Logins are
// PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-1 and SCRAM-SHA-256, and USER and PASS; a
// password in clear is refused without TLS. A nil ca stands for a new one.
//
// It looks for the server where the package puts it, and for an unpacked
// package in $POSTRIDER_TEST_SERVERS/cyrus or /opt/postrider-test/cyrus, since
// Debian does not install it beside Dovecot.
//
// It stores no empty message: Append fails. Over POP3 it cuts every line at its
// first NUL, line end included, so that the next line follows at once. All else
// that Append takes, lone CR included, it serves octet for octet.
func StartCyrus(tb testing.TB, ca *CA, opts ...RealOption) *RealServer {
	tb.Helper()
	for _, root := range []string{"/", unpackedServer("cyrus")} {
		bin := filepath.Join(root, "usr/lib/cyrus/bin")
		if isExecutable(filepath.Join(bin, "master")) && isExecutable(filepath.Join(bin, "pop3d")) {
			return startReal(tb, "cyrus", &cyrus{root: root, bin: bin}, ca, opts)
		}
	}
	missingServer(tb, "cyrus is not installed")
	return nil
}

type cyrus struct {
	root, bin string
	env       []string
	delivered int
}

var imapdConf = template.Must(template.New("imapd.conf").Parse(`
configdirectory: {{.Dir}}/conf
defaultpartition: default
partition-default: {{.Dir}}/spool
sievedir: {{.Dir}}/conf/sieve
cyrus_user: {{.User}}
cyrus_group: {{.Group}}
admins: cyrus
servername: {{.Banner}}
unixhierarchysep: yes
virtdomains: off
autocreate_users: anyone
autocreate_quota: 0
expunge_mode: immediate
popminpoll: 0
failedloginpause: 0
allowplaintext: no
allowapop: no
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {{.Dir}}/sasldb
sasl_mech_list: PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256
tls_server_cert: {{.Dir}}/cert.pem
tls_server_key: {{.Dir}}/key.pem
tls_sessions_db_path: {{.Dir}}/conf/tls.db
{{.Extra}}
`))

func (c *cyrus) configure(s *RealServer) (argv, env []string, err error) {
	for _, dir := range []string{"conf/db", "conf/socket", "conf/proc", "conf/log", "conf/lock", "spool"} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			return nil, nil, err
		}
	}
	if err := writeTemplate(imapdConf, s, "imapd.conf"); err != nil {
		return nil, nil, err
	}
	var services bytes.Buffer
	fmt.Fprintf(&services, "START {\n recover cmd=%q\n}\nSERVICES {\n", c.tool("ctl_cyrusdb")+" -C "+s.path("imapd.conf")+" -r")
	for _, l := range []struct {
		name, program string
		port          int
	}{
		{"pop3", "pop3d", s.POP3},
		{"pop3s", "pop3d -s", s.POP3S},
		{"imap", "imapd", s.IMAP},
		{"imaps", "imapd -s", s.IMAPS},
	} {
		command := c.tool(l.program) + " -C " + s.path("imapd.conf")
		fmt.Fprintf(&services, " %s cmd=%q listen=\"%s:%d\" prefork=0\n", l.name, command, s.Host, l.port)
	}
	services.WriteString("}\nEVENTS {\n}\n")
	if err := os.WriteFile(s.path("cyrus.conf"), services.Bytes(), 0o600); err != nil {
		return nil, nil, err
	}
	if c.root != "/" {
		libraries, err := filepath.Glob(filepath.Join(c.root, "usr/lib/*-linux-gnu*"))
		if err != nil {
			return nil, nil, err
		}
		c.env = []string{"LD_LIBRARY_PATH=" + strings.Join(libraries, ":")}
	}
	argv = []string{c.tool("master"), "-D", "-M", s.path("cyrus.conf"), "-C", s.path("imapd.conf"), "-p", s.path("pid")}
	return argv, c.env, nil
}

func (c *cyrus) tool(name string) string { return filepath.Join(c.bin, name) }

// run runs one of the server's own tools with the server's configuration.
func (c *cyrus) run(s *RealServer, stdin, name string, args ...string) (string, error) {
	cmd := s.account.command(append([]string{name}, args...), c.env)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(name), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(out) + stderr.String(), nil
}

// addUser also logs in once, since the mailbox is made by the first login.
func (c *cyrus) addUser(s *RealServer, user, password string) error {
	_, err := c.run(s, password, filepath.Join(c.root, "usr/sbin/saslpasswd2"), "-p", "-c", "-f", s.path("sasldb"), "-u", s.banner, user)
	if err != nil {
		return err
	}
	return s.tryLogin(user, password)
}

// mailbox is the folder with the messages of user's INBOX: files "1.", "2."...
func (c *cyrus) mailbox(s *RealServer, user string) (string, error) {
	out, err := c.run(s, "", c.tool("mbpath"), "-C", s.path("imapd.conf"), "user/"+user)
	return strings.TrimSpace(out), err
}

// deliver puts files where the server keeps its messages and has it rebuild its
// index, which is the one way past its checks of what a message may hold.
func (c *cyrus) deliver(s *RealServer, user string, messages [][]byte) error {
	dir, err := c.mailbox(s, user)
	if err != nil {
		return err
	}
	for i, m := range messages {
		if len(m) == 0 {
			return fmt.Errorf("message %d of %d is empty, and it stores no empty message", i+1, len(messages))
		}
		// The files' names become their UIDs, which are never used twice.
		c.delivered++
		file := filepath.Join(dir, strconv.Itoa(c.delivered)+".")
		if err := os.WriteFile(file, m, 0o600); err != nil {
			return err
		}
		if err := s.give(file); err != nil {
			return err
		}
	}
	out, err := c.run(s, "", c.tool("reconstruct"), "-C", s.path("imapd.conf"), "user/"+user)
	if err != nil {
		return err
	}
	if added := strings.Count(out, "found - adding"); added != len(messages) {
		return fmt.Errorf("it took %d of %d messages", added, len(messages))
	}
	return nil
}

// count asks the index, for the files of deleted messages stay for a while.
func (c *cyrus) count(s *RealServer, user string) (int, error) {
	out, err := c.run(s, "", c.tool("mbexamine"), "-s", "1", "-C", s.path("imapd.conf"), "user/"+user)
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(out, "Number of Messages: ")
	number, _, _ := strings.Cut(after, " ")
	return strconv.Atoi(number)
}

func (c *cyrus) mechanisms() []string {
	return []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"}
}

func (c *cyrus) served(wire []byte) (octets []byte, ok bool) {
	var out []byte
	for line := range bytes.Lines(wire) {
		if i := bytes.IndexByte(line, 0); i >= 0 {
			line = line[:i]
		}
		out = append(out, line...)
	}
	if !bytes.HasSuffix(out, []byte("\r\n")) {
		out = append(out, '\r', '\n')
	}
	return out, len(wire) > 0
}

// unpackedServer is where a package lies that could not be installed because it
// stands in the way of another.
func unpackedServer(name string) string {
	root := os.Getenv("POSTRIDER_TEST_SERVERS")
	if root == "" {
		root = "/opt/postrider-test"
	}
	return filepath.Join(root, name)
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
