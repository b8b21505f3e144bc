package configs

import (
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// protocol is what differs between the kinds of server.
type protocol struct {
	name            string
	implicit, plain int      // the ports for TLS from the first octet (RFC 8314 section 7) and for STARTTLS or none
	auth            []string // what may be asked for by name
}

// imap, pop3 and smtp are the protocols. APOP is POP3's own (RFC 1939 section 7).
func imap() protocol { return protocol{"imap", 993, 143, mechanisms()} }
func pop3() protocol { return protocol{"pop3", 995, 110, append(mechanisms(), "apop")} }
func smtp() protocol { return protocol{"smtp", 465, 587, mechanisms()} }

// mechanisms are the ways to log in that every protocol has.
func mechanisms() []string {
	return []string{"auto", "plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", "xoauth2", "oauthbearer", "external"}
}

// ofAccount is where keys belong that stand in a server's section by mistake.
func ofAccount(more map[string]string) map[string]string {
	places := map[string]string{}
	for _, key := range []string{"address", "aliases", "user", "password"} {
		places[key] = "to the account, one level up"
	}
	for key, place := range more {
		places[key] = place
	}
	return places
}

// mailbox reads an imap or pop3 section.
func (d *document) mailbox(m *mapping, p protocol) *Mailbox {
	b := &Mailbox{
		Folders:     []string{"INBOX"},
		DeliverTo:   "{account}/{folder}",
		Schedule:    Schedule{Every: 5 * time.Minute},
		Connections: 1,
	}
	b.Server = d.server(m, p)
	read(m, "deliver_to", &b.DeliverTo, parseDeliverTo)
	read(m, "schedule", &b.Schedule, parseSchedule)
	read(m, "max_size", &b.MaxSize, parseSize)
	if p.name == "pop3" {
		read(m, "on_server", &b.OnServer, parsePOP3Disposal)
		m.finish(true, ofAccount(map[string]string{
			"folders":     "to IMAP: a POP3 server has one mailbox",
			"push":        "to IMAP: a POP3 server cannot tell of new mail",
			"connections": "to IMAP: a POP3 server locks its mailbox for one connection",
			"sent":        "to smtp",
		}))
		return b
	}
	read(m, "on_server", &b.OnServer, parseDisposal)
	d.folders(m, b)
	b.Push, b.Connections = true, 4
	read(m, "push", &b.Push, parseBool)
	read(m, "connections", &b.Connections, parseConnections)
	m.finish(true, ofAccount(map[string]string{"sent": "to smtp"}))
	return b
}

// folders reads the LIST patterns of an imap section.
func (d *document) folders(m *mapping, b *Mailbox) {
	readList(m, "folders", &b.Folders, parsePattern)
	v, ok := m.at("folders")
	if ok && v.isList() && !slices.ContainsFunc(b.Folders, func(f string) bool { return f[0] != '!' }) {
		v.fail("names no folder to fetch", `write [INBOX], or ["*", "!Spam"]`)
	}
}

// submission reads an smtp section.
func (d *document) submission(m *mapping) *Submission {
	s := &Submission{Server: d.server(m, smtp()), Sent: "{account}/Sent"}
	read(m, "sent", &s.Sent, parseSent)
	places := map[string]string{}
	for _, key := range []string{"folders", "deliver_to", "schedule", "push", "on_server", "max_size", "connections"} {
		places[key] = "to imap or pop3"
	}
	m.finish(true, ofAccount(places))
	return s
}

// server reads the keys that every section has.
func (d *document) server(m *mapping, p protocol) Server {
	s := Server{TLS: "implicit", Auth: "auto", Timeout: time.Minute}
	read(m, "host", &s.Host, parseHost)
	if !m.has("host") {
		m.missing("host", "is missing", "write the name of the "+strings.ToUpper(p.name)+" server")
	}
	read(m, "tls", &s.TLS, oneOf("implicit", "starttls", "none"))
	s.Port = p.implicit
	if s.TLS != "implicit" {
		s.Port = p.plain
	}
	read(m, "port", &s.Port, parsePort)
	d.path(m, "ca_file", &s.CAFile, authorities)
	readList(m, "pins", &s.Pins, parsePin)
	d.path(m, "client_cert", &s.ClientCert, certificate)
	d.path(m, "client_key", &s.ClientKey, privateKey)
	read(m, "auth", &s.Auth, oneOf(p.auth...))
	read(m, "allow_cleartext", &s.AllowCleartext, parseBool)
	read(m, "timeout", &s.Timeout, parsePositive)
	s.check(m)
	return s
}

// check looks at keys that do not go together.
func (s *Server) check(m *mapping) {
	if v, _ := m.at("tls"); s.TLS == "none" {
		if s.Host != "" && !loopback(s.Host) && !s.AllowCleartext {
			v.fail("would send mail and password in the clear", "write starttls or implicit, or allow_cleartext: true if the line is safe by other means")
		}
		for _, key := range []string{"ca_file", "pins", "client_cert", "client_key"} {
			if at, ok := m.at(key); ok {
				at.fail("has no effect with tls: none", "take it out or use TLS")
			}
		}
	}
	for _, pair := range [][2]string{{"client_cert", "client_key"}, {"client_key", "client_cert"}} {
		if at, ok := m.at(pair[0]); ok && !m.has(pair[1]) {
			at.fail("needs "+pair[1]+" beside it", "")
		}
	}
	if at, _ := m.at("auth"); s.Auth == "external" && !m.has("client_cert") {
		at.fail("logs in by a TLS client certificate, and there is none", "write client_cert and client_key")
	}
}

// passwordless says that the server can be logged in to without a password: a client certificate does it.
func (s *Server) passwordless() bool {
	return s.Auth == "external" || s.Auth == "auto" && s.ClientCert != ""
}

// parseHost takes a host name or an IP address.
func parseHost(s string) (string, error) {
	const remedy = "write it like mail.example.org"
	_, err := netip.ParseAddr(s)
	switch {
	case s == "":
		return "", wrong("is empty", remedy)
	case err == nil || isDomain(s):
		return s, nil
	case strings.Contains(s, "://"):
		return "", wrong("is a URL and not a host", remedy)
	case strings.HasPrefix(s, "["):
		return "", wrong("has brackets", "write an IPv6 address bare, and the port as port")
	case strings.Count(s, ":") == 1:
		return "", wrong("is not a host", "write the port as port")
	case !isASCII(s):
		return "", wrong("has letters beyond ASCII", "write the name in its xn-- form")
	}
	return "", wrong("is not a host", remedy)
}

// isASCII says that s is ASCII.
func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f })
}

