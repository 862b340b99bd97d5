package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/legacy"
	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
)

// findingsOf returns the findings of the kinds in a file that is fine.
func findingsOf(t *testing.T, text string, kinds ...Kind) []string {
	t.Helper()
	_, rep := mustLoad(t, fromJSON(text))
	found := []string{}
	for _, f := range rep.Findings {
		if slices.Contains(kinds, f.Kind) {
			found = append(found, f.String())
		}
	}
	return found
}

func TestTheSeedsOptionsWork(t *testing.T) {
	c, rep := mustLoad(t, fromJSON("{\n\"uni_sse\": true,\n\"uni_sse_max_request_body_size\": 1000}"))
	require.True(t, c.UniSSE.Enabled)
	require.Equal(t, 1000, c.UniSSE.MaxRequestBodySize)
	require.Equal(t, []report.Finding{
		{Origin: "file config.json", Line: 2, Key: "uni_sse", Kind: report.KindDeprecated, Detail: "a flat key of versions 4 and 5", Suggestion: "uni_sse.enabled"},
		{Origin: "file config.json", Line: 3, Key: "uni_sse_max_request_body_size", Kind: report.KindDeprecated,
			Detail: "a flat key of versions 4 and 5", Suggestion: "uni_sse.max_request_body_size"},
	}, rep.Findings[:2])
	require.Equal(t, "file config.json:2: uni_sse: a flat key of versions 4 and 5; write uni_sse.enabled (and 1 more like it; checkconfig names them all)",
		rep.Warnings[0])
	require.Equal(t, "file config.json:3", rep.Origin("uni_sse.max_request_body_size"))
	require.True(t, rep.IsSet("uni_sse.enabled"))
}

// Every flat key reaches the option that the table names, from a file, a variable and a flag.
func TestEveryFlatKeyReachesItsOption(t *testing.T) {
	samples := map[string]*schema.Field{}
	for _, o := range Options() {
		samples[o.Key] = o
	}
	strip := func(l *loader) *Config {
		require.Empty(t, l.errs)
		return l.cfg
	}
	for _, k := range oldKeys() {
		o, ours := samples[k.to[0]]
		if !ours || o.Kind == schema.KindObjects {
			continue
		}
		value, text := sampleOf(o)
		if value == "" {
			continue // a section that is taken over as a whole
		}
		if k.word {
			value, text = `"redis"`, "redis"
		}
		plain := newLoader(Source{Flags: map[string]string{}})
		for _, to := range k.to {
			plain.src.Flags[to] = text
		}
		if k.enable != "" {
			plain.src.Flags[k.enable] = "true"
		}
		plain.flags()
		want := strip(plain)
		require.NotEqual(t, Default(), want, k.name)

		key, ok := legacy.FlagKey(k.name)
		require.True(t, ok)
		require.Equal(t, k.to[0], key)

		byFile := newLoader(Source{Path: "c.json", Read: func(string) ([]byte, error) { return []byte(`{"five": 1, "` + k.name + `": ` + value + `}`), nil }})
		require.True(t, byFile.file())
		require.Equal(t, want, strip(byFile), k.name)
		require.Equal(t, byFile.rep.Findings[0].Suggestion, strings.Join(append(slices.Clone(k.to), slices.DeleteFunc([]string{k.enable}, func(s string) bool { return s == "" })...), " and "))

		byFlag := newLoader(Source{Flags: map[string]string{k.name: text}})
		byFlag.flags()
		require.Equal(t, want, strip(byFlag), k.name)

		for _, prefix := range schema.EnvPrefixes {
			byEnv := newLoader(Source{})
			byEnv.env(map[string]string{prefix + strings.ToUpper(k.name): text})
			require.Equal(t, want, strip(byEnv), k.name)
		}
	}
}

func TestEveryChannelOptionIsAFlatKey(t *testing.T) {
	for _, f := range schema.ChannelSection().Fields {
		if f.Name == "history_meta_ttl" {
			continue
		}
		names := legacy.FlatNames(schema.WithoutNamespace + f.Name)
		if f.Name == "broadcast" { // which is a section
			require.Empty(t, names)
			continue
		}
		name := names[0]
		value, _ := sample(f)
		got := newLoader(Source{Path: "c.json", Read: func(string) ([]byte, error) { return []byte(`{"` + name + `": ` + value + `}`), nil }})
		require.True(t, got.file())
		require.Empty(t, got.errs)
		want := decodedAs(t, "c.json", `{"channel": {"without_namespace": {"`+f.Name+`": `+value+`}}}`)
		require.Equal(t, want, got.cfg, name)
		require.NotEqual(t, Default(), got.cfg, name)
	}
}

