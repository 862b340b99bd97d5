//go:build linux

package load

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/standin"
)

func TestSecureClientHoldsStreamsBehindTLS(t *testing.T) {
	var push atomic.Value
	push.Store("data: {\"connect\":{}}\n\n")
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, push.Load().(string))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	secure := &tls.Config{RootCAs: roots, ServerName: "example.com"}
	cfg := Config{
		Addr: netip.MustParseAddrPort(srv.Listener.Addr().String()), InFlight: 3,
		Request: func(int) []byte { return []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n") },
	}
	c := NewSecure(cfg, secure, true)
	defer c.Close()
	require.NoError(t, c.Open(t.Context(), 1, standin.Patience))
	require.NoError(t, c.Open(t.Context(), 8, standin.Patience))
	require.EqualValues(t, 9, c.Held())
	require.EqualValues(t, 8, c.Resumed.Load())
	require.NoError(t, c.Err())
	srv.CloseClientConnections()
	require.Eventually(t, func() bool { return c.Err() != nil }, standin.Patience, time.Millisecond)
	require.ErrorContains(t, c.Err(), "ended stream")

	push.Store("data: {\"disconnect\":{}}\n\n")
	full := NewSecure(cfg, secure, false)
	defer full.Close()
	require.ErrorContains(t, full.Open(t.Context(), 2, standin.Patience), "expected a connect push first")
	require.Zero(t, full.Resumed.Load())
}
