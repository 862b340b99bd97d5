//go:build e2e

package test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// setLifecycle freezes the page as browsers do with tabs in the background, or
// wakes it again.
func setLifecycle(state page.SetWebLifecycleStateState) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: state})
		return err
	})
}

// A page that does not read is cut as slow while it is frozen, and gets what it
// missed once it wakes.
func TestLongBrowserFrozenPageLosesNothing(t *testing.T) {
	const (
		frozen = 10 * time.Second       // at least; longer until the stream is slow
		pace   = 100 * time.Millisecond // of rounds: 1 MB/s in all
	)
	s, home := startCrossOrigin(t)
	r := newRelay(t, s.addr, 1)
	channels := recoverableChannels(20)
	home.serve(fmt.Sprintf(eventSource, "http://"+r.addr()+subscribeTarget(channels)))
	p := openLive(t, home.addr())
	pad := fmt.Sprintf(`, "pad": %q`, strings.Repeat("x", 5000))
	awake := publishRounds(t, s, channels, 0, pad, func(n int) bool { return n == 1 })
	expectAll(t, p, channels, awake)

	p.do(t, setLifecycle(page.SetWebLifecycleStateStateFrozen))
	tick := time.NewTicker(pace)
	defer tick.Stop()
	begin := time.Now()
	each := publishRounds(t, s, channels, awake, pad, func(int) bool {
		passed := (<-tick.C).Sub(begin)
		return passed >= frozen && s.sessions.Counts().Clients == 0 || passed >= pageTimeout
	})
	require.Equal(t, awake*len(channels), evaluate[int](t, p, `sluice.total`), "the page took messages: it was not frozen")
	require.Zero(t, s.sessions.Counts().Clients, "the stream was not slow: too little was published")
	require.Equal(t, 1, r.connections(), "a frozen page does not reconnect")

	p.do(t, setLifecycle(page.SetWebLifecycleStateStateActive))
	expectAll(t, p, channels, each)
	require.Equal(t, 2, evaluate[int](t, p, `sluice.connects`))
	t.Logf("%d messages, %d KB, while frozen", (each-awake)*len(channels), (each-awake)*len(channels)*len(pad)>>10)
}

// connections returns how many connections were opened so far.
func (r *relay) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opened
}

func TestLongBrowserEventSourceLosesNothingWhenCut(t *testing.T) {
	s, home := startCrossOrigin(t)
	r := newRelay(t, s.addr, 1)
	channels := recoverableChannels(20)
	home.serve(fmt.Sprintf(eventSource, "http://"+r.addr()+subscribeTarget(channels)))
	p := openLive(t, home.addr()) // has its first cursor now

	// The page may be up to rounds behind; further, and it would get most of the
	// messages in connect pushes.
	const enough, rounds = 30, 5
	r.setCutting(true)
	limit, release := context.WithTimeout(context.Background(), pageTimeout)
	defer release()
	each := publishRounds(t, s, channels, 0, "", func(n int) bool {
		if n%rounds == 0 {
			p.wait(t, fmt.Sprintf(`sluice.total >= %d`, (n-rounds)*len(channels)))
		}
		cuts, _, all := r.cutCounts()
		return all >= enough && slices.Min(cuts[:]) >= 3 || limit.Err() != nil
	})
	r.setCutting(false)
	expectAll(t, p, channels, each)
	cuts, resets, all := r.cutCounts()
	t.Logf("%d messages, %d cuts (in the head, the connect push, later: %d), %d of them resets, %d connect pushes",
		each*len(channels), all, cuts, resets, evaluate[int](t, p, `sluice.connects`))
	require.GreaterOrEqual(t, all, enough, "too few cuts: the test proves nothing")
	require.GreaterOrEqual(t, slices.Min(cuts[:]), 3, "too few cuts at some stage")
	require.Positive(t, resets)
	require.Less(t, resets, all, "some cuts end in order")
	require.Contains(t, strings.ToLower(r.requests()), "\r\nlast-event-id: ")
}