func TestShapeDecidesTheGeneration(t *testing.T) {
	c, rep := mustLoad(t, fromJSON(`{"prometheus": {"enabled": true}, "engine": {"type": "memory"}, `+quiet+`}`))
	require.True(t, c.UniSSE.Enabled && c.Prometheus.Enabled)
	require.Empty(t, rep.Findings)
	c, _ = mustLoad(t, fromJSON(`{"uni_sse": true, "admin": true, "prometheus": true, "health": true, "debug": true, "engine": "memory", "broker": ""}`))
	require.True(t, c.UniSSE.Enabled && c.Admin.Enabled && c.Prometheus.Enabled && c.Health.Enabled && c.Debug.Enabled)
	require.False(t, c.Broker.Enabled)
	for _, section := range []string{"sse", "uni_websocket", "uni_http_stream", "uni_grpc", "http_stream", "webtransport", "swagger", "grpc_api", "graphite", "opentelemetry", "sockjs"} {
		require.Len(t, findingsOf(t, `{"`+section+`": true}`, report.KindUnsupported), 1, section)
		require.Empty(t, findingsOf(t, `{"`+section+`": false, "`+section+`_port": 1}`, report.KindUnsupported, report.KindUnknown), section)
	}
	_, _, err := fromJSON(`{"engine": "tarantool"}`).load()
	require.EqualError(t, err, `config: file config.json:1: engine.type (written as engine): "tarantool" is unknown: allowed "memory", "redis"`)
}

func TestUnknownKeysInFlatFiles(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		require.Equal(t, want, findingsOf(t, text, report.KindUnknown))
	}
	f(`{"allowed_orgins": []}`, `file config.json:1: allowed_orgins: unknown key, ignored; did you mean client.allowed_origins?`)
	f(`{"token_hmac_secret_kye": ""}`, `file config.json:1: token_hmac_secret_kye: unknown key, ignored; did you mean client.token.hmac_secret_key?`)
	f(`{"namespaces": [{"name": "aa", "histroy_size": 1}]}`,
		`file config.json:1: namespaces[0].histroy_size: unknown key, ignored; did you mean channel.namespaces[0].history_size?`)
	f(`{"channel": {"namespaces": [{"name": "aa", "proxy_subscribe": true}]}}`,
		`file config.json:1: channel.namespaces[0].proxy_subscribe: unknown key, ignored: a name of version 5; did you mean channel.namespaces[0].subscribe_proxy_enabled?`)
	f(`{"granular_proxy_mode": true, "connect_proxy_name": "x", "proxies": [{"name": "x", "endpoint": "http://b", "colour": 1}]}`,
		`file config.json:1: proxies[0].colour: unknown key, ignored`)
}

func TestTheNestedFormBeatsTheFlatOne(t *testing.T) {
	text := "{\"port\": 1,\n\"http_server\": {\"port\": 2},\n\"address\": \"10.0.0.1\", \"uni_sse\": true}"
	c, _ := mustLoad(t, fromJSON(text))
	require.Equal(t, 2, c.HTTPServer.Port)
	require.Equal(t, "10.0.0.1", c.HTTPServer.Address, "keys that do not clash count, whichever form they have")
	require.True(t, c.UniSSE.Enabled)
	require.Equal(t, []string{
		"file config.json:1: port: sets http_server.port, which is there in its nested form as well (line 2); that one counts",
		"file config.json:1: port: is flat as in versions 4 and 5, http_server (line 2) is nested as in version 6: both count, and where they set one option the nested form does; use one of them",
	}, findingsOf(t, text, report.KindClash))

	c, _ = mustLoad(t, fromJSON(`{"channel": {"namespaces": [{"name": "new"}]}, "namespaces": [{"name": "old"}]}`))
	require.Equal(t, "new", c.Channel.Namespaces[0].Name)
	require.Empty(t, findingsOf(t, `{"pid_file": "x", "consumers": [], "proxies": [], "port": 1}`, report.KindClash), "keys of both generations are no mixture")
}

func TestTwoFlatKeysForOneOption(t *testing.T) {
	text := `{"tls_cert": "a", "tls_cert_pem": "b"}`
	c, _ := mustLoad(t, fromJSON(text))
	require.Equal(t, "b", c.HTTPServer.TLS.CertPEM)
	require.Equal(t, []string{"file config.json:1: tls_cert_pem: sets http_server.tls.cert_pem, as tls_cert does; the later one counts"}, findingsOf(t, text, report.KindClash))
	text = "{\"port\": 1,\n\"port\": 2}"
	c, _ = mustLoad(t, fromJSON(text))
	require.Equal(t, 2, c.HTTPServer.Port)
	require.Equal(t, []string{"file config.json:2: port: given twice; the last one counts"}, findingsOf(t, text, report.KindDuplicate))
}

