package check_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnOriginIsAnAddressOfHTTP(t *testing.T) {
	f := func(relay, want string) {
		t.Helper()
		_, err := tryLoad(fmt.Sprintf(`{"relay": {%s}, "broadcast": {"enabled": true}, "http_api": {"disabled": true}}`, relay), nil)
		if want == "" {
			require.NoError(t, err)
			return
		}
		require.ErrorContains(t, err, want)
	}
	f(`"origin": ""`, "")
	f(`"origin": "http://origin:8000"`, "")
	f(`"origin": "https://cdn.example/live/broadcast", "tls": {"enabled": true}`, "")
	f(`"origin": "origin:8000"`, "relay.origin: ")
	f(`"origin": "ftp://origin"`, "is not of HTTP")
	f(`"origin": "http://"`, "is no URL with a host")
	f(`"origin": "http://:80"`, "is no URL with a host")
	f(`"origin": "http://u:secret@origin"`, "has a user")
	f(`"origin": "http://origin/?a=b"`, "has a query")
	f(`"origin": "http://origin", "tls": {"enabled": true}`, "relay.tls.enabled: true with an origin that is not encrypted")
	_, err := tryLoad(`{"relay": {"origin": "http://u:secret@origin"}}`, nil)
	require.NotContains(t, err.Error(), "secret")
	_, err = tryLoad(`{"relay": {"origin": "http://origin"}, "engine": {"type": "redis"}}`, nil)
	require.ErrorContains(t, err, "relay.origin: set with engine.type redis")
}

func TestARelayWithAnAPIIsTold(t *testing.T) {
	rep := load(t, `{"relay": {"origin": "http://origin"}, "broadcast": {"enabled": true}, "http_api": {"key": "0123456789abcdef0123456789abcdef"}}`, nil)
	require.NotEmpty(t, kindsOf(rep, "http_api.key"))
}
