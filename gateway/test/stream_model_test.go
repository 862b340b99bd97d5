package test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// The model: publishers that wait for no answer, backends that subscribe,
// unsubscribe, refresh and disconnect, and clients that connect, are cut, come
// back by their last id and stand still for a moment, all at random and all at
// once. Every stream is then held against what was acknowledged when (see
// burst_check_test.go). It fails with the seed that it was made from.

// modelRun is one run of the model.
type modelRun struct {
	seed    uint64
	clients int
	ops     int  // of each client
	most    int  // bytes of the largest publication
	tight   bool // queue_max_size as it is by default, and nobody stands still
	// age is queue_max_age. Below shortAge some clients stand still for longer,
	// and may be closed for it.
	age time.Duration
}

const shortAge = 10 * time.Second

// channels of the model, by what their namespace is.
var modelChannels = []string{"plain0", "plain1", "rr:0", "rr:1", "dl:0", "hs:0"}

func isRecoverable(ch string) bool { return ch[:2] == "rr" || ch[:2] == "dl" }

func isPositioned(ch string) bool { return ch[0] != 'p' }

const (
	modelPublishers = 2    // of each channel
	closingNote     = 1000 // the publisher of the last publication of each channel
)

type model struct {
	modelRun
	t    *testing.T
	s    *server
	stop atomic.Bool   // publishers end
	over chan struct{} // closed when the last publications are acknowledged

	mu      sync.Mutex
	streams []*modelStream
	stalls  int // of clients that stood still for longer than queue_max_age
	acks    []acked
	failed  []error
}

func (m *model) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failed = append(m.failed, err)
}

func runModel(t *testing.T, run modelRun) {
	if text := os.Getenv("SLUICE_TEST_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
		run.seed = seed
	}
	defer func() {
		if t.Failed() {
			t.Logf("the seed: SLUICE_TEST_SEED=%d", run.seed)
		}
	}()
	s := startServer(t, run.parts())
	m := &model{modelRun: run, t: t, s: s, over: make(chan struct{})}
	m.live()

	require.NoError(t, errors.Join(m.failed...), "%v", s.closes())
	closes := s.closes()
	require.Zero(t, closes["slow_total"]+closes["insufficient_state"]+closes["write_error"], "%v", closes)
	require.LessOrEqual(t, closes["slow_age"]+closes["slow_bytes"], uint64(m.stalls), "%v", closes)
	m.check()
	testkit.Eventually(t, func() bool { return s.sessions.Counts().Clients == 0 }, "the streams to end")
	s.expectSettled(t, "stream_queue_bytes", "streams_blocked", budgetUsed)
}

// parts is a configuration drawn by the seed.
func (run *modelRun) parts() parts {
	rnd := rand.New(rand.NewPCG(run.seed, 0))
	queue := 1 << 28
	if run.tight {
		queue = 1 << 20
	}
	return parts{
		sse: fmt.Sprintf(`, "recovery_max_total": %d, "recovery_max_bytes": %d`, 16<<20, 1<<30) + withMetrics +
			fmt.Sprintf(`}, "node": {"loops": %d, "lanes": %d, "io_uring": %q`, 1+rnd.IntN(3), 1+rnd.IntN(4), []string{"auto", "off"}[rnd.IntN(2)]),
		api: fmt.Sprintf(`, "publish_wait": "3m", "publish_inflight_max_bytes": %d`, 1<<(18+rnd.IntN(5))),
		client: fmt.Sprintf(`, "queue_max_age": %q, "queue_max_size": %d, "hold_max_bytes": 268435456, "recovery_max_publication_limit": 0`,
			run.age, queue),
		channel: `, "namespaces": [{"name": "rr", ` + recoverable + `},
			{"name": "dl", "delta_publish": true, "allowed_delta_types": ["fossil"], ` + recoverable + `},
			{"name": "hs", "history_size": 100000, "history_ttl": "300s", "force_positioning": true, ` + anybody + `}]`,
	}
}

// live runs publishers and clients to their end.
func (m *model) live() {
	var publishing, living sync.WaitGroup
	for i, ch := range modelChannels {
		for p := range modelPublishers {
			publishing.Go(func() { m.publish(ch, 1+i*modelPublishers+p) })
		}
	}
	// All clients end their last streams together.
	var acting sync.WaitGroup
	acting.Add(m.clients)
	for i := range m.clients {
		living.Go(func() {
			c := &modelClient{m: m, user: fmt.Sprint("u", i), rnd: rand.New(rand.NewPCG(m.seed, uint64(i+1)))}
			c.live(acting.Done)
		})
	}
	acting.Wait()
	m.stop.Store(true)
	publishing.Wait()
	for i, ch := range modelChannels {
		b := &publisher{addr: m.s.addr, p: closingNote + i}
		acks, err := b.publish(1, false, func(int) put { return put{channel: ch, size: 10} })
		require.NoError(m.t, err)
		m.acks = append(m.acks, acks...)
	}
	close(m.over)
	living.Wait()
}

// drawSize draws a size of publications: as many between 10 and 20 bytes as between
// 150,000 and 300,000.
func drawSize(rnd *rand.Rand, most int) int {
	return int(10 * math.Exp(rnd.Float64()*math.Log(float64(most)/10)))
}

// publish is the life of one publisher: bursts into its channel.
func (m *model) publish(ch string, p int) {
	rnd := rand.New(rand.NewPCG(m.seed, uint64(1000+p)))
	b := &publisher{addr: m.s.addr, p: p}
	most := m.most
	if ch[:2] == "dl" {
		most = min(most, 30_000) // making deltas would be all there is
	}
	for !m.stop.Load() {
		acks, err := b.publish(1+rnd.IntN(20), rnd.IntN(3) > 0, func(int) put { return put{channel: ch, size: drawSize(rnd, most)} })
		b.from += len(acks)
		m.mu.Lock()
		m.acks = append(m.acks, acks...)
		m.mu.Unlock()
		if err != nil {
			m.fail(fmt.Errorf("publisher %d: %w", p, err))
			return
		}
	}
}

func TestTheModelOfStreamsUnderLoad(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	f := func(name string, run modelRun) {
		t.Run(name, func(t *testing.T) {
			run.seed, run.clients, run.ops, run.age = seed, 16, scaled(15), time.Minute
			runModel(t, run)
		})
	}
	f("small publications", modelRun{most: 3000})
	f("all sizes", modelRun{most: 300_000})
	f("all sizes, small queues", modelRun{most: 300_000, tight: true})
}
