package cli

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestARelayNeedsAnOrigin(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		out, errs, code := command(append([]string{"relay"}, args...)...)
		require.Equal(t, 1, code)
		require.Empty(t, out)
		require.Contains(t, errs, want)
	}
	f("no origin: give --origin URL")
	f("flag --relay.origin: relay.origin: ", "--origin", "origin:8000")
	f("--origin and --relay.origin are the same option", "--origin", "http://a", "--relay.origin", "http://b")
	f(`unexpected argument "http://a"`, "http://a")
}
