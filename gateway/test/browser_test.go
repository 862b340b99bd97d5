package test

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/node"
	"sluice/gateway/testkit"
)

func TestBrowserReceivesInOrderAndReconnectsAfterARestart(t *testing.T) {
	browserTest(t)
	secrets := config.Dev{Secret: testSecret, APIKey: testKey}
	d := startDev(t, secrets)
	p := openLive(t, d.addr)
	client := evaluate[string](t, p, `document.getElementById("client").textContent`)

	const n, more = 1000, 50
	d.publishNumbers(t, "news", 1, n)
	p.wait(t, fmt.Sprintf(`sluice.total >= %d`, n))
	require.Equal(t, countTo(n), p.numbers(t, "news"))
	p.wait(t, fmt.Sprintf(`document.querySelectorAll('#messages > [data-kind="pub"]').length === %d`, n))
	p.wait(t, `document.getElementById("total").textContent === "1,000"`)

	d.stop(t)
	p.wait(t, `sluice.state === "reconnecting" && sluice.lastDisconnect.code === 3001`)
	p.waitForFailure(t)
	d.start(t, secrets)
	p.wait(t, `sluice.state === "live" && sluice.connects === 2`)
	require.NotEqual(t, client, evaluate[string](t, p, `document.getElementById("client").textContent`))

	d.publishNumbers(t, "news", n+1, n+more)
	p.wait(t, fmt.Sprintf(`sluice.total >= %d`, n+more))
	require.Equal(t, countTo(n+more), p.numbers(t, "news"))
	require.Equal(t, n+more, evaluate[int](t, p, `sluice.total`), "nothing twice")
}

func TestBrowserGetsANewSessionAfterARestartWithNewSecrets(t *testing.T) {
	browserTest(t)
	d := startDev(t, config.Dev{Secret: testSecret, APIKey: testKey})
	p := openLive(t, d.addr)
	d.publishNumbers(t, "news", 1, 3)
	p.wait(t, `sluice.total === 3`)

	d.stop(t)
	d.start(t, config.Dev{Secret: "another token secret", APIKey: "another api key"})
	p.wait(t, `sluice.state === "live" && sluice.connects === 2`)
	require.Equal(t, 3500, evaluate[int](t, p, `sluice.lastDisconnect.code`), "the old token was refused")
	require.Equal(t, node.DevUser, evaluate[string](t, p, `document.getElementById("user").textContent`))

	d.publishNumbers(t, "news", 4, 5)
	p.wait(t, `sluice.total === 5`)
	require.Equal(t, countTo(5), p.numbers(t, "news"))
	p.do(t, chromedp.Click(chromedp.CSS("#send"))) // with the new key
	p.wait(t, `sluice.total === 6`)
	p.wait(t, `document.getElementById("publish-result").textContent.startsWith("Published")`)
}

func TestBrowserPublishesWithTheForm(t *testing.T) {
	browserTest(t)
	d := startDev(t, config.Dev{Secret: testSecret, APIKey: testKey})
	p := openLive(t, d.addr)
	other := d.subscribe(t, "news", "room")
	other.ExpectConnect(t)

	data := `{"html": "<img src=x onerror=alert(1)>", "big": 12345678901234567890}`
	p.do(t,
		fill("#publish-data", data),
		chromedp.Click(chromedp.CSS("#publish-stamp")), // off
		chromedp.Click(chromedp.CSS("#send")),
	)
	p.wait(t, `document.querySelectorAll('#messages > [data-kind="pub"]').length === 1`)
	row := evaluate[string](t, p, `document.querySelector('#messages > [data-kind="pub"]').innerText`)
	require.Contains(t, row, "<img src=x", "markup is shown as text")
	require.Contains(t, row, "12345678901234567890", "long numbers stay exact")
	p.wait(t, `document.getElementById("publish-result").textContent.startsWith("Published · offset 1")`)
	require.JSONEq(t, data, string(other.ExpectPub(t, "news").Data))

	p.do(t, chromedp.SendKeys(chromedp.CSS("#publish-data"), "]"), chromedp.Click(chromedp.CSS("#send")))
	p.wait(t, `document.getElementById("data-error").textContent.includes("expected the end of the text")`)

	p.do(t, chromedp.SendKeys(chromedp.CSS("#channel-input"), "room\r"))
	p.wait(t, `document.querySelector('#channels > [data-channel="room"]')?.dataset.grant === "granted"`)
	const burst = 450 // more than two requests of the page
	p.do(t,
		fill("#publish-channel", "room"), fill("#publish-data", "{}"), fill("#publish-count", strconv.Itoa(burst)),
		chromedp.Click(chromedp.CSS("#publish-stamp")), // on: t and n
		chromedp.Click(chromedp.CSS("#send-many")),
	)
	p.wait(t, fmt.Sprintf(`sluice.total === %d`, 1+burst))
	require.Equal(t, countTo(burst), p.numbers(t, "room"))
	p.wait(t, fmt.Sprintf(`document.getElementById("publish-result").textContent.startsWith("%d published")`, burst))
	p.wait(t, `/^-?[\d.]+ m?s$/.test(document.getElementById("lag-median").textContent)`)
}

