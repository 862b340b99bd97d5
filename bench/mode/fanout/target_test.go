//go:build linux

package fanout

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestARemoteTargetIsRefusedBeforeAnythingIsSent(t *testing.T) {
	f := &Flags{Streams: 1, Size: 128, Rounds: 1, Rate: 1, Conns: 1, InFlight: 1, Pattern: "closed"}
	f.Workers, f.Ramp, f.Quiet = 1, 1, 1
	f.URL, f.API, f.Anonymous, f.Channel = "http://192.0.2.1/connection/uni_sse", "http://127.0.0.1:1/api", true, "bench"
	_, err := Run(t.Context(), f)
	require.ErrorContains(t, err, "-allow-remote")

	f.URL, f.API = "http://127.0.0.1:1/connection/uni_sse", "http://192.0.2.1/api"
	_, err = Run(t.Context(), f)
	require.ErrorContains(t, err, "-allow-remote")
}
