//go:build linux

package mailtest

import (
	"bufio"
	"crypto/tls"
	"net"
	"os"
	"strconv"
	"time"
)

// writeKeyPair has ca certify a server on this machine and writes certificate
// and key as PEM files.
func writeKeyPair(ca *CA, certFile, keyFile string) error {
	config, err := ca.Server()
	if err != nil {
		return err
	}
	cert, key, err := KeyPairPEM(config)
	if err != nil {
		return err
	}
	if err := os.WriteFile(certFile, cert, 0o600); err != nil {
		return err
	}
	return os.WriteFile(keyFile, key, 0o600)
}

// TLS is what a client needs to reach s: its CA and nothing else is trusted.
func (s *RealServer) TLS() *tls.Config {
	return s.CA.ClientTLS("localhost")
}

// Dial connects to one of the server's ports, and makes TLS on POP3S and IMAPS.
func (s *RealServer) Dial(port int) (net.Conn, error) {
	address := net.JoinHostPort(s.Host, strconv.Itoa(port))
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	if port == s.POP3S || port == s.IMAPS {
		return tls.DialWithDialer(dialer, "tcp", address, s.TLS())
	}
	return dialer.Dial("tcp", address)
}

// greeting is the first line that is said at port.
func (s *RealServer) greeting(port int) (string, error) {
	conn, err := s.Dial(port)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	return bufio.NewReader(conn).ReadString('\n')
}