// In an element of namespaces an option has its old name and that of now, and either may be there again.
func TestTwoNamesForOneOptionOfANamespace(t *testing.T) {
	const twice = "namespaces[0].proxy_subscribe: given twice; the last one counts"
	f := func(element string, want bool, findings ...string) {
		t.Helper()
		text := "{\"namespaces\": [{\"name\": \"aa\",\n" + element + "}]}"
		c, _ := mustLoad(t, fromJSON(text))
		require.Equal(t, want, c.Channel.Namespaces[0].SubscribeProxyEnabled, element)
		require.Equal(t, findings, findingsOf(t, text, report.KindDuplicate))
		require.Empty(t, findingsOf(t, text, report.KindClash))
	}
	f("\"subscribe_proxy_enabled\": false,\n\"proxy_subscribe\": true", true, "file config.json:3: "+twice)
	f("\"proxy_subscribe\": true,\n\"subscribe_proxy_enabled\": false", false, "file config.json:3: "+twice)
	f(`"proxy_subscribe": true, "proxy_subscribe": false`, false, "file config.json:2: "+twice)
	f(`"Proxy_Subscribe": false, "proxy_subscribe": true`, true, "file config.json:2: "+twice)
	f(`"subscribe_proxy_enabled": true, "proxy_subscribe": null`, true, "file config.json:2: "+twice)

	c, rep := mustLoad(t, given{env: []string{`CENTRIFUGO_NAMESPACES=[{"name": "aa", "subscribe_proxy_enabled": false, "proxy_subscribe": true}]`}})
	require.True(t, c.Channel.Namespaces[0].SubscribeProxyEnabled)
	require.Contains(t, rep.Warnings, "env CENTRIFUGO_NAMESPACES: "+twice)

	text := `{"namespaces": [{"name": "aa", "proxy_subscribe": "x", "subscribe_proxy_enabled": "x"}]}`
	_, _, err := fromJSON(text).load()
	require.Equal(t, 2, strings.Count(err.Error(), `channel.namespaces[0].subscribe_proxy_enabled (written as namespaces[0].proxy_subscribe): "x" is not a boolean`))
	require.Contains(t, warningsOf(t, `{"namespaces": [{"name": "aa", "Proxy_Publish": true}]}`), "namespaces[0].Proxy_Publish: not supported, ignored")
}

func TestHistoryMetaTTLMeansWhatItsVersionMeant(t *testing.T) {
	f := func(text string, global, without time.Duration) {
		t.Helper()
		c, _ := mustLoad(t, fromJSON(text))
		require.Equal(t, global, c.Channel.HistoryMetaTTL, text)
		require.Equal(t, without, c.Channel.WithoutNamespace.HistoryMetaTTL, text)
	}
	const month = 720 * time.Hour
	f(`{"history_meta_ttl": "5h"}`, 5*time.Hour, 0)
	f(`{"history_meta_ttl": "5h", "namespaces": [{"name": "aa", "history_size": 1, "history_ttl": "1s"}]}`, 5*time.Hour, 0)
	f(`{"history_meta_ttl": "5h", "global_history_meta_ttl": "6h"}`, 6*time.Hour, 5*time.Hour)
	f(`{"global_history_meta_ttl": "6h", "history_meta_ttl": "5h"}`, 6*time.Hour, 5*time.Hour)
	f(`{"history_meta_ttl": "5h", "token_user_id_claim": "x"}`, month, 5*time.Hour)
	f(`{"history_meta_ttl": "5h", "namespaces": [{"name": "aa", "history_meta_ttl": "7h"}]}`, month, 5*time.Hour)
	f(`{"history_meta_ttl": "5h", "namespaces": [{"name": "aa", "delta_publish": true}]}`, month, 5*time.Hour)

	env := func(global, without time.Duration, entries ...string) {
		t.Helper()
		c, _ := mustLoad(t, given{env: entries})
		require.Equal(t, global, c.Channel.HistoryMetaTTL, entries)
		require.Equal(t, without, c.Channel.WithoutNamespace.HistoryMetaTTL, entries)
	}
	env(5*time.Hour, 0, "CENTRIFUGO_HISTORY_META_TTL=5h")
	env(6*time.Hour, 5*time.Hour, "CENTRIFUGO_HISTORY_META_TTL=5h", "CENTRIFUGO_GLOBAL_HISTORY_META_TTL=6h")
	env(month, 5*time.Hour, "CENTRIFUGO_HISTORY_META_TTL=5h", "SLUICE_API_ERROR_MODE=transport")
}

