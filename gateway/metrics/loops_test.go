package metrics

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/loop"
)

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
