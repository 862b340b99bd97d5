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

// A stream that is refused with a status, which EventSource keeps to itself, is told with it.
func TestLongBrowserSaysWhyTheStreamIsRefused(t *testing.T) {
	_, p := openDev(t)
	evaluate[bool](t, p, `(() => {
		const fetched = window.fetch;
		window.fetch = async (url, options) => { // the next session leads to no endpoint
			const answer = await fetched(url, options);
			if (url !== "/dev/session") return answer;
			return new Response(JSON.stringify({...await answer.json(), endpoint: window.leadsTo}), {status: 200});
		};
		window.leadsTo = "/nowhere";
		document.getElementById("toggle").click();
		document.getElementById("toggle").click();
		return true;
	})()`)
	p.wait(t, `document.getElementById("state-detail").textContent.startsWith("The server refused the stream: HTTP 404")`)
	p.wait(t, `/^try \d+ failed, the next is at /.test(document.getElementById("tries").textContent)`)
}

// Every control has a name, and is reached and seen by the keyboard, in the order of the page.
func TestLongBrowserIsUsedByKeyboardAndScreenReader(t *testing.T) {
	d, p := openDev(t)
	d.publishNumbers(t, "news", 1, 3)
	p.wait(t, `document.querySelectorAll('#messages > [data-kind="pub"]').length === 3`)
	require.Equal(t, "good", p.cut(t, 1).Verdict)
	p.do(t, chromedp.Click(chromedp.CSS(`#messages > [data-kind="pub"] > .row`)))

	controls := 0
	for _, node := range p.accessible(t) {
		if role := axText(node.Role); !node.Ignored && strings.Contains(" button textbox combobox spinbutton checkbox radio link region img table ", " "+role+" ") {
			controls++
			require.NotEmpty(t, axText(node.Name), "%s, node %d", role, node.BackendDOMNodeID)
		}
	}
	require.Greater(t, controls, 25)

	p.do(t, prefer("prefers-reduced-motion", "reduce"))
	require.Equal(t, "0s", evaluate[string](t, p, `getComputedStyle(document.querySelector(".mark-gate")).transitionDuration`))
	for _, width := range []int64{1280, 390} {
		p.do(t, chromedp.EmulateViewport(width, 844))
		p.wait(t, fmt.Sprintf(`innerWidth === %d && document.getAnimations().length === 0`, width))
		evaluate[bool](t, p, `(scrollTo(0, 0), document.querySelector(".skip").focus(), true)`)
		seen := []string{"skip"}
		top, column := 0.0, ""
		for {
			p.do(t, chromedp.KeyEvent("\t"))
			stop := evaluate[struct {
				Name, Column string
				Top          float64
				Outlined     bool
			}](t, p, `(() => {
				const e = document.activeElement;
				const ring = e.type === "radio" ? e.nextElementSibling : e;
				const style = getComputedStyle(ring);
				return {
					name: e.id || e.dataset.copy !== undefined && "copy-event" || e.className || e.tagName + (e.closest("[id]")?.id ?? ""),
					top: ring.getBoundingClientRect().top + scrollY + (e.closest("aside")?.scrollTop ?? 0),
					column: innerWidth > 960 ? e.closest("header, main, aside")?.tagName ?? "" : "",
					outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
				};
			})()`)
			if stop.Name == "BODY" || stop.Name == seen[0] {
				break
			}
			require.True(t, stop.Outlined, "%s: the focus is seen", stop.Name)
			if stop.Column == column && len(seen) > 1 && !strings.Contains(stop.Name, "copy-event") && stop.Name != "PREmessages" {
				require.GreaterOrEqual(t, stop.Top, top-60, "%s comes before %v", stop.Name, seen)
			}
			if !strings.Contains(stop.Name, "copy-event") && stop.Name != "PREmessages" { // of the opened row, which scrolls
				top, column = stop.Top, stop.Column
			}
			seen = append(seen, stop.Name)
			require.Less(t, len(seen), 60)
		}
		for _, want := range []string{"toggle", "pause", "scroller", "send", "cut", "channel-input", "copy"} {
			require.Contains(t, seen, want, "%d", width)
		}
	}
}

