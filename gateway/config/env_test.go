package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEnvironmentValuesOfEachKind(t *testing.T) {
	c, _ := mustLoad(t, given{env: []string{
		"CENTRIFUGO_UNI_SSE_ENABLED=1",
		"CENTRIFUGO_UNI_SSE_LAST_EVENT_ID=FALSE",
		"CENTRIFUGO_UNI_SSE_MAX_REQUEST_BODY_SIZE= 10 ",
		"CENTRIFUGO_UNI_SSE_RETRY=1s-2s",
		"CENTRIFUGO_CLIENT_ALLOWED_ORIGINS=https://a.example  https://*.b.example",
		"CENTRIFUGO_CLIENT_PING_INTERVAL=-1",
		"CENTRIFUGO_HTTP_SERVER_INTERNAL_PORT=9000",
		"CENTRIFUGO_ENGINE_REDIS_ADDRESS=h1:1 h2:2",
		`CENTRIFUGO_CLIENT_PROXY_CONNECT_HTTP_STATIC_HEADERS={"X-A":"b"}`,
		`CENTRIFUGO_UNI_SSE_CONNECT_CODE_TO_HTTP_RESPONSE_TRANSFORMS=[{"code":109,"to":{"status_code":401}}]`,
		`CENTRIFUGO_CHANNEL_NAMESPACES=[{"name":"news","presence":true}]`,
		"SLUICE_LOG_LEVEL=DEBUG",
	}})
	require.True(t, c.UniSSE.Enabled)
	require.False(t, c.UniSSE.LastEventID)
	require.Equal(t, 10, c.UniSSE.MaxRequestBodySize)
	require.Equal(t, DurationRange{Min: time.Second, Max: 2 * time.Second}, c.UniSSE.Retry)
	require.Equal(t, []string{"https://a.example", "https://*.b.example"}, c.Client.AllowedOrigins)
	require.Negative(t, c.Client.PingInterval)
	require.Equal(t, "9000", c.HTTPServer.InternalPort)
	require.Equal(t, []string{"h1:1", "h2:2"}, c.Engine.Redis.Address)
	require.Equal(t, map[string]string{"X-A": "b"}, c.Client.Proxy.Connect.HTTP.StaticHeaders)
	require.Equal(t, 401, c.UniSSE.ConnectCodeToHTTPResponse.Transforms[0].To.StatusCode)
	require.Equal(t, "news", c.Channel.Namespaces[0].Name)
	require.True(t, c.Channel.Namespaces[0].Presence)
	require.Equal(t, "disconnect", c.Channel.Namespaces[0].SlowPolicy)
	require.Equal(t, "debug", c.Log.Level)
}

func TestWrongEnvironmentValues(t *testing.T) {
	f := func(entry, want string) {
		t.Helper()
		_, _, err := given{env: []string{entry}}.load()
		require.ErrorContains(t, err, want)
	}
	f("SLUICE_UNI_SSE_ENABLED=yes", `config: env SLUICE_UNI_SSE_ENABLED: uni_sse.enabled: "yes" is not a boolean: allowed true, false`)
	f("SLUICE_HTTP_SERVER_PORT=70000", `http_server.port: "70000" is not a port: allowed 0-65535`)
	f("SLUICE_CLIENT_PING_INTERVAL=25", `client.ping_interval: 25 is a bare number; write "25s"`)
	f("SLUICE_CHANNEL_WITHOUT_NAMESPACE_COMPRESSION=zstd,gzip", `compression: "zstd,gzip" has a comma, and lists are separated by spaces here: allowed "dcz", "gzip", "zstd"`)
	f("SLUICE_CHANNEL_NAMESPACES=news", `channel.namespaces: not JSON: line 1, column 1: expected a value`)
	f("SLUICE_CHANNEL_NAMESPACES={}", `channel.namespaces: an object is not a list of objects`)
	f("SLUICE_CHANNEL_NAMESPACES=[1]", `channel.namespaces[0]: 1 is not an object`)
	f("SLUICE_CLIENT_PROXY_CONNECT_HTTP_STATIC_HEADERS=[]", `static_headers: (hidden) is not an object of strings`)
}

