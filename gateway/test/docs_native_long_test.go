//go:build e2e

package test

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// reactNative is as much of it as the recipe imports.
const reactNative = `
const listeners = new Set();
export const AppState = {
	currentState: "active",
	addEventListener: (type, listener) => {
		if (type !== "change") throw new Error(type);
		listeners.add(listener);
		return { remove: () => listeners.delete(listener) };
	},
};
globalThis.appState = (state) => {
	AppState.currentState = state;
	for (const listener of listeners) listener(state);
	return true;
};
globalThis.appListeners = listeners;
`

// serveNative serves an app that subscribes by the recipe, with the library that npm installed.
func (s *site) serveNative(t *testing.T, dir, target string, token func() string) {
	t.Helper()
	script := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = io.WriteString(w, text)
		}
	}
	s.serveAll(map[string]http.HandlerFunc{
		"/": htmlPage(`<!doctype html><title>test</title><link rel="icon" href="data:,"><p id="state-detail"></p><form id="publish-form"></form>
			<script type="importmap">{"imports": {"react-native": "/react-native.js", "react-native-sse": "/react-native-sse.js"}}</script>
			<script type="module" src="/app.js"></script><script>const sluice = {state: "live", connects: 1, received: [], total: 0, seen: {}, gaps: 0};</script>`),
		"/react-native.js": script(reactNative),
		"/react-native-sse.js": func(w http.ResponseWriter, r *http.Request) {
			http.ServeFile(w, r, filepath.Join(dir, "node_modules", "react-native-sse", "src", "EventSource.js"))
		},
		"/native.js": script(clientBlock(t, "native")),
		"/app.js": script(clientBlock(t, "receiver") + fmt.Sprintf(`
			import { subscribe } from "/native.js";
			const receive = receiver({
				onData: (channel, data) => { (sluice.seen[channel] ??= []).push(data.n); sluice.total++; },
				onGap: () => { sluice.gaps++; },
				onEnd: (code) => { sluice.over = code; },
			});
			subscribe(%q, ["rr:0", "rr:1"], async () => (await fetch("/token")).text(), receive);`, target)),
		"/token": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, token())
		},
	})
}

// The recipe for React Native, with the library of npm over a browser's XMLHttpRequest: cuts,
// the background, a new token, the end.
func TestLongClientRecipeOfTheDocsForReactNative(t *testing.T) {
	browserTest(t)
	dir := installClients(t)
	home := newSite(t)
	s := launch(t, allowing(home.origin()).config())
	t.Cleanup(func() { s.stop(t) })
	line := newRelay(t, s.addr, 1)
	token := tokenOf(t, "42", nil)
	var tokens atomic.Int64
	home.serveNative(t, dir, "http://"+line.addr()+testkit.DefaultPath, func() string {
		tokens.Add(1)
		return token
	})
	p := openLive(t, home.addr())
	connected := func(n int) {
		t.Helper()
		testkit.EventuallyWithin(t, time.Minute, func() bool { return s.sessions.Counts().Clients == n }, fmt.Sprintf("%d streams", n))
	}
	connected(1)
	channels, each := recoverableChannels(2), 0
	publish := func() { each = publishRounds(t, s, channels, each, "", func(n int) bool { return n == each+5 }) }
	publish()
	expectAll(t, p, channels, each)
	for _, reset := range []bool{true, false} {
		line.cutBehind(30, reset)
		publish()
		expectAll(t, p, channels, each)
	}
	line.refuseNext()
	line.cutBehind(0, true)
	publish()
	expectAll(t, p, channels, each)

	evaluate[bool](t, p, `appState("background")`)
	connected(0)
	publish()
	evaluate[bool](t, p, `appState("active")`)
	expectAll(t, p, channels, each)
	connected(1)

	asked := tokens.Load()
	s.api.MustResult(t, "disconnect", `{"user":"42","disconnect":{"code":3005,"reason":"expired"}}`)
	publish()
	expectAll(t, p, channels, each)
	require.Equal(t, asked+1, tokens.Load(), "a new token")

	s.sendAway(t, p, line)
	p.wait(t, `sluice.over === 3503`)
	require.Zero(t, evaluate[int](t, p, `appListeners.size`))
	for _, text := range p.takeProblems() {
		require.Contains(t, text, "blocked by CORS policy")
	}
}
