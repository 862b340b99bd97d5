package front

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// pair is a certificate and its key, as PEM.
type pair struct{ cert, key []byte }

// issue makes a certificate for servers on loopback and for clients.
func (a *authority) issue(t *testing.T, serial int64) pair {
	t.Helper()
	return a.issueUntil(t, serial, time.Now().Add(12*time.Hour))
}

func (a *authority) issueUntil(t *testing.T, serial int64, end time.Time) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "leaf"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: end, DNSNames: []string{"localhost"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	}
}

// client returns the configuration of a client that trusts the authority, and
// presents these certificates.
func (a *authority) client(own ...pair) *tls.Config {
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost", MinVersion: tls.VersionTLS12}
	cfg.RootCAs.AddCert(a.cert)
	for _, p := range own {
		c, err := tls.X509KeyPair(p.cert, p.key)
		if err != nil {
			panic("BUG: " + err.Error())
		}
		cfg.Certificates = append(cfg.Certificates, c)
	}
	return cfg
}

func text(b []byte) func() ([]byte, error) { return func() ([]byte, error) { return b, nil } }

// newCerts serves one pair that never changes.
func newCerts(t *testing.T, p pair) *Certs {
	t.Helper()
	c, err := NewCerts(TLSOptions{Cert: text(p.cert), Key: text(p.key), Poll: -1})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// files are the parts of a server's TLS in files.
type files struct {
	dir   string
	looks atomic.Int64 // times that the key was read
}

func newFiles(t *testing.T, p pair) *files {
	t.Helper()
	f := &files{dir: t.TempDir()}
	f.put(t, p)
	return f
}

func (f *files) put(t *testing.T, p pair) {
	t.Helper()
	f.write(t, "cert", p.cert)
	f.write(t, "key", p.key)
}

func (f *files) write(t *testing.T, name string, text []byte) {
	t.Helper()
	path := filepath.Join(f.dir, name)
	require.NoError(t, os.WriteFile(path+".new", text, 0o600))
	require.NoError(t, os.Rename(path+".new", path)) // nobody sees half a file
}

func (f *files) read(name string) func() ([]byte, error) {
	return func() ([]byte, error) {
		if name == "key" {
			f.looks.Add(1)
		}
		return os.ReadFile(filepath.Join(f.dir, name))
	}
}

// options watches the files closely.
func (f *files) options() TLSOptions {
	return TLSOptions{Cert: f.read("cert"), Key: f.read("key"), Poll: time.Millisecond}
}
