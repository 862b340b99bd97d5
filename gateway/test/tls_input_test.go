package test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/loop"
	"sluice/gateway/session"
	"sluice/gateway/testkit"
)

// selfSigned returns a certificate and its key as PEM text.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// What comes with or behind the request is judged on encrypted connections as on
// others, and looking for it does them no harm.
func TestNothingMayFollowTheRequestOfATLSStream(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	cert, key := selfSigned(t)
	keys, err := json.Marshal(map[string]any{"enabled": true, "cert_pem": cert, "key_pem": key})
	require.NoError(t, err)
	text := fmt.Sprintf(baseConfig, "", "", "", "")
	s := launch(t, strings.Replace(text, `"http_server": {`, `"http_server": {"tls": `+string(keys)+`, `, 1))
	t.Cleanup(func() { s.stop(t) })
	dial := func() *tls.Conn {
		c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
		require.NoError(t, err)
		require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
		return c
	}
	status := func(c *tls.Conn, raw string) string {
		_, err := c.Write([]byte(raw))
		require.NoError(t, err)
		line, err := bufio.NewReader(c).ReadString('\n')
		require.NoError(t, err)
		return line
	}
	inputs := func(want uint64) {
		t.Helper()
		testkit.EventuallyWithin(t, time.Minute, func() bool {
			return s.group.Stats().Closes[loop.ReasonInput] == want
		}, "the end for the reason input")
	}
	const target = testkit.DefaultPath
	c := dial()
	require.Contains(t, status(c, get(target)+get("/health")), " 400 ")
	_ = c.Close() // the server has closed it: the farewell may come too late
	inputs(1)

	c = dial()
	require.Contains(t, status(c, get(target)), " 200 ")
	_, err = c.Write([]byte("x"))
	require.NoError(t, err)
	inputs(2)
	_ = c.Close()

	stream := testkit.Connect(t, "", testkit.ConnectOptions{
		Conn: dial(), Subs: map[string]testkit.SubscribeRequest{"news": {}},
	})
	stream.ExpectConnect(t)
	_, err = stream.Conn().Write([]byte("\r\n"))
	require.NoError(t, err)
	require.NoError(t, s.sessions.Disconnect(t.Context(), session.Target{}, nil, codec.DisconnectForceNoReconnect))
	stream.ExpectDisconnect(t, 3503)
	stream.Close()
}
