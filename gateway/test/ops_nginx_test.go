package test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/bench/fronts"
	"sluice/gateway/testkit"
)

// runFront runs a proxy and ends it with the test. It returns once the port is
// served; text is its configuration. out gets all that it says, and stop ends it
// before the test does.
func runFront(t *testing.T, cmd *exec.Cmd, port int, text string) (out *testkit.LogBuffer, stop func()) {
	t.Helper()
	out = &testkit.LogBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	t.Cleanup(stop)
	testkit.Eventually(t, func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s\n%s", cmd.Path, err, out, text)
		default:
		}
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, cmd.Path+" to serve")
	return out, stop
}

// startNginx runs nginx with servers, the inside of its http section, and ends
// it with the test. It returns once the port is served. logs returns what nginx
// wrote to its own logs, where servers name no others.
func startNginx(t *testing.T, servers string, port int) (logs func() string) {
	t.Helper()
	program, dir := testkit.NeedProgram(t, []string{"nginx", "/usr/sbin/nginx"}, "apt-get install nginx"), t.TempDir()
	cmd, text, err := fronts.Nginx(program, dir, servers)
	require.NoError(t, err)
	errs, _ := runFront(t, cmd, port, text)
	return func() string {
		access, err := os.ReadFile(filepath.Join(dir, "access.log"))
		require.NoError(t, err)
		return string(access) + errs.String()
	}
}

// nginxClient asks an nginx as a browser's page would, from an address of this
// machine: the certificate is not checked, and any name leads there.
type nginxClient struct {
	*http.Client
	base string // URL of nginx
}

func newNginxClient(t *testing.T, scheme, name string, port int, from string) *nginxClient {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", port))
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &nginxClient{&http.Client{Transport: transport}, fmt.Sprintf("%s://%s:%d", scheme, name, port)}
}

// ask sends a request and returns its answer, whose body the caller, or the end
// of the test, closes.
func (c *nginxClient) ask(t *testing.T, method, path, body string, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.base+path, strings.NewReader(body))
	require.NoError(t, err)
	for _, h := range lines(headers...) {
		r.Header.Set(h[0], h[1])
	}
	answer, err := c.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

// expect asks and wants a status, and of a stream its connect push.
func (c *nginxClient) expect(t *testing.T, status int, method, path, body string, headers ...string) (*testkit.Reader, *http.Response) {
	t.Helper()
	answer := c.ask(t, method, path, body, headers...)
	if answer.StatusCode != status || status != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.Equal(t, status, answer.StatusCode, "%s %q: %s", method, headers, text)
		if status == http.StatusForbidden {
			require.Contains(t, string(text), "http_server.trusted_proxies", "the remedy")
		}
		return nil, answer
	}
	events := testkit.NewReader(answer.Body)
	event, err := events.Next()
	require.NoError(t, err)
	require.Contains(t, event.Data, `"connect":{`)
	return events, answer
}

// nginxOfTheDocs is nginx with the server block of the docs, and a gateway behind it as the
// docs have it.
type nginxOfTheDocs struct {
	*server
	stopServer func()
	port       int
	files      string        // where its logs are
	ownLogs    func() string // what it says beside them
}

func startNginxOfTheDocs(t *testing.T) *nginxOfTheDocs {
	t.Helper()
	blocks := docBlocks(t, "nginx")
	require.Len(t, blocks, 2, "nginx's part, and ours")
	var ours struct {
		HTTPServer struct {
			Address string   `json:"address"`
			Trusted []string `json:"trusted_proxies"`
		} `json:"http_server"`
	}
	require.NoError(t, json.Unmarshal([]byte(blocks[1][3]), &ours))
	require.Equal(t, "127.0.0.1", ours.HTTPServer.Address)
	trusted, err := json.Marshal(ours.HTTPServer.Trusted)
	require.NoError(t, err)

	testkit.Snapshot(t, libraryGoroutines...)
	text := fmt.Sprintf(baseConfig, "", "", `, "address_connection_limit": 1`, "")
	s := launch(t, strings.Replace(text, `"port": 0`, `"port": 0, "trusted_proxies": `+string(trusted), 1))
	n := &nginxOfTheDocs{server: s, stopServer: sync.OnceFunc(func() { s.stop(t) }), port: testkit.FreePort(t), files: t.TempDir()}
	t.Cleanup(n.stopServer)
	cert, key := selfSigned(t)
	for name, pem := range map[string]string{"cert.pem": cert, "key.pem": key} {
		require.NoError(t, os.WriteFile(filepath.Join(n.files, name), []byte(pem), 0o600))
	}
	block := blocks[0][3]
	for old, replacement := range map[string]string{
		"127.0.0.1:8000": s.addr, "listen 443 ": "listen 127.0.0.1:" + strconv.Itoa(n.port) + " ",
		"/etc/ssl/stream.example.com.pem": n.files + "/cert.pem", "/etc/ssl/stream.example.com.key": n.files + "/key.pem",
	} {
		require.Equal(t, 1, strings.Count(block, old), old)
		block = strings.Replace(block, old, replacement, 1)
	}
	block = strings.ReplaceAll(block, "/var/log/nginx/", n.files+"/")
	n.ownLogs = startNginx(t, block, n.port)
	return n
}

