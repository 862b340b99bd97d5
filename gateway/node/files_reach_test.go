package node

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/testkit"
)

// A limit of connections that there are no descriptors for is named at start.
func TestLimitsAboveThatOfFilesAreWarnedOf(t *testing.T) {
	f := func(files, streams, connections int, want ...string) {
		t.Helper()
		var log testkit.LogBuffer
		cfg := config.Default()
		cfg.UniSSE.MaxStreams, cfg.Client.ConnectionLimit = streams, connections
		g := &Node{cfg: cfg, files: fileLimit{streams: files}, log: slog.New(slog.NewTextHandler(&log, nil))}
		g.warnUnreachable()
		if len(want) == 0 {
			require.Empty(t, log.String())
		}
		for _, w := range want {
			require.Regexp(t, `level=WARN msg="an option is more than the limit of file descriptors allows[^\n]* option=`+w+` value=1001 streams=1000 `, log.String())
		}
	}
	f(1000, 0, 0)
	f(1000, 1000, 1000)
	f(1000, 1001, 0, "uni_sse.max_streams")
	f(1000, 1000, 1001, "client.connection_limit")
	f(1000, 1001, 1001, "uni_sse.max_streams", "client.connection_limit")
	f(0, 1001, 1001)

	var log testkit.LogBuffer
	cfg := config.Default()
	config.ApplyDev(cfg, nil, testkit.TokenSecret, testkit.APIKey)
	cfg.UniSSE.MaxStreams = 1 << 31
	g, err := New(cfg, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Stop(context.Background())) })
	require.Contains(t, log.String(), "option=uni_sse.max_streams")
}
