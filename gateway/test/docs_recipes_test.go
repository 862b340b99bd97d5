package test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// A token minted as the pages say in each language connects as the user it names;
// without a secret, or with an empty one, there is none, and an error.
func TestRecipesOfTheDocsMintTokens(t *testing.T) {
	s := startServer(t, parts{})
	tested := make(map[string]bool)
	for _, block := range docBlocks(t, "mint") {
		language, text := block[2], block[3]
		tested[language] = true
		t.Run(language, func(t *testing.T) {
			recipe := newRecipe(t, language, text)
			mint := func(env ...string) (token, errs string, err error) {
				cmd := recipe.command()
				said := &testkit.LogBuffer{}
				cmd.Env, cmd.Stderr = append(environWithout("TOKEN_SECRET"), env...), said
				out, err := cmd.Output()
				return strings.TrimSpace(string(out)), said.String() + string(out), err
			}
			for _, env := range [][]string{nil, {"TOKEN_SECRET="}} {
				_, said, err := mint(env...)
				var exit *exec.ExitError
				require.ErrorAs(t, err, &exit, "%q: a token without a secret: %s", env, said)
				require.Contains(t, said, "TOKEN_SECRET is not set")
			}
			token, said, err := mint("TOKEN_SECRET=" + testSecret)
			require.NoError(t, err, "%s", said)

			c := testkit.Connect(t, s.addr, testkit.ConnectOptions{Token: token})
			connect := c.ExpectConnect(t)
			require.True(t, connect.Expires)
			require.InDelta(t, 900, connect.TTL, 60, "seconds")
			s.api.MustResult(t, "disconnect", `{"user":"42"}`)
			c.ExpectDisconnect(t, 3503)
		})
	}
	require.Len(t, tested, 5, "each language has its recipe")
}

// environWithout is the environment without a variable.
func environWithout(name string) []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
}

// The page of the recipe goes on without a loss while its tokens expire, and stops
// when it is told to.
func TestBrowserRecipeOfTheDocsRenewsTokens(t *testing.T) {
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
