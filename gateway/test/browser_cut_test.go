package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
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
