//go:build e2e

package test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
)

func TestLongBrowserShowsThePageOnPhonesAndInTheDark(t *testing.T) {
	browserTest(t)
	d := startDev(t, config.Dev{Secret: testSecret, APIKey: testKey})
	p := openLive(t, d.addr)
	long := "a-channel-with-a-name-as-long-as-" + strings.Repeat("x", 120)
	p.do(t, chromedp.SendKeys(chromedp.CSS("#channel-input"), long+"\r"))
	p.wait(t, `document.querySelectorAll('#channels > [data-grant="granted"]').length === 3`)
	text, err := json.Marshal(strings.Repeat("without-a-place-to-break", 200))
	require.NoError(t, err)
	d.api.Publish(t, long, string(text))
	d.publishNumbers(t, "news", 1, 30)
	p.wait(t, `sluice.total === 31`)
	p.wait(t, `document.querySelectorAll('#messages > [data-kind="pub"]').length === 31`)
	p.do(t, chromedp.Click(chromedp.CSS(`#messages > [data-kind="pub"]:nth-child(31) > .row`)))
	p.wait(t, `document.querySelector("#messages .detail pre").textContent.includes("without-a-place")`)

	f := func(width, height int64, theme string) {
		t.Helper()
		name := fmt.Sprintf("%dx%d %s", width, height, theme)
		p.do(t, chromedp.EmulateViewport(width, height), preferScheme(theme))
		p.wait(t, fmt.Sprintf(`innerWidth === %d && matchMedia("(prefers-color-scheme: %s)").matches`, width, theme))
		require.Empty(t, evaluate[[]string](t, p, overflowing), name)
		require.LessOrEqual(t, evaluate[int](t, p, `document.documentElement.scrollWidth`), int(width), name)
		p.wait(t, `document.getAnimations().length === 0`)
		require.Empty(t, evaluate[[]string](t, p, faint), name)
		dark := evaluate[bool](t, p, `getComputedStyle(document.body).backgroundColor.match(/\d+/g).every((v) => v < 64)`)
		require.Equal(t, theme == "dark", dark, name)
	}
	for _, theme := range []string{"light", "dark"} {
		f(1280, 800, theme)
		f(768, 1024, theme)
		f(360, 740, theme)
		f(320, 568, theme)
	}
}