func TestEmptyVariables(t *testing.T) {
	g := fromJSON(`{"pid_file": "p", "client": {"allowed_origins": ["https://a"], "channel_limit": 5}, "http_server": {"port": 1, "internal_port": 2}}`)
	g.env = []string{
		"SLUICE_PID_FILE=", "SLUICE_CLIENT_ALLOWED_ORIGINS=", "SLUICE_CLIENT_CHANNEL_LIMIT=", "SLUICE_HTTP_SERVER_PORT=", "SLUICE_HTTP_SERVER_INTERNAL_PORT=",
	}
	c, rep := mustLoad(t, g)
	require.Equal(t, "", c.PIDFile)
	require.Empty(t, c.Client.AllowedOrigins)
	require.Equal(t, 5, c.Client.ChannelLimit)
	require.Equal(t, 1, c.HTTPServer.Port)
	require.Equal(t, "", c.HTTPServer.InternalPort)
	require.Contains(t, rep.Warnings, "env SLUICE_CLIENT_CHANNEL_LIMIT: client.channel_limit: empty, ignored")
}

func TestVariablesOfNamespaces(t *testing.T) {
	g := fromJSON(`{"channel": {"namespaces": [{"name": "my-ns.x", "history_size": 1, "history_ttl": "1s"}, {"name": "Other"}]}}`)
	g.env = []string{
		"CENTRIFUGO_CHANNEL_NAMESPACES_MY_NS_X_HISTORY_SIZE=7",
		"SLUICE_CHANNEL_NAMESPACES_MY_NS_X_HISTORY_TTL=5s",
		"CENTRIFUGO_CHANNEL_NAMESPACES_MY_NS_X_HISTORY_TTL=6s",
		"CENTRIFUGO_CHANNEL_NAMESPACES_OTHER_ALLOWED_DELTA_TYPES=fossil",
		"CENTRIFUGO_CHANNEL_NAMESPACES_GONE_PRESENCE=true",
		"CENTRIFUGO_CHANNEL_NAMESPACES_OTHER_ALLOW_PUBLISH_FOR_CLIENT=true",
		"CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_PRESENCE=true",
	}
	c, rep := mustLoad(t, g)
	require.Equal(t, 7, c.Channel.Namespaces[0].HistorySize)
	require.Equal(t, 5*time.Second, c.Channel.Namespaces[0].HistoryTTL)
	require.Equal(t, []string{"fossil"}, c.Channel.Namespaces[1].AllowedDeltaTypes)
	require.True(t, c.Channel.WithoutNamespace.Presence)
	require.True(t, rep.IsSet("channel.namespaces[1].allowed_delta_types"))
	all := strings.Join(rep.Warnings, "\n")
	require.Contains(t, all, "env CENTRIFUGO_CHANNEL_NAMESPACES_GONE_PRESENCE: unknown variable, ignored")
	require.Contains(t, all, "env CENTRIFUGO_CHANNEL_NAMESPACES_OTHER_ALLOW_PUBLISH_FOR_CLIENT: not supported, ignored")

	g.env = []string{"SLUICE_CHANNEL_NAMESPACES_MY_NS_X_HISTORY_SIZE=x"}
	_, _, err := g.load()
	require.ErrorContains(t, err, `config: env SLUICE_CHANNEL_NAMESPACES_MY_NS_X_HISTORY_SIZE: channel.namespaces[0].history_size: "x" is not a whole number`)
}

// A variable counts for each namespace whose name it may hold.
func TestAVariableOfSeveralNamespaces(t *testing.T) {
	g := fromJSON(`{"channel": {"namespaces": [{"name": "a-b"}, {"name": "a.b"}, {"name": "a"}, {"name": "a_b"}, {"name": "c"}, {"name": "c_force"}]}}`)
	g.env = []string{"SLUICE_CHANNEL_NAMESPACES_A_B_PRESENCE=true", "SLUICE_CHANNEL_NAMESPACES_C_FORCE_PUSH_JOIN_LEAVE=true"}
	c, rep := mustLoad(t, g)
	for i, want := range []bool{true, true, false, true, false, false} {
		require.Equal(t, want, c.Channel.Namespaces[i].Presence, i)
		require.Equal(t, want, rep.IsSet(fmt.Sprintf("channel.namespaces[%d].presence", i)), i)
		require.Equal(t, i == 4, c.Channel.Namespaces[i].ForcePushJoinLeave, i)
	}
}

