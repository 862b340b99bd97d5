package metrics

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/session"
)

func TestEveryMetricHasHelpAndOwnNamesPassTheLinter(t *testing.T) {
	e := newExporter(t, Options{Source: newFake(1)})
	scraped := scrape(t, e)
	reference := make(map[string]bool)
	for _, f := range referenceFamilies() {
		reference["sluice_"+f.name] = true
	}
	problems, err := promlint.New(strings.NewReader(scraped)).Lint()
	require.NoError(t, err)
	for _, p := range problems {
		// The reference's names are what they are; their help is ours.
		if !reference[p.Metric] || strings.Contains(p.Text, "help") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for _, f := range slices.Concat(referenceFamilies(), ownFamilies()) {
		require.Contains(t, scraped, "# HELP sluice_"+f.name+" "+f.help+"\n", "%s is shown, with its help", f.name)
		require.True(t, strings.HasSuffix(f.help, "."), "%s: the help is a sentence", f.name)
	}
}

func TestNoNameStandsTwice(t *testing.T) {
	seen := make(map[string]bool)
	for _, f := range slices.Concat(referenceFamilies(), ownFamilies()) {
		require.False(t, seen[f.name], f.name)
		seen[f.name] = true
	}
}

func TestNamesBeginWithTheNamespace(t *testing.T) {
	scraped := scrape(t, newExporter(t, Options{Source: newFake(1), Namespace: "centrifugo"}))
	has(t, scraped, "centrifugo_node_num_nodes 1")
	require.NotContains(t, scraped, "sluice_")
	require.Contains(t, scraped, "process_open_fds ")
	require.Contains(t, scraped, "go_goroutines ")
	_, err := New(Options{Source: newFake(1)})
	require.ErrorContains(t, err, `"" cannot start a metric name`)
	_, err = New(Options{Source: newFake(1), Namespace: "a-b\xff"})
	require.ErrorContains(t, err, "namespace")
}

// A rate of closes or refusals that alerts ask for has a value from the start: a
// series that comes with its first event hides it.
func TestSeriesOfAlertsAreThereBeforeTheirFirstEvent(t *testing.T) {
	scraped := scrape(t, newExporter(t, Options{Source: newFake(2)}))
	for _, r := range loop.Reasons() {
		has(t, scraped, `sluice_stream_closes_total{reason="`+r.String()+`"} 0`)
	}
	has(t, scraped, "sluice_recovery_refused_total 0")
	has(t, scraped, "sluice_keeper_refused_total 0")
	has(t, scraped, "sluice_publish_credit_timeouts_total 0")
}

func TestHistogramsHoldEveryDurationOnce(t *testing.T) {
	f := newFake(1)
	f.node.ConnectTook.Add(3 * time.Millisecond)
	f.node.ConnectTook.Add(time.Minute)
	f.node.Connect.Took.Add(time.Second)
	scraped := scrape(t, newExporter(t, Options{Source: f}))
	const name = `sluice_client_command_duration_seconds_histogram`
	const labels = `{channel_namespace="",method="connect"`
	has(t, scraped, name+`_bucket`+labels+`,le="0.0025"} 0`)
	has(t, scraped, name+`_bucket`+labels+`,le="0.005"} 1`)
	has(t, scraped, name+`_bucket`+labels+`,le="10"} 1`)
	has(t, scraped, name+`_bucket`+labels+`,le="+Inf"} 2`)
	has(t, scraped, name+`_sum`+labels+`} 60.003`)
	has(t, scraped, `sluice_client_command_duration_seconds_count`+labels+`} 2`)
	has(t, scraped, `sluice_proxy_duration_seconds_sum{name="default",protocol="http",type="connect"} 1`)
}

func TestBatchesAreCountedByTheirFrames(t *testing.T) {
	s := &state{}
	s.Loop.Batches = [loop.BatchSizes]uint64{1, 2, 4, 0, 0, 0, 0, 8}
	s.Loop.Frames = 700
	scraped := scrape(t, newExporter(t, Options{Source: &batches{newFake(1), s.LoopState}}))
	const name = "sluice_stream_write_frames"
	has(t, scraped, name+`_bucket{le="0"} 1`)
	has(t, scraped, name+`_bucket{le="1"} 3`)
	has(t, scraped, name+`_bucket{le="3"} 7`)
	has(t, scraped, name+`_bucket{le="63"} 7`)
	has(t, scraped, name+`_bucket{le="+Inf"} 15`)
	has(t, scraped, name+"_sum 700")
}

func TestPushesAreCountedByTheirType(t *testing.T) {
	f := &batches{fake: newFake(1)}
	for i := range f.is.Shard.Sent {
		f.is.Shard.Sent[i] = hub.Sent{Frames: uint64(i + 1), Bytes: uint64(10 * (i + 1))}
	}
	for i := range f.is.Sessions.Sent {
		f.is.Sessions.Sent[i] = hub.Sent{Frames: uint64(100 * (i + 1))}
	}
	scraped := scrape(t, newExporter(t, Options{Source: f}))
	line := func(frame string, n int) {
		t.Helper()
		has(t, scraped, fmt.Sprintf(`sluice_transport_messages_sent{channel_namespace="",frame_type=%q,transport="uni_sse"} %d`, frame, n))
	}
	line("push_publication", 1+100*(1+int(session.PushMissed)))
	line("push_join", 1+hub.PushJoin)
	line("push_leave", 1+hub.PushLeave)
	line("push_connect", 100*(1+int(session.PushConnect)))
	line("push_subscribe", 100*(1+int(session.PushSubscribe)))
	line("push_unsubscribe", 100*(1+int(session.PushUnsubscribe)))
	line("push_refresh", 100*(1+int(session.PushRefresh)))
	line("push_disconnect", 100*(1+int(session.PushDisconnect)))
	line("server_ping", 100*(1+int(session.PushPing)))
}

func TestTheFormatIsNegotiated(t *testing.T) {
	e := newExporter(t, Options{Source: newFake(1)})
	f := func(accept, contentType string, text bool) {
		t.Helper()
		var ctx fasthttp.RequestCtx
		ctx.Request.Header.Set("Accept", accept)
		e.Handle(&ctx)
		require.Equal(t, 200, ctx.Response.StatusCode())
		require.Contains(t, string(ctx.Response.Header.ContentType()), contentType)
		require.Equal(t, text, bytes.Contains(ctx.Response.Body(), []byte("# HELP sluice_node_num_nodes ")))
	}
	f("", "text/plain", true)
	f("text/html", "text/plain", true)
	f("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", "application/vnd.google.protobuf", false)
}