// isDomain says that s is a host name (RFC 1123 section 2.1), with the underscores that some have and perhaps the final dot.
func isDomain(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.TrimLeftFunc(label, func(r rune) bool { return r == '-' || inName(r) }) != "" {
			return false
		}
	}
	return true
}

// loopback says that the host is this machine and nothing else (RFC 6761 section 6.3 for the names).
func loopback(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// parseWhole takes a whole number within limits.
func parseWhole(s string, low, high int) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || int(n) < low || int(n) > high {
		return 0, wrong("is not a whole number from "+strconv.Itoa(low)+" to "+strconv.Itoa(high), "")
	}
	return int(n), nil
}

// parsePort takes a TCP port.
func parsePort(s string) (int, error) { return parseWhole(s, 1, 65535) }

// parseConnections takes a number of connections; servers that allow even twenty are rare.
func parseConnections(s string) (int, error) { return parseWhole(s, 1, 64) }

// parseListen takes HOST:PORT to listen on.
func parseListen(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = parseWhole(port, 0, 65535)
	}
	if err == nil && host != "" {
		_, err = parseHost(host)
	}
	if err != nil {
		return "", wrong("is not HOST:PORT", "write it like 127.0.0.1:9427")
	}
	return s, nil
}

// parsePin takes sha256:HEX, the digest of a SubjectPublicKeyInfo (RFC 7469 section 2.4 counts the same octets).
func parsePin(s string) (pin [32]byte, err error) {
	digits, ok := strings.CutPrefix(s, "sha256:")
	octets, err := hex.DecodeString(digits)
	if !ok || err != nil || len(octets) != len(pin) {
		return pin, wrong("is not a pin", "write sha256: and 64 hexadecimal digits")
	}
	return [32]byte(octets), nil
}

// parsePattern takes one LIST pattern of IMAP, perhaps with ! before it.
func parsePattern(s string) (string, error) {
	if strings.TrimPrefix(s, "!") == "" {
		return "", wrong("has an empty name in it", "write a folder's name or a pattern such as Lists/*")
	}
	return s, controls(s)
}
