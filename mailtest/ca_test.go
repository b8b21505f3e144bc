package mailtest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// shake lets a client that trusts ca meet a server, and returns the client's error.
func shake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_ = tls.Server(conn, server).Handshake() // the client's view is what counts
		_ = conn.Close()
	})
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	err = tls.Client(conn, client).Handshake()
	_ = conn.Close()
	serving.Wait()
	_ = listener.Close()
	return err
}

func TestCAVariants(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	config := func(c *tls.Config, err error) *tls.Config {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	type verdict func(error) bool
	good := func(err error) bool { return err == nil }
	as := func(target any) verdict { return func(err error) bool { return errors.As(err, target) } }
	tests := map[string]struct {
		server *tls.Config
		name   string
		want   verdict
	}{
		"localhost":   {config(ca.Server()), "localhost", good},
		"IPv4":        {config(ca.Server()), "127.0.0.1", good},
		"IPv6":        {config(ca.Server()), "::1", good},
		"named":       {config(ca.Server("pop.example.org", "192.0.2.1")), "pop.example.org", good},
		"other name":  {config(ca.Server("pop.example.org")), "localhost", as(new(x509.HostnameError))},
		"expired":     {config(ca.Expired()), "localhost", as(new(x509.CertificateInvalidError))},
		"no SAN":      {config(ca.NoSAN("localhost")), "localhost", as(new(x509.HostnameError))},
		"self-signed": {config(SelfSigned()), "localhost", as(new(x509.UnknownAuthorityError))},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if err := shake(t, test.server, ca.ClientTLS(test.name)); !test.want(err) {
				t.Errorf("handshake: %v", err)
			}
		})
	}
	other, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	if err := shake(t, config(ca.Server()), other.ClientTLS("localhost")); !as(new(x509.UnknownAuthorityError))(err) {
		t.Errorf("a stranger's certificate: %v", err)
	}
}

func TestCAFiles(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	path, err := ca.WriteFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	octets, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := KeyPairPEM(config)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(octets) {
		t.Fatalf("%s holds no certificate", path)
	}
	err = shake(t, &tls.Config{Certificates: []tls.Certificate{pair}}, &tls.Config{RootCAs: pool, ServerName: "localhost"})
	if err != nil {
		t.Errorf("handshake by files: %v", err)
	}
	one, err := Pin(config)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := Pin(&tls.Config{Certificates: []tls.Certificate{pair}})
	fresh, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	two, _ := Pin(fresh)
	if len(one) != 64 || one != again || one == two || strings.Trim(one, "0123456789abcdef") != "" {
		t.Errorf("pins %s, %s, %s: want hex, the first two the same", one, again, two)
	}
}

func TestCAClient(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	server.ClientAuth = tls.RequireAndVerifyClientCert
	client := ca.ClientTLS("localhost")
	client.MaxVersion = tls.VersionTLS12 // there the client sees the refusal in the handshake
	if err := shake(t, server, client); err == nil {
		t.Error("a client without certificate was let in")
	}
	pair, err := ca.Client("ada")
	if err != nil {
		t.Fatal(err)
	}
	client.Certificates = []tls.Certificate{pair}
	if err := shake(t, server, client); err != nil {
		t.Errorf("a client with certificate: %v", err)
	}
}