func TestVariablesOfVersion5(t *testing.T) {
	c, rep := mustLoad(t, given{env: []string{
		"CENTRIFUGO_UNI_SSE=true", "CENTRIFUGO_TOKEN_HMAC_SECRET_KEY=s", "CENTRIFUGO_PORT=9000", "CENTRIFUGO_ALLOWED_ORIGINS=https://a https://b",
		`CENTRIFUGO_NAMESPACES=[{"name":"aa","proxy_subscribe":true}]`, "CENTRIFUGO_ENGINE=redis", "CENTRIFUGO_BROKER=nats", "CENTRIFUGO_PRESENCE=1",
		"CENTRIFUGO_PROXY_CONNECT_ENDPOINT=http://b", `CENTRIFUGO_PROXY_STATIC_HTTP_HEADERS={"X-A":"1"}`, "CENTRIFUGO_SSE=true", "CENTRIFUGO_HEALTH=",
	}})
	require.True(t, c.UniSSE.Enabled && c.Channel.WithoutNamespace.Presence)
	require.Equal(t, "s", c.Client.Token.HMACSecretKey)
	require.Equal(t, 9000, c.HTTPServer.Port)
	require.Equal(t, []string{"https://a", "https://b"}, c.Client.AllowedOrigins)
	require.True(t, c.Channel.Namespaces[0].SubscribeProxyEnabled)
	require.Equal(t, []string{"redis", "nats"}, []string{c.Engine.Type, c.Broker.Type})
	require.True(t, c.Broker.Enabled && c.Client.Proxy.Connect.Enabled && !c.Client.Proxy.Refresh.Enabled)
	require.Equal(t, map[string]string{"X-A": "1"}, c.Client.Proxy.Connect.HTTP.StaticHeaders)
	all := strings.Join(rep.Warnings, "\n")
	require.Contains(t, all, "env CENTRIFUGO_SSE: not supported, ignored: there is no bidirectional SSE")
	require.Contains(t, all, "env CENTRIFUGO_HEALTH: health: empty, ignored")
	require.Equal(t, "env CENTRIFUGO_TOKEN_HMAC_SECRET_KEY", rep.Origin("client.token.hmac_secret_key"))
	i := slices.IndexFunc(rep.Findings, func(f Finding) bool { return f.Origin == "env CENTRIFUGO_UNI_SSE" })
	require.Equal(t, report.Finding{Origin: "env CENTRIFUGO_UNI_SSE", Key: "uni_sse", Kind: report.KindDeprecated,
		Detail: "a flat key of versions 4 and 5", Suggestion: "CENTRIFUGO_UNI_SSE_ENABLED"}, rep.Findings[i])

	_, _, err := given{env: []string{"CENTRIFUGO_PORT=x", "CENTRIFUGO_NAMESPACES={"}}.load()
	require.ErrorContains(t, err, `config: env CENTRIFUGO_PORT: http_server.port (written as port): "x" is not a port: allowed 0-65535`)
	require.ErrorContains(t, err, `config: env CENTRIFUGO_NAMESPACES: channel.namespaces (written as namespaces): not JSON`)
}

func TestGranularHooksByVariables(t *testing.T) {
	c, _ := mustLoad(t, given{env: []string{
		"CENTRIFUGO_GRANULAR_PROXY_MODE=true", "CENTRIFUGO_CONNECT_PROXY_NAME=a", `CENTRIFUGO_PROXIES=[{"name":"a","endpoint":"http://b"}]`,
	}})
	require.True(t, c.Client.Proxy.Connect.Enabled)
	require.Equal(t, "http://b", c.Client.Proxy.Connect.Endpoint)
	_, _, err := given{env: []string{"CENTRIFUGO_GRANULAR_PROXY_MODE=true", "CENTRIFUGO_CONNECT_PROXY_NAME=a", "CENTRIFUGO_PROXIES=hunter2"}}.load()
	require.ErrorContains(t, err, `connect_proxy_name: "a" is not the name of an entry of proxies`)
	require.NotContains(t, err.Error(), "hunter2")
}

