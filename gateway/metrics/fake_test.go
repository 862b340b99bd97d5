package metrics

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/auth"
	"sluice/gateway/broker/relay"
	"sluice/gateway/cluster"
	"sluice/gateway/nats"
	"sluice/gateway/proxy"
	"sluice/gateway/session"
	"sluice/gateway/tally"
)

// fake is a Source whose loops answer at once, unless they are stuck.
type fake struct {
	// Immutable.
	loops  int
	prompt bool // loops answer before the question returns

	// Guarded by mu.
	mu     sync.Mutex
	stuck  map[int]func(LoopState) // answers that are held back, by loop; nil while the loop was not asked
	frames uint64                  // of each loop
	users  [][]uint64
	asked  int // questions to loops
	walked int // questions for users
	panics bool
	node   Node
}

func newFake(loops int) *fake {
	connect, refresh, counts := &proxy.Stats{}, &proxy.Stats{}, map[string]uint64{"some": 1}
	return &fake{
		loops: loops, stuck: make(map[int]func(LoopState)), users: make([][]uint64, loops),
		node: Node{
			Version: "1.2.3", GoVersion: "go1", Cluster: cluster.Stats{Nodes: 1, Sent: counts, Received: counts, Skipped: counts},
			Engine: Engine{
				NATS:  []NATS{{Use: "broker", Stats: nats.Stats{Calls: nats.CallsStats{Errors: map[string]uint64{"some": 1}}}}},
				Calls: map[string]tally.Durations{"publish": {}}, Errors: counts, Presence: counts, Places: counts,
				Shards:      []EngineShard{{Name: "0 a:1", Ready: true, ProbeAge: time.Second, Compared: counts, Odd: counts, Skipped: counts}, {Name: "1 b:1", ProbeAge: -1}},
				Connections: []Connections{{Use: "engine", Shard: "0 a:1", Up: true, Commands: 9, Errors: counts}},
			}, Relay: &relay.Stats{Channels: 1, Ends: counts}, Broadcast: Broadcast{Opened: counts, Refused: counts}, LoopBacklog: make([]int, loops),
			Tokens:  Tokens{Stats: &auth.Stats{}},
			Connect: connect, Refresh: refresh,
			API:        []APIMethod{{Name: "publish", Errors: map[uint32]uint64{107: 3}}},
			APIRefused: map[string]uint64{"unauthorized": 1}, Refused: map[string]uint64{"origin": 2},
			Accept: map[string]uint64{"accepted": 5}, GateConnections: map[string]int{"idle": 2}, Limited: map[string]uint64{"streams": 1}, TicketsDropped: map[string]uint64{"user": 3},
			Requests:  map[Request]uint64{{Path: "/health", Method: "GET", Status: 200}: 2},
			Positions: map[string]int{"empty": 3}, Results: 6, Forgotten: map[string]uint64{"empty_position": 7},
			Suppressed: map[string]uint64{"version": 4}, Fallbacks: map[string]uint64{"turns": 0},
		},
	}
}

func (f *fake) Loops() int { return f.loops }

func (f *fake) Node() Node {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.panics {
		panic("a bug")
	}
	return f.node
}

func (f *fake) state() LoopState {
	s := LoopState{Sessions: session.LoopStats{Disconnects: map[uint32]uint64{3503: 1, 0: 2}, Refused: map[uint32]uint64{3501: 1}}}
	s.Loop.Frames = f.frames
	return s
}

func (f *fake) Loop(i int, done func(LoopState)) {
	f.mu.Lock()
	f.asked++
	if _, stuck := f.stuck[i]; stuck {
		f.stuck[i] = done
		f.mu.Unlock()
		return
	}
	s := f.state()
	f.mu.Unlock()
	if f.prompt {
		done(s)
		return
	}
	go done(s)
}

func (f *fake) Users(i int, done func([]uint64)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.walked++
	go done(slices.Clone(f.users[i]))
}

// set changes the fake.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// newExporter makes an exporter that waits for loops until the machine has time
// for them, unless opt says otherwise.
func newExporter(t *testing.T, opt Options) *Exporter {
	t.Helper()
	if opt.Namespace == "" {
		opt.Namespace = "sluice"
	}
	if opt.Wait == 0 {
		opt.Wait = time.Minute
	}
	e, err := New(opt)
	require.NoError(t, err)
	return e
}

// scrape returns the lines of a scrape that are of Sluice.
func scrape(t *testing.T, e *Exporter) string {
	t.Helper()
	var ctx fasthttp.RequestCtx
	e.Handle(&ctx)
	require.Equal(t, 200, ctx.Response.StatusCode(), "%s", ctx.Response.Body())
	return string(ctx.Response.Body())
}

// has fails the test unless the scrape has the line.
func has(t *testing.T, scraped, line string) {
	t.Helper()
	name, _, _ := strings.Cut(line, " ")
	name, _, _ = strings.Cut(name, "{")
	var same []string
	for l := range strings.Lines(scraped) {
		if l == line+"\n" {
			return
		}
		if strings.HasPrefix(l, name) {
			same = append(same, l)
		}
	}
	require.Fail(t, "a line is missing", "expected %q, got\n%s", line, strings.Join(same, ""))
}

// batches is a fake with a state of its own.
type batches struct {
	*fake
	is LoopState
}

func (b *batches) Loop(_ int, done func(LoopState)) { done(b.is) }
