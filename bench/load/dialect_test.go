//go:build linux

package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// publishRequest checks that the payload is where dialect says, and returns the
// request.
func publishRequest(t *testing.T, d dialect, base, channel string) (*http.Request, []byte) {
	t.Helper()
	_, u, err := Resolve(t.Context(), base, false)
	require.NoError(t, err)
	payload, err := NewPayload(128)
	require.NoError(t, err)
	raw, at, err := d.Publish(u, "secret", channel, payload)
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

	req, body = publishRequest(t, Nchan{}, "http://127.0.0.1:8000/pub", "a/b")
	require.Equal(t, "/pub/a%2Fb", req.URL.EscapedPath())
	require.Len(t, body, 128)
	require.Empty(t, req.Header.Get("X-API-Key"))
}

func TestDialectsKnowWhatWasTaken(t *testing.T) {
	require.True(t, uniSSE{}.Accepts(200, []byte(`{"result":{}}`)))
	require.False(t, uniSSE{}.Accepts(200, []byte(`{"error":{"code":100}}`)))
	require.False(t, uniSSE{}.Accepts(401, nil))
	require.True(t, Nchan{}.Accepts(201, nil))
	require.True(t, Nchan{}.Accepts(202, nil), "nobody subscribed")
	require.False(t, Nchan{}.Accepts(413, nil))
}

func TestNchanIsAskedForOneChannel(t *testing.T) {
	_, u, err := Resolve(t.Context(), "http://127.0.0.1:8000/sub", false)
	require.NoError(t, err)
	raw, err := Nchan{}.Subscribe(u, []string{"bench"}, "token", "7:0")
	require.NoError(t, err)
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	require.NoError(t, err)
	require.Equal(t, "/sub/bench", req.URL.Path)
	require.Equal(t, "7:0", req.Header.Get("Last-Event-ID"))
	require.Equal(t, "text/event-stream", req.Header.Get("Accept"))
	_, err = Nchan{}.Subscribe(u, []string{"a", "b"}, "", "")
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

func TestABatchIsTakenWhereAllOfItAre(t *testing.T) {
	_, u, err := Resolve(t.Context(), "http://127.0.0.1:8000/api", false)
	require.NoError(t, err)
	raw, accepts, err := Batch(u, "secret", `a"b`, []byte(`{"t":1}`), 2)
	require.NoError(t, err)
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	require.NoError(t, err)
	require.Equal(t, "/api/batch", req.URL.Path)
	body, err := io.ReadAll(req.Body)
	require.NoError(t, err)
	require.Equal(t, `{"commands":[{"publish":{"channel":"a\"b","data":{"t":1}}},{"publish":{"channel":"a\"b","data":{"t":1}}}]}`, string(body))
	require.True(t, accepts(200, []byte(`{"replies":[{"publish":{}},{"publish":{"offset":1}}]}`)))
	require.False(t, accepts(200, []byte(`{"replies":[{"publish":{}},{"error":{"code":100}}]}`)))
	require.False(t, accepts(503, nil))
}
