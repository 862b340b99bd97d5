package gateway

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// heapInUse returns the bytes of the heap that are alive.
func heapInUse() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// Callers that ask for much and read nothing hold no more than the budget, and keep nobody
// from what is little.
func TestAnswersInFlightHaveABudget(t *testing.T) {
	const budget, size, callers = 32 << 20, 10 << 20, 20
	s := startServer(t, parts{
		api:     fmt.Sprintf(`, "work_max_bytes": %d`, budget),
		channel: `, "namespaces": [{"name": "hh", "history_size": 100, "history_ttl": "1h"}]`,
	})
	for range 10 {
		s.api.Publish(t, "hh:big", `"`+strings.Repeat("d", size/10)+`"`)
	}
	testkit.Eventually(t, func() bool { return s.hub.InFlight() == 0 }, "the publications to be out")
	before := heapInUse()
	const ask = `{"channel": "hh:big", "limit": -1}`
	conns := make([]net.Conn, callers)
	for i := range conns {
		var err error
		conns[i], err = net.Dial("tcp", s.addr)
		require.NoError(t, err)
		_, err = fmt.Fprintf(conns[i], "POST /api/history HTTP/1.1\r\nHost: h\r\nX-API-Key: %s\r\nContent-Length: %d\r\n\r\n%s", testKey, len(ask), ask)
		require.NoError(t, err)
	}
	const inside = budget / (2 * size) // each counts twice
	testkit.Eventually(t, func() bool {
		st := s.Gateway.api.Stats()
		return st.WorkWaiting == callers-inside && st.Work > inside*2*size
	}, "the others to wait")
	require.Less(t, heapInUse(), before+budget)
	s.api.MustResult(t, "history", map[string]any{"channel": "hh:big", "limit": 0})
	for _, c := range conns {
		require.NoError(t, c.Close())
	}
	testkit.Eventually(t, func() bool { return s.Gateway.api.Stats().Work == 0 }, "the room to come back")
}
