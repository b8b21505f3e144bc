package smtp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"testing"
	"time"
)

type tlsPair struct{ client, server *tls.Config }

// testTLS makes a certificate that is good in a bubble, where it is the year
// 2000, and outside.
func testTLS(t *testing.T) tlsPair {
	t.Helper()
	pair, err := madeTLS()
	noError(t, err)
	return pair
}

var madeTLS = sync.OnceValues(func() (tlsPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tlsPair{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "mx.example.org"},
		DNSNames:              []string{"mx.example.org"},
		NotBefore:             time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tlsPair{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tlsPair{}, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tlsPair{
		client: &tls.Config{RootCAs: roots, ServerName: "mx.example.org"},
		server: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
	}, nil
})
