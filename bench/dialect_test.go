//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// publishRequest checks that the payload is where dialect says, and returns the
// request.
func publishRequest(t *testing.T, d dialect, base, channel string) (*http.Request, []byte) {
	t.Helper()
	_, u, err := resolve(t.Context(), base, false)
	require.NoError(t, err)
	payload, err := newPayload(128)
	require.NoError(t, err)
	raw, at, err := d.publish(u, "secret", channel, payload)
	require.NoError(t, err)
	require.Equal(t, payload, raw[at:at+len(payload)])
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	require.NoError(t, err)
	body, err := io.ReadAll(req.Body)
	require.NoError(t, err)
	require.EqualValues(t, len(body), req.ContentLength)
	return req, body
}

func TestDialectsPublish(t *testing.T) {
	req, body := publishRequest(t, uniSSE{}, "http://127.0.0.1:8000/api", `a"b`)
	require.Equal(t, "/api/publish", req.URL.Path)
	require.Equal(t, "secret", req.Header.Get("X-API-Key"))
	var call struct {
		Channel string
		Data    json.RawMessage
	}
	require.NoError(t, json.Unmarshal(body, &call))
	require.Equal(t, `a"b`, call.Channel)
	require.Len(t, call.Data, 128)

	req, body = publishRequest(t, nchan{}, "http://127.0.0.1:8000/pub", "a/b")
	require.Equal(t, "/pub/a%2Fb", req.URL.EscapedPath())
	require.Len(t, body, 128)
	require.Empty(t, req.Header.Get("X-API-Key"))
}

func TestDialectsKnowWhatWasTaken(t *testing.T) {
	require.True(t, uniSSE{}.accepts(200, []byte(`{"result":{}}`)))
	require.False(t, uniSSE{}.accepts(200, []byte(`{"error":{"code":100}}`)))
	require.False(t, uniSSE{}.accepts(401, nil))
	require.True(t, nchan{}.accepts(201, nil))
	require.True(t, nchan{}.accepts(202, nil), "nobody subscribed")
	require.False(t, nchan{}.accepts(413, nil))
}

func TestNchanIsAskedForOneChannel(t *testing.T) {
	_, u, err := resolve(t.Context(), "http://127.0.0.1:8000/sub", false)
	require.NoError(t, err)
	raw, err := nchan{}.subscribe(u, []string{"bench"}, "token", "7:0")
	require.NoError(t, err)
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	require.NoError(t, err)
	require.Equal(t, "/sub/bench", req.URL.Path)
	require.Equal(t, "7:0", req.Header.Get("Last-Event-ID"))
	require.Equal(t, "text/event-stream", req.Header.Get("Accept"))
	_, err = nchan{}.subscribe(u, []string{"a", "b"}, "", "")
	require.ErrorContains(t, err, "one channel")
}

func TestNchanStreamsAreReadWithoutChunks(t *testing.T) {
	const wire = "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: keep-alive\r\n\r\n" +
		": hi\n\nid: 1795346330:0\ndata: {\"t\":1}\n\n: \n\nid: 1795346331:0\ndata: {\"t\":2}\n\n"
	for i := range len(wire) {
		events, s, err := split(wire[:i], wire[i:])
		require.NoError(t, err)
		require.Equal(t, []string{`{"t":1}`, `{"t":2}`}, events, "split at %d", i)
		require.Equal(t, inPlain, s.phase)
	}
}

func TestNchanConfigHasTheRunsSettings(t *testing.T) {
	config, err := nchanConfig(nchanSettings{Module: "/m/ngx_nchan_module.so", Port: 4711, Files: 2222, Buffer: 33, Root: true})
	require.NoError(t, err)
	for _, want := range []string{
		"load_module /m/ngx_nchan_module.so;", "listen 127.0.0.1:4711 ", "worker_rlimit_nofile 2222;", "nchan_message_buffer_length 33;", "user root;", "daemon off;",
	} {
		require.Contains(t, string(config), want)
	}
	config, err = nchanConfig(nchanSettings{})
	require.NoError(t, err)
	require.NotContains(t, string(config), "user root;")
}

func TestNchanOfThisMachineTakesPart(t *testing.T) {
	testkit.NeedProgram(t, []string{"nginx", "/usr/sbin/nginx"}, "apt-get install nginx libnginx-mod-nchan")
	f := tinyFanOut((&standIn{}).start(t).URL)
	f.peers = nchanName
	r, err := runFanOut(t.Context(), f)
	require.NoError(t, err)
	if len(r.Peers) == 0 && os.Getenv("REQUIRE_E2E") != "1" {
		t.Skip("the nginx of this machine has no nchan module")
	}
	require.Len(t, r.Peers, 1)
	for _, x := range r.side(nchanName) {
		require.Positive(t, x.Deliveries)
		require.NotNil(t, x.CPU)
	}
	require.NotNil(t, r.Peers[0].Summary.RSS)
}

