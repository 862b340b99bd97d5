//go:build e2e

package test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// The list of events stays at its end while rows come, become higher where they are seen, and leave at its top. Who scrolls
// up stays where they are, until they ask for the newest.
func TestLongBrowserConsoleFollowsOnAPhone(t *testing.T) {
	browserTest(t)
	s := startText(t, consoleConfig, nil)
	p := openConsole(t, s, "/")
	p.logIn(t, consolePassword)
	p.look(t, 390, "light")
	p.view(t, "try", nil, `document.querySelector(".request textarea") !== null`)
	p.press(t, "Connect")
	p.sees(t, `document.querySelector(".try .pill").dataset.state === "live"`)
	const (
		frame    = `document.querySelector(".events-panel .frame")`
		distance = `(` + frame + `.scrollHeight - ` + frame + `.clientHeight - ` + frame + `.scrollTop)`
		follow   = `document.querySelector("button.follow")`
	)
	atEnd := func(n int) {
		t.Helper()
		p.sees(t, fmt.Sprintf(`[...document.querySelectorAll(".try summary")].some((row) => row.textContent.includes("#%d")) && %s <= 24 && %s.hidden`, n, distance, follow))
	}
	s.publishNumbers(t, "news", 1, 40)
	atEnd(40)
	evaluate[bool](t, p, `(() => { scrollTo(0, document.body.scrollHeight); return true; })()`) // the frame comes into sight
	s.publishNumbers(t, "news", 41, 80)
	atEnd(80)
	p.do(t, chromedp.Evaluate[chromedp.Void](`scrollTo(0, 0)`))
	s.publishNumbers(t, "news", 81, 120)
	p.do(t, chromedp.Evaluate[chromedp.Void](`scrollTo(0, document.body.scrollHeight)`))
	s.publishNumbers(t, "news", 121, 620) // more than are kept
	atEnd(620)

	evaluate[bool](t, p, `(() => { `+frame+`.scrollTop -= 400; return true; })()`)
	p.sees(t, `!`+follow+`.hidden`)
	s.publishNumbers(t, "news", 621, 630)
	p.sees(t, `[...document.querySelectorAll(".try summary")].some((row) => row.textContent.includes("#630"))`)
	require.Greater(t, evaluate[float64](t, p, distance), 300.0, "who reads is left alone")
	p.press(t, "Follow the newest")
	atEnd(630)
	evaluate[bool](t, p, `(() => { `+frame+`.scrollTop = 0; return true; })()`)
	p.sees(t, `!`+follow+`.hidden`)
	p.press(t, "Clear")
	s.publishNumbers(t, "news", 631, 660)
	atEnd(660)
}

// What cannot work says so before it is tried.
func TestLongBrowserConsoleSaysWhatCannotWork(t *testing.T) {
	browserTest(t)
	s := startText(t, consoleConfig, nil)
	c := testkit.Connect(t, s.addr, testkit.ConnectOptions{Subs: map[string]testkit.SubscribeRequest{"news": {}}})
	client := c.ExpectConnect(t).Client
	s.publishNumbers(t, "news", 1, 130) // 100 are kept
	p := openConsole(t, s, "/")
	p.logIn(t, consoleViewerPassword)

	p.view(t, "try", nil, `document.querySelector(".request textarea") !== null`)
	p.do(t, fill(".advanced input", "abc"))
	p.sees(t, `document.querySelector(".try pre").textContent.includes("Last-Event-ID: abc")`)
	require.Equal(t, []bool{true, true, true}, evaluate[[]bool](t, p, `["Connect", "Cut", "Resume"].map((text) => [...document.querySelectorAll(".try button")].find((b) => b.textContent === text).disabled)`))

	p.view(t, "channel", url.Values{"name": {"news"}}, `document.querySelectorAll(".event").length === 50`)
	jump := func(to, said string) {
		t.Helper()
		p.do(t, fill(".jump input", to+"\r"))
		p.sees(t, fmt.Sprintf(`document.querySelector(".history .note:not(.bad)").textContent === %q`, said))
	}
	jump("7", "#7 is not kept any more. Kept: 31–130.")
	p.press(t, "‹ Newer")
	p.sees(t, `document.querySelector(".pages").textContent === "31–80, top 130" && document.querySelector(".history .note:not(.bad)").textContent === ""`)
	jump("500", "#500 is not published yet: the newest is #130.")

	p.view(t, "channel", url.Values{"name": {"none:1"}}, `document.querySelector("[role=tablist]")?.hidden && document.querySelector(".note.bad").textContent.startsWith("No namespace is configured")`)
	require.Empty(t, evaluate[[]string](t, p, `[...document.querySelectorAll("#view button, #view input")].filter((e) => e.getClientRects().length > 0).map((e) => e.textContent)`))
	p.view(t, "channel", url.Values{"name": {"plain:1"}, "tab": {"presence"}}, `document.querySelector(".tab-panel .note")?.textContent.includes("Presence is off")`)
	p.view(t, "now", nil, `document.querySelector(".at")?.textContent.includes("since the start")`)
	p.view(t, "config", nil, `document.querySelectorAll(".options tbody tr").length > 3`)
	p.view(t, "channels", nil, `document.querySelectorAll("tbody tr").length > 0`)

	p.press(t, "Log out")
	p.logIn(t, consolePassword)
	p.view(t, "try", nil, `document.querySelector(".request textarea") !== null`)
	p.do(t, fill(".request textarea", "news\nnone:1"))
	p.sees(t, `document.querySelector(".request .note.warn").textContent === "No namespace is configured for none:1: the server refuses the whole request (3501)."`)
	p.press(t, "Connect")
	p.sees(t, `document.querySelector(".try .pill").textContent.includes("No namespace is configured for none:1")`)
	p.do(t, fill(".request textarea", "news\nplain:1"))
	p.sees(t, `document.querySelector(".request .note.warn").textContent === ""`)
	p.press(t, "Connect")
	p.sees(t, `document.querySelector(".try .pill").dataset.state === "live"`)
	p.press(t, "Cut")

	p.view(t, "client", url.Values{"client": {client}}, `document.querySelector("[data-unsubscribe]")?.disabled === false`)
	c.Close()
	p.sees(t, `document.querySelector(".banner[data-level=warning]:not([hidden])") !== null && document.querySelector("[data-unsubscribe]").disabled`)
	p.takeProblems() // the browser's lines on what was refused
}
