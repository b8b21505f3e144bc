package remote

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postrider/configs"
	"postrider/imap"
	"postrider/pop3"
)

const (
	connectPatience = 30 * time.Second
	keepAlive       = 30 * time.Second
)

// dialer connects to one configured server. It is used by one goroutine at a
// time.
type dialer struct {
	server configs.Server
	tls    *tls.Config // nil without TLS
}

func newDialer(s configs.Server) (*dialer, error) {
	d := &dialer{server: s}
	if s.TLS == "none" {
		return d, nil
	}
	var err error
	if d.tls, err = tlsConfig(s); err != nil {
		return nil, err
	}
	return d, nil
}

// dial connects, and begins TLS if it is implicit; the handshake itself is
// done by whoever reads the greeting, under its deadlines.
func (d *dialer) dial(ctx context.Context) (net.Conn, error) {
	address := net.JoinHostPort(d.server.Host, strconv.Itoa(d.server.Port))
	conn, err := (&net.Dialer{Timeout: connectPatience, KeepAlive: keepAlive}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, &ServerError{Server: address, Err: fmt.Errorf("connect: %w", plainly(err))}
	}
	if d.server.TLS == "implicit" {
		return tls.Client(conn, d.tls), nil
	}
	return conn, nil
}

// plainly leaves out of a failure to connect what its error tells anyway.
func plainly(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) {
		return err
	}
	var call *os.SyscallError
	if errors.As(op.Err, &call) {
		return call.Err
	}
	return op.Err
}

// ServerError is a failure of or on the way to a server.
type ServerError struct {
	Server string // host:port
	Err    error
}

func (e *ServerError) Error() string { return e.Server + ": " + e.Err.Error() + remedy(e.Err) }
func (e *ServerError) Unwrap() error { return e.Err }

// remedy says what to do about the mistakes that are made most.
func remedy(err error) string {
	var noHost *net.DNSError
	var noTLS tls.RecordHeaderError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var reply *pop3.ReplyError
	var response *imap.ResponseError
	if errors.As(err, &response) {
		return remedyOf(response)
	}
	switch {
	case errors.As(err, &noHost) && noHost.IsNotFound:
		return " (is host written right?)"
	case errors.Is(err, unix.ECONNREFUSED):
		return " (nothing listens there: are host, port and tls right?)"
	case errors.As(err, &noTLS):
		return " (the server does not begin with TLS on this port: try tls: starttls, or another port)"
	case errors.As(err, &reply) && reply.Command == "STLS":
		return noStartTLS
	case errors.As(err, &authority):
		return " (if it is your own server, name its authority in ca_file, or its key in pins)"
	case errors.As(err, &host):
		return " (host must be the name in the server's certificate)"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return " (check the clock of this machine; otherwise the server's operator must renew it)"
	}
	return ""
}

const noStartTLS = " (the server has no STARTTLS on this port: try tls: implicit)"

// remedyOf is remedy for what an IMAP server says.
func remedyOf(r *imap.ResponseError) string {
	wait, throttled := r.Backoff()
	switch {
	case r.Command == "STARTTLS" && r.Status != "BYE":
		return noStartTLS
	case noSuchMailbox(r) && (r.Command == "SELECT" || r.Command == "EXAMINE"):
		return " (postrider check --online lists the mailboxes that there are)"
	case throttled:
		return fmt.Sprintf(" (the server wants to be left alone for %v)", wait)
	case strings.Contains(r.Text, "authenticated but not connected"):
		return " (the login was right: is IMAP switched on for this mailbox, and the tenant the right one? Too many connections look the same)"
	}
	return ""
}

// noSuchMailbox knows Dovecot's words too, which come without a code.
func noSuchMailbox(r *imap.ResponseError) bool {
	return r.Code == "NONEXISTENT" || r.Status == "NO" && strings.HasPrefix(r.Text, "Mailbox doesn't exist")
}

// tlsConfig is TLS 1.2 or better with a verified certificate: by the system's
// authorities, by those in ca_file instead, or, where keys are pinned and no
// ca_file is given, by its key alone, as a pinned key needs no authority to
// vouch for it. With both, both must be right.
func tlsConfig(s configs.Server) (*tls.Config, error) {
	c := &tls.Config{ServerName: s.Host, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read ca_file: %s holds no certificate", s.CAFile)
		}
	}
	if s.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(s.ClientCert, s.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if len(s.Pins) > 0 {
		c.VerifyConnection = pinned(s.Pins)
		c.InsecureSkipVerify = s.CAFile == "" // the pin decides, which no authority can undermine
	}
	return c, nil
}

// pinned returns a check that the server's certificate holds one of the keys,
// given as the SHA-256 of their SubjectPublicKeyInfo.
func pinned(pins [][32]byte) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("the server shows no certificate")
		}
		got := sha256.Sum256(s.PeerCertificates[0].RawSubjectPublicKeyInfo)
		for _, pin := range pins {
			if subtle.ConstantTimeCompare(pin[:], got[:]) == 1 {
				return nil
			}
		}
		return fmt.Errorf("the server's key is none of those in pins: it has sha256:%x", got)
	}
}
