//go:build e2e

package test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/testkit"
)

// The stream is cut while others publish, too; the browser comes back by itself with the
// header, and the page shows that nothing is missing.
func TestLongBrowserCutsTheStreamAndShowsThatNothingIsMissing(t *testing.T) {
	browserTest(t)
	d := startDev(t, config.Dev{Secret: testSecret, APIKey: devKeyWithoutBlanks})
	r := newRelay(t, d.addr, 1)
	p := openLive(t, r.addr())
	d.publishNumbers(t, "news", 1, 3)
	p.wait(t, `sluice.total === 3`)
	require.NotContains(t, r.requests(), "Last-Event-ID")

	report := p.cut(t, 5)
	require.Equal(t, "good", report.Verdict)
	require.Regexp(t, `^Nothing is missing: 10 of 10 came, each once, in order\. Away for [\d.]+ m?s, no gap\.$`, report.Sentence)
	want := []string{"good", "5 of 5, once, in order"}
	require.Equal(t, []cutRow{
		{Name: "chat:lobby", Sent: 5, Came: countTo(5), Offsets: countTo(5), Verdict: want},
		{Name: "news", Sent: 5, Came: countTo(5), Offsets: []int{4, 5, 6, 7, 8}, Verdict: want},
	}, report.Rows)
	require.Contains(t, r.requests(), "Last-Event-ID: ", "the browser's own return")
	require.Equal(t, []string{"chat:lobby #1–#5 5 of 5, once, in order", "news #4–#8 5 of 5, once, in order"}, evaluate[[]string](t, p,
		`[...document.querySelectorAll("#cut-rows tr")].map((row) => [...row.children].map((cell) => cell.textContent).join(" "))`))
	require.Equal(t, "0", evaluate[string](t, p, `document.getElementById("gaps").textContent`))
	require.Equal(t, 2, evaluate[int](t, p, `sluice.connects`))
	p.wait(t, `document.querySelectorAll("#messages > [data-recovered]").length === 10`)
	require.Equal(t, 13, evaluate[int](t, p, `sluice.total`), "nothing twice")

	evaluate[bool](t, p, `(sluice.cut = null, document.getElementById("cut").click(), true)`)
	others := 0
	testkit.EventuallyWithin(t, pageTimeout, func() bool {
		others++
		d.publishNumbers(t, "news", others, others)
		return evaluate[bool](t, p, `sluice.cut !== null`)
	}, "the second cut to end")
	report = evaluate[cutReport](t, p, `sluice.cut`)
	if report.Rows[1].Told { // they were too fast for a history of 100
		require.Equal(t, "warn", report.Verdict)
	} else {
		require.Equal(t, "good", report.Verdict, report)
		require.Greater(t, len(report.Rows[1].Offsets), 5, "all of the channel was looked at")
	}
}
