package node

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
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
	require.NoError(t, enoughFiles(30, 2))
	require.ErrorContains(t, enoughFiles(29, 2), "29 open files are allowed, and with 2 loops 30 are needed at the least\nraise the limit: LimitNOFILE=")
}