// expectNoSecrets waits for the line of an answer in the access log, and looks for what
// stands in queries in all that nginx has written.
func (n *nginxOfTheDocs) expectNoSecrets(t *testing.T, line string, secrets ...string) {
	t.Helper()
	var access []byte
	testkit.Eventually(t, func() bool { // nginx writes a line behind the answer
		access, _ = os.ReadFile(filepath.Join(n.files, "stream.log"))
		return strings.Contains(string(access), line)
	}, "the access log of the block")
	faults, err := os.ReadFile(filepath.Join(n.files, "stream.error.log"))
	require.NoError(t, err, "the error log of the block")
	for _, log := range []string{string(access), string(faults), n.ownLogs()} {
		for _, secret := range secrets {
			require.NotContains(t, log, secret)
		}
	}
}

// The server block of the pages, with TLS and HTTP/2, does what they say of it.
func TestNginxOfTheDocs(t *testing.T) {
	s := startNginxOfTheDocs(t)
	first := newNginxClient(t, "https", "stream.example.com", s.port, "127.0.0.2")
	second := newNginxClient(t, "https", "stream.example.com", s.port, "127.0.0.3")
	origin := "Origin: " + first.base
	const subs = `{"subs": {"news": {}}}`
	const path = testkit.DefaultPath

	// A page of the public origin, in a browser that sends no Sec-Fetch-Site.
	events, answer := first.expect(t, 200, "POST", path, subs, origin, "Content-Type: application/json")
	require.Equal(t, 2, answer.ProtoMajor)
	for i := range 3 { // each is there before the next is sent: nothing is held back
		s.api.Publish(t, "news", strconv.Itoa(i))
		event, err := events.Next()
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf(`{"channel":"news","pub":{"data":%d}}`, i), event.Data)
	}
	// Limits by address see the client.
	again := first.ask(t, "POST", path, subs, origin)
	require.Equal(t, 503, again.StatusCode, "a second stream of the same address")
	_, other := second.expect(t, 200, "GET", path+`?cf_connect={"name":"`+strings.Repeat("x", 60_000)+`"}`, "", "Sec-Fetch-Site: same-origin")
	require.NoError(t, other.Body.Close())

	third := newNginxClient(t, "https", "stream.example.com", s.port, "127.0.0.4")
	third.expect(t, 403, "GET", path, "", "Origin: https://evil.example.net")
	third.expect(t, 403, "GET", path, "", "Origin: https://evil.example.net", "X-Forwarded-Host: evil.example.net")
	third.expect(t, 403, "GET", path, "", strings.Replace(origin, "https:", "http:", 1))
	third.expect(t, 403, "GET", path, "", "Origin: https://stream.example.com")
	third.expect(t, 200, "POST", path+"/ticket", `{}`, origin)

	// What is in the query is a secret, of streams that nobody can serve as well.
	const secret = "?ticket=the-ticket&cf_connect=the-token"
	third.expect(t, 400, "GET", path+secret, "", origin)
	s.expectNoSecrets(t, `"GET `+path+`" 400 `, "the-ticket", "the-token")
	s.stopServer()
	third.expect(t, 502, "GET", path+secret, "", origin)
	s.expectNoSecrets(t, `"GET `+path+`" 502 `, "the-ticket", "the-token")
}

// A plain proxy_pass asks for the name of the upstream: the browser's word for
// the page's origin counts, and a front that names the host.
func TestNginxWithAPlainProxyPass(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	s := launch(t, trusting(fmt.Sprintf(baseConfig, "", "", "", "")))
	t.Cleanup(func() { s.stop(t) })
	plain, named := testkit.FreePort(t), testkit.FreePort(t)
	startNginx(t, fmt.Sprintf(`
		server { listen 127.0.0.1:%d; location / { proxy_pass http://%s; } }
		server { listen 127.0.0.1:%d; location / { proxy_pass http://%s; proxy_set_header X-Forwarded-Host $http_host; } }`,
		plain, s.addr, named, s.addr), named)
	const path = testkit.DefaultPath
	c := newNginxClient(t, "http", "stream.example.com", plain, "127.0.0.1")
	origin := "Origin: " + c.base
	events, _ := c.expect(t, 200, "POST", path, `{"subs": {"news": {}}}`, origin, "Sec-Fetch-Site: same-origin")
	s.api.Publish(t, "news", `1`)
	event, err := events.Next()
	require.NoError(t, err)
	require.Equal(t, `{"channel":"news","pub":{"data":1}}`, event.Data)
	c.expect(t, 200, "POST", path+"/ticket", "{}", origin, "Sec-Fetch-Site: same-origin")
	c.expect(t, 403, "POST", path, "{}", origin)
	c.expect(t, 403, "POST", path, "{}", origin, "Sec-Fetch-Site: cross-site")
	c.expect(t, 403, "POST", path, "{}", "Origin: http://evil.example.net", "Sec-Fetch-Site: cross-site")

	c = newNginxClient(t, "http", "stream.example.com", named, "127.0.0.1")
	c.expect(t, 200, "POST", path, "{}", "Origin: "+c.base)
	c.expect(t, 200, "POST", path+"/ticket", "{}", "Origin: "+c.base)
	c.expect(t, 403, "POST", path, "{}", "Origin: http://evil.example.net")
}