func TestPeerCommandIsFilledIn(t *testing.T) {
	require.Equal(t, []string{"server", "-c", "/tmp/c.json", "--port=7"}, peerArgs("server  -c {config} --port={port}", "/tmp/c.json", 7))
	require.Empty(t, peerArgs(" ", "x", 1))

	config, err := peerConfig("", 4711, "the key", "the secret")
	require.NoError(t, err)
	var parsed struct {
		HTTPServer struct{ Port int }             `json:"http_server"`
		HTTPAPI    struct{ Key string }           `json:"http_api"`
		Client     struct{ Token map[string]any } `json:"client"`
	}
	require.NoError(t, json.Unmarshal(config, &parsed))
	require.Equal(t, 4711, parsed.HTTPServer.Port)
	require.Equal(t, "the key", parsed.HTTPAPI.Key)
	require.Equal(t, "the secret", parsed.Client.Token["hmac_secret_key"])

	file := filepath.Join(t.TempDir(), "peer.yaml")
	require.NoError(t, os.WriteFile(file, []byte("port: {port}\nkey: {key}\nsecret: {secret}\n"), 0o600))
	config, err = peerConfig(file, 1, "k", "s")
	require.NoError(t, err)
	require.Equal(t, "port: 1\nkey: k\nsecret: s\n", string(config))
	_, err = peerConfig(file+".none", 1, "k", "s")
	require.ErrorContains(t, err, "-peer-config")
}

func TestUnknownPeersAreRefused(t *testing.T) {
	f := tinyFanOut((&standIn{}).start(t).URL)
	f.peers = "apache"
	_, err := runFanOut(t.Context(), f)
	require.ErrorContains(t, err, "apache")
}

func TestChildrenOfThisProcess(t *testing.T) {
	// The test's own children are none of the parent's.
	parent, err := childrenOf(os.Getppid())
	require.NoError(t, err)
	require.Contains(t, parent, os.Getpid())
}

func TestParseAnswerWaitsForTheWholeOfIt(t *testing.T) {
	const answer = "HTTP/1.1 201 Created\r\nServer: x\r\ncontent-Length: 5\r\n\r\nhello"
	for i := range len(answer) {
		_, _, whole, err := parseAnswer([]byte(answer[:i]))
		require.NoError(t, err)
		require.False(t, whole, "after %d bytes", i)
	}
	status, body, whole, err := parseAnswer([]byte(answer))
	require.NoError(t, err)
	require.True(t, whole)
	require.Equal(t, 201, status)
	require.Equal(t, "hello", string(body))

	f := func(bad string) {
		t.Helper()
		_, _, _, err := parseAnswer([]byte(bad))
		require.Error(t, err)
	}
	f(answer + "x")
	f("HTTP/1.1 2xx Huh\r\nContent-Length: 0\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")
	f("HTTP/1.1 200 OK\r\n\r\n")
	f("SSH-2.0-x\r\nContent-Length: 0\r\n\r\n")
}

func TestScheduleIsFixedBeforehand(t *testing.T) {
	s := schedule{begin: 1000, end: 1000 + int64(time.Second), rate: 1000}
	for i := range int64(1000) {
		require.Equal(t, 1000+i*int64(time.Millisecond), s.next(5), "message "+strconv.FormatInt(i, 10))
		require.False(t, s.over(5))
		s.sent++
	}
	require.True(t, s.over(5))
	s.rate = 0
	require.EqualValues(t, 5, s.next(5), "without a rate, at once")
}

func TestSocketMemoryOfAServer(t *testing.T) {
	needDiag(t)
	srv := (&standIn{}).start(t)
	f := tinyFanOut(srv.URL)
	r, err := newRig(t.Context(), &f.commonFlags, 100)
	require.NoError(t, err)
	t.Cleanup(r.close)
	// Another program's client may have the same port on another address.
	before, err := readSocketMemory(r.streams.Port())
	require.NoError(t, err)
	c, err := r.newClient(&r.host, 7, func(int) eventHandler { return silent{} })
	require.NoError(t, err)
	require.NoError(t, c.open(t.Context(), 7, f.quiet))
	after, err := readSocketMemory(r.streams.Port())
	require.NoError(t, err)
	require.Equal(t, 7, after.sub(before).Sockets)
	c.close()
	require.NoError(t, awaitSockets(t.Context(), r.streams.Port(), before.Sockets, f.quiet))
}

func TestSocketMemoryRefusesWhatIsNoAnswer(t *testing.T) {
	_, err := (&socketMemory{}).take([]byte("too short to be an answer"), 1)
	require.Error(t, err)
}
