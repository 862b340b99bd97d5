//go:build e2e

package test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/testkit"
)

// A server that takes connections and answers nothing is spoken of: neither "connecting" nor
// "reconnecting" is said for ever without a word on it.
func TestLongBrowserSaysThatNobodyAnswers(t *testing.T) {
	d, p := openDev(t)
	d.stop(t)
	mute, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", d.port))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, mute.Close()) })
	p.wait(t, `/^No answer since \d\d:\d\d:\d\d$/.test(document.getElementById("state-detail").textContent)`)
	p.do(t, chromedp.Click(chromedp.CSS("#toggle")), chromedp.Click(chromedp.CSS("#toggle"))) // Stop, Connect
	p.wait(t, `document.getElementById("state-detail").textContent.startsWith("No answer for 10 s.")`)
	p.wait(t, `/^try 1 failed, the next is at /.test(document.getElementById("tries").textContent)`)
	p.do(t, chromedp.Click(chromedp.CSS("#send")))
	p.wait(t, `document.getElementById("publish-result").textContent.startsWith("No answer for 10 s.")`)
}

// At the start, after a cut, while the server is gone and when it is back the page says what is
// so and what to do, at every width and in both schemes.
func TestLongBrowserSaysWhatIsSoInEveryState(t *testing.T) {
	secrets := config.Dev{Secret: testSecret, APIKey: devKeyWithoutBlanks}
	d, p := openDev(t)
	text := func(id string) string {
		return evaluate[string](t, p, `document.getElementById("`+id+`").textContent`)
	}
	empty := func() string {
		return evaluate[string](t, p, `document.getElementById("empty").innerText`)
	}
	require.Regexp(t, `^No message here yet\.\s+Press Send, or paste this into a terminal:\s+curl `, empty())
	require.Equal(t, text("command-publish"), text("empty-command"))
	p.looks(t, "empty")

	require.Equal(t, "good", p.cut(t, 5).Verdict)
	p.looks(t, "cut")
	d.publishNumbers(t, "news", 1, 500)
	p.wait(t, `document.querySelectorAll('#messages > [data-kind="pub"]').length === 510`)
	p.looks(t, "many")
	p.do(t, chromedp.Click(chromedp.CSS("#clear")))

	d.stop(t)
	p.wait(t, `/^No answer since \d\d:\d\d:\d\d$/.test(document.getElementById("state-detail").textContent)`)
	p.wait(t, `/^try \d+ failed, the next is at about \d\d:\d\d:\d\d$/.test(document.getElementById("tries").textContent)`)
	require.Regexp(t, `^No message here yet\.\s+No answer since`, empty())
	require.Nil(t, evaluate[any](t, p, `document.getElementById("tries").closest("[role=status], [aria-live]")`), "read out with every attempt")
	p.looks(t, "gone")
	p.do(t, chromedp.Click(chromedp.CSS("#send")))
	p.wait(t, `document.getElementById("publish-result").textContent === "The server cannot be reached"`)
	p.do(t, chromedp.Click(chromedp.CSS("#toggle")), chromedp.Click(chromedp.CSS("#toggle"))) // Stop, Connect
	p.wait(t, `document.getElementById("state-detail").textContent === "The server cannot be reached"`)
	p.wait(t, `/^try \d+ failed, the next is at \d\d:\d\d:\d\d$/.test(document.getElementById("tries").textContent)`)

	d.start(t, secrets)
	p.wait(t, `sluice.state === "live" && document.getElementById("tries").textContent === ""`)
	d.api.MustResult(t, "disconnect", `{"user":"dev"}`)
	p.wait(t, `sluice.state === "stopped"`)
	require.Equal(t, "3503 force disconnect: somebody closed this stream by the server API. Press Connect to try again", text("state-detail"))
	p.looks(t, "refused")
	p.do(t, chromedp.Click(chromedp.CSS("#toggle")))
	p.wait(t, `sluice.state === "live"`)
}

// frames waits until what is to be drawn has been.
func (p *livePage) frames(t *testing.T) {
	t.Helper()
	evaluate[bool](t, p, `(window.drawn = false, requestAnimationFrame(() => requestAnimationFrame(() => { drawn = true; })), true)`)
	p.wait(t, `drawn`)
}

// Nothing moves but by the hand of the person, whatever arrives.
func TestLongBrowserDoesNotMoveWhatIsThere(t *testing.T) {
	d, p := openDev(t)
	for _, size := range [][2]int64{{1280, 800}, {390, 844}, {320, 568}} {
		p.do(t, chromedp.EmulateViewport(size[0], size[1]))
		p.wait(t, fmt.Sprintf(`innerWidth === %d && document.getAnimations().length === 0`, size[0]))
		evaluate[bool](t, p, `(window.moved = [], window.observer = new PerformanceObserver((entries) => {
			for (const e of entries.getEntries()) {
				const rows = document.getElementById("messages"); // with the newest on top they make room, which is their purpose
				// The sentence about the state, as another one takes its place, counts for up to 0.0005.
				const newestOnTop = document.getElementById("order-first").checked;
				if (e.value > 0.001 && !e.hadRecentInput && !(newestOnTop && e.sources.every((s) => rows.contains(s.node)))) moved.push(e.value + " " + e.sources.map((s) => s.node?.id || s.node?.className || s.node?.nodeName).join(" "));
			}
		}), true)`)
		p.frames(t)
		evaluate[bool](t, p, `(observer.observe({type: "layout-shift"}), true)`)
		before := evaluate[int](t, p, `sluice.total`)
		d.publishNumbers(t, "news", 1, 60)
		d.api.Publish(t, "chat:lobby", `"`+strings.Repeat("w", 65536)+`"`)
		p.wait(t, fmt.Sprintf(`sluice.total === %d && document.getElementById("total").textContent === "%[1]d"`, before+61))
		require.Equal(t, "good", p.cut(t, 5).Verdict)
		p.do(t, chromedp.Click(chromedp.CSS("#clear")))
		p.frames(t)
		p.do(t, chromedp.Click(chromedp.CSS(`label[for="order-last"]`)))
		d.publishNumbers(t, "news", 1, 60)
		p.wait(t, `document.querySelectorAll('#messages > [data-kind="pub"]').length === 60`)
		p.frames(t)
		require.Empty(t, evaluate[[]string](t, p, `(observer.disconnect(), moved)`), "%d", size[0])
		p.do(t, chromedp.Click(chromedp.CSS(`label[for="order-first"]`)))
	}
	testkit.Eventually(t, func() bool { return d.sessions.Counts().Clients == 1 }, "one client of the page")
}
