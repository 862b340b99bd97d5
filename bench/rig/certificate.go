//go:build linux

package rig

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"sluice/bench/load"
)

// certificateName is whom the certificate of a server is for.
const certificateName = "bench"

// certificate is what a server of ours with TLS shows (OwnServer.TLS), and the port of
// its endpoints without.
type certificate struct {
	cert, key string // PEM
	roots     *x509.CertPool
	inside    int
}

// newCertificate makes a key, P-256 as most servers have, and what it signs for itself.
func newCertificate(ctx context.Context) (*certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("bench: certificate: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{certificateName}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	secret, keyErr := x509.MarshalPKCS8PrivateKey(key)
	parsed, parseErr := x509.ParseCertificate(der)
	if err := errors.Join(err, keyErr, parseErr); err != nil {
		return nil, fmt.Errorf("bench: certificate: %w", err)
	}
	c := &certificate{
		cert:  string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		key:   string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
		roots: x509.NewCertPool(),
	}
	c.roots.AddCert(parsed)
	c.inside, err = freePort(ctx)
	return c, err
}

// apply sets the options of http_server.
func (c *certificate) apply(listener map[string]any) {
	listener["tls"] = map[string]any{"enabled": true, "cert_pem": c.cert, "key_pem": c.key}
	listener["tls_external"], listener["internal_port"] = true, strconv.Itoa(c.inside)
}

// behind tells a target that its streams are on a port of their own, behind TLS.
func (c *certificate) behind(t *load.Target, port int) {
	t.StreamURL = "http://127.0.0.1:" + strconv.Itoa(port) + streamPath
	t.Secure = &tls.Config{RootCAs: c.roots, ServerName: certificateName}
}

// Inside is host:port of what is no stream: the server's figures.
func (h *Host) Inside() string {
	if h.Target.Secure == nil {
		return h.Streams.String()
	}
	return strings.TrimSuffix(strings.TrimPrefix(h.Target.APIURL, "http://"), "/api")
}

// SecureClient returns a client for n streams behind TLS. A session of each is kept for
// the next ones if resume is set.
func (r *Rig) SecureClient(h *Host, n, source int, resume bool) (*load.SecureClient, error) {
	requests, err := h.Requests(n)
	if err != nil {
		return nil, err
	}
	return load.NewSecure(r.ClientConfig(h, requests, source, load.Ignore), h.Target.Secure, resume), nil
}
