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

func TestAQueryThatIsOnlyTheConnectRequest(t *testing.T) {
	f := func(query string, only bool) {
		t.Helper()
		require.Equal(t, only, onlyConnect([]byte(query)), "%q", query)
	}
	f("cf_connect=", true)
	f("cf_connect=%7B%7D", true)
	f("cf_connect=a=b", true)
	f("cf_connect", false)
	f("", false)
	f("cf_connect=%7B%7D&ticket=x", false)
	f("ticket=x&cf_connect=%7B%7D", false)
	f("cf_connect=%7B%7D&", false)
	f("cf_connects=x", false)
	f("cf%5Fconnect=x", false)
	f("ticket=x", false)
}