func TestBrowserGoesOnWithoutAChannelOfAnUnknownNamespace(t *testing.T) {
	browserTest(t)
	d := startDev(t, config.Dev{Secret: testSecret, APIKey: testKey})
	p := openLive(t, d.addr)
	p.do(t, chromedp.SendKeys(chromedp.CSS("#channel-input"), "nobody:knows $private\r"))
	p.wait(t, `sluice.state === "stopped" && sluice.lastDisconnect.code === 3501`)
	const detail = `document.getElementById("state-detail").textContent`
	p.wait(t, detail+`.includes("nobody:knows is in a namespace that this server does not have")`)
	require.NotContains(t, evaluate[string](t, p, detail), "$private", "only what is at fault")
	require.Equal(t, []string{"nobody:knows"}, evaluate[[]string](t, p, `[...document.querySelectorAll('#channels > [data-grant="unknown"]')].map((e) => e.dataset.channel)`))
	p.do(t, chromedp.Click(chromedp.CSS(`#channels > [data-channel="nobody:knows"] button`)))
	p.wait(t, `sluice.state === "live" && sluice.connects === 2`)
	p.wait(t, `document.querySelector('#channels > [data-channel="$private"]').dataset.grant === "refused"`)
	d.publishNumbers(t, "news", 1, 1)
	p.wait(t, `sluice.total === 1`)
	p.do(t, chromedp.Click(chromedp.CSS("#toggle"))) // Stop
	p.wait(t, `sluice.state === "stopped"`)
	testkit.Eventually(t, func() bool { return d.sessions.Counts().Clients == 0 }, "no client once the page stopped")
	p.do(t, chromedp.Click(chromedp.CSS(`#channels > [data-channel="$private"] button`)))
	p.do(t, chromedp.Click(chromedp.CSS("#toggle"))) // Connect
	p.wait(t, `sluice.state === "live" && sluice.connects === 3`)
	require.Equal(t, "2", evaluate[string](t, p, `document.getElementById("channel-count").textContent`))
}

// overflowing lists the elements that stick out of the window to the right.
const overflowing = `[...document.body.querySelectorAll("*")].filter((e) => e.checkVisibility()
	&& !e.closest(".unseen") && e.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
	.map((e) => e.tagName + "#" + e.id + "." + e.className)`

// faint lists texts whose contrast with their background is below the 4.5 that
// WCAG 2.2 asks for (1.4.3). Surfaces of the page are opaque.
const faint = `(() => {
	const light = (colour) => {
		const [r, g, b] = colour.match(/[\d.]+/g).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const colour = getComputedStyle(e).backgroundColor;
			if (colour !== "rgba(0, 0, 0, 0)") return colour;
		}
		return "rgb(255, 255, 255)";
	};
	const own = (e) => [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim() !== "");
	return [...document.body.querySelectorAll("*")].filter((e) => own(e) && e.checkVisibility() && !e.disabled).flatMap((e) => {
		const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
		const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		return contrast < 4.5 ? [e.tagName + "#" + e.id + "." + e.className + " " + contrast.toFixed(2)] : [];
	});
})()`

// preferScheme makes the browser prefer light or dark.
func preferScheme(scheme string) chromedp.Action[chromedp.Void] {
	return prefer("prefers-color-scheme", scheme)
}

// prefer makes the browser say that the person prefers something.
func prefer(feature, value string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: feature, Value: value}},
		})
		return err
	})
}
