package test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// healthConfig is a configuration with the health check on, and more of http_server.
func healthConfig(httpServer string) string {
	return `{"uni_sse": {"enabled": true}, "client": {"insecure": true}, "health": {"enabled": true}, "http_server": {` + httpServer + `}}`
}

// The health check finds the listener that its configuration says, as the server does,
// however it is to be talked to.
func TestHealthcheckFindsTheServerOfItsConfiguration(t *testing.T) {
	ca := newAuthority(t)
	files, strangers := newTLSFiles(t, ca), newAuthority(t)
	f := func(want, httpServer string, args ...string) {
		t.Helper()
		testkit.Snapshot(t, libraryGoroutines...)
		text := healthConfig(httpServer)
		s := launch(t, text)
		defer s.stop(t)
		out, errs, code := command(append([]string{"healthcheck", "-c", configFile(t, text)}, args...)...)
		if want != "" {
			require.Equal(t, 1, code)
			require.Empty(t, out)
			require.Contains(t, errs, want)
			return
		}
		require.Equal(t, 0, code, errs)
		require.Empty(t, errs)
		require.Regexp(t, `^ok: https?://127\.0\.0\.[12]:\d+/(health|ready)\n$`, out)
	}
	port := func() string { return fmt.Sprintf(`"address": "127.0.0.1", "port": %d`, testkit.FreePort(t)) }
	inside := func() string {
		return port() + fmt.Sprintf(`, "internal_address": "127.0.0.2", "internal_port": "%d"`, testkit.FreePort(t))
	}
	tls := func(more string) string { return files.object(`, "enabled": true` + more) }
	mutual := func(a *authority) string { return tls(fmt.Sprintf(`, "client_ca_pem": %q`, a.path)) }

	f("", port())
	f("", port(), "--ready")
	f("", inside())
	f("", port()+`, "tls": `+tls(""))
	f("", inside()+`, "tls": `+tls(""), "--ready")
	f("", inside()+`, "tls_external": true, "tls": `+tls(""))
	f("", inside()+`, "internal_tls": `+tls(""))
	f("", inside()+`, "tls": `+mutual(strangers)+`, "internal_tls": `+tls(""))
	f("", port()+`, "tls": `+mutual(ca))
	f("give health checks an http_server.internal_port", port()+`, "tls": `+mutual(strangers))
	f("", port()+`, "proxy_protocol": true, "trusted_proxies": ["127.0.0.1"]`)
	f("", port()+`, "proxy_protocol": true, "trusted_proxies": ["10.0.0.7"]`)
	f("", inside()+`, "proxy_protocol": true, "trusted_proxies": ["127.0.0.0/8"], "tls": `+tls(""))
	f("is the server running, with this configuration?", port(), "--port", fmt.Sprint(testkit.FreePort(t)))
	f("health.enabled is off", port(), "--health.enabled=false")
	f("the port is 0", port(), "--port=0")
	f("the configuration is wrong", port(), "--port=x")
	f("--port and --http_server.port are the same option", port(), "--port=1", "--http_server.port=2")
}

// So it does where the listener is a socket in the file system, and begins with a PROXY header.
func TestHealthcheckAsksAUnixSocket(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	dir, err := os.MkdirTemp("", "hc") // short: the path of a socket has 107 bytes at most
	require.NoError(t, err)
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "s")
	for _, more := range []string{"", `, "trusted_proxies": ["unix"], "proxy_protocol": true`, `, "internal_address": "unix:` + path + `2"`} {
		text := healthConfig(`"address": "unix:` + path + `"` + more)
		s := launch(t, text)
		out, errs, code := command("healthcheck", "--ready", "-c", configFile(t, text))
		require.Equal(t, 0, code, errs)
		require.Regexp(t, "^ok: http\\+unix://"+path+"2?/ready\n$", out)
		s.stop(t)
	}
}

// What answers must be a server in good health.
func TestHealthcheckBelievesNobodyElse(t *testing.T) {
	served := make(chan string, 1)
	stub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served <- r.URL.Path
		if r.URL.Path == "/up/ready" {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"ready":false,"reason":"redis is away"}`))
		} else if r.URL.Path != "/up/health" {
			http.Redirect(w, r, "/up/health", http.StatusFound)
		}
	}))
	defer stub.Close()
	_, port, err := net.SplitHostPort(stub.Listener.Addr().String())
	require.NoError(t, err)
	f := func(want int, path, said string, args ...string) {
		t.Helper()
		out, errs, code := command(append([]string{"healthcheck", "-c", configFile(t, healthConfig(`"address": "127.0.0.1", "port": `+port))}, args...)...)
		require.Equal(t, want, code)
		require.Equal(t, path, <-served)
		require.Contains(t, out+errs, said)
	}
	f(0, "/up/health", "ok: http://127.0.0.1:"+port+"/up/health", "--health.handler_prefix=/up/health")
	f(1, "/up/ready", `expected 200, got 503 Service Unavailable: {"ready":false,"reason":"redis is away"}`, "--health.handler_prefix=/up/health", "--ready")
	f(1, "/health", "expected 200, got 302 Found")

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = silent.Close() }()
	_, port, err = net.SplitHostPort(silent.Addr().String())
	require.NoError(t, err)
	out, errs, code := command("healthcheck", "-c", configFile(t, healthConfig(`"address": "127.0.0.1", "port": `+port)), "--timeout=20ms")
	require.Equal(t, 1, code, out)
	require.Contains(t, errs, "does not answer (expected 200): context deadline exceeded")
	_, errs, code = command("healthcheck", "-c", filepath.Join(t.TempDir(), "none.yaml"))
	require.Equal(t, 1, code)
	require.Contains(t, errs, "none.yaml")
}
