package redis

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
)

// openWith opens with options, which get a prefix of their own, and closes at the end.
func openWith(t testing.TB, o Options) *Redis {
	t.Helper()
	if o.Prefix == "" {
		o.Prefix = redisrig.Prefix(t)
	}
	o.Node = "n1"
	r, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// within returns a context that ends after d, or with the test.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// soon is a context for what is expected at once.
func soon(t testing.TB) context.Context { return within(t, 20*time.Second) }

// recorder is a handler that keeps what it is told.
type recorder struct {
	// Guarded by mu.
	mu    sync.Mutex
	log   []string // "channel payload", "lost", "back", "whole"
	block chan struct{}
	entry chan struct{}
}

func (h *recorder) Message(channel, payload []byte) {
	h.add(string(channel) + " " + string(payload))
	h.mu.Lock()
	block, entry := h.block, h.entry
	h.mu.Unlock()
	if block != nil {
		select {
		case entry <- struct{}{}:
		default:
		}
		<-block
	}
}
func (h *recorder) Lost(*Part, error) { h.add("lost") }
func (h *recorder) Back(p *Part, whole bool) {
	h.add("back")
	if whole && p.slots != nil {
		h.add("whole")
	}
}

func (h *recorder) add(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log = append(h.log, text)
}

func (h *recorder) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.log)
}

func (h *recorder) count(text string) (n int) {
	for _, line := range h.all() {
		if line == text {
			n++
		}
	}
	return n
}

// await waits until the handler was told text n times.
func (h *recorder) await(t testing.TB, text string, n int) {
	t.Helper()
	testkit.Eventually(t, func() bool { return h.count(text) >= n }, text)
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
