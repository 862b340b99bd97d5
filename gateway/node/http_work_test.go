package node

import (
	"fmt"
	"net"
	"net/http"
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
		conns[i] = s.begin(t, "history", ask)
	}
	const inside = budget / (2 * size) // each counts twice
	testkit.Eventually(t, func() bool {
		st := s.Node.api.Stats()
		return st.WorkWaiting == callers-inside && st.Work > inside*2*size
	}, "the others to wait")
	require.Less(t, heapInUse(), before+budget)
	s.api.MustResult(t, "history", map[string]any{"channel": "hh:big", "limit": 0})
	for _, c := range conns {
		require.NoError(t, c.Close())
	}
	testkit.Eventually(t, func() bool { return s.Node.api.Stats().Work == 0 }, "the room to come back")
}

// Batches that wait for room for what they list keep no publisher out, whatever their
// bodies: publishes need none.
func TestCallsThatWaitForRoomKeepNoPublisherOut(t *testing.T) {
	const budget, batches = 1 << 20, 5
	s := startServer(t, parts{
		api:     fmt.Sprintf(`, "work_max_bytes": %d`, budget),
		channel: `, "namespaces": [{"name": "hh", "history_size": 100, "history_ttl": "1h"}]`,
	})
	for range 20 { // more than sockets hold
		s.api.Publish(t, "hh:big", `"`+strings.Repeat("d", 1<<20)+`"`)
	}
	const ask = `{"channel": "hh:big", "limit": -1}`
	silent := s.begin(t, "history", ask) // takes all the room there is for calls that are not small
	testkit.Eventually(t, func() bool { return s.Node.api.Stats().Work > 0 }, "the answer to be held")
	batch := `{"commands":[` + strings.TrimSuffix(strings.Repeat(`{"publish":{"channel":"a","data":""}},`, 10_000), ",") + `]`
	batch += strings.Repeat(" ", CallsAtOnce/(batches-1)-len(batch)-1) + "}"
	for range batches {
		conn := s.begin(t, "batch", batch)
		defer func() { require.NoError(t, conn.Close()) }()
	}
	testkit.Eventually(t, func() bool { return s.Node.api.Stats().WorkWaiting == batches }, "the batches to wait")
	require.EqualValues(t, batches*len(batch), s.bodies.held(), "they hold memory all the same")
	publish := largeCalls()[0]
	for range 3 {
		code, detail, err := publish.do(s.addr, `"`+strings.Repeat("x", 100_000)+`"`)
		require.NoError(t, err)
		require.Zero(t, code, detail)
	}
	require.EqualValues(t, batches, s.Node.api.Stats().WorkWaiting)
	require.NoError(t, silent.Close())
	testkit.Eventually(t, func() bool { return s.Node.api.Stats().WorkWaiting == 0 && s.bodies.held() == 0 }, "the batches to be answered")
	http.DefaultClient.CloseIdleConnections()
}

// begin sends a call on a connection of its own, and reads nothing.
func (s *server) begin(t *testing.T, method, body string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	_, err = fmt.Fprintf(conn, "POST /api/%s HTTP/1.1\r\nHost: h\r\nX-API-Key: %s\r\nContent-Length: %d\r\n\r\n%s", method, testkit.APIKey, len(body), body)
	require.NoError(t, err)
	return conn
}
