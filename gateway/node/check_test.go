package node_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/node"
)

func TestUniSSEIsValidated(t *testing.T) {
	const transforms = "uni_sse.connect_code_to_http_response.transforms"
	f := func(list, want string) {
		t.Helper()
		text := `{"uni_sse": {"connect_code_to_http_response": {"enabled": true, "transforms": ` + list + `}}}`
		if want == "" {
			mustLoad(t, fromJSON(text))
			return
		}
		refused(t, text, want)
	}
	f(`[{"code": 109, "to": {"status_code": 401}}, {"code": 3500, "to": {"status_code": 599, "body": "x"}}]`, "")
	f(`[{"to": {"status_code": 401}}]`, transforms+`[0].code: 0 or missing: allowed the code of an error or disconnect, 109 or 3500 for example`)
	f(`[{"code": 0, "to": {"status_code": 401}}]`, at+transforms+`[0].code: 0 or missing: allowed the code of an error or disconnect, 109 or 3500 for example`)
	f(`[{"code": 109}]`, transforms+`[0].to.status_code: 0 is not the status of a response: allowed 200-599`)
	f(`[{"code": 109, "to": {"status_code": 100}}]`, at+transforms+`[0].to.status_code: 100 is not the status of a response: allowed 200-599`)
	f(`[{"code": "x", "to": {"status_code": 401}}]`, at+transforms+`[0].code: "x" is not a whole number: allowed 0 or more`)
	f(`[{"code": 109, "to": 401}]`, at+transforms+`[0].to: 401 is not an object: allowed an object such as {...}`)

	refused(t, `{"uni_sse": {"cursor_exact_bytes": 73728}}`,
		at+`uni_sse.cursor_exact_bytes: 73728: the cursor comes back in a header: allowed less than http_server.max_head_size (73728)`)
}

func TestListenersAreValidated(t *testing.T) {
	for _, host := range []string{"", "0.0.0.0", "::1", "fe80::1%eth0", "localhost", "a-b.example.com", "my_host"} {
		mustLoad(t, fromJSON(`{"http_server": {"address": "`+host+`", "internal_address": "`+host+`"}}`))
	}
	refused(t, `{"http_server": {"address": "127.0.0.1:8000"}}`,
		at+`http_server.address: "127.0.0.1:8000" holds a port: allowed a host or IP address; write 8000 into the port option`)
	refused(t, `{"http_server": {"internal_address": "[::1]"}}`,
		at+`http_server.internal_address: "[::1]" is not a host: allowed a host name or an IP address without brackets`)
	refused(t, `{"http_server": {"address": "http://x"}}`,
		at+`http_server.address: "http://x" is not a host: allowed a host name or an IP address without brackets`)
	require.Contains(t, warningsOf(t, `{"http_server": {"tls_external": true}}`), "tls_external: true has no effect")
}