func TestGranularNamesWithoutTheMode(t *testing.T) {
	text := `{"connect_proxy_name": "a", "proxies": [{"name": "a", "endpoint": "http://b"}]}`
	c, _ := mustLoad(t, fromJSON(text))
	require.False(t, c.Client.Proxy.Connect.Enabled)
	require.Contains(t, findingsOf(t, text, report.KindAdvice), "file config.json:1: connect_proxy_name: has no effect without granular_proxy_mode")
	require.Len(t, findingsOf(t, text, report.KindUnsupported), 1)
	text = `{"granular_proxy_mode": true, "connect_proxy_name": "a", "proxies": [{"name": "a", "endpoint": "http://b"}, {"name": "rpc", "endpoint": "http://c"}]}`
	require.Equal(t, []string{"file config.json:1: proxies: not supported, ignored: hooks of channels belong to bidirectional clients"}, findingsOf(t, text, report.KindUnsupported))
}

func TestPrecedenceOfNamesInsideASource(t *testing.T) {
	f := func(want int, g given) {
		t.Helper()
		c, _ := mustLoad(t, g)
		require.Equal(t, want, c.HTTPServer.Port)
	}
	env := []string{"CENTRIFUGO_PORT=1"}
	f(1, given{env: env})
	env = append(env, "SLUICE_PORT=2")
	f(2, given{env: env})
	env = append(env, "CENTRIFUGO_HTTP_SERVER_PORT=3")
	f(3, given{env: env})
	env = append(env, "SLUICE_HTTP_SERVER_PORT=4")
	f(4, given{env: env})
	f(5, given{env: env, flags: map[string]string{"port": "5"}})
	f(6, given{env: env, flags: map[string]string{"port": "5", "http_server.port": "6"}})
	f(1, given{env: []string{"CENTRIFUGO_PORT=1"}, files: map[string]string{"config.json": `{"http_server": {"port": 9}}`}})
}

func TestFlatFlags(t *testing.T) {
	c, _ := mustLoad(t, given{flags: map[string]string{
		"uni_sse": "true", "port": "9000", "address": "::1", "health": "true", "admin": "true", "api_insecure": "true", "client_insecure": "true",
		"log_level": "debug", "engine": "redis", "redis_address": "h:1", "tls": "false",
	}})
	require.True(t, c.UniSSE.Enabled && c.Health.Enabled && c.Admin.Enabled && c.HTTPAPI.Insecure && c.Client.Insecure)
	require.Equal(t, []string{"[::1]:9000", "debug", "redis", "h:1"}, []string{c.HTTPServer.External(), c.Log.Level, c.Engine.Type, c.Engine.Redis.Address[0]})

	_, _, err := given{flags: map[string]string{"port": "x"}}.load()
	require.EqualError(t, err, `config: flag --port: http_server.port (written as port): "x" is not a port: allowed 0-65535`)
}

func TestStrictKinds(t *testing.T) {
	for kind, want := range map[Kind]bool{
		report.KindUnknown: true, report.KindDeprecated: true, report.KindUnsupported: true, report.KindClash: true, report.KindDuplicate: true, report.KindMissing: false, report.KindAdvice: false,
	} {
		require.Equal(t, want, kind.Strict(), kind)
	}
}

// In the granular mode of hooks the name of a hook decides who may subscribe: without that hook nobody may ask for the channel,
// and the name is not passed over in silence.
func TestANamedSubscribeHookKeepsClientsOut(t *testing.T) {
	f := func(mode string, closed bool) {
		t.Helper()
		c, rep := mustLoad(t, fromJSON(`{`+mode+`"subscribe_proxy_name": "gate", "allow_subscribe_for_client": true,
			"namespaces": [{"name": "aa", "subscribe_proxy_name": "gate", "allow_subscribe_for_client": true}, {"name": "bb", "subscribe_proxy_name": ""}]}`))
		require.Equal(t, closed, c.Channel.WithoutNamespace.SubscribeProxyEnabled)
		require.Equal(t, closed, c.Channel.Namespaces[0].SubscribeProxyEnabled)
		require.False(t, c.Channel.Namespaces[1].SubscribeProxyEnabled)
		for _, key := range []string{"subscribe_proxy_name", "namespaces[0].subscribe_proxy_name"} {
			require.Equal(t, 1, slices.Index(kindsOf(rep, key), report.KindUnsupported)+1, "%s: %v", key, rep.Findings)
		}
	}
	f(`"granular_proxy_mode": true, `, true)
	f(`"granular_proxy_mode": false, `, false)
	f(``, false)

	_, rep := mustLoad(t, fromJSON(`{"client_concurrency": 8}`))
	require.Equal(t, []Kind{report.KindUnsupported}, kindsOf(rep, "client_concurrency"))
}
