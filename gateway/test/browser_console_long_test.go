//go:build e2e

package test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

const (
	consolePassword       = "password-of-admins"
	consoleViewerPassword = "password-of-viewers"
	consoleConfig         = `{
  "uni_sse": {"enabled": true, "retry": "200ms"},
  "http_server": {"address": "127.0.0.1", "port": 0},
  "http_api": {"key": "` + testkit.APIKey + `"},
  "admin": {"enabled": true, "password": "` + consolePassword + `", "read_only_password": "` + consoleViewerPassword + `"},
  "client": {"token": {"hmac_secret_key": "` + testkit.TokenSecret + `"}, "allow_anonymous_connect_without_token": true},
  "channel": {"without_namespace": {"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true, "presence": true,
    "history_size": 100, "history_ttl": "10m", "force_recovery": true},
    "namespaces": [{"name": "plain", "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true}]}
}`
	// markup is what a client would put wherever it may, to have it run by who looks.
	markup = `<img src=x onerror="window.hit=1"><script>window.hit=1</script>`
)

// openConsole opens the console in a tab of its own, at a place behind the prefix such as "/#/now".
func openConsole(t *testing.T, s *server, at string) *livePage {
	t.Helper()
	ctx, cancel := chromedp.NewContext(shared.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	p := &livePage{ctx: ctx}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the console: %s", evaluate[string](t, p, `location.href + " " + document.body.innerText.slice(0, 3000)`))
		}
		if err := closeContext(p.ctx); err != nil {
			t.Logf("the console did not close by itself: %v", err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		require.Empty(t, p.problems)
	})
	require.NoError(t, chromedp.Listen(p.ctx, p.listen))
	p.do(t, chromedp.EmulateViewport(1280, 800), chromedp.Navigate("http://"+s.addr+"/admin"+at))
	return p
}

// logIn types the password into the form, and waits for what comes behind it.
func (p *livePage) logIn(t *testing.T, password string) {
	t.Helper()
	p.sees(t, `document.querySelector("input[name=password]") !== null`)
	p.do(t, fill("input[name=password]", password+"\r"))
	p.sees(t, `document.documentElement.dataset.state === "in"`)
}

// sees waits until an expression is something in the page: what is not there yet is nothing.
func (p *livePage) sees(t *testing.T, something string) {
	t.Helper()
	p.wait(t, "Boolean("+something+")")
}

// view opens a view of the console and waits until it shows something.
func (p *livePage) view(t *testing.T, name string, params url.Values, ready string) {
	t.Helper()
	at := "#/" + name
	if len(params) > 0 {
		at += "?" + params.Encode()
	}
	evaluate[bool](t, p, fmt.Sprintf(`(() => { location.hash = %q; return true; })()`, at))
	p.sees(t, ready)
}

// look emulates a window and a colour scheme.
func (p *livePage) look(t *testing.T, width int64, scheme string) {
	t.Helper()
	p.do(t, chromedp.EmulateViewport(width, 844), preferScheme(scheme))
	p.sees(t, fmt.Sprintf(`innerWidth === %d && matchMedia("(prefers-color-scheme: %s)").matches && document.getAnimations().length === 0`, width, scheme))
}

// awaited returns what a promise of the page comes to.
func awaited[T any](t *testing.T, p *livePage, expression string) T {
	t.Helper()
	ctx, stop := context.WithTimeout(p.ctx, pageTimeout)
	defer stop()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(t, err, expression)
	return v
}

// press presses the first button that says text.
func (p *livePage) press(t *testing.T, text string) {
	t.Helper()
	const button = `[...document.querySelectorAll("button")].find((b) => b.textContent === %q && !b.disabled && b.getClientRects().length > 0)`
	find := fmt.Sprintf(button, text)
	p.sees(t, find+` !== undefined`)
	evaluate[bool](t, p, fmt.Sprintf(`(() => { const b = %s; b.focus(); b.click(); return true; })()`, find))
}

