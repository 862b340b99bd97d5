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
