package mailtest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// TestIMAPAuthenticate: mechanisms by transcript; the digests are checked with
// POP3's server, which shares them.
func TestIMAPAuthenticate(t *testing.T) {
	o := IMAPOptions{Mechanisms: []string{"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"}}
	for name, script := range map[string]string{
		"plain":       "C: a AUTHENTICATE plain " + b64("\x00ada\x00secret") + "\nS~: a OK .*welcome",
		"plain later": "C: a AUTHENTICATE PLAIN\nS~: [+] ?\nC: " + b64("ada\x00ada\x00secret") + "\nS~: a OK .*",
		"wrong":       "C: a AUTHENTICATE PLAIN " + b64("\x00ada\x00x") + "\nS~: a NO \\[AUTHENTICATIONFAILED\\] .*",
		"login":       "C: a AUTHENTICATE LOGIN\nS: + " + b64("Username:") + "\nC: " + b64("ada") + "\nS: + " + b64("Password:") + "\nC: " + b64("secret") + "\nS~: a OK .*",
		"xoauth2":     "C: a AUTHENTICATE XOAUTH2 " + b64("user=ada\x01auth=Bearer secret\x01\x01") + "\nS~: a OK .*",
		"old token":   "C: a AUTHENTICATE XOAUTH2 " + b64("user=ada\x01auth=Bearer old\x01\x01") + "\nS~: [+] .*\nC:\nS~: a NO .*",
		"oauthbearer": "C: a AUTHENTICATE OAUTHBEARER " + b64("n,a=ada,\x01auth=Bearer secret\x01\x01") + "\nS~: a OK .*",
		"cancelled":   "C: a AUTHENTICATE LOGIN\nS~: [+] .*\nC: *\nS~: a BAD .*\nC: b NOOP\nS~: b OK .*",
		"not base64":  "C: a AUTHENTICATE PLAIN !\nS~: a BAD .*",
		"not offered": "C: a AUTHENTICATE CRAM-MD5\nS~: a NO .*",
		"again":       "C: a LOGIN ada secret\nS~: a OK .*\nC: b LOGIN ada secret\nS~: b BAD .*",
	} {
		t.Run(name, func(t *testing.T) {
			talkIMAP(t, startIMAP(t, o)).play("S~: .*\n" + script)
		})
	}
	o.Without = []string{"SASL-IR"}
	talkIMAP(t, startIMAP(t, o)).play("S~: .*\nC: a AUTHENTICATE PLAIN " + b64("\x00ada\x00secret") + "\nS~: a BAD .*")
}

func TestIMAPExternal(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	mine, err := ca.Client("ada")
	if err != nil {
		t.Fatal(err)
	}
	s := startIMAP(t, IMAPOptions{TLS: config, Implicit: true, Mechanisms: []string{"EXTERNAL"}})
	for _, certificate := range []bool{true, false} {
		c := talkIMAP(t, s)
		client := ca.ClientTLS("localhost")
		want := "NO"
		if certificate {
			client.Certificates = []tls.Certificate{mine}
			want = "OK"
		}
		c.conn = tls.Client(c.conn, client)
		c.r = bufio.NewReader(c.conn)
		c.play("S~: .*\nC: a AUTHENTICATE EXTERNAL =\nS~: a " + want + " .*")
	}
}

// TestIMAPInjection: what the hook puts behind the OK of STARTTLS comes in clear.
func TestIMAPInjection(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	s := startIMAP(t, IMAPOptions{TLS: config, Hook: func(e *IMAPEvent) {
		switch {
		case e.Verb == "STARTTLS" && e.Session == 1:
			e.Append([]byte("* OK injected\r\n"))
		case e.Verb == "TLS" && e.Session == 2:
			e.Cut(0)
		case e.Verb == "TLS" && e.Session == 3:
			e.Stall(0, 0)
		}
	}})
	talkIMAP(t, s).play("S~: .*\nC: a STARTTLS\nS: a OK begin TLS\nS: * OK injected")
	c := talkIMAP(t, s)
	c.play("S~: .*\nC: a STARTTLS\nS: a OK begin TLS")
	if got := c.ended(); got != "" {
		t.Errorf("after a cut handshake: %q", got)
	}
	c = talkIMAP(t, s)
	c.play("S~: .*\nC: a STARTTLS\nS: a OK begin TLS")
	_ = c.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if rest, err := io.ReadAll(c.r); err == nil || len(rest) > 0 {
		t.Errorf("a stalled handshake: %q, %v", rest, err)
	}
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func TestIMAPLogAndPassword(t *testing.T) {
	var log lockedBuffer
	s := startIMAP(t, IMAPOptions{Log: &log, NoCapabilityCode: true})
	s.Account("ada").Mailbox("INBOX").Add([]byte("x\r\n"))
	s.SetPassword("ada", "other")
	c := talkIMAP(t, s)
	c.play(`
		S: * OK mailtest ready
		C: a LOGIN ada secret
		S~: a NO .*
		C: b LOGIN ada other
		S: b OK welcome`)
	c.opens()
	c.play("C: f UID FETCH 1 BODY.PEEK[]<0.1>\nS~: .*\nS: x)\nS~: f OK .*\nC: i IDLE\nS: + idling")
	s.Account("ada").Mailbox("INBOX").Add([]byte("y\r\n"))
	c.play("S: * 2 EXISTS")
	s.Cut()
	if _, err := c.r.ReadString('\n'); err == nil {
		t.Error("the session outlived Cut")
	}
	_ = s.Close()
	for _, line := range []string{"1 C: a LOGIN ada secret\n", "1 S: * 1 EXISTS\n", "1 S: (1 FETCH responses)\n", "1 S: f OK fetched\n", "1 S: * 2 EXISTS\n"} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log lacks %q:\n%s", line, log.String())
		}
	}
	if got := s.Counts(); got.Messages != 1 || got.Open != 0 || got.Octets == 0 {
		t.Errorf("counts %+v", got)
	}
}
