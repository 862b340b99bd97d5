package test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

func TestInfoTellsOfTheLastInterval(t *testing.T) {
	s := startServer(t, parts{sse: `}, "node": {"info_metrics_aggregate_interval": "1s"`})
	c := testkit.Connect(t, s.addr, testkit.ConnectOptions{})
	c.ExpectConnect(t)
	var node struct {
		Metrics *struct {
			Interval float64
			Items    map[string]float64
		}
	}
	testkit.EventuallyWithin(t, time.Minute, func() bool {
		var info struct{ Nodes []json.RawMessage }
		require.NoError(t, json.Unmarshal(s.api.MustResult(t, "info", nil), &info))
		require.Len(t, info.Nodes, 1)
		require.NoError(t, json.Unmarshal(info.Nodes[0], &node))
		return node.Metrics != nil && node.Metrics.Items["sluice_node_num_clients"] == 1
	}, "an interval with the client to be over")
	require.EqualValues(t, 1, node.Metrics.Interval)
	require.Contains(t, node.Metrics.Items, "sluice_node_messages_sent_count.channel_namespace..type.publication")
}

func TestRequestsAreCountedWhereAskedFor(t *testing.T) {
	s := startServer(t, parts{sse: withMetrics + `, "instrument_http_handlers": true`})
	counted := func(path, method, status string) string {
		return `node_incoming_http_requests_total{method="` + method + `",path="` + path + `",status="` + status + `"}`
	}
	ask := func(method, path string, want int) {
		t.Helper()
		head, _ := testkit.RoundTrip(t, s.addr, testkit.Request{Method: method, Target: path})
		require.Equal(t, want, head.Status)
	}
	s.moves(t, scraped{
		counted("/health", "GET", "200"): 2, counted("other", "GET", "404"): 2,
		counted("/api/publish", "POST", "401"): 1, counted("/connection/uni_sse", "other", "405"): 1,
	}, func() {
		ask("GET", "/health", 200)
		ask("GET", "/health", 200)
		ask("GET", "/nowhere", 404)
		ask("GET", "/elsewhere", 404)
		ask("POST", "/api/publish", 401)
		ask("BREW", "/connection/uni_sse", 405)
	})
}