// faults is a script that returns what is wrong with the page as it stands: too wide, controls without a name, markup that
// came to life, doubled ids, and text that is too faint.
const faults = `(() => {
	const wrong = [];
	const name = (e) => e.tagName + "." + e.className + " " + e.textContent.slice(0, 40);
	const seen = (e) => e.getClientRects().length > 0 && !e.closest(".unseen, [hidden], dialog:not([open])");
	if (document.documentElement.scrollWidth > innerWidth) wrong.push("wider than the window: " + document.documentElement.scrollWidth + " of " + innerWidth);
	if (window.hit !== undefined || document.querySelector("img, iframe, main script, [onerror]")) wrong.push("markup from outside came to life");
	for (const e of document.querySelectorAll("button, input, select, textarea, a[href], [role=tab]")) {
		const said = e.getAttribute("aria-label") || (e.labels?.length > 0 && [...e.labels].map((l) => l.textContent).join(" ")) || (e.matches("button, a") && e.textContent);
		if (seen(e) && !String(said || "").trim()) wrong.push("without a name: " + name(e));
	}
	const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
	for (const id of new Set(ids)) if (ids.filter((i) => i === id).length > 1) wrong.push("id used twice: " + id);
	return wrong.concat(` + faint + `);
})()`

// hostileConsole starts a gateway with a client and channels that try to get into the console, and returns the client's id.
func hostileConsole(t *testing.T) (s *server, client string) {
	t.Helper()
	s = startText(t, consoleConfig, nil)
	channels := []string{markup, "\"><svg onload=window.hit=1>", strings.Repeat("w", 200), "__proto__", "constructor", "news"}
	subs := make(map[string]testkit.SubscribeRequest)
	for _, ch := range channels {
		subs[ch] = testkit.SubscribeRequest{}
	}
	c := testkit.Connect(t, s.addr, testkit.ConnectOptions{
		Token:       testkit.HS256(t, testkit.TokenSecret, map[string]any{"sub": markup, "info": map[string]any{"name": markup}}),
		Subs:        subs,
		HTTPHeaders: [][2]string{{"User-Agent", markup}},
	})
	client = c.ExpectConnect(t).Client
	data, err := json.Marshal(map[string]any{"text": markup + "\u202e", "long": strings.Repeat("x", 500)})
	require.NoError(t, err)
	for _, ch := range channels {
		body, err := json.Marshal(map[string]any{"channel": ch, "data": json.RawMessage(data), "tags": map[string]string{markup: markup}})
		require.NoError(t, err)
		s.api.MustResult(t, "publish", string(body))
	}
	for range channels {
		c.NextKind(t, "pub")
	}
	return s, client
}

// painted is a promise of the page that its last change has been painted.
const painted = `new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => resolve(true)))))`

// What is asked for again and again moves nothing.
func TestLongBrowserConsoleStaysInPlace(t *testing.T) {
	browserTest(t)
	s, client := hostileConsole(t)
	p := openConsole(t, s, "/")
	p.logIn(t, consolePassword)
	for _, v := range []struct {
		name, asks string
		params     url.Values
		ready      string
	}{
		{"now", "/now?", nil, `document.querySelector(".chart .line path") !== null`},
		{"channels", "/channels?", nil, `document.querySelectorAll("tbody tr").length > 5`},
		{"client", "/client?", url.Values{"client": {client}}, `document.querySelectorAll("tbody tr").length > 5`},
	} {
		p.view(t, v.name, v.params, v.ready)
		awaited[bool](t, p, painted)
		evaluate[bool](t, p, `(() => {
			window.moved = []; // which place of what, for who has to mend it
			new PerformanceObserver((list) => window.moved.push(...list.getEntries().flatMap((e) => e.sources.map(
				({node, previousRect: a, currentRect: b}) => [node?.parentElement?.className, node?.textContent?.slice(0, 40), JSON.stringify([a, b])].join(" "))))).observe({type: "layout-shift"});
			performance.clearResourceTimings();
			return true;
		})()`)
		for i := range 3 {
			s.api.Publish(t, "news", `{"n":1}`)
			// The page asks again when it is seen again.
			evaluate[bool](t, p, `document.dispatchEvent(new Event("visibilitychange"))`)
			p.sees(t, fmt.Sprintf(`performance.getEntriesByType("resource").filter((e) => e.name.includes(%q) && e.responseStatus === 200).length > %d`, v.asks, i))
		}
		require.Empty(t, awaited[[]string](t, p, painted+`.then(() => window.moved)`), v.name)
	}
}

// Away: the page keeps what it has, and says so; back: it goes on by itself.
func TestLongBrowserConsoleOutlivesTheServer(t *testing.T) {
	browserTest(t)
	s, _ := hostileConsole(t)
	r := newRelay(t, s.addr, 1)
	front := *s
	front.addr = r.addr()
	p := openConsole(t, &front, "/")
	p.logIn(t, consolePassword)
	p.view(t, "channels", nil, `document.querySelectorAll("tbody tr").length > 5`)
	r.close()
	evaluate[bool](t, p, `document.dispatchEvent(new Event("visibilitychange"))`)
	p.sees(t, `!document.getElementById("notice").hidden && document.getElementById("notice").textContent.includes("cannot be reached") && document.querySelectorAll("tbody tr").length > 5`)
}

