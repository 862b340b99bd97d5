package test

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// A start that the system refuses says what to do.
func TestAStartThatCannotSaysWhatToDo(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	require.NoError(t, err)
	f := func(want []string, args ...string) {
		t.Helper()
		out, errs, code := command(args...)
		require.Equal(t, 1, code, "%s %s", out, errs)
		for _, text := range want {
			require.Contains(t, errs, text)
		}
	}
	f([]string{"address already in use", "ss -ltnp sport = :" + port, "set http_server.port to another one"}, "--dev", "--port", port)
	f([]string{"address already in use", "set http_server.internal_port to another one"}, "--dev", "--port", "0", "--http_server.internal_port", port)
	f([]string{"ip addr", "set http_server.address to one that it has"}, "--dev", "--port", "0", "--address", "203.0.113.254")
	f([]string{"address already in use", "set --port to another one"}, "serve", "-d", t.TempDir(), "-p", port)
	missing := filepath.Join(t.TempDir(), "none", "file")
	f([]string{"log.file cannot be opened", "make its folder, or set log.file"}, "--dev", "--port", "0", "--log.file", missing)
	f([]string{"pid_file cannot be written", "make its folder, or set pid_file"}, "--dev", "--port", "0", "--pid_file", missing)
}
