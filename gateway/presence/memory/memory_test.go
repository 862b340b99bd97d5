package memory

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/presence"
)

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Clients fill many channels, then one, and leave: neither keeps its size.
func TestMemoryComesBack(t *testing.T) {
	const n = 100_000
	f := func(name string, channel func(i int) string) {
		t.Run(name, func(t *testing.T) {
			m := New()
			client := func(i int) *codec.ClientInfo {
				return &codec.ClientInfo{Client: fmt.Sprint(i), User: fmt.Sprint(i % 7)}
			}
			before := heap()
			for i := range n {
				require.NoError(t, m.Apply(t.Context(), []presence.Change{{Channel: channel(i), Info: client(i)}}))
			}
			full := heap() - before
			for i := range n - 500 {
				require.NoError(t, m.Apply(t.Context(), []presence.Change{{Channel: channel(i), Info: client(i), Left: true}}))
			}
			left := heap() - before
			require.Less(t, left, full/10, "%d of %d bytes are left", left, full)
			here, err := m.Presence(t.Context(), channel(n-1))
			require.NoError(t, err)
			stats, err := m.Stats(t.Context(), channel(n-1))
			require.NoError(t, err)
			require.Equal(t, len(here), stats.Clients)
			require.Positive(t, stats.Clients)
		})
	}
	f("channels", func(i int) string { return fmt.Sprint(i) })
	f("clients", func(int) string { return "one" })
}

func TestAnEmptyChannelHasNobody(t *testing.T) {
	m := New()
	require.NoError(t, m.Apply(t.Context(), []presence.Change{{Channel: "c", Info: &codec.ClientInfo{Client: "a"}, Left: true}}))
	here, err := m.Presence(t.Context(), "c")
	require.NoError(t, err)
	require.Empty(t, here)
	stats, err := m.Stats(t.Context(), "c")
	require.NoError(t, err)
	require.Equal(t, presence.Stats{}, stats)
}