// Every view, wide, on a phone and on a very narrow one, in both colour schemes, with everything that a client controls full
// of markup.
func TestLongBrowserConsoleShowsEachView(t *testing.T) {
	browserTest(t)
	s, client := hostileConsole(t)
	p := openConsole(t, s, "/")
	p.logIn(t, consolePassword)
	rows := func(text string) string {
		return fmt.Sprintf(`[...document.querySelectorAll("tbody tr")].some((row) => row.textContent.includes(%q))`, text)
	}
	channel := func(tab string) url.Values {
		return url.Values{"name": {markup}, "tab": {tab}}
	}
	for _, v := range []struct {
		name   string
		params url.Values
		ready  string
	}{
		{"now", nil, `document.querySelector(".tile dd").textContent === "1" && document.querySelector(".chart .line path") !== null`},
		{"channels", nil, rows(markup)},
		{"channel", channel(""), `document.querySelector(".event pre")?.textContent.includes("window.hit") && document.querySelector(".figures dd").textContent === "1"`},
		{"channel", channel("publish"), `document.querySelector(".publish textarea") !== null`},
		{"channel", channel("presence"), rows(markup)},
		{"channel", channel("tail"), `document.querySelector(".tail .frame") !== null`},
		{"clients", nil, rows(markup)},
		{"client", url.Values{"client": {client}}, rows(markup) + ` && document.querySelector(".info pre").textContent.includes("window.hit")`},
		{"try", nil, `document.querySelector(".request textarea") !== null`},
		{"config", url.Values{"all": {"1"}, "q": {"uni_sse"}}, `document.querySelectorAll(".options tbody tr").length > 10`},
	} {
		p.view(t, v.name, v.params, v.ready)
		for _, as := range []struct {
			width  int64
			scheme string
		}{{390, "dark"}, {320, "light"}, {1280, "dark"}, {1280, "light"}} {
			p.look(t, as.width, as.scheme)
			require.Empty(t, evaluate[[]string](t, p, faults), "%s %v, %v", v.name, v.params, as)
		}
	}
	secrets := awaited[string](t, p, `fetch("config").then((r) => r.text())`)
	for _, secret := range []string{testkit.TokenSecret, testkit.APIKey, consolePassword, consoleViewerPassword} {
		require.NotContains(t, secrets, secret)
	}
}

func TestLongBrowserConsoleLogsIn(t *testing.T) {
	browserTest(t)
	s := startText(t, consoleConfig, nil)
	p := openConsole(t, s, "/#/channels?q=ne")
	p.sees(t, `document.querySelector("input[name=password]") !== null`)
	require.Empty(t, evaluate[[]string](t, p, faults))
	p.do(t, fill("input[name=password]", "wrong\r"))
	p.sees(t, `document.querySelector(".login [role=alert]").textContent !== ""`)
	p.do(t, fill("input[name=password]", consoleViewerPassword+"\r"))
	p.sees(t, `document.querySelector("#nav [aria-current]")?.textContent === "Channels" && document.querySelector("input[type=search]").value === "ne"`)
	require.Contains(t, evaluate[string](t, p, `document.getElementById("who").textContent`), "read only")
	p.view(t, "channel", url.Values{"name": {"news"}, "tab": {"publish"}}, `document.querySelector(".publish .banner") !== null`)
	require.True(t, evaluate[bool](t, p, `document.querySelector(".publish button[type=submit]").disabled`), "who may only look")

	// Another tab logs out: this one asks to log in, and goes on where it was.
	awaited[int](t, p, `fetch("logout", {method: "POST", body: "{}", headers: {"X-Sluice-Console": "1", "Content-Type": "application/json"}}).then((r) => r.status)`)
	evaluate[bool](t, p, `document.dispatchEvent(new Event("visibilitychange"))`)
	p.sees(t, `document.querySelector(".login")?.textContent.includes("Your session has ended")`)
	p.logIn(t, consolePassword)
	p.sees(t, `document.querySelector(".publish button[type=submit]")?.disabled === false`)

	p.press(t, "Log out")
	p.sees(t, `document.querySelector("input[name=password]") !== null`)
	evaluate[bool](t, p, `(() => { location.hash = "#token=not.a.token"; return true; })()`)
	p.sees(t, `!location.href.includes("token") && document.querySelector(".login .quiet") !== null`)
	p.takeProblems() // the browser's lines on what was refused
}

