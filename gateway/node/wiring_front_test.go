package node

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheLastTextIsMadeOnce(t *testing.T) {
	var last lastText
	long := strings.Repeat("x", lastTextMax+1)
	for _, text := range []string{"", "a", "a", "b", long, "a"} {
		require.Equal(t, text, last.text([]byte(text)))
	}
	b := []byte("example.com")
	require.Equal(t, "example.com", last.text(b))
	require.Zero(t, testing.AllocsPerRun(100, func() { last.text(b) }))
	b[0] = 'E'
	require.Equal(t, "Example.com", last.text(b), "nothing is kept of who asked")
	last.text([]byte(long))
	require.Equal(t, "Example.com", *last.last.Load(), "what is long is not kept")
}
