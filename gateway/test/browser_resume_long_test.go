//go:build e2e

package test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
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
