package test

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// Headers of calls.
const (
	jsonBody, formBody = "Content-Type: application/json", "Content-Type: application/x-www-form-urlencoded"
	plainBody          = "Content-Type: text/plain;charset=UTF-8"
	powershell         = "User-Agent: Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.1"
)

// insecureCalls are the headers of calls to an API without a key, and what becomes of them.
var insecureCalls = []struct {
	want    int
	headers []string
}{
	{200, nil},
	{200, []string{jsonBody, "User-Agent: gocent"}},
	{200, []string{formBody, "User-Agent: curl/8.5.0", "Accept: */*"}},               // curl -d
	{200, []string{plainBody, "User-Agent: node", "Sec-Fetch-Mode: cors"}},           // fetch of Node
	{200, []string{jsonBody, "Host: sluice.corp.example.com", "User-Agent: python"}}, // by name
	{200, []string{jsonBody, firefox, "Origin: http://localhost", "Sec-Fetch-Site: same-origin"}},
	{200, []string{jsonBody, firefox, "Origin: http://localhost"}},
	{200, []string{jsonBody, firefox, "Origin: https://a.example.com", "Host: a.example.com", "X-Forwarded-Proto: https"}},

	{403, []string{plainBody, firefox, "Origin: https://evil.example.net", "Sec-Fetch-Site: cross-site"}},
	{403, []string{plainBody, firefox, "Origin: https://evil.example.net"}},
	{403, []string{jsonBody, firefox, "Origin: https://app.example.com", "Sec-Fetch-Site: cross-site"}}, // may subscribe, not publish
	{403, []string{jsonBody, firefox, "Origin: http://localhost:3000", "Sec-Fetch-Site: same-site"}},
	{403, []string{formBody, firefox, "Origin: null"}},
	{403, []string{formBody, "Sec-Fetch-Site: cross-site"}},
	{403, []string{formBody, firefox, "Referer: https://evil.example.net/"}},
	{403, []string{formBody, firefox}}, // an old firefox, and a page that hides its Referer
	{403, []string{"Content-Type: multipart/form-data; boundary=x", firefox}},
	// No page sends JSON elsewhere without asking first.
	{200, []string{jsonBody, powershell}},
	{200, []string{jsonBody, powershell, "Host: sluice.corp.example.com"}},
	{403, []string{plainBody, powershell}},
	{403, []string{jsonBody, powershell, "Referer: https://evil.example.net/"}},
	{200, []string{jsonBody, "Host: sluice.corp.example.com", "User-Agent: Go-http-client/1.1", "Accept-Encoding: gzip"}},
	// A name of the attacker's that was made to lead here.
	{403, []string{jsonBody, firefox, "Origin: http://evil.example.com", "Host: evil.example.com", "Sec-Fetch-Site: same-origin"}},
	{403, []string{jsonBody, firefox, "Origin: http://evil.example.com", "Host: evil.example.com"}},
	{403, []string{jsonBody, "User-Agent: x", "Origin: http://evil.example.com", "Host: evil.example.com"}},
	{403, []string{jsonBody, firefox, "Host: evil.example.com", "Accept-Encoding: gzip, deflate"}}, // of before 2020
	// Who has the key may call from anywhere.
	{200, []string{jsonBody, "Origin: https://evil.example.net", "X-API-Key: " + testKey}},
}

func startInsecureAPI(t *testing.T, log *testkit.LogBuffer) *server {
	t.Helper()
	text := fmt.Sprintf(strictConfig, "", `, "insecure": true`, withSecret+`, "allowed_origins": ["https://app.example.com"]`, "")
	return startText(t, trusting(text), slog.New(slog.NewTextHandler(log, nil)))
}

func TestInsecureAPIIsNotForPagesOfOtherSites(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	var log testkit.LogBuffer
	s := startInsecureAPI(t, &log)
	for _, row := range insecureCalls {
		for path, body := range map[string]string{
			"/api/info": `{"channel": "news", "data": {}}`, "/api/publish": `{"channel": "news", "data": {}}`, "/api": `{"method": "info", "params": {}}`,
		} {
			status, text := answerTo(t, s, testkit.Request{Method: "POST", Target: path, Body: body, Headers: lines(row.headers...)})
			require.Equal(t, row.want, status, "%s %q", text, row.headers)
			if row.want == 403 {
				require.Contains(t, text, "with http_api.insecure calls from pages of other sites are refused")
				require.Contains(t, text, "set http_api.key", "the remedy")
			}
		}
	}
	require.Contains(t, log.String(), `msg="api: request refused" reason=cross_site`)

	secure := startMore(t, parts{}, nil)
	status, _ := answerTo(t, secure, testkit.Request{Method: "POST", Target: "/api/info", Body: "{}", Headers: lines("Origin: https://evil.example.net", "X-API-Key: "+testKey)})
	require.Equal(t, 200, status, "an API with a key is as before")
}

