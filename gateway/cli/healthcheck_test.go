package cli

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
)

// A listener may be a socket in the file system.
func TestHealthcheckAsksASocketOfTheFileSystem(t *testing.T) {
	dir, err := os.MkdirTemp("", "hc") // short: the path of a socket has 107 bytes at most
	require.NoError(t, err)
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	stub := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}}
	stub.Start()
	defer stub.Close()
	cfg := config.Default()
	cfg.Health.Enabled, cfg.HTTPServer.Address = true, "unix:"+path
	url, err := checkHealth(t.Context(), cfg, false)
	require.NoError(t, err)
	require.Equal(t, "http+unix://"+path+"/health", url)

	cfg.HTTPServer.InternalAddress, cfg.HTTPServer.InternalPort = "127.0.0.1", "1"
	_, err = checkHealth(t.Context(), cfg, true)
	require.ErrorContains(t, err, "http://127.0.0.1:1/ready does not answer", "the internal listener has it")
	cfg.HTTPServer.Address, cfg.HTTPServer.InternalAddress, cfg.HTTPServer.InternalPort = "127.0.0.1", "unix:"+path, ""
	_, err = checkHealth(t.Context(), cfg, false)
	require.NoError(t, err)
}