func TestLongBrowserFetchStreamsAcrossOriginsThatAreAllowed(t *testing.T) {
	s, home := startCrossOrigin(t)
	stranger := newSite(t)
	r := newRelay(t, s.addr, 1) // for what the browser asks
	url := "http://" + r.addr() + testkit.DefaultPath
	token := testkit.HS256(t, testSecret, map[string]any{"sub": "7", "channels": []string{"news"}})
	script := fmt.Sprintf(fetching, url, token, `{"subs": {"rr:0": {}}}`)
	home.serve(script)
	stranger.serve(script)

	p := openLive(t, home.addr())
	const each = 200
	channels := []string{"rr:0", "news"}
	publishRounds(t, s, channels, 0, "", func(n int) bool { return n == each })
	expectAll(t, p, channels, each)
	require.Equal(t, http.StatusOK, evaluate[int](t, p, `sluice.status`))
	asked := strings.ToLower(r.requests())
	require.Regexp(t, `(?s)^options .*\r\naccess-control-request-headers: authorization,content-type\r\n`, asked)
	require.Regexp(t, `(?s)\r\n\r\npost .*\r\nauthorization: bearer `+regexp.QuoteMeta(strings.ToLower(token))+`\r\n`, asked)
	require.Equal(t, 1, strings.Count(asked, "post /"))

	p.do(t, chromedp.Navigate(stranger.origin()+"/"))
	p.wait(t, `sluice.refused === "TypeError: Failed to fetch"`)
	testkit.Eventually(t, func() bool { return s.sessions.Counts().Clients == 0 }, "no client once the page is gone")
	asked = strings.ToLower(r.requests())
	require.Equal(t, 2, strings.Count(asked, "options /"), "the second page asked too")
	require.Equal(t, 1, strings.Count(asked, "post /"), "and went no further")

	evaluate[bool](t, p, fmt.Sprintf(`{ globalThis.source = new EventSource(%q); true; }`,
		"http://"+r.addr()+subscribeTarget(channels)))
	p.wait(t, `source.readyState === EventSource.CLOSED`)
	require.Contains(t, r.requests(), "GET "+testkit.DefaultPath)
	require.Zero(t, s.sessions.Counts().Clients)
	require.Zero(t, evaluate[int](t, p, `sluice.connects`))
	var problems []string // the browser tells of them when it gets to it
	testkit.EventuallyWithin(t, pageTimeout, func() bool {
		problems = append(problems, p.takeProblems()...)
		return len(problems) >= 2
	}, "what the browser refused")
	require.Len(t, problems, 2, "what the browser refused")
	for _, text := range problems {
		require.Contains(t, text, "blocked by CORS policy")
	}
}

func TestLongBrowserEventSourceIsToldOfTheGapAfterARestart(t *testing.T) {
	browserTest(t)
	home := newSite(t)
	text := allowing(home.origin()).config()
	text = strings.Replace(text, `"port": 0`, fmt.Sprintf(`"port": %d`, testkit.FreePort(t)), 1)
	s := launch(t, text)
	stop := func() {
		if s != nil {
			s.stop(t)
			s = nil
		}
	}
	t.Cleanup(func() { stop() })
	channels := recoverableChannels(20)
	home.serve(fmt.Sprintf(eventSource, "http://"+s.addr+subscribeTarget(channels)))
	p := openLive(t, home.addr())
	const before, after = 5, 7
	publishRounds(t, s, channels, 0, "", func(n int) bool { return n == before })
	expectAll(t, p, channels, before)

	stop()
	p.waitForFailure(t)
	s = launch(t, text)
	p.wait(t, `sluice.connects === 2`)
	require.Equal(t, len(channels), evaluate[int](t, p, `Object.keys(sluice.subs).length`))
	require.Empty(t, evaluate[[]string](t, p, `Object.entries(sluice.subs)
		.filter(([, sub]) => !sub.was_recovering || sub.recovered || sub.publications).map(([channel]) => channel)`),
		"channels whose gap was not told")

	publishRounds(t, s, channels, 0, "", func(n int) bool { return n == after })
	p.wait(t, fmt.Sprintf(`sluice.total >= %d`, len(channels)*(before+after)))
	want := append(countTo(before), countTo(after)...)
	for _, ch := range channels {
		require.Equal(t, want, evaluate[[]int](t, p, fmt.Sprintf(`sluice.seen[%q]`, ch)))
	}
}
