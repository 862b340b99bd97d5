//go:build e2e

package test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// Where history does not reach back, or there is none, the page says so, for each channel.
func TestLongBrowserSaysWhatACutLost(t *testing.T) {
	_, p := openDev(t)
	p.judgesCuts(t)
	p.addChannels(t, "cache:a", "live:a")
	require.Zero(t, evaluate[int](t, p, `sluice.gaps`), "an empty cache is no gap for who comes for the first time")

	byName := func(report cutReport) map[string]cutRow {
		out := make(map[string]cutRow)
		for _, row := range report.Rows {
			out[row.Name] = row
		}
		return out
	}
	report := p.cut(t, 3)
	require.Equal(t, "warn", report.Verdict)
	require.Contains(t, report.Sentence, "Not all could come back: 7 of 12 came. Away for ")
	rows := byName(report)
	require.Equal(t, []string{"good", "3 of 3, once, in order"}, rows["news"].Verdict)
	require.Equal(t, []string{"warn", "1 of 3: the latest only, as cache recovery has it"}, rows["cache:a"].Verdict)
	require.Equal(t, []int{3}, rows["cache:a"].Came)
	require.Equal(t, []string{"warn", "0 of 3: no history is kept here"}, rows["live:a"].Verdict)

	const beyond = 101 // the history of --dev has 100
	report = p.cut(t, beyond)
	rows = byName(report)
	require.Equal(t, "warn", report.Verdict)
	require.Regexp(t, `Away for [\d.]+ m?s, 2 gaps\.$`, report.Sentence)
	for _, ch := range []string{"news", "chat:lobby"} {
		require.True(t, rows[ch].Told, ch)
		require.Equal(t, []string{"warn", "0 of 101: history does not reach back, a gap was told"}, rows[ch].Verdict)
	}
	p.wait(t, `sluice.gaps === 2 && document.getElementById("gaps").textContent === "2"`)
	p.wait(t, `document.querySelectorAll('#messages > [data-kind="gap"]').length === 2`)

	report = p.cut(t, 1)
	require.Equal(t, []string{"good", "1 of 1, once, in order"}, byName(report)["news"].Verdict, "after a gap it goes on")

	evaluate[bool](t, p, `(sluice.cut = null, document.getElementById("cut").click(), document.getElementById("toggle").click(), true)`)
	p.wait(t, `sluice.cut !== null`)
	report = evaluate[cutReport](t, p, `sluice.cut`)
	require.Equal(t, "The stream was stopped before it was back", report.Sentence)
	for _, row := range report.Rows {
		require.Nil(t, row.Verdict, "nothing was compared")
	}
	p.do(t, chromedp.Click(chromedp.CSS("#cut")))
	p.wait(t, `document.getElementById("cut-verdict").textContent === "The stream is not live: there is nothing to cut"`)
}
