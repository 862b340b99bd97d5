//go:build !race

package auth

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHotPathsDoNotAllocate(t *testing.T) {
	v := newTestVerifier(t, nil)
	token := mint(t, `{"sub":"42","exp":1900000000,"info":{"name":"Alice"},"channels":["news"]}`)
	requireIdentity(t, v, token, "42")
	keys := NewAPIKeys(APIKeyOptions{Key: "0123456789abcdef0123456789abcdef0123"})
	f := func(name string, do func()) {
		t.Helper()
		require.Zero(t, testing.AllocsPerRun(100, do), name)
	}
	f("cached token", func() { _, _ = v.VerifyConnect(token, now) })
	f("key in the header", func() { keys.CheckAPIKey("0123456789abcdef0123456789abcdef0123", true, "", "") })
	f("key in Authorization", func() { keys.CheckAPIKey("", false, "apikey 0123456789abcdef0123456789abcdef0123", "") })
}

func TestANewTokenAllocatesLittle(t *testing.T) {
	v := newTestVerifier(t, func(o *Options) { o.CacheSize = -1 })
	token := mint(t, `{"sub":"42","exp":1900000000,"info":{"name":"Alice"},"channels":["news"]}`)
	requireIdentity(t, v, token, "42")
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _ = v.VerifyConnect(token, now) }), 8.0)
}
