//go:build e2e

package test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// Without shared workers a tab that is in sight has the stream, and tells the others.
func TestLongBrowserTabsOfTheDocsTakeTurns(t *testing.T) {
	s := startTabs(t, `delete globalThis.SharedWorker;`)
	look := func(p *livePage, state string) {
		t.Helper()
		evaluate[bool](t, p, fmt.Sprintf(`{
			Object.defineProperty(document, "visibilityState", {value: %q, configurable: true});
			document.dispatchEvent(new Event("visibilitychange"));
			true;
		}`, state))
	}
	s.more(t, 3)
	s.publishNumbers(t, "rr:0", 1, 5)
	s.expect(t, 5)
	s.line.cutBehind(30, true)
	s.publishNumbers(t, "rr:0", 6, 10)
	s.expect(t, 10)
	look(s.open[0], "hidden")
	s.publishNumbers(t, "rr:0", 11, 15)
	s.expect(t, 15)
	s.more(t, 1)
	look(s.open[0], "visible")
	s.close(t, 1) // which had the stream
	s.publishNumbers(t, "rr:0", 16, 20)
	s.expect(t, 20)
	for _, p := range s.open {
		look(p, "hidden")
	}
	testkit.Eventually(t, func() bool { return s.sessions.Counts().Clients == 0 }, "no stream while nobody looks")
	evaluate[bool](t, s.open[0], `{ navigator.locks.query().then((all) => { sluice.locks = all.held.length + all.pending.length; }); true; }`)
	s.open[0].wait(t, `sluice.locks === 0`)
	s.publishNumbers(t, "rr:0", 21, 25)
	look(s.open[2], "visible")
	s.expect(t, 25)
	require.Len(t, evaluate[[]int](t, s.open[0], `sluice.received`), 25)
	require.Equal(t, 16, evaluate[int](t, s.open[2], `sluice.received[0]`))
	s.ends(t)
}

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