func TestTheFrontLineIsValidated(t *testing.T) {
	const server = "http_server."
	f := func(fields, want string) {
		t.Helper()
		text := `{"http_server": {` + fields + `}}`
		if want == "" {
			mustLoad(t, fromJSON(text))
			return
		}
		refused(t, text, at+server+want)
	}
	f(`"trusted_proxies": ["10.0.0.7", "10.0.0.0/8", "::1", "fd00::/8"], "proxy_protocol": true`, "")
	for _, bad := range []string{"10.0.0.0/33", "proxy.example", "10.0.0.1:80", "", "10.0.0"} {
		f(`"trusted_proxies": ["10.0.0.7", "`+bad+`"]`,
			`trusted_proxies: "`+bad+`" is neither an address nor a network: allowed such as "10.0.0.7", "10.0.0.0/8" or "fd00::/8", and "unix" for whoever connects to a Unix socket`)
	}
	f(`"proxy_protocol": true`, `proxy_protocol: true needs http_server.trusted_proxies: allowed only with the addresses of the proxies that speak it`)
	f(`"header_timeout": "5s", "read_timeout": "5s"`, "")
	f(`"header_timeout": "31s"`, `header_timeout: 31s is more than http_server.read_timeout (30s): allowed at most that, the headers are a part of the request`)
	f(`"header_timeout": "1ms"`, `header_timeout: "1ms" is out of range: allowed a duration such as "300ms", "25s" or "12h", at least 100ms`)
	f(`"half_open_limit": -1`, `half_open_limit: -1 is out of range: allowed 0 or more`)
	f(`"forwarded_header": "x-real-ip"`, `forwarded_header: "x-real-ip" is unknown: allowed "forwarded", "none", "x-forwarded-for"`)
	require.Contains(t, warningsOf(t, `{"http_server": {"tls": {"client_ca_pem": "x"}}}`), "clients need no certificate")
	require.Contains(t, warningsOf(t, `{"http_server": {"internal_tls": {"client_ca_pem": "x"}}}`), "clients need no certificate")

	mustLoad(t, fromJSON(`{"uni_sse": {"retry": "3s-60s", "shed_retry_max": "60s"}}`))
	refused(t, `{"uni_sse": {"retry": "3s-61s"}}`, `uni_sse.shed_retry_max: 1m0s is less than the longest of uni_sse.retry (1m1s): allowed that or more`)
	refused(t, `{"uni_sse": {"shed_retry_max": "5s"}}`, at+`uni_sse.shed_retry_max: 5s is less than the longest of uni_sse.retry (9s): allowed that or more`)
	refused(t, `{"log": {"format": "xml"}}`, at+`log.format: "xml" is unknown: allowed "json", "text"`)
}

func TestPathsAreValidated(t *testing.T) {
	c, _ := mustLoad(t, fromJSON(`{"http_api": {"handler_prefix": "/api/"}, "admin": {"enabled": true, "handler_prefix": "/"}}`))
	require.Equal(t, "/api", c.HTTPAPI.HandlerPrefix)
	require.Equal(t, "", c.Admin.HandlerPrefix)

	refused(t, `{"uni_sse": {"handler_prefix": "x"}}`, at+`uni_sse.handler_prefix: "x" does not start with /: allowed a path such as "/connection/uni_sse"`)
	for _, p := range []string{"/a b", "/a?b", "/ä", "/a\\n", "/{x}", "/a%20"} {
		_, _, err := fromJSON(`{"health": {"handler_prefix": "` + p + `"}}`).load(t)
		require.ErrorContains(t, err, "is not a plain path", p)
	}
	refused(t, `{"health": {"enabled": true, "handler_prefix": "/api/"}}`, at+`health.handler_prefix: "/api" is already the path of http_api: allowed a path of its own`)
	mustLoad(t, fromJSON(`{"health": {"enabled": true, "handler_prefix": "/api"}, "http_api": {"disabled": true}}`))
}

func TestAllowedOriginsAreValidated(t *testing.T) {
	const key = "client.allowed_origins"
	require.Equal(t, at+key+`: ["*"] lets the pages of every site connect`, warningsOf(t, `{"client": {"allowed_origins": ["*"]}}`))
	require.Equal(t, at+key+`: "https://A.example" never matches, since origins are compared in lower case: write https://a.example`,
		warningsOf(t, `{"client": {"allowed_origins": ["https://A.example"]}}`))
	require.Empty(t, warningsOf(t, `{"client": {"allowed_origins": ["https://*.a.example", "https://{b,c}.example", "null", "file://*", "https://[a-z]x?.a.example"]}}`))
	for _, pattern := range []string{"https://{a", "[a", "[", "{"} {
		_, _, err := fromJSON(`{"client": {"allowed_origins": ["` + pattern + `"]}}`).load(t)
		require.ErrorContains(t, err, `config: file config.json:1: client.allowed_origins: "`+pattern+`" is not a pattern`)
	}
}

