package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
)

// What connections to others are encrypted with comes out of the options whole, or not at all.
func TestTLSOfConnectionsThatTheNodeMakes(t *testing.T) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))

	c, err := clientTLS(&config.TLS{ServerName: "x"})
	require.NoError(t, err)
	require.Nil(t, c, "it is off")
	c, err = clientTLS(&config.TLS{Enabled: true, CertPEM: cert, KeyPEM: key, ServerCAPEM: cert, ServerName: "x", InsecureSkipVerify: true})
	require.NoError(t, err)
	require.Equal(t, "x", c.ServerName)
	require.True(t, c.InsecureSkipVerify)
	require.Len(t, c.Certificates, 1)
	require.NotNil(t, c.RootCAs)
	c, err = clientTLS(&config.TLS{Enabled: true})
	require.NoError(t, err)
	require.Nil(t, c.RootCAs, "those of the system")

	for want, wrong := range map[string]config.TLS{
		"server_ca_pem: no certificate in it": {ServerCAPEM: key},
		"server_ca_pem: ":                     {ServerCAPEM: "/nowhere"},
		"cert_pem: ":                          {CertPEM: "/nowhere", KeyPEM: key},
		"key_pem: ":                           {CertPEM: cert, KeyPEM: "/nowhere"},
		"cert_pem and key_pem: ":              {CertPEM: key, KeyPEM: key},
	} {
		wrong.Enabled = true
		_, err = clientTLS(&wrong)
		require.ErrorContains(t, err, want)
	}
	_, err = redisOptions(&config.Redis{SentinelTLS: config.TLS{Enabled: true, ServerCAPEM: "/nowhere"}})
	require.ErrorContains(t, err, "sentinel_tls.server_ca_pem: ")
}
