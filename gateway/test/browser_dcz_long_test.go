//go:build e2e

package test

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit"
)

// TestLongABrowserReadsDcz has an EventSource in Chromium read a stream of a real node in dcz,
// each event before the next one is published: with one channel, and with two.
func TestLongABrowserReadsDcz(t *testing.T) {
	browserTest(t)
	path, _ := newDictionary(t, 1000)
	s := startServer(t, parts{channel: `, "namespaces": [{"name": "rr", ` + referring(path) + `, ` + recoverable + `}]`})
	tab, cancel := chromedp.NewContext(shared.ctx, chromedp.WithNewBrowserContext())
	defer cancel()
	ctx, stop := context.WithTimeout(tab, pageTimeout)
	defer stop()
	dictionary := "http://" + s.addr + "/connection/uni_sse/dictionary/"
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(dictionary)))
	do := func(js string) int {
		n, err := chromedp.Run(ctx, chromedp.Evaluate[int](js, chromedp.EvalAwaitPromise))
		require.NoError(t, err)
		return n
	}
	require.NotZero(t, do(fmt.Sprintf(`fetch(%q).then((r) => r.text()).then((text) => text.length)`, dictionary+"rr")))
	frames := func() uint64 { return s.hub.Stats().Coded[codec.CodingDcz].Frames }
	for _, subs := range []string{`{"rr:a": {}}`, `{"rr:a": {}, "rr:b": {}}`} {
		before := frames()
		testkit.Eventually(t, func() bool { // a dictionary is stored a moment after it was read
			do(fmt.Sprintf(`new Promise((done) => {
				if (window.es) es.close();
				window.seen = [];
				window.es = new EventSource("/connection/uni_sse?cf_connect=" + encodeURIComponent('{"subs": %s}'));
				es.onmessage = (e) => { seen.push(e.data); done(1); };
			})`, subs))
			s.api.Publish(t, "rr:a", quotes(0, 300))
			return frames() > before
		}, "a stream in dcz")
		for n := range 60 {
			s.api.Publish(t, "rr:a", quotes(n, 300))
			want := fmt.Sprintf(`{"n":%d,`, n)
			testkit.Eventually(t, func() bool {
				return do(fmt.Sprintf(`Number(seen[seen.length-1].includes('"pub":{"data":%s'))`, want)) == 1
			}, fmt.Sprintf("event %d", n))
		}
		require.GreaterOrEqual(t, frames(), before+61)
	}
	do(`es.close(), 1`)
}
