//go:build e2e

package test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

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
