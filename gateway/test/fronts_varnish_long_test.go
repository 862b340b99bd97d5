//go:build e2e

package test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/fronts"
	"sluice/codec"
	"sluice/gateway/testkit"
)

// startVarnish starts Varnish with the file of the folder.
func startVarnish(t *testing.T, origin string) *liveFront {
	t.Helper()
	return launchFront(t, fronts.Named("varnish"), origin, frontIdle)
}

// A thousand viewers who come within S open one stream of the gateway, and all have each
// event.
func TestLongVarnishOneStreamForAThousandViewers(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	s := broadcastOrigin{freshness: 20 * time.Second, lifetime: time.Minute, retry: 10 * time.Second, vary: true}.start(t)
	f := startVarnish(t, s.addr)
	viewers := watchers(t, f.addr, 1000)
	for _, v := range viewers {
		testkit.Eventually(t, func() bool { return len(v.streams()) == 1 }, "a stream")
	}
	require.Equal(t, 1, s.sessions.Counts().Clients)
	for i := range 3 {
		s.api.Publish(t, "pub:news", fmt.Sprint(i))
		for _, v := range viewers {
			testkit.Eventually(t, func() bool { return v.got.Load() == int64(i)+1 }, "an event")
		}
	}
	require.Equal(t, 1, s.sessions.Counts().Clients)
	for _, v := range viewers {
		v.leave()
	}
	testkit.Eventually(t, func() bool {
		s.api.Publish(t, "pub:news", "0") // Varnish sees who has left when it has something to send
		return f.varnishCounter(t, "MAIN.cache_hit")+f.varnishCounter(t, "MAIN.cache_miss") == len(viewers)
	}, "Varnish to have counted all viewers")
	require.Equal(t, 1, f.varnishCounter(t, "MAIN.cache_miss"))
}

// Viewers are cut at random moments and come back with the ids of checkpoints: in S there
// are no more streams of the gateway than ids of live checkpoints and one, and nobody
// misses anything.
func TestLongVarnishViewersThatAreCut(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	const freshness = time.Second
	s := broadcastOrigin{freshness: freshness, lifetime: 4 * time.Second, retry: 500 * time.Millisecond, vary: true}.start(t)
	f := startVarnish(t, s.addr)
	stop := publishOpenLoop(t, "pub:news", 20*time.Millisecond, s.api)
	viewers := watchers(t, f.addr, 100)
	for begin := time.Now(); time.Since(begin) < 10*time.Second; {
		<-time.After(time.Duration(rand.IntN(20)) * time.Millisecond)
		viewers[rand.IntN(len(viewers))].Cut()
	}
	published := stop()
	for _, v := range viewers {
		v.expectAll(t, published)
	}
	fetches := f.fetchesOf(t, s, viewers)
	for i, first := range fetches {
		streams, ids := 0, make(map[string]bool)
		for _, x := range fetches[i:] {
			if x.begin-first.begin < freshness.Seconds() && x.status == http.StatusOK {
				streams++
				ids[x.lastEventID] = true
			}
		}
		require.LessOrEqual(t, streams, len(ids)+1, "in the second from %v: %v", first.begin, fetches)
	}
	t.Logf("%d requests of viewers: %d streams and %d redirects of the gateway", requestsOf(viewers), count(fetches, 200), count(fetches, 307))
}

// fetchesOf are the requests of Varnish for viewers, who leave: what is still under way
// ends at the latest with the lifetime of streams.
func (f *liveFront) fetchesOf(t *testing.T, s *server, viewers []*broadcastViewer) []originFetch {
	t.Helper()
	for _, v := range viewers {
		v.leave()
	}
	testkit.Eventually(t, func() bool { return s.sessions.Counts().Clients == 0 }, "the end of all streams")
	var fetches []originFetch
	testkit.Eventually(t, func() bool {
		fetches = f.fetches(t)
		return len(fetches) == f.varnishCounter(t, "MAIN.backend_req")
	}, "Varnish to have logged all")
	slices.SortFunc(fetches, func(a, b originFetch) int { return cmp.Compare(a.begin, b.begin) })
	return fetches
}

// count are the fetches with a status.
func count(fetches []originFetch, status int) (n int) {
	for _, x := range fetches {
		if x.status == status {
			n++
		}
	}
	return n
}

// requestsOf are the requests of viewers.
func requestsOf(viewers []*broadcastViewer) (n int) {
	for _, v := range viewers {
		n += len(v.Requests())
	}
	return n
}

