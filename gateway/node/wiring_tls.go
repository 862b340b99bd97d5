package node

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"sluice/gateway/advice"
	"sluice/gateway/config"
	"sluice/gateway/front"
)

// certificates are what the listeners encrypt with; nil where one does not.
// Both may be the same.
type certificates struct {
	external, internal *front.Certs
}

// newCertificates reads them as http_server says (PROTOCOL 9.2): tls is for all
// listeners, with tls_external for the external one only, and internal_tls for
// the internal one.
func (node *Node) newCertificates() (c certificates, err error) {
	s := &node.cfg.HTTPServer
	if s.TLS.Enabled {
		if c.external, err = node.newCerts("http_server.tls", &s.TLS); err != nil {
			return certificates{}, err
		}
	}
	switch {
	case s.InternalTLS.Enabled:
		if c.internal, err = node.newCerts("http_server.internal_tls", &s.InternalTLS); err != nil {
			c.close()
			return certificates{}, err
		}
	case !s.TLSExternal:
		c.internal = c.external
	}
	return c, nil
}

func (node *Node) newCerts(key string, t *config.TLS) (*front.Certs, error) {
	read := func(value string) func() ([]byte, error) {
		return func() ([]byte, error) { return config.ReadPEM("", value) }
	}
	opt := front.TLSOptions{Cert: read(t.CertPEM), Key: read(t.KeyPEM), Log: node.log}
	if t.ClientCAPEM != "" {
		opt.ClientCA = read(t.ClientCAPEM)
	}
	c, err := front.NewCerts(opt)
	if err != nil {
		return nil, fmt.Errorf("gateway: %s: %w", key, advice.File(err, key))
	}
	return c, nil
}

// tlsConfig returns what a listener needs, nil for no TLS.
func tlsConfig(c *front.Certs) *tls.Config {
	if c == nil {
		return nil
	}
	return c.Config()
}

// clientTLS returns how connections that this node makes are encrypted, nil for not at
// all. Files are read now. The error begins with the option below that of t.
func clientTLS(t *config.TLS) (*tls.Config, error) {
	if !t.Enabled {
		return nil, nil
	}
	// To check nothing is the operator's choice.
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify} // #nosec G402
	if t.ServerCAPEM != "" {
		text, err := config.ReadPEM("", t.ServerCAPEM)
		if err != nil {
			return nil, fmt.Errorf("server_ca_pem: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, errors.New("server_ca_pem: no certificate in it")
		}
	}
	if t.CertPEM == "" && t.KeyPEM == "" {
		return c, nil
	}
	cert, err := config.ReadPEM("", t.CertPEM)
	if err != nil {
		return nil, fmt.Errorf("cert_pem: %w", err)
	}
	key, err := config.ReadPEM("", t.KeyPEM)
	if err != nil {
		return nil, fmt.Errorf("key_pem: %w", err)
	}
	own, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("cert_pem and key_pem: %w", err)
	}
	c.Certificates = []tls.Certificate{own}
	return c, nil
}

// reload looks for new certificates now; what is wrong with them is logged.
func (c certificates) reload() {
	for _, certs := range c.all() {
		_ = certs.Reload()
	}
}

// all returns those there are, the public listener's first; one that both have twice.
func (c certificates) all() (all []*front.Certs) {
	for _, certs := range []*front.Certs{c.external, c.internal} {
		if certs != nil {
			all = append(all, certs)
		}
	}
	return all
}

func (c certificates) close() {
	for _, certs := range c.all() {
		certs.Close()
	}
}
