package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
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
	f("http.status_to_code_transforms[0].to_error.message", func(o *HookOptions) {
		o.Transforms = []Transform{{Status: 404, Error: &codec.Error{Code: 1, Message: "\n"}}}
	})
}

// certificate returns a new self-signed certificate with its key.
func certificate(t *testing.T) []tls.Certificate {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sluice"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	require.NoError(t, err)
	return []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: k}}
}

func TestTLSOptions(t *testing.T) {
	b := &backend{}
	b.say(`{"result":{"user":"42"}}`)
	s := httptest.NewUnstartedServer(b.handler(t))
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.StartTLS()
	defer s.Close()
	ca, own := x509.NewCertPool(), certificate(t)
	ca.AddCert(s.Certificate())
	f := func(name string, o *tls.Config, ok bool) {
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
	f("authority and own certificate", &tls.Config{RootCAs: ca, Certificates: own}, true)
	f("not checked", &tls.Config{InsecureSkipVerify: true, Certificates: own}, true)
	f("name", &tls.Config{RootCAs: ca, Certificates: own, ServerName: "example.com"}, true)
	f("wrong name", &tls.Config{RootCAs: ca, Certificates: own, ServerName: "wrong.example.org"}, false)
	f("unknown authority", &tls.Config{Certificates: own}, false)
	f("no certificate of its own", &tls.Config{RootCAs: ca}, false)
	f("authorities of the system", nil, false)
}
