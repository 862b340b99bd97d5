package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

func TestNewRefusesBadOptions(t *testing.T) {
	f := func(want string, change func(*HookOptions)) {
		t.Helper()
		o := HookOptions{Endpoint: "http://h/", Timeout: time.Second}
		change(&o)
		p, err := New(Options{Refresh: &o})
		require.Nil(t, p)
		require.ErrorContains(t, err, "client.proxy.refresh")
		require.ErrorContains(t, err, want)
	}
	f("endpoint", func(o *HookOptions) { o.Endpoint = "" })
	f("endpoint", func(o *HookOptions) { o.Endpoint = "grpc://h:1" })
	f("endpoint", func(o *HookOptions) { o.Endpoint = "h:1" })
	f("timeout", func(o *HookOptions) { o.Timeout = 0 })
	f("static_headers", func(o *HookOptions) { o.StaticHeaders = map[string]string{"a b": "c"} })
	f("static_headers", func(o *HookOptions) { o.StaticHeaders = map[string]string{"a": "b\r\nc: d"} })
	f("transforms[0]", func(o *HookOptions) { o.Transforms = []Transform{{Status: 404}} })
	f("transforms[0]", func(o *HookOptions) {
		o.Transforms = []Transform{{Status: 404, Error: codec.ErrInternal, Disconnect: codec.DisconnectExpired}}
	})
	f("transforms[0]", func(o *HookOptions) { o.Transforms = []Transform{{Status: 200, Error: codec.ErrInternal}} })
	f("server_ca_pem", func(o *HookOptions) { o.TLS = &TLS{ServerCA: []byte("x")} })
	f("http.status_to_code_transforms[0].to_error.message", func(o *HookOptions) {
		o.Transforms = []Transform{{Status: 404, Error: &codec.Error{Code: 1, Message: "\n"}}}
	})
	f("cert_pem and key_pem", func(o *HookOptions) { o.TLS = &TLS{Cert: []byte("x")} })
}

// certificate returns a new self-signed certificate and its key as PEM.
func certificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sluice"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	require.NoError(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func TestTLSOptions(t *testing.T) {
	b := &backend{}
	b.say(`{"result":{"user":"42"}}`)
	s := httptest.NewUnstartedServer(b.handler(t))
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.StartTLS()
	defer s.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	cert, key := certificate(t)
	f := func(name string, o *TLS, ok bool) {
		t.Helper()
		p, _ := newProxy(t, s.URL, func(all *HookOptions) { all.TLS = o })
		answer, err := connect(p)
		if !ok {
			requireFailure(t, answer, err)
			return
		}
		require.NoError(t, err, name)
		require.Equal(t, "42", answer.Identity.User, name)
		b.mu.Lock()
		defer b.mu.Unlock()
		require.Equal(t, "sluice", b.request.TLS.PeerCertificates[0].Subject.CommonName, name)
		require.Equal(t, "HTTP/1.1", b.request.Proto, name)
	}
	f("authority and own certificate", &TLS{ServerCA: ca, Cert: cert, Key: key}, true)
	f("not checked", &TLS{InsecureSkipVerify: true, Cert: cert, Key: key}, true)
	f("name", &TLS{ServerCA: ca, Cert: cert, Key: key, ServerName: "example.com"}, true)
	f("wrong name", &TLS{ServerCA: ca, Cert: cert, Key: key, ServerName: "wrong.example.org"}, false)
	f("unknown authority", &TLS{Cert: cert, Key: key}, false)
	f("no certificate of its own", &TLS{ServerCA: ca}, false)
	f("authorities of the system", nil, false)
}
