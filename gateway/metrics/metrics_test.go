package metrics

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/auth"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/proxy"
	"sluice/gateway/session"
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
	connect, refresh := &proxy.Stats{}, &proxy.Stats{}
	return &fake{
		loops: loops, stuck: make(map[int]func(LoopState)), users: make([][]uint64, loops),
		node: Node{
			Version: "1.2.3", GoVersion: "go1", Nodes: 1, LoopBacklog: make([]int, loops),
			Tokens:  Tokens{Stats: &auth.Stats{}},
			Connect: connect, Refresh: refresh,
			API:        []APIMethod{{Name: "publish", Errors: map[uint32]uint64{107: 3}}},
			APIRefused: map[string]uint64{"unauthorized": 1}, Refused: map[string]uint64{"origin": 2},
			Accept: map[string]uint64{"accepted": 5}, Limited: map[string]uint64{"streams": 1}, TicketsDropped: map[string]uint64{"user": 3},
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
	_, err := New(Options{Source: newFake(1), Namespace: "a-b\xff"})
	require.ErrorContains(t, err, "namespace")
}

func TestAllLoopsAreSummed(t *testing.T) {
	f := newFake(3)
	f.frames = 7
	f.node.LoopBacklog = []int{1, 5, 2}
	scraped := scrape(t, newExporter(t, Options{Source: f}))
	has(t, scraped, "sluice_stream_deliveries_total 21")
	has(t, scraped, "sluice_loop_backlog 8")
	has(t, scraped, "sluice_loop_backlog_longest 5")
	has(t, scraped, `sluice_client_num_server_disconnects{code="3503"} 3`)
	has(t, scraped, `sluice_client_num_server_disconnects{code="3501"} 3`)
	has(t, scraped, `sluice_client_num_server_disconnects{code="other"} 6`)
	has(t, scraped, `sluice_api_command_errors_total{error="107",method="publish",protocol="http"} 3`)
	has(t, scraped, `sluice_broker_publish_suppressed_count{reason="version"} 4`)
	has(t, scraped, `sluice_scrape_stale_total{part="loop"} 0`)
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

func TestAUserOnSeveralLoopsCountsOnce(t *testing.T) {
	f := newFake(2)
	f.users = [][]uint64{{1, 2, 3}, {3, 4}}
	e := newExporter(t, Options{Source: f, UsersEvery: time.Hour})
	has(t, scrape(t, e), "sluice_node_num_users 4")
	f.set(func() { f.users = [][]uint64{{1}, nil} })
	has(t, scrape(t, e), "sluice_node_num_users 4") // not counted anew so soon
	require.Equal(t, 2, f.walked)

	e = newExporter(t, Options{Source: f, UsersEvery: time.Nanosecond})
	scrape(t, e)
	has(t, scrape(t, e), "sluice_node_num_users 1")
	require.Equal(t, 6, f.walked)
}

// A loop that does not answer costs a scrape its time and no more: what it said
// last stands in, and no second question waits in its inbox.
func TestAStuckLoopIsNeitherWaitedForNorAskedAgain(t *testing.T) {
	f := newFake(2)
	f.frames, f.prompt = 10, true // else the other loop may be late, too
	e := newExporter(t, Options{Source: f, Wait: 20 * time.Millisecond})
	has(t, scrape(t, e), "sluice_stream_deliveries_total 20")
	f.set(func() { f.stuck[1] = nil; f.frames = 100 })
	for n := range 3 {
		scraped := scrape(t, e)
		has(t, scraped, "sluice_stream_deliveries_total 110")
		has(t, scraped, fmt.Sprintf(`sluice_scrape_stale_total{part="loop"} %d`, n+1))
	}
	require.Equal(t, 2+3+1, f.asked)
	var answer func(LoopState)
	f.set(func() { answer = f.stuck[1]; delete(f.stuck, 1) })
	answer(LoopState{Loop: loop.Stats{Frames: 50}})
	scraped := scrape(t, e)
	has(t, scraped, "sluice_stream_deliveries_total 200") // it was asked anew
	has(t, scraped, `sluice_scrape_stale_total{part="loop"} 3`)
}

func TestScrapesAtTheSameTimeShareOneReading(t *testing.T) {
	const scrapes = 8
	f := newFake(1)
	f.stuck[0] = nil
	e := newExporter(t, Options{Source: f, Wait: time.Minute})
	results := make(chan string, scrapes)
	for range scrapes {
		go func() { results <- scrape(t, e) }()
	}
	var answer func(LoopState)
	require.Eventually(t, func() bool {
		f.set(func() { answer = f.stuck[0] })
		return answer != nil
	}, time.Minute, time.Millisecond)
	require.Empty(t, results)
	f.set(func() { delete(f.stuck, 0) }) // first: a scrape that comes late must not wait
	answer(LoopState{Loop: loop.Stats{Frames: 9}})
	shared := 0
	for range scrapes {
		if strings.Contains(<-results, "sluice_stream_deliveries_total 9\n") {
			shared++
		}
	}
	require.Positive(t, shared)
	// One question for those that shared, at most one for each that came late.
	require.LessOrEqual(t, f.asked, 1+scrapes-shared)
}

func TestAPanicCostsOneScrape(t *testing.T) {
	f := newFake(1)
	e := newExporter(t, Options{Source: f})
	f.panics = true
	var ctx fasthttp.RequestCtx
	e.Handle(&ctx)
	require.Equal(t, 500, ctx.Response.StatusCode())
	require.Contains(t, string(ctx.Response.Body()), "a bug")
	f.panics = false
	has(t, scrape(t, e), "sluice_node_num_nodes 1")
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

// batches is a fake with a state of its own.
type batches struct {
	*fake
	is LoopState
}

func (b *batches) Loop(_ int, done func(LoopState)) { done(b.is) }

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
