package gateway

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/front"
)

// Flags of the reference are options by their own names.
func TestFlagsOfTheReferenceAreAccepted(t *testing.T) {
	cmd := rootCommand(&bytes.Buffer{}, &bytes.Buffer{})
	var args []string
	for _, f := range switchFlags {
		args = append(args, "--"+f)
	}
	values := map[string]string{
		"http_server.port": "8001", "http_server.internal_port": "8002", "grpc_api.port": "10000",
		"uni_grpc.port": "11000", "log.level": "debug", "engine.type": "memory", "broker.type": "memory",
		"presence_manager.type": "memory", "map_broker.type": "memory",
	}
	for _, f := range textFlags {
		v := values[f]
		if v == "" {
			v = "x"
		}
		args = append(args, "--"+f+"="+v)
	}
	require.NoError(t, cmd.ParseFlags(args))
	given, err := givenFlags(cmd)
	require.NoError(t, err)
	require.Len(t, given, len(switchFlags)+len(textFlags))
	given["http_server.address"] = "127.0.0.1"
	given["http_server.internal_address"] = "127.0.0.1"
	cfg, report, err := config.Load(config.Source{Dir: t.TempDir(), Flags: given})
	require.NoError(t, err)
	require.True(t, cfg.UniSSE.Enabled)
	require.Equal(t, 8001, cfg.HTTPServer.Port)
	require.NotEmpty(t, report.Warnings, "what Sluice lacks is named")
}

// Options that would be unsafe to ignore stop the start.
func TestUnsupportedOptionsThatMatterAreRefused(t *testing.T) {
	f := func(key string, change func(*config.Config)) {
		t.Helper()
		cfg := config.Default()
		config.ApplyDev(cfg, nil, testSecret, testKey)
		change(cfg)
		_, err := New(cfg, Options{})
		require.ErrorIs(t, err, ErrUnsupported, key)
		require.ErrorContains(t, err, key)
	}
	f("engine.type", func(c *config.Config) { c.Engine.Type = "redis" })
	f("broker.type", func(c *config.Config) { c.Broker.Enabled, c.Broker.Type = true, "nats" })
	f("presence_manager.type", func(c *config.Config) { c.PresenceManager.Enabled, c.PresenceManager.Type = true, "redis" })
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

func TestEndpointAtTheRootAndExactPaths(t *testing.T) {
	s := startServer(t, parts{sse: `, "handler_prefix": "/"`})
	head, _ := roundTrip(t, s.addr, get("/"))
	require.Equal(t, "text/event-stream; charset=utf-8", head.Get("Content-Type"))
	s2 := startServer(t, parts{})
	for _, path := range []string{"//connection/uni_sse", "/x/../connection/uni_sse", "/connection%2Funi_sse", "/connection/uni_sse/"} {
		head, body := roundTrip(t, s2.addr, get(path))
		require.Equal(t, 404, head.Status, path)
		require.Equal(t, "404 page not found\n", body, path)
		require.Equal(t, "nosniff", head.Get("X-Content-Type-Options"), path)
	}
}
