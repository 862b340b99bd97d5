package node

import (
	"bytes"
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/testkit"
)

func TestFewFilesAreWarnedOf(t *testing.T) {
	f := func(limit uint64, streams int, want ...string) {
		t.Helper()
		var out bytes.Buffer
		warnFewFiles(slog.New(slog.NewTextHandler(&out, nil)), limit, 904, streams)
		if len(want) == 0 {
			require.Empty(t, out.String())
			return
		}
		for _, w := range append(want, "LimitNOFILE=1048576", "streams=904", "904 fit, and who comes then is turned away") {
			require.Contains(t, out.String(), w)
		}
	}
	f(1024, 0, "limit=1024")
	f(1<<20, 0)
	f(4096, 0)
	f(1<<20, 1<<20, "uni_sse.max_streams is 1048576")
	f(1<<20, 1000)
}

// Below a minimum a process could not serve anybody.
func TestTooFewFilesAreRefused(t *testing.T) {
	require.NoError(t, enoughFiles(64, 2))
	require.NoError(t, enoughFiles(256, 64), "a large machine with a low limit")
	require.NoError(t, enoughFiles(34, 2))
	require.ErrorContains(t, enoughFiles(33, 2), "33 open files are allowed, and with 2 loops 34 are needed at the least\nraise the limit: LimitNOFILE=")
}

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
