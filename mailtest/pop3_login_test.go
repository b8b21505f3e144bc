package mailtest

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"net/textproto"
	"strings"
	"testing"
)

// clientLogins are the client's sides of each login but SCRAM; want is what the
// final reply must begin with.
func clientLogins(t *testing.T) map[string]func(c *client, greeting, password, want string) {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	decode := func(line string) string {
		octets, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(line, "+ "))
		if err != nil {
			t.Errorf("challenge %q: %v", line, err)
		}
		return string(octets)
	}
	return map[string]func(c *client, greeting, password, want string){
		"USER": func(c *client, _, password, want string) {
			c.cmd("+OK", "USER ada")
			c.cmd(want, "PASS %s", password)
		},
		"APOP": func(c *client, greeting, password, want string) {
			stamp := greeting[strings.IndexByte(greeting, '<'):]
			c.cmd(want, "APOP ada %x", md5.Sum([]byte(stamp+password)))
		},
		"PLAIN inline": func(c *client, _, password, want string) {
			c.cmd(want, "AUTH PLAIN %s", encode("\x00ada\x00"+password))
		},
		"PLAIN two lines": func(c *client, _, password, want string) {
			c.cmd("+ ", "AUTH plain")
			c.cmd(want, "%s", encode("ada\x00ada\x00"+password))
		},
		"LOGIN": func(c *client, _, password, want string) {
			c.cmd("+ "+encode("Username:"), "AUTH LOGIN")
			c.cmd("+ "+encode("Password:"), "%s", encode("ada"))
			c.cmd(want, "%s", encode(password))
		},
		"LOGIN inline": func(c *client, _, password, want string) {
			c.cmd("+ "+encode("Password:"), "AUTH LOGIN %s", encode("ada"))
			c.cmd(want, "%s", encode(password))
		},
		"CRAM-MD5": func(c *client, _, password, want string) {
			mac := hmac.New(md5.New, []byte(password))
			mac.Write([]byte(decode(c.cmd("+ ", "AUTH CRAM-MD5"))))
			c.cmd(want, "%s", encode("ada "+hex.EncodeToString(mac.Sum(nil))))
		},
		"XOAUTH2": func(c *client, _, password, want string) {
			line := "AUTH XOAUTH2 " + encode("user=ada\x01auth=Bearer "+password+"\x01\x01")
			if want == "+OK" {
				c.cmd(want, "%s", line)
				return
			}
			if problem := decode(c.cmd("+ ", "%s", line)); !strings.HasPrefix(problem, "{") {
				c.tb.Errorf("problem %q is not JSON", problem)
			}
			c.cmd(want, "")
		},
		"OAUTHBEARER": func(c *client, _, password, want string) {
			line := "AUTH OAUTHBEARER " + encode("n,a=ada,\x01host=h\x01port=110\x01auth=Bearer "+password+"\x01\x01")
			if want == "+OK" {
				c.cmd(want, "%s", line)
				return
			}
			c.cmd("+ ", "%s", line)
			c.cmd(want, "AQ==")
		},
	}
}

// Each login runs with the right password and with a wrong one.
func TestPOP3Logins(t *testing.T) {
	mechanisms := []string{"APOP", "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"}
	for name, run := range clientLogins(t) {
		t.Run(name, func(t *testing.T) {
			s := startPOP3(t, POP3Options{Mechanisms: mechanisms})
			good, bad := dial(t, s), dial(t, s)
			run(bad, bad.expect("+OK"), "wrong", "-ERR [AUTH]")
			bad.cmd("-ERR", "STAT")
			run(good, good.expect("+OK"), "secret", "+OK")
			good.cmd("+OK", "STAT")
			if c := s.Counts(); c.Logins != 1 || c.Refused != 1 {
				t.Errorf("counts: %+v", c)
			}
		})
	}
}

func TestPOP3AuthOddities(t *testing.T) {
	s := startPOP3(t, POP3Options{Mechanisms: []string{"PLAIN", "LOGIN"}})
	c := dial(t, s)
	c.expect("+OK")
	c.cmd("-ERR", "AUTH CRAM-MD5 =") // not offered
	c.cmd("-ERR", "AUTH PLAIN !!!")
	c.cmd("+", "AUTH PLAIN")
	c.cmd("-ERR", "*")
	c.cmd("-ERR", "AUTH PLAIN =")
	c.cmd("-ERR", "AUTH PLAIN %s", strings.Repeat("A", 256)) // over 255 octets: RFC 2449 section 4
	c.cmd("+", "AUTH PLAIN")
	c.cmd("-ERR [AUTH]", "%s", strings.Repeat("QUFB", 1000)) // not a command line: may be long
}

func TestPOP3External(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	s := startPOP3(t, POP3Options{TLS: config, Implicit: true, Mechanisms: []string{"EXTERNAL"}})
	for cn, want := range map[string]string{"": "-ERR", "ada": "+OK"} {
		c := dial(t, s)
		tlsConfig := ca.ClientTLS("localhost")
		if cn != "" {
			pair, err := ca.Client(cn)
			if err != nil {
				t.Fatal(err)
			}
			tlsConfig.Certificates = []tls.Certificate{pair}
		}
		c.Conn = textproto.NewConn(tls.Client(c.conn, tlsConfig))
		c.expect("+OK")
		c.cmd(want, "AUTH EXTERNAL =")
	}
}
