//go:build e2e

package test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Eight tabs share one stream, which is two more than a browser has connections to a host:
// each gets every event, also when the stream is cut or the tab that began it is closed.
func TestLongBrowserTabsOfTheDocsShareAStream(t *testing.T) {
	s := startTabs(t, "")
	s.more(t, 8)
	s.publishNumbers(t, "rr:0", 1, 10)
	s.expect(t, 10)
	client := evaluate[string](t, s.open[0], `sluice.client`)
	for _, p := range s.open {
		require.Equal(t, client, evaluate[string](t, p, `sluice.client`))
		require.Len(t, evaluate[[]int](t, p, `sluice.received`), 10)
	}
	s.close(t, 0)
	s.line.cutBehind(30, true)
	s.publishNumbers(t, "rr:0", 11, 20)
	s.expect(t, 20)
	s.line.refuseNext() // after which an EventSource gives up
	s.line.cutBehind(0, true)
	s.publishNumbers(t, "rr:0", 21, 30)
	s.expect(t, 30)
	s.more(t, 1) // and nothing that the others missed before it was there
	s.publishNumbers(t, "rr:0", 31, 32)
	s.expect(t, 32)
	require.Equal(t, []int{31, 32}, evaluate[[]int](t, s.open[len(s.open)-1], `sluice.received`))
	s.ends(t)
	s.more(t, 1) // a new tab tries again, for all
	s.publishNumbers(t, "rr:0", 33, 34)
	s.expect(t, 34)
}
