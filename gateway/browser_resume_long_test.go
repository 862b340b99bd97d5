//go:build e2e

package gateway

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

func TestLongBrowserFrozenPageLosesNothing(t *testing.T) {
	const (
		frozen = 10 * time.Second
		pace   = 100 * time.Millisecond // of rounds: 300 KB/s in all
	)
	home := newSite(t)
	s := startServer(t, allowing(home.origin()))
	r := newRelay(t, s.addr, 1)
	channels := recoverableChannels(20)
	home.serve(fmt.Sprintf(eventSource, "http://"+r.addr()+subscribeTarget(channels)))
	p := openLive(t, home.addr())
	pad := fmt.Sprintf(`, "pad": %q`, strings.Repeat("x", 1500))

	p.do(t, setLifecycle(page.SetWebLifecycleStateStateFrozen))
	at := evaluate[int](t, p, `sluice.total`)
	tick := time.NewTicker(pace)
	defer tick.Stop()
	end := time.Now().Add(frozen)
	each := publishRounds(t, s, channels, pad, func(int) bool {
		return !(<-tick.C).Before(end)
	})
	while := evaluate[int](t, p, `sluice.total`)
	opened := r.connections()
	t.Logf("published %d, page took %d while frozen (%d before), connections %d, clients %d", each*len(channels), while, at, opened, s.sessions.Counts().Clients)
	p.do(t, setLifecycle(page.SetWebLifecycleStateStateActive))
	expectAll(t, p, channels, each)
	t.Logf("connections %d, connects %d", r.connections(), evaluate[int](t, p, `sluice.connects`))
	require.Less(t, while, each*len(channels), "the page was not frozen")
}
