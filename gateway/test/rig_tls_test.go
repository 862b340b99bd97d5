package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// tlsPatience is how long tests of TLS wait for anything: handshakes of a busy
// machine take their time.
const tlsPatience = time.Minute

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	path string // of its certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	a := &authority{cert: cert, key: key, path: filepath.Join(t.TempDir(), "ca.pem")}
	require.NoError(t, os.WriteFile(a.path, pemOf("CERTIFICATE", der), 0o600))
	return a
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// issue makes a certificate, for servers on loopback and for clients, and its
// key, both as PEM.
func (a *authority) issue(serial int64) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter, DNSNames: []string{"localhost"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	return pemOf("CERTIFICATE", der), pemOf("PRIVATE KEY", pkcs8), err
}

// client is the configuration of a client that trusts the authority.
func (a *authority) client() *tls.Config {
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	cfg.RootCAs.AddCert(a.cert)
	return cfg
}

// tlsFiles are a certificate and its key on disk.
type tlsFiles struct{ cert, key string }

func newTLSFiles(t *testing.T, ca *authority) tlsFiles {
	t.Helper()
	dir := t.TempDir()
	f := tlsFiles{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	require.NoError(t, f.replace(ca, 1))
	return f
}

// replace writes a new pair, one file after the other. Any goroutine.
func (f tlsFiles) replace(ca *authority, serial int64) error {
	cert, key, err := ca.issue(serial)
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.cert, cert, 0o600); err != nil {
		return err
	}
	return os.WriteFile(f.key, key, 0o600)
}

// object is the TLS object of the configuration, with more keys.
func (f tlsFiles) object(more string) string {
	return fmt.Sprintf(`{"cert_pem": %q, "key_pem": %q%s}`, f.cert, f.key, more)
}

// tlsServer is a gateway with TLS for clients; the API is on both ports, on the
// internal one in clear.
type tlsServer struct {
	*server
	ca    *authority
	files tlsFiles
}

// launchTLS starts one with more keys in http_server; the test stops it.
func launchTLS(t *testing.T, tlsKeys, keys string, p parts) *tlsServer {
	t.Helper()
	testkit.Snapshot(t, libraryGoroutines...)
	s := &tlsServer{ca: newAuthority(t)}
	s.files = newTLSFiles(t, s.ca)
	s.server = launchPorts(t, `"tls_external": true, "tls": `+s.files.object(`, "enabled": true`+tlsKeys)+keys, p)
	s.api = &testkit.API{Addr: s.listeners[1].Addr().String(), Key: testKey}
	return s
}

// launchPorts starts a gateway with two ports.
func launchPorts(t *testing.T, keys string, p parts) *server {
	t.Helper()
	text := fmt.Sprintf(baseConfig, p.sse, `, "external": true`+p.api, p.client, p.channel)
	return launch(t, strings.Replace(text, `"port": 0`, `"port": 0, "internal_address": "127.0.0.2", `+keys, 1))
}

func startTLS(t *testing.T, tlsKeys, keys string, p parts) *tlsServer {
	t.Helper()
	s := launchTLS(t, tlsKeys, keys, p)
	t.Cleanup(func() { s.stop(t) })
	return s
}

// shake makes a TLS connection of one; who calls closes it.
func shake(nc net.Conn, cfg *tls.Config) (*tls.Conn, error) {
	c := tls.Client(nc, cfg)
	if err := c.SetDeadline(time.Now().Add(tlsPatience)); err != nil {
		return nil, err
	}
	if err := c.Handshake(); err != nil {
		_ = nc.Close()
		return nil, err
	}
	return c, c.SetDeadline(time.Time{})
}

// dial opens a TLS connection, which ends with the test at the latest.
func (s *tlsServer) dial(t *testing.T, cfg *tls.Config) *tls.Conn {
	t.Helper()
	nc, err := net.DialTimeout("tcp", s.addr, tlsPatience)
	require.NoError(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	c, err := shake(nc, cfg)
	require.NoError(t, err)
	return c
}

func (s *tlsServer) http(t *testing.T) *testkit.Conn {
	t.Helper()
	c := testkit.NewConn(t, s.dial(t, s.ca.client()))
	c.ReadTimeout = tlsPatience
	return c
}

// stream opens a stream; the connect push is not taken.
func (s *tlsServer) stream(t *testing.T, cfg *tls.Config, opt testkit.ConnectOptions, channels ...string) *testkit.Client {
	t.Helper()
	opt.Conn, opt.Timeout = s.dial(t, cfg), tlsPatience
	opt.Subs = make(map[string]testkit.SubscribeRequest)
	for _, ch := range channels {
		opt.Subs[ch] = testkit.SubscribeRequest{}
	}
	return testkit.Connect(t, "", opt)
}

// streams opens n streams of one channel, by both versions of TLS in turns.
func (s *tlsServer) streams(t *testing.T, n int) (clients []*testkit.Client) {
	t.Helper()
	for i := range n {
		cfg := s.ca.client()
		cfg.MaxVersion = uint16(tls.VersionTLS12 + i%2)
		c := s.stream(t, cfg, testkit.ConnectOptions{}, "news")
		c.ExpectConnect(t)
		clients = append(clients, c)
	}
	return clients
}

// expectFarewell checks that a stream which has ended was ended in the manner of
// TLS: crypto/tls gives io.EOF for that, and io.ErrUnexpectedEOF for a cut.
func expectFarewell(t *testing.T, c *testkit.Client) {
	t.Helper()
	c.WaitEnd(t)
	nc := c.Conn()
	require.NoError(t, nc.SetReadDeadline(time.Now().Add(tlsPatience)))
	n, err := nc.Read(make([]byte, 1))
	require.Zero(t, n)
	require.Equal(t, io.EOF, err)
}

// toEnd sends a request and reads until the server says that nothing follows.
func toEnd(t *testing.T, c net.Conn, raw string) (status int, kind, body string) {
	t.Helper()
	conn := testkit.NewConn(t, c)
	conn.ReadTimeout = tlsPatience
	conn.Send(raw)
	head := conn.ReadHead(t)
	text, err := io.ReadAll(conn.Body())
	require.NoError(t, err, raw)
	conn.ExpectClosed(t)
	return head.Status, head.Get("Content-Type"), string(text)
}

func versions(t *testing.T, f func(t *testing.T, version uint16)) {
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) { f(t, version) })
	}
}
