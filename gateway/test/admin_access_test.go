package test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// With an internal listener the console is there, unless admin.external has it on both.
func TestConsoleIsOnTheInternalListener(t *testing.T) {
	for external, want := range map[string]int{"": 404, `, "external": true`: 200} {
		text := strings.Replace(consoleText(parts{}, external), `"port": 0`, `"port": 0, "internal_address": "127.0.0.2", "internal_port": "0"`, 1)
		r := startReloading(t, text)
		inside := r.listeners[1].Addr().String()
		for _, path := range []string{"/admin/", "/admin/init"} {
			head, _ := testkit.RoundTrip(t, r.addr, testkit.Request{Target: path})
			require.Equal(t, want, head.Status, path)
			head, _ = testkit.RoundTrip(t, inside, testkit.Request{Target: path})
			require.Equal(t, 200, head.Status, path)
		}
		admin := logIn(t, inside, adminPassword)
		admin.post(t, 200, "/api/publish", `{"channel":"news","data":{}}`)
		admin.open(t, "/stream", `{"channels":["news"]}`, "").ExpectConnect(t)
	}
}

// Without a login only pages of names that nobody else can have lead here may use it.
func TestConsoleWithoutALogin(t *testing.T) {
	r := startReloading(t, consoleText(parts{}, `, "insecure": true`))
	o := &operator{addr: r.addr, path: "/admin"}
	require.Equal(t, true, o.get(t, 200, "/me")["insecure"])
	o.headers = [][2]string{{"Host", "localhost:8000"}, {"Origin", "http://localhost:8000"}}
	o.post(t, 200, "/api/publish", `{"channel":"news","data":{}}`)
	for _, evil := range [][][2]string{
		{{"Host", "evil.com"}, {"Origin", "http://evil.com"}},
		{{"Host", "evil.com"}, {"User-Agent", "Mozilla/5.0"}, {"Accept-Language", "en"}},
		{{"Host", "localhost:8000"}, {"Origin", "http://evil.com"}},
		{{"Host", "localhost:8000"}, {"Sec-Fetch-Site", "cross-site"}},
	} {
		o.headers = evil
		o.post(t, 403, "/api/publish", `{"channel":"news","data":{}}`)
		o.post(t, 403, "/connect", `{}`)
		o.post(t, 403, "/stream", `{"channels":["news"]}`)
		if evil[1][0] != "User-Agent" {
			continue
		}
		o.get(t, 403, "/config")
	}
}

// Logins are throttled by the address of the client, which a trusted proxy names; who is
// logged in goes on.
func TestConsoleThrottlesLogins(t *testing.T) {
	text := strings.Replace(consoleText(parts{}, ""), `"port": 0`, `"port": 0, "trusted_proxies": ["127.0.0.1"]`, 1)
	r := startReloading(t, text)
	admin := logIn(t, r.addr, adminPassword)
	from := func(address string) *operator {
		return &operator{addr: r.addr, path: "/admin", headers: [][2]string{{"X-Forwarded-For", address}}}
	}
	guesser := from("192.0.2.7")
	refused := 0
	for i := range 8 {
		head, _ := guesser.ask(t, "POST", "/login", fmt.Sprintf(`{"password":"guess-%d"}`, i))
		require.Contains(t, []int{401, 429}, head.Status)
		if head.Status == 429 {
			refused++
			require.NotEmpty(t, head.Get("Retry-After"))
		}
	}
	require.Positive(t, refused)
	guesser.post(t, 429, "/login", fmt.Sprintf(`{"password":%q}`, adminPassword))
	from("192.0.2.8").post(t, 200, "/login", fmt.Sprintf(`{"password":%q}`, adminPassword))
	admin.get(t, 200, "/me")
	log := r.log.String()
	require.Contains(t, log, "192.0.2.7")
	require.NotContains(t, log, "guess-")
	require.NotContains(t, log, adminPassword)
}

// Behind a proxy with TLS the cookie is for TLS alone.
func TestConsoleBehindTLS(t *testing.T) {
	text := strings.Replace(consoleText(parts{}, ""), `"port": 0`, `"port": 0, "trusted_proxies": ["127.0.0.1"]`, 1)
	r := startReloading(t, text)
	o := &operator{addr: r.addr, path: "/admin", headers: [][2]string{{"X-Forwarded-For", "192.0.2.8"}, {"X-Forwarded-Proto", "https"}, {"X-Forwarded-Host", "ops.example.com"}, {"Origin", "https://ops.example.com"}}}
	head, text := o.ask(t, "POST", "/login", fmt.Sprintf(`{"password":%q}`, adminPassword))
	require.Equal(t, 200, head.Status, text)
	set := head.Get("Set-Cookie")
	require.True(t, strings.HasPrefix(set, "__Secure-sluice_console="), set)
	require.Contains(t, strings.ToLower(set), "; secure")
	o.cookie, _, _ = strings.Cut(set, ";")
	o.get(t, 200, "/me")
	o.headers[3] = [2]string{"Origin", "https://evil.example.com"}
	o.post(t, 403, "/api/publish", `{"channel":"news","data":{}}`)
}

// Strangers send little: a body of more than a login is not read.
func TestConsoleReadsLittleOfStrangers(t *testing.T) {
	r := startReloading(t, consoleText(parts{}, ""))
	stranger := &operator{addr: r.addr, path: "/admin"}
	head, _ := stranger.ask(t, "POST", "/login", `{"password":"`+strings.Repeat("x", 5<<10)+`"}`)
	require.Equal(t, 413, head.Status)
	conn, err := net.Dial("tcp", r.addr)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	c := testkit.NewConn(t, conn)
	c.Send("POST /admin/api/publish HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\nContent-Type: application/json\r\nX-Sluice-Console: 1\r\n\r\n")
	require.Equal(t, 401, c.ReadHead(t).Status, "before the body has come")

	admin := logIn(t, r.addr, adminPassword)
	admin.post(t, 200, "/api/publish", `{"channel":"news","data":"`+strings.Repeat("x", 1<<20)+`"}`)
	require.Contains(t, admin.post(t, 400, "/api/publish", `{"channel":5}`)["error"], "channel: a string expected")
	require.Equal(t, 108.0, admin.post(t, 200, "/api/history", `{"channel":"news"}`)["error"].(map[string]any)["code"])
}

// The API of the console needs no API on any listener.
func TestConsoleWithoutAPI(t *testing.T) {
	r := startReloading(t, consoleText(parts{api: `, "disabled": true, "error_mode": "transport"`}, ""))
	admin := logIn(t, r.addr, adminPassword)
	require.Equal(t, false, admin.get(t, 200, "/me")["api"])
	admin.post(t, 200, "/api/publish", `{"channel":"news","data":{}}`)
	require.Equal(t, 107.0, admin.post(t, 200, "/api/publish", `{"channel":"","data":{}}`)["error"].(map[string]any)["code"], "the error mode is for others")
	head, _ := testkit.RoundTrip(t, r.addr, testkit.Request{Method: "POST", Target: "/api/publish", Headers: [][2]string{{"X-API-Key", testKey}}, Body: `{"channel":"news","data":{}}`})
	require.Equal(t, 404, head.Status)
}
