package docs

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPagesSayWhomTheyServe(t *testing.T) {
	pages := Pages()
	require.GreaterOrEqual(t, len(pages), 10)
	for _, p := range pages {
		require.NotEmpty(t, p.About, p.Name)
		require.NotContains(t, p.About, "\n", p.Name)
		require.NotContains(t, p.Text, "<!-- test", p.Name)
	}
}

func TestFindTakesNamesAndFiles(t *testing.T) {
	for _, name := range []string{"protocol", "protocol.md", "Protocol"} {
		p, err := Find(name)
		require.NoError(t, err)
		require.Equal(t, "protocol", p.Name)
		require.Equal(t, "For those who write or choose a client", p.About)
	}
	_, err := Find("nothing")
	require.ErrorContains(t, err, `no page "nothing": there are api, architecture, benchmarks`)
	_, err = Find("nginx")
	require.ErrorContains(t, err, `; front has "Behind nginx"`)
	_, err = Find("README.md")
	require.ErrorContains(t, err, "; README.md is with the sources only")
}
