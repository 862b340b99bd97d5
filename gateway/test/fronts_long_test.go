//go:build e2e

package test

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/fronts"
	"sluice/gateway/testkit"
)

// frontIdle is the idle limit of fronts where a test does not ask for one.
const frontIdle = time.Minute

// frontOrigins are gateways, one for each kind of framing.
type frontOrigins map[string]*server

func startFrontOrigins(t *testing.T, ping time.Duration) frontOrigins {
	t.Helper()
	return frontOrigins{"chunked": startFrontOrigin(t, "chunked", ping), "close": startFrontOrigin(t, "close", ping)}
}

// startFronts starts all kinds, each before the gateway that it needs.
func startFronts(t *testing.T, origins frontOrigins, idle time.Duration) []*liveFront {
	t.Helper()
	var all []*liveFront
	for _, k := range fronts.Kinds() {
		all = append(all, launchFront(t, k, origins[framingOf(k)].addr, idle))
	}
	return all
}

// Through each front, in the plainest configuration and the one of the folder fronts, each
// event is there before the next is published: small ones, and one larger than buffers.
func TestLongFrontsPassEachEventAtOnce(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	origins := startFrontOrigins(t, 25*time.Second)
	for _, f := range startFronts(t, origins, frontIdle) {
		t.Run(f.Name, func(t *testing.T) {
			methods := []string{"GET", "POST"}
			if strings.HasPrefix(f.Name, "caddy") {
				methods = methods[:1] // what a POST opens may be cut at its start: see Caddyfile
			}
			for _, method := range methods {
				c := testkit.Connect(t, f.addr, testkit.ConnectOptions{Method: method, Subs: asking("news")})
				c.ExpectConnect(t)
				for i := range 10 {
					data := strconv.Itoa(i)
					if i == 5 {
						data = strconv.Quote(strings.Repeat("x", 50_000))
					}
					origins[framingOf(f.Kind)].api.Publish(t, "news", data)
					require.Equal(t, data, string(c.ExpectPub(t, "news").Data))
				}
				c.Close()
			}
		})
	}
}

// A stream without events for a minute is still there behind fronts that cut what is
// silent for half of that, for pings come in between.
func TestLongFrontsKeepIdleStreams(t *testing.T) {
	t.Parallel()
	origins := startFrontOrigins(t, 10*time.Second)
	var clients []*testkit.Client
	all := startFronts(t, origins, 30*time.Second)
	for _, f := range all {
		c := testkit.Connect(t, f.addr, testkit.ConnectOptions{Subs: asking("news"), Timeout: 2 * time.Minute})
		c.ExpectConnect(t)
		clients = append(clients, c)
	}
	for begin := time.Now(); time.Since(begin) < time.Minute; {
		require.Equal(t, "ping", clients[0].NextAny(t).Kind)
	}
	for _, s := range origins {
		s.api.Publish(t, "news", "1")
	}
	for i, c := range clients {
		require.Equal(t, "1", string(c.ExpectPub(t, "news").Data), all[i].Name)
	}
}

// frontViewer is an EventSource that subscribes to rec:news and notes what it gets.
type frontViewer struct {
	*testkit.EventSource
	done     chan error
	got      atomic.Int64
	connects atomic.Int64
	gaps     atomic.Int64 // connect pushes that recovered not all
	mu       sync.Mutex
	order    []int // guarded by mu
}

// watchRec opens it on a front, and waits for its connect push. It ends with the test,
// unless an answer ends it for good.
func watchRec(t *testing.T, addr string) *frontViewer {
	t.Helper()
	v := &frontViewer{done: make(chan error, 1)}
	v.EventSource = &testkit.EventSource{
		URL:     "http://" + addr + testkit.DefaultPath + "?cf_connect=" + url.QueryEscape(`{"subs":{"rec:news":{}}}`),
		Retry:   100 * time.Millisecond,
		OnEvent: v.take,
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { v.done <- v.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		v.done <- <-v.done
	})
	testkit.Eventually(t, func() bool { return v.connects.Load() > 0 }, "a connect push")
	return v
}

// take notes the numbers of an event.
func (v *frontViewer) take(e testkit.Event) {
	type pub struct{ Data int }
	var push struct {
		Pub     *pub
		Connect *struct {
			Subs map[string]struct {
				Publications  []pub
				Recovered     bool
				WasRecovering bool `json:"was_recovering"`
			}
		}
	}
	_ = json.Unmarshal([]byte(e.Data), &push) // what is not ours has no numbers
	v.mu.Lock()
	defer v.mu.Unlock()
	if push.Pub != nil {
		v.order = append(v.order, push.Pub.Data)
	}
	if push.Connect != nil {
		v.connects.Add(1)
		sub := push.Connect.Subs["rec:news"]
		if sub.WasRecovering && !sub.Recovered {
			v.gaps.Add(1)
		}
		for _, p := range sub.Publications {
			v.order = append(v.order, p.Data)
		}
	}
	v.got.Store(int64(len(v.order)))
}

// numbers are those that came, in order.
func (v *frontViewer) numbers() []int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]int(nil), v.order...)
}

// counting are 0 to n-1.
func counting(n int) []int {
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = i
	}
	return numbers
}

// publishOpenLoop publishes 0, 1, 2 and so on in a channel, through each API and on a
// schedule: it waits for no viewer. stop ends it and returns how many there were.
func publishOpenLoop(t *testing.T, channel string, every time.Duration, apis ...*testkit.API) (stop func() int) {
	t.Helper()
	n, end, done := 0, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for ; ; n++ {
			for _, api := range apis {
				api.Publish(t, channel, strconv.Itoa(n))
			}
			select {
			case <-end:
				n++
				return
			case <-tick.C:
			}
		}
	}()
	over := sync.OnceFunc(func() { close(end); <-done })
	t.Cleanup(over)
	return func() int { over(); return n }
}

// Fronts restart, one and then another time, while publications go on: each viewer has all
// of them, in order and none twice.
func TestLongFrontsRestart(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	origins := startFrontOrigins(t, 25*time.Second)
	all := startFronts(t, origins, frontIdle)
	var viewers []*frontViewer
	for _, f := range all {
		viewers = append(viewers, watchRec(t, f.addr))
	}
	stop := publishOpenLoop(t, "rec:news", 20*time.Millisecond, origins["chunked"].api, origins["close"].api)
	for i, f := range all {
		for range 2 {
			seen := viewers[i].got.Load()
			testkit.Eventually(t, func() bool { return viewers[i].got.Load() > seen+10 }, "events through "+f.Name)
			f.stop()
			f.restart()
		}
	}
	published := stop()
	for i, v := range viewers {
		testkit.Eventually(t, func() bool { return v.got.Load() >= int64(published) }, "the rest through "+all[i].Name)
		require.Equal(t, counting(published), v.numbers(), all[i].Name)
		require.Zero(t, v.gaps.Load())
		require.GreaterOrEqual(t, len(v.Requests()), 3, all[i].Name)
	}
}
