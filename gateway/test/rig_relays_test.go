package test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/node"
	"sluice/gateway/testkit"
)

// relayTimes are those of the streams of an origin and its relays.
type relayTimes struct{ freshness, lifetime, retry string }

// endSoon is for streams that end soon.
var endSoon = relayTimes{"1s", "3s", "500ms"}

const relayedChannel = "pub:news/now"

// relayedText is the configuration of an origin on a port, 0 for any.
func relayedText(port int, times relayTimes) string {
	text := fmt.Sprintf(baseConfig, "", "", "", fmt.Sprintf(`, "namespaces": [{"name": "pub", "history_size": 100000, "history_ttl": "10m",
		"broadcast": true, "broadcast_freshness": %q, "broadcast_lifetime": %q}]`, times.freshness, times.lifetime))
	text = strings.Replace(text, `"health":`, fmt.Sprintf(`"broadcast": {"enabled": true, "max_origin_streams": 0, "retry": %q}, "health":`, times.retry), 1)
	return strings.Replace(text, `"port": 0`, fmt.Sprintf(`"port": %d`, port), 1)
}

// relayFlags are the options of a relay as flags.
func relayFlags(origin string, port int, times relayTimes) map[string]string {
	const channels = "channel.without_namespace."
	return map[string]string{
		"relay.origin": "http://" + origin, "http_server.address": "127.0.0.1", "http_server.port": strconv.Itoa(port),
		channels + "broadcast_freshness": times.freshness, channels + "broadcast_lifetime": times.lifetime, "broadcast.retry": times.retry,
		"prometheus.enabled": "true",
	}
}

// launchOn starts a relay of an origin on a port, 0 for any, within this process. The
// caller stops it.
func launchOn(t *testing.T, origin string, port int) *server {
	t.Helper()
	flags := relayFlags(origin, port, endSoon)
	flags["node.loops"] = "1"
	cfg, _, err := config.Load(config.Source{Dir: t.TempDir(), Relay: true, Flags: flags})
	require.NoError(t, err)
	return launchLoaded(t, cfg, node.Options{Verify: true})
}

// startOn is launchOn for a relay that ends with the test.
func startOn(t *testing.T, origin string, port int) *server {
	t.Helper()
	s := launchOn(t, origin, port)
	t.Cleanup(func() { s.stop(t) })
	return s
}

// broadcastTarget is the target of a channel on the broadcast route.
func broadcastTarget(ch string) string { return "/broadcast/" + ch }

// arrival is a publication that a viewer got.
type arrival struct {
	epoch  string
	offset uint64
	number int // as published
}

// relayViewer is an EventSource on the broadcast route that drops repeats as the script for
// pages does: by their offset, in the epoch of their stream.
type relayViewer struct {
	*testkit.EventSource
	// Guarded by mu.
	mu    sync.Mutex
	epoch string // of the stream
	got   []arrival
	opens int
}

// watchBroadcast lets a viewer watch a channel until the test ends.
func watchBroadcast(t *testing.T, addr, ch string) *relayViewer {
	t.Helper()
	v := &relayViewer{}
	v.EventSource = &testkit.EventSource{URL: "http://" + addr + broadcastTarget(ch), Retry: time.Second, OnOpen: v.open, OnEvent: v.take}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("a viewer ended for good: %v", err)
		}
	})
	return v
}

func (v *relayViewer) open(o *testkit.SourceOpen) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.opens++
	v.epoch = o.Head.Get("Sluice-Epoch")
}

func (v *relayViewer) take(e testkit.Event) {
	var push struct {
		Pub *struct {
			Data   int
			Offset uint64
		}
	}
	if err := json.Unmarshal([]byte(e.Data), &push); err != nil || push.Pub == nil {
		return // nothing of ours: numbers will be missing
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if n := len(v.got); n > 0 && v.got[n-1].epoch == v.epoch && v.got[n-1].offset >= push.Pub.Offset {
		return
	}
	v.got = append(v.got, arrival{v.epoch, push.Pub.Offset, push.Pub.Data})
}

// last returns the last one that came, and how many did.
func (v *relayViewer) last() (arrival, int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.got) == 0 {
		return arrival{}, 0
	}
	return v.got[len(v.got)-1], len(v.got)
}

// await waits until a number came.
func (v *relayViewer) await(t *testing.T, number int) {
	t.Helper()
	testkit.EventuallyWithin(t, time.Minute, func() bool { last, n := v.last(); return n > 0 && last.number >= number }, fmt.Sprintf("number %d", number))
}

// expectAll fails the test unless everything came from the first to the last number, in
// order.
func (v *relayViewer) expectAll(t *testing.T, first, last int) {
	t.Helper()
	v.await(t, last)
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, a := range v.got {
		require.Equal(t, first+i, a.number, "behind %v", v.got[max(i-3, 0):i])
	}
}

func (v *relayViewer) streams() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.opens
}