// A thousand ids that nobody was given are redirected, each, to one stream that all share:
// no more streams of the gateway than its limit, and nobody is refused.
func TestLongVarnishRandomIDs(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	const limit = 4
	s := broadcastOrigin{freshness: 20 * time.Second, lifetime: time.Minute, retry: 10 * time.Second, vary: true, streams: limit}.start(t)
	f := startVarnish(t, s.addr)
	viewers := make([]*broadcastViewer, 1000)
	for i := range viewers {
		viewers[i] = newBroadcastViewer(f.addr)
		viewers[i].Header = http.Header{"Last-Event-Id": {randomID(i)}}
		viewers[i].start(t)
	}
	for _, v := range viewers {
		testkit.Eventually(t, func() bool { return len(v.streams()) == 1 }, "a stream")
		require.Equal(t, "/broadcast.bare/pub:news", v.streams()[0].path)
	}
	require.LessOrEqual(t, s.sessions.Counts().Clients, limit)
	s.api.Publish(t, "pub:news", "0")
	for _, v := range viewers {
		testkit.Eventually(t, func() bool { return v.got.Load() == 1 }, "an event")
	}
}

// randomID is text of the form of an id, or of none.
func randomID(i int) string {
	if i%2 == 0 {
		return string(codec.AppendCursorEntry(nil, codec.CursorEntry{Channel: codec.Tag32("pub:news"), Epoch: rand.Uint32(), Offset: uint64(i)}))
	}
	return fmt.Sprintf("no id %d", i)
}

// Over three lifetimes of streams, under publications that wait for nobody, viewers who
// came at any moment have all that was published, in order: with ids, nobody is sent
// anything twice; without, repeats are dropped as the script for pages does it. Nobody is
// given the same stream twice.
func TestLongVarnishThreeLifetimes(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		vary    bool
		viewers int
	}{"with_ids": {true, 100}, "without_ids": {false, 100}, "alone": {false, 1}} { // alone: nobody else brings a new stream in
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const lifetime = 4 * time.Second
			s := broadcastOrigin{freshness: time.Second, lifetime: lifetime, retry: 500 * time.Millisecond, vary: x.vary}.start(t)
			f := startVarnish(t, s.addr)
			stop := publishOpenLoop(t, "pub:news", 20*time.Millisecond, s.api)
			var viewers []*broadcastViewer
			begin := time.Now()
			for len(viewers) < x.viewers {
				viewers = append(viewers, watchers(t, f.addr, 1)...)
				<-time.After(time.Duration(rand.IntN(80)) * time.Millisecond)
			}
			last := viewers[len(viewers)-1]
			testkit.Eventually(t, func() bool { return len(last.streams()) > 3 && time.Since(begin) > 3*lifetime }, "three ends of streams")
			published, repeats := stop(), 0
			for _, v := range viewers {
				repeats += v.expectAll(t, published)
				v.expectNoLoop(t)
			}
			if x.vary {
				require.Zero(t, repeats)
			}
			fetches := f.fetchesOf(t, s, viewers)
			took := time.Since(begin).Seconds()
			require.Equal(t, len(fetches), count(fetches, http.StatusOK), "%v", fetches)
			t.Logf("%.1f s, %d viewers, %d published, %d requests of viewers: %d streams of the gateway, %d repeats", took, len(viewers), published, requestsOf(viewers), len(fetches), repeats)
		})
	}
}

// The gateway is killed in the middle of streams, or ends as it should: no viewer makes
// more than three requests in the next S seconds, none is served what is over again and
// again, and all come back once the gateway is there.
func TestLongVarnishOriginThatDies(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "terminated": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const freshness = 3 * time.Second
			o := broadcastOrigin{freshness: freshness, lifetime: time.Minute, retry: 2 * time.Second, vary: true}.startProcess(t)
			f := startVarnish(t, o.addr)
			viewers := watchers(t, f.addr, 200)
			for _, v := range viewers {
				testkit.Eventually(t, func() bool { return len(v.streams()) == 1 }, "a stream")
			}
			o.api.Publish(t, "pub:news", "0")
			for _, v := range viewers {
				testkit.Eventually(t, func() bool { return v.got.Load() == 1 }, "an event")
			}
			gone := time.Now()
			o.end(t, signal)
			late := watchers(t, f.addr, 50) // who come to what is left
			testkit.Eventually(t, func() bool { return time.Since(gone) > freshness+2*time.Second }, "S and some")
			viewers = append(viewers, late...)
			for _, v := range viewers {
				require.LessOrEqual(t, v.requestsWithin(gone, freshness), 3)
				v.expectNoLoop(t)
			}
			o.start(t)
			for _, v := range viewers {
				testkit.Eventually(t, func() bool {
					o.api.Publish(t, "pub:news", "100")
					return v.got.Load() == 101
				}, "a viewer to come back")
			}
		})
	}
}

// requestsWithin are the requests it made from a moment on.
func (v *broadcastViewer) requestsWithin(from time.Time, d time.Duration) (n int) {
	for _, r := range v.Requests() {
		if r.At.After(from) && r.At.Before(from.Add(d)) {
			n++
		}
	}
	return n
}