// The work is not that of each variable with each namespace.
func TestManyVariablesOfManyNamespaces(t *testing.T) {
	const spaces, variables = 500, 100
	var list []string
	for i := range spaces {
		list = append(list, fmt.Sprintf(`{"name": "n%d"}`, i))
	}
	g := fromJSON(`{"channel": {"namespaces": [` + strings.Join(list, ", ") + `]}}`)
	allocs := func() float64 { return testing.AllocsPerRun(1, func() { mustLoad(t, g) }) }
	without := allocs()
	for i := range variables {
		g.env = append(g.env, fmt.Sprintf("SLUICE_CHANNEL_NAMESPACES_N%d_PRESENCE=true", i), fmt.Sprintf("SLUICE_CHANNEL_NAMESPACES_N%d_ALLOW_PUBLISH_FOR_CLIENT=true", i))
	}
	require.Less(t, allocs()-without, float64(spaces*variables))
}

func TestNamespacesOfTheEnvironmentReplaceThoseOfTheFile(t *testing.T) {
	g := fromJSON(`{"channel": {"namespaces": [{"name": "aa"}, {"name": "bb", "presence": true}]}}`)
	g.env = []string{`SLUICE_CHANNEL_NAMESPACES=[{"name": "cc"}]`, "SLUICE_CHANNEL_NAMESPACES_CC_PRESENCE=true"}
	c, rep := mustLoad(t, g)
	require.Len(t, c.Channel.Namespaces, 1)
	require.Equal(t, "cc", c.Channel.Namespaces[0].Name)
	require.True(t, c.Channel.Namespaces[0].Presence)
	require.False(t, rep.IsSet("channel.namespaces[1].presence"))
}

func TestUnknownVariablesAreNamed(t *testing.T) {
	warned := func(entry string) string {
		t.Helper()
		_, rep := mustLoad(t, given{env: []string{entry}, flags: quietFlags()})
		require.Contains(t, rep.Warnings[0], "file config.json: not found")
		return strings.Join(rep.Warnings[1:], "\n")
	}
	require.Equal(t, "env SLUICE_UNI_SSE_ENABELD: unknown variable, ignored; did you mean SLUICE_UNI_SSE_ENABLED?", warned("SLUICE_UNI_SSE_ENABELD=1"))
	require.Equal(t, "env CENTRIFUGO_HMAC_SECRET_KEY: unknown variable, ignored; did you mean CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY?",
		warned("CENTRIFUGO_HMAC_SECRET_KEY=s"))
	require.Equal(t, "env SLUICE_HTTP_SERVRE_PORT: unknown variable, ignored; did you mean SLUICE_HTTP_SERVER_PORT?", warned("SLUICE_HTTP_SERVRE_PORT=9"))
	require.Equal(t, "env SLUICE_NOTHING_LIKE_IT_AT_ALL: unknown variable, ignored", warned("SLUICE_NOTHING_LIKE_IT_AT_ALL=1"))

	for _, entry := range []string{
		"CENTRIFUGO_VAR_X=1", "SLUICE_VAR_X=1",
		"SLUICE_SERVICE_HOST=10.0.0.1", "SLUICE_SERVICE_PORT=80", "SLUICE_SERVICE_PORT_HTTP=80",
		"SLUICE_PORT=tcp://10.0.0.1:80", "SLUICE_PORT_80_TCP=tcp://10.0.0.1:80", "SLUICE_PORT_80_TCP_ADDR=10.0.0.1",
		"SLUICE_PORT_80_TCP_PORT=80", "SLUICE_PORT_80_TCP_PROTO=tcp", "CENTRIFUGO_INTERNAL_SERVICE_HOST=10.0.0.1",
		"CENTRIFUGO_INTERNAL_PORT=tcp://10.0.0.1:80", "OTHER=1", "SLUICE_=1",
	} {
		require.Empty(t, warned(entry), entry)
	}
}

