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
