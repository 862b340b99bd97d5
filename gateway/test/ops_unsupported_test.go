package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/front"
	"sluice/gateway/node"
)

// Options that would be unsafe to ignore stop the start.
func TestUnsupportedOptionsThatMatterAreRefused(t *testing.T) {
	f := func(key string, change func(*config.Config)) {
		t.Helper()
		cfg := config.Default()
		config.ApplyDev(cfg, nil, testSecret, testKey)
		change(cfg)
		_, err := node.New(cfg, node.Options{})
		require.ErrorIs(t, err, node.ErrUnsupported, key)
		require.ErrorContains(t, err, key)
	}
	f("http_server.reuse_port", func(c *config.Config) { c.HTTPServer.ReusePort = "on" })
}

// Processes that share a port share nothing else with the memory engine: that
// must be asked for by name.
func TestProcessesMayShareAPortByForce(t *testing.T) {
	text := fmt.Sprintf(baseConfig, "", "", "", "")
	s := launch(t, strings.Replace(text, `"port": 0`, `"port": 0, "reuse_port": "force"`, 1))
	defer s.stop(t)
	ln, err := front.Listen(s.addr, front.Options{ReusePort: true})
	require.NoError(t, err)
	require.NoError(t, ln.Close())
}
