package cli

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
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
