package sse

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzAppendUnescaped(f *testing.F) {
	for _, s := range []string{"", "a+b", "%7B%22a%22%3a1%7d", "%", "%4", "%zz", "%1\x11", ";", "%3B", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		want, err := url.QueryUnescape(value)
		got, ok := appendUnescaped([]byte("x"), []byte(value))
		require.Equal(t, err == nil && !strings.Contains(value, ";"), ok)
		if ok {
			require.Equal(t, "x"+want, string(got))
		}
	})
}