func TestClientIsValidated(t *testing.T) {
	mustLoad(t, fromJSON(`{"client": {"ping_interval": "5s", "pong_timeout": "8s"}}`))
	refused(t, `{"client": {"ping_interval": "1ms"}}`, at+`client.ping_interval: 1ms is too short: allowed 10ms or more, or negative for no pings`)
	refused(t, `{"http_server": {"trusted_proxies": ["10.0.0.7"]}, "client": {"user_id_http_header": "X User"}}`, at+`client.user_id_http_header: "X User" is not a header name: allowed letters, digits and - _ . and the like`)
	refused(t, `{"client": {"token_cookie": "a=b"}}`, at+`client.token_cookie: "a=b" is not a cookie name: allowed letters, digits and - _ . and the like`)
	require.Contains(t, warningsOf(t, `{"client": {"insecure": true}}`), "client.insecure: true: everybody can connect")
	require.Contains(t, warningsOf(t, `{"client": {"insecure_skip_token_signature_verify": true}}`), "everybody can make tokens")
	require.Contains(t, warningsOf(t, `{"client": {"queues_max_total": 1048576, "queue_max_size": 1048577}}`), "which then never counts")

	const transforms = "client.connect_code_to_unidirectional_disconnect.transforms[0]"
	f := func(entry, want string) {
		t.Helper()
		refused(t, `{"client": {"connect_code_to_unidirectional_disconnect": {"transforms": [`+entry+`]}}}`, want)
	}
	f(`{"to": {"code": 4000}}`, transforms+`.code: 0 or missing: allowed the code of a client error, 109 for example`)
	f(`{"code": 109}`, transforms+`.to.code: 0 or missing: allowed a disconnect code, 4000-4999 for your own`)
	f(`{"code": 109, "to": {"code": 4000, "reason": "naïve"}}`, at+transforms+`.to.reason: "naïve" is not a reason: allowed at most 123 printable ASCII characters`)
	_, _, err := fromJSON(`{"client": {"connect_code_to_unidirectional_disconnect": {"transforms": [{"code": 109, "to": {"code": 4000, "reason": "` +
		strings.Repeat("x", 124) + `"}}]}}}`).load(t)
	require.ErrorContains(t, err, "(shortened) is not a reason")
}

func TestHooksAreValidated(t *testing.T) {
	const key = "client.proxy.connect"
	f := func(fields, want string) {
		t.Helper()
		text := `{"client": {"proxy": {"connect": {"enabled": true, ` + fields + `}}}}`
		if want == "" {
			mustLoad(t, fromJSON(text))
			return
		}
		refused(t, text, want)
	}
	const end = `"endpoint": "https://b.example/connect"`
	f(end, "")
	f(end+`, "http_headers": ["Cookie"], "http": {"static_headers": {"X-A": "b"}}`, "")
	f(`"timeout": "1s"`, key+`.endpoint: missing: the hook is enabled: allowed a URL with http:// or https://`)
	f(`"endpoint": "grpc://u:p@h:1"`, at+key+`.endpoint: "grpc://h:1" is the address of a gRPC hook, which is not supported: allowed a URL with http:// or https://`)
	f(`"endpoint": "h:1"`, at+key+`.endpoint: "h:1" is the address of a gRPC hook, which is not supported: allowed a URL with http:// or https://`)
	f(`"endpoint": "http://"`, at+key+`.endpoint: "http:" is not a URL: allowed a URL with http:// or https:// and a host`)
	f(end+`, "timeout": 0`, at+key+`.timeout: 0s: allowed more than 0; the hook is enabled`)
	f(end+`, "http_headers": ["a b"]`, at+key+`.http_headers: "a b" is not a header name: allowed letters, digits and - _ . and the like`)
	f(end+`, "emulated_headers": ["a:"]`, at+key+`.emulated_headers: "a:" is not a header name: allowed letters, digits and - _ . and the like`)
	f(end+`, "http": {"static_headers": {"a:": "b"}}`, at+key+`.http.static_headers: "a:" is not a header name: allowed letters, digits and - _ . and the like`)
	f(end+`, "http": {"static_headers": {"a": "b\r\nc: d"}}`, at+key+`.http.static_headers: header "a": (hidden) holds a line end or a zero byte`)

	const tr = key + ".http.status_to_code_transforms[0]"
	g := func(entry, want string) {
		t.Helper()
		f(end+`, "http": {"status_to_code_transforms": [`+entry+`]}`, want)
	}
	g(`{"status_code": 404, "to_disconnect": {"code": 4504, "reason": "not found"}}`, "")
	g(`{"status_code": 404, "to_error": {"code": 1000, "message": "m", "temporary": true}}`, "")
	g(`{"status_code": 404}`, at+tr+`: allowed exactly one of to_error and to_disconnect, with a code that is not 0`)
	g(`{"status_code": 404, "to_error": {"code": 1}, "to_disconnect": {"code": 4000}}`, at+tr+`: allowed exactly one of to_error and to_disconnect, with a code that is not 0`)
	g(`{"to_error": {"code": 1}}`, tr+`.status_code: 0 is not an HTTP status: allowed 100-599`)
	g(`{"status_code": 404, "to_error": {"code": 1, "message": "\n"}}`, at+tr+`.to_error.message: "\n" is not a reason: allowed at most 123 printable ASCII characters`)
	g(`{"status_code": 404, "to_error": "x"}`, at+tr+`.to_error: "x" is not an object: allowed an object such as {...}`)
	mustLoad(t, fromJSON(`{"client": {"proxy": {"refresh": {"enabled": false, "endpoint": "grpc://x"}}}}`))
}

