//go:build !race

package origin

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChecksDoNotAllocate(t *testing.T) {
	l, err := NewList([]string{"https://*.example.com"})
	require.NoError(t, err)
	f := func(name string, do func()) {
		t.Helper()
		require.Zero(t, testing.AllocsPerRun(100, do), name)
	}
	f("origin", func() { l.Check("https://a.example.com") })
	f("same origin", func() { IsOf("https://example.com", "example.com:443", "") })
	h := header("User-Agent: curl/8")
	f("no browser", func() { l.Judge(h, Front{Host: "example.com"}) })
}
