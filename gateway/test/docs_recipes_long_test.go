//go:build e2e

package test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// The page of the recipe goes on without a loss while its tokens expire, and stops
// when it is told to.
func TestLongBrowserRecipeOfTheDocsRenewsTokens(t *testing.T) {
	browserTest(t)
	blocks := docBlocks(t, "page")
	require.Len(t, blocks, 1)
	home := newSite(t)
	p := allowing(home.origin())
	p.client += `, "expired_close_delay": "10ms"`
	s := launch(t, p.config())
	defer s.stop(t)

	var asked atomic.Int64 // for tokens
	home.serve(blocks[0][3] + collect + fmt.Sprintf(`
		const token = async () => (await fetch("/token")).text();
		const stop = subscribe(%q, ["rr:0", "rr:1"], token, (push) => onEvent(JSON.stringify(push)));
	`, "http://"+s.addr+testkit.DefaultPath))
	page := home.Config.Handler
	home.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/token" {
			page.ServeHTTP(w, r)
			return
		}
		asked.Add(1)
		fmt.Fprint(w, testkit.HS256(t, testSecret, map[string]any{"sub": "42", "exp": time.Now().Add(2 * time.Second).Unix()}))
	})
	b := openLive(t, home.addr())
	const tokens = 3
	channels := recoverableChannels(2)
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	limit := time.Now().Add(pageTimeout)
	each := publishRounds(t, s, channels, 0, "", func(int) bool {
		<-pace.C
		return asked.Load() >= tokens || time.Now().After(limit)
	})
	require.GreaterOrEqual(t, asked.Load(), int64(tokens), "the page asks again when a token expires")
	expectAll(t, b, channels, each)

	s.api.MustResult(t, "disconnect", `{"user":"42"}`)
	testkit.Eventually(t, func() bool { return s.sessions.Counts().Clients == 0 }, "no stream behind a terminal code")
}
