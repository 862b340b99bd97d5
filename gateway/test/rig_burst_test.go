package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/node"
	"sluice/gateway/testkit"
)

// startBurst starts a gateway for a load: with metrics, publishers that wait for
// room rather than be refused, and without the check of each byte, which would be
// most of the work.
func startBurst(t *testing.T, p parts) *server {
	t.Helper()
	p.sse += withMetrics
	if !strings.Contains(p.api, "publish_wait") {
		p.api += `, "publish_wait": "3m"`
	}
	testkit.Snapshot(t, libraryGoroutines...)
	s := launchWith(t, fmt.Sprintf(baseConfig, p.sse, p.api, p.client, p.channel), node.Options{})
	t.Cleanup(func() { s.stop(t) })
	return s
}

// scaled is n where the race detector does not slow everything down.
func scaled(n int) int {
	if raceEnabled {
		return max(n/5, 1)
	}
	return n
}

// sizes of publications.
func always(size int) func(p, n int) put {
	return func(int, int) put { return put{channel: "news", size: size} }
}

// mixed are all sizes from 10 bytes to 600 KB: most are small, most bytes are in
// large ones.
func mixed(p, n int) put {
	sizes := []int{10, 150, 1000, 150, 16 << 10, 150, 64 << 10, 300, 600_000, 10, 40_000, 150, 16 << 10}
	return put{channel: "news", size: sizes[(p*5+n)%len(sizes)]}
}

// expectOnlySlow fails the test unless so many streams ended, all for being slow,
// and counters and metrics say the same.
func (s *server) expectOnlySlow(t *testing.T, n int) {
	t.Helper()
	m := s.scrape(t)
	closes := s.closes()
	require.EqualValues(t, n, closes["slow_bytes"]+closes["slow_age"], "%v", closes)
	total := uint64(0)
	for reason, k := range closes {
		total += k
		require.EqualValues(t, k, m[fmt.Sprintf(`stream_closes_total{reason=%q}`, reason)], reason)
	}
	require.EqualValues(t, n, total, "%v", closes)
	testkit.Eventually(t, func() bool {
		m := s.scrape(t)
		return m["streams_open"] == m["streams_opened_total"]-float64(n) && m["node_num_clients"] == m["streams_open"]
	}, "as many streams as were opened and not closed")
}
