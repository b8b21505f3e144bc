package mailtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// CA is a certificate authority that lives in memory and signs what a test
// needs: good certificates, and the bad ones that a client must refuse.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA makes an authority with a fresh ECDSA P-256 key, valid for two days.
func NewCA() (*CA, error) {
	t := certificateTemplate("mailtest authority", time.Now())
	t.IsCA = true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	t.ExtKeyUsage = nil
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make authority key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse authority: %w", err)
	}
	return &CA{cert: cert, key: key}, nil
}

// PEM returns the authority's certificate, as a ca_file holds it.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// WriteFile writes the authority's certificate to ca.pem in dir and returns
// the file's path.
func (ca *CA) WriteFile(dir string) (string, error) {
	path := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(path, ca.PEM(), 0o600); err != nil {
		return "", fmt.Errorf("write authority: %w", err)
	}
	return path, nil
}

// Pool returns a pool that holds this authority and no other.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// Server returns the configuration of a TLS server whose certificate is good
// for names (host names or IP addresses); without names for localhost,
// 127.0.0.1 and ::1. A client certificate is verified if one is shown.
func (ca *CA) Server(names ...string) (*tls.Config, error) {
	return ca.server(certificateTemplate("localhost", time.Now()), names)
}

// Expired is Server with a certificate that ended yesterday.
func (ca *CA) Expired(names ...string) (*tls.Config, error) {
	return ca.server(certificateTemplate("localhost", time.Now().Add(-72*time.Hour)), names)
}

// NoSAN returns a server whose certificate has its name in the subject's
// common name alone, which RFC 9525 section 6.3 does not accept as an identity.
func (ca *CA) NoSAN(name string) (*tls.Config, error) {
	return ca.serve(certificateTemplate(name, time.Now()))
}

// SelfSigned is Server with a certificate that no authority has signed.
func SelfSigned(names ...string) (*tls.Config, error) {
	other, err := NewCA()
	if err != nil {
		return nil, err
	}
	t := certificateTemplate("localhost", time.Now())
	addNames(t, names)
	der, err := x509.CreateCertificate(rand.Reader, t, t, &other.key.PublicKey, other.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	pair := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: other.key}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// Client returns a client certificate for the common name cn, as SASL
// EXTERNAL uses it.
func (ca *CA) Client(cn string) (tls.Certificate, error) {
	t := certificateTemplate(cn, time.Now())
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return ca.sign(t)
}

// ClientTLS returns the configuration of a client that trusts this authority
// and asks for the server called name.
func (ca *CA) ClientTLS(name string) *tls.Config {
	return &tls.Config{RootCAs: ca.Pool(), ServerName: name, MinVersion: tls.VersionTLS12}
}

// KeyPairPEM returns the first certificate of a configuration made here and
// its private key, each as a PEM file holds it.
func KeyPairPEM(config *tls.Config) (cert, key []byte, err error) {
	if len(config.Certificates) == 0 {
		return nil, nil, errors.New("encode key pair: the configuration has no certificate")
	}
	pair := config.Certificates[0]
	for _, der := range pair.Certificate {
		cert = append(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return nil, nil, fmt.Errorf("encode key pair: %w", err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Pin returns the SHA-256, in hex, of the public key (SPKI) of the
// configuration's first certificate.
func Pin(config *tls.Config) (string, error) {
	if len(config.Certificates) == 0 || len(config.Certificates[0].Certificate) == 0 {
		return "", errors.New("pin certificate: the configuration has none")
	}
	cert, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	if err != nil {
		return "", fmt.Errorf("pin certificate: %w", err)
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:]), nil
}

func (ca *CA) server(t *x509.Certificate, names []string) (*tls.Config, error) {
	addNames(t, names)
	return ca.serve(t)
}

func (ca *CA) serve(t *x509.Certificate) (*tls.Config, error) {
	pair, err := ca.sign(t)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    ca.Pool(),
		MinVersion:   tls.VersionTLS12,
	}, nil
}

func (ca *CA) sign(t *x509.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sign certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: key}, nil
}

// certificateTemplate is valid from an hour before start, for two days.
func certificateTemplate(cn string, start time.Time) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		serial = big.NewInt(start.UnixNano())
	}
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: cn},
		NotBefore:             start.Add(-time.Hour),
		NotAfter:              start.Add(47 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
}

func addNames(t *x509.Certificate, names []string) {
	if len(names) == 0 {
		names = []string{"localhost", "127.0.0.1", "::1"}
	}
	t.Subject.CommonName = names[0]
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
}