func TestDotEnvNeverBeatsTheRealEnvironment(t *testing.T) {
	c, _ := mustLoad(t, given{
		files: map[string]string{".env": "SLUICE_LOG_LEVEL=debug\nSLUICE_NODE_NAME=from-file\nCENTRIFUGO_PID_FILE=p\n"},
		env:   []string{"SLUICE_LOG_LEVEL=warn"},
	})
	require.Equal(t, "warn", c.Log.Level)
	require.Equal(t, "from-file", c.Node.Name)
	require.Equal(t, "p", c.PIDFile)
}

func TestMalformedDotEnvIsAnErrorWithoutItsText(t *testing.T) {
	_, _, err := given{files: map[string]string{".env": "A=1\nhunter2"}}.load()
	require.EqualError(t, err, "config: file .env: line 2: allowed NAME=value, a comment, or nothing")
}

func TestFlags(t *testing.T) {
	f := func(key, value, want string) {
		t.Helper()
		_, _, err := given{flags: map[string]string{key: value}}.load()
		require.EqualError(t, err, want)
	}
	f("http_server.port", "x", `config: flag --http_server.port: http_server.port: "x" is not a port: allowed 0-65535`)
	f("http_server.prot", "1", `config: flag --http_server.prot: unknown option; did you mean http_server.port?`)
	f("http_server", "1", `config: flag --http_server: unknown option`)
	f("uni_sse.enabled.x", "1", `config: flag --uni_sse.enabled.x: unknown option; did you mean uni_sse.enabled?`)
	f("api_insecuer", "1", `config: flag --api_insecuer: unknown option; did you mean http_api.insecure?`)

	_, rep := mustLoad(t, given{flags: map[string]string{"uni_websocket.enabled": "true", "grpc_api.enabled": "false", "grpc_api.port": "1"}})
	require.Contains(t, rep.Warnings, "flag --uni_websocket.enabled: uni_websocket.enabled: not supported, ignored: there is no WebSocket transport")
	require.NotContains(t, strings.Join(rep.Warnings, "\n"), "grpc_api")
}

func TestStaticHeadersTakeVariables(t *testing.T) {
	g := fromJSON(`{"client": {"proxy": {"refresh": {"http": {"static_headers": {"A": "x ${CENTRIFUGO_VAR_A} ${SLUICE_VAR_B} ${HOME}", "B": "plain"}}}}}}`)
	g.env = []string{"CENTRIFUGO_VAR_A=1", "SLUICE_VAR_B=2", "HOME=/root"}
	c, _ := mustLoad(t, g)
	require.Equal(t, map[string]string{"A": "x 1 2 ${HOME}", "B": "plain"}, c.Client.Proxy.Refresh.HTTP.StaticHeaders)

	g.env = nil
	_, _, err := g.load()
	require.ErrorContains(t, err, `config: file config.json:1: client.proxy.refresh.http.static_headers: header "A": environment variable CENTRIFUGO_VAR_A is not set`)
	require.ErrorContains(t, err, `SLUICE_VAR_B is not set`)
}

// A variable is named in capitals with underscores: one with the key of an option is
// told of, and sets nothing.
func TestVariablesAreNotKeys(t *testing.T) {
	for _, name := range []string{"SLUICE_HTTP_API.KEY", "SLUICE_CHANNEL.NAMESPACES[0].NAME"} {
		c, rep := mustLoad(t, given{files: map[string]string{"config.json": `{"http_api": {"key": "of the file"}}`}, env: []string{name + "=x"}})
		require.Equal(t, "of the file", c.HTTPAPI.Key)
		require.Contains(t, strings.Join(rep.Warnings, "\n"), name+": unknown variable, ignored")
	}
}