func TestAMistakeIsNotReportedTwice(t *testing.T) {
	refused(t, `{"channel": {"without_namespace": {"history_size": 10, "history_ttl": 60, "force_recovery": true}}}`,
		at+`channel.without_namespace.history_ttl: 60 is a bare number; write "60s"`)
	refused(t, `{"client": {"subscribe_to_user_personal_channel": {"enabled": true, "personal_channel_namespace": "aa"}}, "channel": {"namespaces": 1}}`,
		at+`channel.namespaces: 1 is not a list of objects: allowed a list such as [{...}]`)
}

func TestOperationsAreValidated(t *testing.T) {
	_, rep := mustLoad(t, fromJSON(`{"uni_sse": {"enabled": true}}`))
	require.Contains(t, rep.Warnings, "http_api.key: empty: every API call will get 401; set it, or http_api.disabled")
	require.Equal(t, at+"http_api.insecure: true: everybody who reaches the API can publish and disconnect", warningsOf(t, `{"http_api": {"insecure": true}}`))
	require.Empty(t, warningsOf(t, `{"http_api": {"disabled": true, "insecure": true}}`))
	_, rep = mustLoad(t, fromJSON(`{`+quiet+`}`))
	require.Empty(t, rep.Warnings)

	require.Contains(t, warningsOf(t, `{"admin": {"enabled": true}}`), "nobody can log in")
	require.Contains(t, warningsOf(t, `{"admin": {"enabled": true, "insecure": true}}`), "everybody who reaches the console")
	require.Empty(t, warningsOf(t, `{"admin": {"enabled": true, "password": "cannotbeguessed", "secret": "0123456789abcdef0123456789abcdef"}}`))
	require.Empty(t, warningsOf(t, `{"admin": {"enabled": true, "secret": "0123456789abcdef0123456789abcdef"}}`), "login tokens are a way in")
	weak := warningsOf(t, `{"admin": {"enabled": true, "password": "p", "read_only_password": "q", "secret": "s"}}`)
	for _, option := range []string{"admin.password: 1 bytes", "admin.read_only_password: 1 bytes", "admin.secret: 1 bytes"} {
		require.Contains(t, weak, option)
	}
	require.Empty(t, warningsOf(t, `{"admin": {"password": "p", "secret": "s"}}`), "it guards nothing")
	require.Contains(t, warningsOf(t, `{"admin": {"enabled": true, "password": "changeme-please"}}`), "a placeholder")
	require.Contains(t, warningsOf(t, `{"admin": {"enabled": true, "external": true, "password": "cannotbeguessed"}}`), "has no effect without http_server.internal_port")
	refused(t, `{"admin": {"enabled": true, "password": "cannotbeguessed", "read_only_password": "cannotbeguessed"}}`,
		at+"admin.read_only_password: the same as admin.password, and so everybody who may look could act: allowed another one")
	require.Contains(t, warningsOf(t, `{"http_api": {"max_body_size": 67108865}}`), "a publication above that takes all room")
	require.Empty(t, warningsOf(t, `{"http_api": {"max_body_size": 67108865, "max_publication_size": 50000}}`))
	refused(t, `{"prometheus": {"metrics_namespace": "a-b"}}`, at+`prometheus.metrics_namespace: "a-b" cannot start a metric name: allowed letters, digits and _, not a digit first`)
	refused(t, `{"shutdown": {"grace": "30s"}}`, at+`shutdown.grace: 30s leaves no time to end streams: allowed less than shutdown.timeout (30s)`)
	refused(t, `{"shutdown": {"timeout": 0}}`, at+`shutdown.timeout: 0 is out of range: allowed a duration such as "300ms", "25s" or "12h", at least 1ms`)
}