// Commands and events are copied by mouse and keyboard, and a screen reader is told: on
// localhost, and on a page over plain http to a name, which has no navigator.clipboard.
func TestLongBrowserCopies(t *testing.T) {
	browserTest(t)
	d := startDev(t, config.Dev{Secret: testSecret, APIKey: devKeyWithoutBlanks})
	p := openLive(t, d.addr, names)
	copies := func(by func(selector string)) {
		t.Helper()
		f := func(button, want string) {
			t.Helper()
			evaluate[bool](t, p, `(document.getElementById("said").textContent = "", true)`)
			by(button)
			p.wait(t, `document.getElementById("said").textContent === "Copied to the clipboard"`)
			p.wait(t, fmt.Sprintf(`document.querySelector(%q).innerText.startsWith("Copied")`, button))
			require.Equal(t, want, p.paste(t))
		}
		d.api.Publish(t, "news", `{"a":"<b>"}`)
		p.wait(t, `document.querySelector('#messages > [data-kind="pub"] > .row') !== null`)
		p.do(t, chromedp.Click(chromedp.CSS(`#messages > [data-kind="pub"] > .row`)))
		offset := evaluate[string](t, p, `document.querySelector('#messages > [data-kind="pub"] .offset').textContent.slice(1)`)
		f("#messages .detail button", fmt.Sprintf(`{"channel":"news","pub":{"data":{"a":"<b>"},"offset":%s%s}}`, offset,
			evaluate[string](t, p, `(document.querySelector("#messages .detail pre").textContent.match(/"epoch": ("[^"]+")/)?.[1].replace(/^/, ',"epoch":') ?? "")`)))
		for _, tab := range []string{"subscribe", "publish", "script"} {
			p.do(t, chromedp.Click(chromedp.CSS(`label[for="tab-`+tab+`"]`)))
			f("#copy", evaluate[string](t, p, `document.getElementById("command-`+tab+`").textContent`))
		}
	}
	copies(func(selector string) { p.do(t, chromedp.Click(chromedp.CSS(selector))) })

	p.do(t, chromedp.Navigate("http://live.test:"+d.addr[strings.LastIndex(d.addr, ":")+1:]+"/#"+d.LiveKey()))
	p.wait(t, `typeof sluice !== "undefined" && sluice.state === "live"`)
	require.False(t, evaluate[bool](t, p, `isSecureContext`))
	copies(func(selector string) {
		p.do(t, chromedp.Focus(chromedp.CSS(selector)), chromedp.KeyEvent("\r"))
	})
}

// What others choose is text, wherever it stands: names, data, tags, users and what they say of
// themselves, reasons.
func TestLongBrowserShowsHostileTextsAsText(t *testing.T) {
	d, p := openDev(t)
	const evil = `<img/src=x/onerror=hacked=1><script>hacked=1</script>`
	long, channel := strings.Repeat("w", 200), "chat:"+evil
	p.addChannels(t, channel, long, "🙂-שלום") // the last one is none: names are ASCII
	p.wait(t, `document.querySelector('#channels > [data-grant="refused"]').innerText.startsWith("🙂-שלום")`)
	elements := evaluate[int](t, p, `document.querySelectorAll("img, script, iframe, a").length`)
	other := d.connect(t, testkit.ConnectOptions{Token: tokenOf(t, evil, map[string]any{"info": map[string]string{"name": evil}}), Subs: map[string]testkit.SubscribeRequest{channel: {}}})
	other.ExpectConnect(t)
	d.api.MustResult(t, "publish", fmt.Sprintf(`{"channel":%q,"data":%q,"tags":{%[2]q:%[2]q}}`, channel, evil))
	d.api.Publish(t, channel, fmt.Sprintf(`{%q: [%[1]q, "\u202e\u0000"]}`, evil))
	d.api.Publish(t, long, `"`+strings.Repeat("w", 65536)+`"`)
	d.api.Publish(t, "news", `{"text": "שלום 🙂 \u202e"}`)
	p.wait(t, `sluice.total === 4 && document.querySelectorAll('#messages > [data-kind="pub"]').length === 4`)
	p.wait(t, `document.querySelectorAll('#messages > [data-kind="join"]').length >= 2`)
	evaluate[bool](t, p, `([...document.querySelectorAll("#messages > li > .row")].forEach((row) => row.click()), true)`)
	require.Equal(t, "good", p.cut(t, 2).Verdict)
	d.api.MustResult(t, "disconnect", fmt.Sprintf(`{"user":"dev","disconnect":{"code":3600,"reason":%q}}`, evil))
	p.wait(t, `sluice.state === "stopped"`)
	require.Contains(t, evaluate[string](t, p, `document.querySelector(".status").innerText`), evil)
	require.Contains(t, evaluate[string](t, p, `document.getElementById("last-disconnect").textContent`), evil)
	require.Contains(t, evaluate[string](t, p, `document.getElementById("cut-rows").textContent`), channel)
	require.Contains(t, evaluate[string](t, p, `document.getElementById("messages").textContent`), evil+" (client ")
	require.Equal(t, elements, evaluate[int](t, p, `document.querySelectorAll("img, script, iframe, a").length`))
	require.False(t, evaluate[bool](t, p, `"hacked" in window`))
	p.looks(t, "hostile")
}
