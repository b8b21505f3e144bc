package configs

import (
	"crypto/tls"
	"crypto/x509"
	"os"
)

// fileKind is what a file that the configuration names has to be.
type fileKind int

const (
	authorities  fileKind = iota // CA certificates in PEM
	certificate                  // our own, in PEM
	privateKey                   // the key of the certificate named before it, in PEM
	passwordFile                 // one line that nobody else may read
)

// namedFile is a file that the configuration names.
type namedFile struct {
	at   value
	path string
	kind fileKind
}

// maxPEM bounds what is read of a certificate file; a whole system's roots are a fifth of it.
const maxPEM = 1 << 20

// path reads the path of a file and remembers it, so that Load can look at it.
func (d *document) path(m *mapping, name string, dst *string, kind fileKind) {
	v, ok := m.take(name)
	if ok && readValue(v, dst, d.env.expand) {
		d.named = append(d.named, namedFile{v, *dst, kind})
	}
}

// checkNamed looks at every file that the configuration names. Password files are not opened: their content is for the login alone.
func (d *document) checkNamed() {
	var cert []byte
	for _, f := range d.named {
		switch f.kind {
		case authorities:
			if pem := f.read(); pem != nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
				f.at.fail("holds no certificate", "it must be a PEM file with -----BEGIN CERTIFICATE-----")
			}
		case certificate:
			cert = f.read()
		case privateKey:
			f.checkSecret(false)
			if key := f.read(); key != nil && cert != nil {
				// The error is left out: it names the kinds of block it found, which are text of a secret file.
				if _, err := tls.X509KeyPair(cert, key); err != nil {
					f.at.fail("is not the key of the certificate in client_cert", "both must be PEM files")
				}
			}
			cert = nil
		case passwordFile:
			f.checkSecret(true)
		}
	}
}

// read is the content of the file, or nil after reporting why there is none.
func (f namedFile) read() []byte {
	data, _, err := slurp(f.path, maxPEM)
	if err != nil {
		f.at.fail("cannot be read: "+cause(err), "")
		return nil
	}
	return data
}

// checkSecret refuses a file that is not fit for a secret. What is wrong with a key's content is found when it is read; a password is one short line.
func (f namedFile) checkSecret(password bool) {
	info, err := os.Stat(f.path)
	switch {
	case err != nil && password:
		f.at.fail("cannot be looked at: "+cause(err), "")
	case err != nil:
	case !info.Mode().IsRegular() && password:
		f.at.fail("is not a regular file", "")
	case info.Mode()&0o077 != 0:
		f.at.fail("names a file that others may read or write", "chmod 600 the file")
	case password && (info.Size() == 0 || info.Size() > 4096):
		f.at.fail("names a file that is empty or larger than 4 KiB", "it holds the password on one line")
	}
}
