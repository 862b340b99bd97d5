package testkit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
)

// API calls the server API (PROTOCOL 7) over kept connections, from any goroutine. It must not be copied after the first
// call.
type API struct {
	Addr   string // host:port, or unix:/path
	Key    string // sent as X-API-Key; "" = no such header
	Prefix string // "" = /api

	// Guarded by mu.
	mu     sync.Mutex
	client *http.Client
}

// Position is where a publication went in its channel's history; zero without history.
type Position struct {
	Offset uint64 `json:"offset"`
	Epoch  string `json:"epoch"`
}

// Call posts body to a method and returns the answer as it is, whatever its status; only a failing transport fails the test.
// method "" is the legacy endpoint. body is sent as it is when it is a string, []byte or json.RawMessage, as {} when nil,
// and encoded as JSON otherwise.
func (a *API) Call(t testing.TB, method string, body any) (status int, head http.Header, raw []byte) {
	t.Helper()
	text, err := requestText(body)
	if err != nil {
		t.Fatalf("testkit: api %s: request: %v", method, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), defaultTimeout)
	defer cancel()
	host := a.Addr
	if network, _ := networkOf(a.Addr); network == "unix" {
		host = "localhost"
	}
	url := "http://" + host + orDefault(a.Prefix, "/api")
	if method != "" {
		url += "/" + method
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		t.Fatalf("testkit: api %s: %v", method, err)
	}
	request.Header.Set("Content-Type", "application/json")
	if a.Key != "" {
		request.Header.Set("X-API-Key", a.Key)
	}
	response, err := a.http(t).Do(request)
	if err != nil {
		t.Fatalf("testkit: api %s: %v", method, err)
	}
	defer func() { _ = response.Body.Close() }() // Read to its end below.
	raw, err = io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("testkit: api %s: answer after %q: %v", method, raw, err)
	}
	return response.StatusCode, response.Header, raw
}

// MustResult is Call for calls that succeed: it returns the value under result and fails the test on anything else.
func (a *API) MustResult(t testing.TB, method string, body any) json.RawMessage {
	t.Helper()
	status, _, raw := a.Call(t, method, body)
	var reply struct {
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	err := json.Unmarshal(raw, &reply)
	if status != http.StatusOK || err != nil || reply.Result == nil || reply.Error != nil {
		t.Fatalf("testkit: api %s: expected 200 with a result, got %d %q (%v)", method, status, raw, err)
	}
	return reply.Result
}

// Publish publishes data, which is JSON text and sent byte for byte, into a channel.
func (a *API) Publish(t testing.TB, channel, data string) Position {
	t.Helper()
	name, err := json.Marshal(channel)
	if err != nil {
		t.Fatalf("testkit: api publish: channel %q: %v", channel, err)
	}
	result := a.MustResult(t, "publish", fmt.Sprintf(`{"channel":%s,"data":%s}`, name, data))
	var position Position
	if err := json.Unmarshal(result, &position); err != nil {
		t.Fatalf("testkit: api publish: expected an offset and epoch, got %s: %v", result, err)
	}
	return position
}

// http returns the client, made at the first call and closed at the end of the test that made that call.
func (a *API) http(t testing.TB) *http.Client {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.client == nil {
		transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
		if network, at := networkOf(a.Addr); network == "unix" {
			transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, at)
			}
		}
		client := &http.Client{Transport: transport}
		a.client = client
		t.Cleanup(func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.client = nil
			client.CloseIdleConnections()
		})
	}
	return a.client
}

func requestText(body any) ([]byte, error) {
	switch body := body.(type) {
	case nil:
		return []byte("{}"), nil
	case string:
		return []byte(body), nil
	case []byte:
		return body, nil
	case json.RawMessage:
		return body, nil
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return nil, fmt.Errorf("encode %T: %w", body, err)
	}
	return out.Bytes(), nil
}
