//go:build e2e

package test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/fronts"
	"sluice/gateway/testkit"
)

// The broadcast route passes all fronts as it is: each event is there before the next is
// published, and over the end of streams viewers miss nothing. Varnish as it comes shares
// streams for ten seconds longer than they are fresh (default_grace): its viewers do not
// loop because streams last longer than that.
func TestLongFrontsPassTheBroadcastRoute(t *testing.T) {
	t.Parallel()
	o := broadcastOrigin{freshness: time.Second, lifetime: 13 * time.Second, retry: 500 * time.Millisecond, vary: true}
	s := o.start(t)
	var viewers []*broadcastViewer
	kinds := fronts.Kinds()
	for _, k := range kinds {
		viewers = append(viewers, watchers(t, launchFront(t, k, s.addr, frontIdle).addr, 1)...)
	}
	for i, v := range viewers {
		testkit.Eventually(t, func() bool { return len(v.streams()) == 1 }, "a stream through "+kinds[i].Name)
	}
	published := 0
	for begin := time.Now(); time.Since(begin) < o.lifetime+3*time.Second; published++ {
		s.api.Publish(t, "pub:news", fmt.Sprint(published))
		for i, v := range viewers {
			testkit.Eventually(t, func() bool { return v.got.Load() == int64(published)+1 }, "an event through "+kinds[i].Name)
		}
	}
	for i, v := range viewers {
		require.Zero(t, v.expectAll(t, published), "repeats through %s", kinds[i].Name)
		v.expectNoLoop(t)
		require.GreaterOrEqual(t, len(v.streams()), 2, kinds[i].Name)
	}
}

// Nobody splits the cache of Varnish: cookies, tokens, ranges, conditions and names of hosts
// get the stream there is, one for each set of codings. Queries and methods that are none of the
// route's are refused before they come to the gateway.
func TestLongVarnishIsNotSplit(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	s := broadcastOrigin{freshness: 20 * time.Second, lifetime: time.Minute, retry: 10 * time.Second, vary: true}.start(t)
	f := startVarnish(t, s.addr)
	var viewers []*broadcastViewer
	for _, headers := range []http.Header{
		{}, {"Cookie": {"a=b"}}, {"Authorization": {"Bearer x"}}, {"Range": {"bytes=5-"}}, {"If-None-Match": {"*"}},
		{"Cache-Control": {"no-cache"}, "Pragma": {"no-cache"}}, {"Origin": {"https://example.com"}, "Accept-Language": {"fr"}},
		{"Accept-Encoding": {"identity"}}, {"Accept-Encoding": {"br"}}, {"Accept-Encoding": {"gzip;q=0, br"}},
		{"Accept-Encoding": {"gzip, deflate, br"}}, {"Accept-Encoding": {"GZIP"}}, {"Accept-Encoding": {"gzip;q=0.5"}},
		{"Accept-Encoding": {"gzip, deflate, br, zstd"}}, {"Accept-Encoding": {"zstd, gzip"}}, {"Accept-Encoding": {"zstd"}},
	} {
		v := newBroadcastViewer(f.addr)
		v.Header = headers
		v.start(t)
		testkit.Eventually(t, func() bool { return len(v.streams()) == 1 }, "a stream")
		viewers = append(viewers, v)
	}
	for _, host := range []string{"a.example.com", "b.example.com"} {
		head, _ := testkit.RoundTrip(t, f.addr, testkit.Request{Method: "HEAD", Target: broadcastPath, Headers: [][2]string{{"Host", host}}})
		require.Equal(t, 200, head.Status)
	}
	for target, status := range map[string]int{broadcastPath + "?a=b": 400, broadcastPath + "?": 400, "/api/info": 404, "/": 404} {
		head, _ := testkit.RoundTrip(t, f.addr, testkit.Request{Target: target})
		require.Equal(t, status, head.Status, target)
	}
	head, _ := testkit.RoundTrip(t, f.addr, testkit.Request{Method: "POST", Target: broadcastPath})
	require.Equal(t, 405, head.Status)
	s.api.Publish(t, "pub:news", "0")
	for _, v := range viewers {
		testkit.Eventually(t, func() bool { return v.got.Load() == 1 }, "an event")
	}
	require.Equal(t, 4, s.sessions.Counts().Clients, "identity, gzip, both and zstd alone")
}
