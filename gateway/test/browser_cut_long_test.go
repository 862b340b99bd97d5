//go:build e2e

package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/testkit"
)

// This file is about the page's own proof that a stream which was cut has lost nothing.

// cutRow is what the page says of one channel after a cut.
type cutRow struct {
	Name    string
	Sent    int
	Came    []int
	Offsets []int
	Told    bool
	Verdict []string // nil if nothing was compared
}

type cutReport struct {
	Verdict, Sentence string
	Rows              []cutRow
}

// cut presses the button and returns what the page says in the end.
func (p *livePage) cut(t *testing.T, each int) (report cutReport) {
	t.Helper()
	evaluate[bool](t, p, fmt.Sprintf(`(sluice.cut = null, document.getElementById("cut-count").value = %d, true)`, each))
	p.do(t, chromedp.Click(chromedp.CSS("#cut")))
	p.wait(t, `sluice.cut !== null`)
	require.Equal(t, evaluate[string](t, p, `sluice.cut.sentence`), evaluate[string](t, p, `document.getElementById("cut-verdict").textContent`))
	return evaluate[cutReport](t, p, `sluice.cut`)
}

// addChannels asks for more channels and waits until the page has them.
func (p *livePage) addChannels(t *testing.T, names ...string) {
	t.Helper()
	connects := evaluate[int](t, p, `sluice.connects`)
	evaluate[bool](t, p, fmt.Sprintf(`(() => { // keys do not type them all
		const input = document.getElementById("channel-input");
		input.value = %q;
		input.form.requestSubmit();
		return true;
	})()`, strings.Join(names, " ")))
	p.wait(t, fmt.Sprintf(`sluice.state === "live" && sluice.connects > %d`, connects))
}

// judgesCuts checks what the page would say, also of what no server should do.
func (p *livePage) judgesCuts(t *testing.T) {
	t.Helper()
	evaluate[bool](t, p, `(import("/live/cut.js").then((module) => { window.judge = module.judge; }), true)`)
	p.wait(t, `"judge" in window`)
	f := func(came, offsets, more, verdict, sentence string) {
		t.Helper()
		require.Equal(t, []string{verdict, sentence}, evaluate[[]string](t, p, fmt.Sprintf(
			`judge({sent: 3, came: %s, offsets: %s, before: 7, keeps: true, told: false, latestOnly: false, error: "", ...%s})`, came, offsets, more)))
	}
	f("[1,2,3]", "[8,9,10]", "{}", "good", "3 of 3, once, in order")
	f("[1,2,3]", "[8,9,10,11]", "{}", "good", "3 of 3, once, in order")
	f("[1,2,3]", "[9,10,11]", "{}", "bad", "3 of 3, but #8 did not come next")
	f("[1,2,3]", "[8,9,11]", "{}", "bad", "3 of 3, but #10 did not come next")
	f("[1,2,3]", "[8,9,10,12]", "{}", "bad", "3 of 3, but #11 did not come next")
	f("[1,3,2]", "[8,10,9]", "{}", "bad", "3 of 3, not in order")
	f("[1,2,2,3]", "[8,9,9,10]", "{}", "bad", "3 of 3, 1 of them again")
	f("[1,3]", "[8,10]", "{}", "bad", "2 of 3: the rest is lost, and no gap was told")
	f("[3]", "[10]", "{}", "bad", "1 of 3: the rest is lost, and no gap was told")
	f("[3]", "[10]", "{latestOnly: true}", "warn", "1 of 3: the latest only, as cache recovery has it")
	f("[]", "[]", "{told: true}", "warn", "0 of 3: history does not reach back, a gap was told")
	f("[]", "[]", "{keeps: false, before: undefined}", "warn", "0 of 3: no history is kept here")
	f("[1,2,3]", "[]", "{keeps: false, before: undefined}", "good", "3 of 3, once, in order")
	f("[1,2,3]", "[40,41,42]", "{told: true}", "good", "3 of 3, once, in order")
	f("[]", "[]", `{error: "103 permission denied"}`, "bad", "not published: 103 permission denied")
}

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
