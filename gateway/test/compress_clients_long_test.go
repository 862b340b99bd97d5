//go:build e2e

package test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// An EventSource gets each event as it is published, in each coding, and comes back by the
// last id when its stream ends.
func TestLongBrowserEventSourceReadsCompressedStreams(t *testing.T) {
	eachCoding(t, func(t *testing.T, coding string) {
		browserTest(t)
		home := newSite(t)
		p := allowing(home.origin())
		p.channel = compressedParts(coding, "")
		s := launch(t, p.config())
		t.Cleanup(func() { s.stop(t) })
		home.serve(fmt.Sprintf(eventSource, "http://"+s.addr+testkit.DefaultPath+"?cf_connect="+url.QueryEscape(`{"subs":{"cc:a":{}}}`)))
		page := openLive(t, home.addr())
		require.EqualValues(t, 1, s.stats().Coded[codingNumber(coding)])
		n := 0
		for range 2 {
			for range 60 {
				n++
				s.api.Publish(t, "cc:a", quotes(n, []int{40, 2000, 400, 12_000}[n%4]))
				page.wait(t, fmt.Sprintf(`sluice.total === %d`, n))
			}
			s.api.MustResult(t, "disconnect", `{"user":""}`)
			page.wait(t, `sluice.connects > 1`)
		}
		require.Equal(t, countTo(n), evaluate[[]int](t, page, `sluice.seen["cc:a"]`))
		require.Zero(t, evaluate[int](t, page, `sluice.gaps`))
	})
}
