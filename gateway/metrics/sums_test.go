package metrics

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSumsAreOfTheirInterval(t *testing.T) {
	src := newFake(1)
	e := newExporter(t, Options{Source: src, Namespace: "ns"})
	const refused, took, channels = "ns_api_refused_total.reason.unauthorized", "ns_api_command_duration_seconds.method.publish.protocol.http", "ns_node_num_channels"
	src.set(func() { src.node.APIRefused = map[string]uint64{"unauthorized": 5} })
	sums := e.Sums()
	require.EqualValues(t, 5, sums.Next()[refused])
	src.set(func() {
		src.node.APIRefused = map[string]uint64{"unauthorized": 7}
		src.node.Hub.Channels = 3
		src.node.API[0].Took.Add(2 * time.Second)
	})
	items := sums.Next()
	require.EqualValues(t, 2, items[refused], "what was counted before does not count again")
	require.EqualValues(t, 1, items[took+".count"])
	require.EqualValues(t, 2, items[took+".sum"])
	require.EqualValues(t, 3, items[channels])
	for name := range items {
		require.Regexp(t, "^ns_", name, "neither of Go nor of the process")
	}
	items = sums.Next()
	require.Zero(t, items[refused])
	require.Contains(t, items, refused, "a key does not come and go")
	require.EqualValues(t, 3, items[channels], "a gauge is what it is")
}
