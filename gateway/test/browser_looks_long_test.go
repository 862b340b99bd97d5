//go:build e2e

package test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/testkit"
)

// This file is about what a person sees, hears and presses on the live page.

// looks checks a state of the page at the widths of a desk, a phone and a small phone, light and
// dark: nothing sticks out, and every text can be read. Where SLUICE_SHOTS names a directory,
// what was seen is kept there.
func (p *livePage) looks(t *testing.T, state string) {
	t.Helper()
	for _, size := range [][2]int64{{1280, 800}, {390, 844}, {320, 640}} {
		for _, theme := range []string{"light", "dark"} {
			name := fmt.Sprintf("%s-%d-%s", state, size[0], theme)
			p.do(t, chromedp.EmulateViewport(size[0], size[1]), preferScheme(theme))
			p.wait(t, fmt.Sprintf(`innerWidth === %d && matchMedia("(prefers-color-scheme: %s)").matches && document.getAnimations().length === 0`, size[0], theme))
			require.Empty(t, evaluate[[]string](t, p, overflowing), name)
			require.LessOrEqual(t, evaluate[int](t, p, `document.documentElement.scrollWidth`), int(size[0]), name)
			require.Empty(t, evaluate[[]string](t, p, faint), name)
			if dir := os.Getenv("SLUICE_SHOTS"); dir != "" {
				picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600))
			}
		}
	}
	p.do(t, chromedp.EmulateViewport(1280, 800), preferScheme("light"))
	p.wait(t, `innerWidth === 1280 && innerHeight === 800`)
	require.Equal(t, 800, evaluate[int](t, p, `document.documentElement.scrollHeight`), "at a desk the window does not scroll")
}

// accessible returns what a screen reader is given.
func (p *livePage) accessible(t *testing.T) []*accessibility.Node {
	t.Helper()
	nodes, err := chromedp.Run(p.ctx, chromedp.Action[[]*accessibility.Node](func(ctx context.Context, tab *chromedp.Target) ([]*accessibility.Node, error) {
		result, err := cdp.Call(ctx, tab, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
		return result.Nodes, err
	}))
	require.NoError(t, err)
	return nodes
}

func axText(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	return strings.Trim(string(v.Value), `"`)
}

// paste returns what the clipboard has, by pasting it into a field.
func (p *livePage) paste(t *testing.T) string {
	t.Helper()
	p.do(t, fill("#publish-data", "x"))
	p.do(t, chromedp.Evaluate[chromedp.Void](`document.getElementById("publish-data").select()`))
	p.do(t, chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, input.DispatchKeyEvent, input.DispatchKeyEventParams{
			Type: input.DispatchKeyEventTypeKeyDown, Key: "v", Code: "KeyV", Commands: []string{"paste"},
		})
		return err
	}))
	p.wait(t, `document.getElementById("publish-data").value !== "x"`)
	return evaluate[string](t, p, `document.getElementById("publish-data").value`)
}

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