// A large body of such a page is not even read.
func TestInsecureAPIReadsNoBodiesOfPagesOfOtherSites(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	s := startInsecureAPI(t, &testkit.LogBuffer{})
	for _, says := range []string{
		"Sec-Fetch-Site: cross-site", "Origin: https://evil.example.net", "Referer: https://evil.example.net/", "Origin: null",
		firefox + "\r\nContent-Type: text/plain", "Origin: https://evil.example.net\r\nX-Forwarded-Host: a.example.com",
	} {
		c := testkit.Dial(t, s.addr)
		c.Send("POST /api/publish HTTP/1.1\r\nHost: localhost\r\n" + says + "\r\nContent-Length: 30000000\r\n\r\n")
		require.Equal(t, 403, c.ReadHead(t).Status, says)
		c.Close()
	}
	c := testkit.Dial(t, s.addr)
	c.Send("POST /api/publish HTTP/1.1\r\nHost: evil.example.com\r\nOrigin: http://evil.example.com\r\nContent-Length: 30000000\r\n\r\n")
	require.Equal(t, 403, c.ReadHead(t).Status, "nor of a name that was made to lead here")
	// An own page's is, however it came here.
	large := fmt.Sprintf(`{"channel": "news", "data": %q}`, strings.Repeat("x", 100_000))
	for _, front := range [][]string{
		{"Host: localhost", "Origin: http://localhost"},
		{"Host: backend:8000", "Origin: https://a.example.com", "X-Forwarded-Host: a.example.com", "X-Forwarded-Proto: https"},
		{"Host: a.example.com", "Origin: https://a.example.com", "X-Forwarded-Proto: https"},
	} {
		status, text := answerTo(t, s, testkit.Request{Method: "POST", Target: "/api/publish", Body: large, Headers: lines(append(front, jsonBody, firefox)...)})
		require.Equal(t, 200, status, text)
	}
}

// Where nobody needs credentials it is the place in the network that lets a
// browser in, and pages of other sites use that.
func TestInsecureClientsAreNotPagesOfOtherSites(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"victim"}`)) + ".eA"
	for option, request := range map[string]string{
		"insecure": `{}`, "insecure_skip_token_signature_verify": `{"token":"` + unsigned + `"}`,
	} {
		s := startMore(t, parts{client: withSecret + `, "` + option + `": true, "allowed_origins": ["http://app.example.com"]`}, nil)
		f := func(want int, headers ...string) {
			t.Helper()
			for _, method := range []string{"GET", "POST"} {
				r := testkit.Request{Method: method, Target: testkit.DefaultPath, Headers: lines(headers...)}
				if method == "GET" {
					r.Target += "?cf_connect=" + request
				} else {
					r.Body = request
				}
				status, body := answerTo(t, s, r)
				require.Equal(t, want, status, "%s %s %q", option, body, headers)
				if want == 403 && !strings.Contains(body, "is not in client.allowed_origins") {
					require.Contains(t, body, "with client."+option)
					require.Contains(t, body, "switch client."+option+" off", "the remedy")
				}
			}
		}
		f(200)
		f(200, "User-Agent: curl/8", "Host: sluice.example.com")
		f(200, firefox, "Sec-Fetch-Site: same-origin")
		f(200, firefox, "Origin: http://127.0.0.1:8000", "Host: 127.0.0.1:8000")
		f(200, firefox, "Origin: http://app.example.com", "Sec-Fetch-Site: cross-site")
		f(403, firefox, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors")
		f(403, firefox, "Referer: https://evil.example.net/")
		f(403, firefox, "Origin: https://evil.example.net")
		f(403, firefox, "Origin: http://evil.example.com", "Host: evil.example.com")
		f(403, firefox, "Host: evil.example.com")
		f(403, firefox, "Host: evil.example.com", "Sec-Fetch-Site: same-origin")
		// Some browsers let a page choose its User-Agent.
		const gzip = "Accept-Encoding: gzip, deflate"
		f(403, "User-Agent: x", "Origin: http://evil.example.com", "Host: evil.example.com", gzip)
		f(403, "User-Agent: x", "Referer: http://evil.example.com/", "Host: evil.example.com", gzip)
		f(200, "User-Agent: x", "Host: app.example.com", gzip)
		f(200, firefox, "Referer: http://app.example.com/", "Host: app.example.com", gzip)
		for agent, want := range map[string]int{"x": 403, "curl/8": 403, "": 403} {
			status, body := answerTo(t, s, testkit.Request{
				Target: testkit.DefaultPath + "?cf_connect=" + request, Headers: lines("User-Agent: "+agent, "Host: evil.example.com:8000", gzip),
			})
			require.Equal(t, want, status, body)
			require.Contains(t, body, "add http://HOST:PORT, as the client names it, to client.allowed_origins")
		}
	}
}
