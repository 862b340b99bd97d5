//go:build e2e

package test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// hurried is a recipe that waits for two seconds, not for a minute, for something to come.
func hurried(t *testing.T, text string) string {
	t.Helper()
	hurried := strings.NewReplacer("silence = 60_000;", "silence = 2_000;", "silence  = time.Minute ", "silence  = 2*time.Second ",
		"SILENCE = 60 ", "SILENCE = 2 ").Replace(text)
	require.NotEqual(t, text, hurried)
	return hurried
}

// Programs and pages leave a connection on which nothing comes any more, which no one closed.
func TestLongClientRecipesOfTheDocsLeaveSilentConnections(t *testing.T) {
	browserTest(t)
	home := newSite(t)
	p := allowing(home.origin())
	p.client += `, "ping_interval": "100ms"`
	s := launch(t, p.config())
	t.Cleanup(func() { s.stop(t) })
	token := tokenOf(t, "42", nil)
	var stuck atomic.Bool
	var boxes []*middlebox // one for each
	newBox := func() (url string) {
		boxes = append(boxes, newMiddlebox(t, s.addr, func(came, _, _ int) int {
			if stuck.Load() {
				return 0
			}
			return came
		}))
		return "http://" + boxes[len(boxes)-1].addr()
	}
	hurry := func(text string) string { return hurried(t, text) }
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, token) }))
	t.Cleanup(tokens.Close)
	channels := recoverableChannels(2)
	programs := []*following{follows(t, "javascript", newRecipe(t, "javascript", hurry(fetchRecipe(t, newBox()+testkit.DefaultPath, tokens.URL, channels))).command())}
	for _, block := range docBlocks(t, "follow") {
		if block[2] != "sh" { // it leaves that to TCP
			cmd := newRecipe(t, block[2], hurry(block[3])).command(append([]string{newBox() + testkit.DefaultPath}, channels...)...)
			programs = append(programs, follows(t, block[2], cmd, "TOKEN="+token))
		}
	}
	home.serveAll(map[string]http.HandlerFunc{
		"/token": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, token) },
		"/": htmlPage(`<!doctype html><title>test</title><link rel="icon" href="data:,"><p id="state-detail"></p><form id="publish-form"></form><script>` +
			hurry(pageRecipes(t, newBox(), newBox(), token)) + `</script>`),
	})
	page := openLive(t, home.addr())
	testkit.EventuallyWithin(t, time.Minute, func() bool { return s.sessions.Counts().Clients == len(boxes) }, "all to connect")
	each := 0
	publish := func() { each = publishRounds(t, s, channels, each, "", func(n int) bool { return n == each+5 }) }
	got := func() {
		t.Helper()
		for _, f := range programs {
			f.wait(t, each*len(channels))
			f.expect(t, channels, each)
		}
		expectAll(t, page, channels, each)
	}
	publish()
	got()
	again := expectAgain(t, boxes)
	stuck.Store(true)
	publish()
	again()
	stuck.Store(false)
	got()
	publish()
	got()
	for _, text := range page.takeProblems() {
		require.Contains(t, text, "blocked by CORS policy")
	}
	evaluate[bool](t, page, `{ window.stop(); true; }`)
}

// expectAgain returns what waits until each box has another connection than now.
func expectAgain(t *testing.T, boxes []*middlebox) (wait func()) {
	before := make(map[*middlebox]int)
	for _, box := range boxes {
		before[box] = box.connections()
	}
	return func() {
		t.Helper()
		for _, box := range boxes {
			testkit.EventuallyWithin(t, time.Minute, func() bool { return box.connections() > before[box] }, "each to try again")
		}
	}
}

// connections returns how many connections there were.
func (m *middlebox) connections() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.conns) / 2
}
