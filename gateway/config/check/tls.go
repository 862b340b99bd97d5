package check

import (
	"crypto/tls"
	"crypto/x509"
	"strings"

	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
	"sluice/gateway/problem"
)

// tls checks that what an enabled TLS object names can be read. A server needs a certificate.
func (v *checker) tls(key string, t *schema.TLS, server bool) {
	if !t.Enabled {
		return
	}
	cert, certOK := v.pem(key+".cert_pem", t.CertPEM)
	private, keyOK := v.pem(key+".key_pem", t.KeyPEM)
	switch {
	case server && t.CertPEM == "" && v.sound(key+".cert_pem"):
		v.Fail(key+".cert_pem", "missing: TLS is enabled and needs a certificate")
	case server && t.KeyPEM == "" && v.sound(key+".key_pem"):
		v.Fail(key+".key_pem", "missing: TLS is enabled and needs the key of its certificate")
	case (t.CertPEM == "") != (t.KeyPEM == "") && v.sound(key+".cert_pem", key+".key_pem"):
		v.Fail(key, "cert_pem and key_pem go together: allowed both or neither")
	case certOK && keyOK && t.CertPEM != "":
		if _, err := tls.X509KeyPair(cert, private); err != nil {
			v.Fail(key+".key_pem", "(hidden) and cert_pem are no pair: %s", strings.TrimPrefix(err.Error(), "tls: "))
		}
	}
	v.authorities(key+".client_ca_pem", t.ClientCAPEM)
	v.authorities(key+".server_ca_pem", t.ServerCAPEM)
}

// authorities checks that a PEM value holds certificates.
func (v *checker) authorities(key, value string) {
	if data, ok := v.pem(key, value); ok && value != "" && !x509.NewCertPool().AppendCertsFromPEM(data) {
		v.Fail(key, "holds no certificate: allowed certificates of authorities in PEM")
	}
}

// pem reads a PEM value; an empty one is fine.
func (v *checker) pem(key, value string) ([]byte, bool) {
	if value == "" {
		return nil, true
	}
	data, err := source.ReadPEM(v.dir, value)
	if err != nil {
		v.Fail(key, "%s is %s", problem.Hidden, strings.TrimPrefix(err.Error(), "config: "))
		return nil, false
	}
	return data, true
}
