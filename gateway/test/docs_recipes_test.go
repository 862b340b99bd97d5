package test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

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