func TestTLSIsValidated(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(certFile, []byte(ecCert), 0o600))
	require.NoError(t, os.WriteFile(keyFile, []byte(ecPrivate), 0o600))

	f := func(object, want string) {
		t.Helper()
		text := `{"http_server": {"tls": ` + object + `}}`
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600))
		_, _, err := node.Load(config.Source{Path: "config.json", Dir: dir})
		if want == "" {
			require.NoError(t, err)
			return
		}
		require.ErrorContains(t, err, want)
	}
	f(`{"enabled": false, "cert_pem": "nonsense"}`, "")
	f(`{"enabled": true, "cert_pem": "`+oneLine(ecCert)+`", "key_pem": "`+oneLine(ecPrivate)+`"}`, "")
	f(`{"enabled": true, "cert_pem": "`+base64.StdEncoding.EncodeToString([]byte(ecCert))+`", "key_pem": "`+keyFile+`"}`, "")
	f(`{"enabled": true, "cert_pem": "cert.pem", "key_pem": "key.pem", "client_ca_pem": "cert.pem"}`, "")
	f(`{"enabled": true}`, "http_server.tls.cert_pem: missing: TLS is enabled and needs a certificate")
	f(`{"enabled": true, "cert_pem": "cert.pem"}`, "http_server.tls.key_pem: missing: TLS is enabled and needs the key")
	f(`{"enabled": true, "cert_pem": "gone.pem", "key_pem": "key.pem"}`,
		"http_server.tls.cert_pem: (hidden) is neither PEM text, nor base64 of PEM, nor the path of a readable PEM file (no such file or directory)")
	f(`{"enabled": true, "cert_pem": ".", "key_pem": "key.pem"}`, "(not a regular file)")
	f(`{"enabled": true, "cert_pem": "key.pem", "key_pem": "key.pem"}`, "http_server.tls.key_pem: (hidden) and cert_pem are no pair")
	f(`{"enabled": true, "cert_pem": "cert.pem", "key_pem": "key.pem", "client_ca_pem": "key.pem"}`, "http_server.tls.client_ca_pem: holds no certificate")

	_, _, err := fromJSON(`{"engine": {"type": "redis", "redis": {"tls": {"enabled": true, "cert_pem": "` + oneLine(ecCert) + `"}}}}`).load(t)
	require.ErrorContains(t, err, "engine.redis.tls: cert_pem and key_pem go together")
	mustLoad(t, fromJSON(`{"engine": {"type": "redis", "redis": {"tls": {"enabled": true}}}}`))
}