// What an admin does: publish and find it in history and tail, cut and resume a stream, end a client, with a dialog that can
// be left by Escape.
func TestLongBrowserConsoleActs(t *testing.T) {
	browserTest(t)
	s := startText(t, consoleConfig, nil)
	c := testkit.Connect(t, s.addr, testkit.ConnectOptions{Subs: map[string]testkit.SubscribeRequest{"news": {}, "plain:1": {}}})
	client := c.ExpectConnect(t).Client
	p := openConsole(t, s, "/")
	p.logIn(t, consolePassword)

	p.view(t, "channel", url.Values{"name": {"news"}, "tab": {"tail"}}, `document.querySelector(".tail .frame") !== null`)
	p.press(t, "Start")
	p.sees(t, `document.querySelector(".tail .pill").dataset.state === "live"`)
	p.view(t, "channel", url.Values{"name": {"news"}, "tab": {"publish"}}, `document.querySelector(".publish textarea") !== null`)
	p.do(t, fill(".publish textarea", `{"big": 12345678901234567890`))
	p.sees(t, `document.querySelector(".publish .note.bad").textContent.includes("expected")`)
	p.do(t, fill(".publish textarea", `{"big": 12345678901234567890}`))
	p.do(t, fill(`.publish textarea[placeholder="lang=en"]`, `lang=fr`))
	p.do(t, chromedp.Click(chromedp.CSS(".publish button[type=submit]")))
	p.sees(t, `document.querySelector(".answers li")?.textContent.includes("Published as #1")`)
	got := c.ExpectPub(t, "news")
	require.JSONEq(t, `{"big": 12345678901234567890}`, string(got.Data))
	require.Equal(t, map[string]string{"lang": "fr"}, got.Tags)
	p.view(t, "channel", url.Values{"name": {"news"}, "tab": {"tail"}}, `document.querySelector(".tail .preview")?.textContent === '{"big":12345678901234567890}'`)
	p.press(t, "Stop")
	p.view(t, "channel", url.Values{"name": {"news"}}, `document.querySelector(".event pre")?.textContent.includes("12345678901234567890")`)

	p.view(t, "try", nil, `document.querySelector(".request textarea") !== null`)
	p.do(t, fill(".request textarea", "news\nplain:1"))
	p.press(t, "Connect")
	p.sees(t, `document.querySelector(".try .pill").dataset.state === "live"`)
	s.api.Publish(t, "news", `{"n":2}`)
	p.sees(t, `[...document.querySelectorAll(".try summary")].some((row) => row.textContent.includes("#2"))`)
	p.press(t, "Cut")
	s.publishNumbers(t, "news", 3, 5)
	p.press(t, "Resume")
	p.sees(t, `document.querySelector(".verdict h3").textContent === "Resumed: 3 publications came with it, nothing missing, nothing doubled where positions are kept"`)
	require.Contains(t, evaluate[string](t, p, `document.querySelector(".verdict").textContent`), "was at #2; 3 publications recovered, #3–#5")
	for range 4 {
		c.ExpectPub(t, "news")
	}

	p.view(t, "client", url.Values{"client": {client}}, `document.querySelectorAll("tbody tr").length === 2`)
	p.press(t, "Disconnect…")
	p.sees(t, `document.getElementById("dialog").open && document.activeElement.closest("dialog") !== null`)
	require.Contains(t, evaluate[string](t, p, `document.getElementById("dialog").textContent`), "stays away")
	require.Empty(t, evaluate[[]string](t, p, faults))
	p.do(t, chromedp.SendKeys(chromedp.CSS("#dialog input"), "\x1b"))
	p.sees(t, `!document.getElementById("dialog").open && document.activeElement.textContent === "Disconnect…"`)
	evaluate[bool](t, p, `(() => { document.querySelector("[data-unsubscribe='plain:1']").click(); return true; })()`)
	p.press(t, "Unsubscribe")
	c.NextKind(t, "unsubscribe")
	p.sees(t, `document.querySelectorAll("tbody tr").length === 1`)
	p.press(t, "Disconnect…")
	p.press(t, "Disconnect")
	c.ExpectDisconnect(t, 3503)
	p.sees(t, `document.querySelector(".banner[data-level=warning]:not([hidden])")?.textContent.includes("not connected any more")`)
}
