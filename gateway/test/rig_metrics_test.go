package test

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// withMetrics is a part of the section uni_sse: it ends that section and begins
// prometheus.
const withMetrics = `}, "prometheus": {"enabled": true`

// scraped is one scrape: values by name and labels, without the namespace.
type scraped map[string]float64

// scrape reads the metrics, those of Go and the process left out. A scrape for
// which a loop had no time shows what was, and says so: that one is not taken.
func (s *server) scrape(t *testing.T) scraped {
	t.Helper()
	const stale = `scrape_stale_total{part="loop"}`
	before := parseMetrics(t, scrapeText(t, s.addr))
	require.Contains(t, before, stale)
	for deadline := time.Now().Add(patience); ; {
		now := parseMetrics(t, scrapeText(t, s.addr))
		if now[stale] == before[stale] {
			return now
		}
		require.True(t, time.Now().Before(deadline), "no scrape was complete")
		before = now
	}
}

func scrapeText(t *testing.T, addr string) string {
	t.Helper()
	head, body := testkit.RoundTrip(t, addr, testkit.Request{Target: "/metrics"})
	require.Equal(t, 200, head.Status)
	return string(body)
}

func parseMetrics(t *testing.T, text string) scraped {
	t.Helper()
	m := make(scraped)
	for line := range strings.Lines(text) {
		name, ours := strings.CutPrefix(strings.TrimSpace(line), "sluice_")
		if !ours {
			continue
		}
		i := strings.LastIndexByte(name, ' ')
		v, err := strconv.ParseFloat(name[i+1:], 64)
		require.NoError(t, err, line)
		m[name[:i]] = v
	}
	return m
}

// patience is how long these tests wait for a counter: it costs nothing where
// all is well.
const patience = time.Minute

// moves does something and waits until the metrics named have moved by as much
// as they should. What moves on its own must not be named.
func (s *server) moves(t *testing.T, want scraped, act func()) {
	t.Helper()
	before := s.scrape(t)
	act()
	var moved scraped
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		now := s.scrape(t)
		moved = make(scraped)
		for name := range want {
			moved[name] = now[name] - before[name]
		}
		if maps.Equal(moved, want) {
			return
		}
		require.True(t, time.Now().Before(deadline), "expected the metrics to move by %v, got %v", want, moved)
	}
}

// labels of metrics that these tests name often.
const (
	publishedMetric = `publications_total`
	byPublish       = `{method="publish",protocol="http"}`
)

func pushMetric(frame string) string {
	return `transport_messages_sent{channel_namespace="",frame_type="` + frame + `",transport="uni_sse"}`
}

func connectionsMetric(which, name, version string) string {
	return fmt.Sprintf(`client_connections_%s{accept_protocol="h1",client_name=%q,client_version=%q,transport="uni_sse"}`, which, name, version)
}

func startMetrics(t *testing.T, p parts) *server {
	t.Helper()
	p.sse += withMetrics
	return startServer(t, p)
}
