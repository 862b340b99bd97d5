package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/testkit"
)

// libraryGoroutines are started by libraries once and never end.
var libraryGoroutines = []string{"fasthttp.updateServerDate", "fasthttp.(*workerPool).Start"}

// server is a whole node whose insides a test looks at. Tests that need none of
// them are in gateway/test.
type server struct {
	*Node
	addr string
	api  *testkit.API
}

// parts are what a test adds to testkit.BaseConfig, each beginning with a comma.
type parts struct{ sse, api, client, channel string }

func (p parts) text() string {
	return fmt.Sprintf(testkit.BaseConfig, p.sse, p.api, p.client, p.channel)
}

// startServer starts a node, and stops it with the test, which it outlives in
// nothing.
func startServer(t *testing.T, p parts) *server {
	t.Helper()
	testkit.Snapshot(t, libraryGoroutines...)
	s := launch(t, p.text())
	t.Cleanup(func() { s.stop(t) })
	return s
}

// launch starts a node from the text of a config file; the caller stops it.
func launch(t testing.TB, text string) *server {
	t.Helper()
	cfg := load(t, text)
	_, benchmark := t.(*testing.B)
	n, err := New(cfg, Options{Verify: !benchmark})
	require.NoError(t, err)
	require.NoError(t, n.Start())
	return &server{Node: n, addr: n.Addr(), api: &testkit.API{Addr: n.Addr(), Key: cfg.HTTPAPI.Key}}
}

// load reads the text of a config file.
func load(t testing.TB, text string) *config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	cfg, _, err := config.Load(config.Source{Path: path, Dir: t.TempDir()})
	require.NoError(t, err)
	return cfg
}

// launchStopping starts a node with the section shutdown; the test stops it.
func launchStopping(t *testing.T, shutdown string, p parts) *server {
	t.Helper()
	testkit.Snapshot(t, libraryGoroutines...)
	return launch(t, strings.Replace(p.text(), `"health":`, `"shutdown": {`+shutdown+`}, "health":`, 1))
}

func (s *server) stop(t testing.TB) {
	t.Helper()
	s.Verify()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(t, s.Stop(ctx))
}

func (s *server) subscribe(t *testing.T, channel string) *testkit.Client {
	t.Helper()
	return testkit.Connect(t, s.addr, testkit.ConnectOptions{Subs: map[string]testkit.SubscribeRequest{channel: {}}})
}

// status asks for a path, and returns the status of the answer.
func (s *server) status(t *testing.T, path string) int {
	t.Helper()
	head, _ := testkit.RoundTrip(t, s.addr, testkit.Request{Target: path})
	return head.Status
}
