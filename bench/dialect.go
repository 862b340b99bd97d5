//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"

	json "github.com/goccy/go-json"
)

// dialect is how a server is asked for streams and told what to publish. Any
// goroutine.
type dialect interface {
	// subscribe returns the request of a stream on channels. Token and lastID
	// may be empty.
	subscribe(u *url.URL, channels []string, token, lastID string) ([]byte, error)
	// publish returns the request that publishes payload below the API URL u,
	// and where in it the payload stands.
	publish(u *url.URL, key, channel string, payload []byte) (request []byte, payloadAt int, err error)
	// accepts reports whether an answer says that the message was taken.
	accepts(status int, body []byte) bool
	// greets reports whether the first event of a stream is a connect push; if
	// not, a stream is open as soon as its response head is there.
	greets() bool
}

// uniSSE is the endpoint and the server API of PROTOCOL: ours, and the
// reference server's.
type uniSSE struct{}

// subscribe implements dialect (PROTOCOL 1.2, 2.1).
func (uniSSE) subscribe(u *url.URL, channels []string, token, lastID string) ([]byte, error) {
	connect := struct {
		Token string              `json:"token,omitempty"`
		Subs  map[string]struct{} `json:"subs"`
	}{Token: token, Subs: map[string]struct{}{}}
	for _, ch := range channels {
		connect.Subs[ch] = struct{}{}
	}
	body, err := json.Marshal(connect)
	if err != nil {
		return nil, fmt.Errorf("bench: connect request: %w", err)
	}
	query := u.Query()
	query.Set("cf_connect", string(body))
	if lastID != "" {
		lastID = "Last-Event-ID: " + lastID + "\r\n"
	}
	return fmt.Appendf(nil, "GET %s?%s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n%s\r\n", u.EscapedPath(), query.Encode(), u.Host, lastID), nil
}

// publish implements dialect (PROTOCOL 7).
func (uniSSE) publish(u *url.URL, key, channel string, payload []byte) (request []byte, payloadAt int, err error) {
	name, err := json.Marshal(channel)
	if err != nil {
		return nil, 0, fmt.Errorf("bench: channel %q: %w", channel, err)
	}
	start := fmt.Appendf(nil, `{"channel":%s,"data":`, name)
	request = fmt.Appendf(nil, "POST %s/publish HTTP/1.1\r\nHost: %s\r\nX-API-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		u.EscapedPath(), u.Host, key, len(start)+len(payload)+1, start)
	payloadAt = len(request)
	return append(append(request, payload...), '}'), payloadAt, nil
}

// accepts implements dialect: 200 with {"result":…} (PROTOCOL 7.1).
func (uniSSE) accepts(status int, body []byte) bool {
	return status == 200 && !bytes.HasPrefix(body, []byte(`{"error"`))
}

// greets implements dialect.
func (uniSSE) greets() bool { return true }

// nchan is what bench/peers/nchan configures: /sub/CHANNEL and /pub/CHANNEL.
type nchan struct{}

// subscribe implements dialect. nchan takes one channel per stream, and no
// token.
func (nchan) subscribe(u *url.URL, channels []string, _, lastID string) ([]byte, error) {
	if len(channels) != 1 {
		return nil, fmt.Errorf("bench: nchan is asked for one channel per stream, not %d", len(channels))
	}
	if lastID != "" {
		lastID = "Last-Event-ID: " + lastID + "\r\n"
	}
	return fmt.Appendf(nil, "GET %s/%s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n%s\r\n",
		strings.TrimSuffix(u.EscapedPath(), "/"), url.PathEscape(channels[0]), u.Host, lastID), nil
}

// publish implements dialect: the body is the message.
func (nchan) publish(u *url.URL, _, channel string, payload []byte) (request []byte, payloadAt int, err error) {
	request = fmt.Appendf(nil, "POST %s/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		strings.TrimSuffix(u.EscapedPath(), "/"), url.PathEscape(channel), u.Host, len(payload))
	return append(request, payload...), len(request), nil
}

// accepts implements dialect: 201 with subscribers, 202 without.
func (nchan) accepts(status int, _ []byte) bool { return status == 201 || status == 202 }

// greets implements dialect: a comment follows the head, and no event.
func (nchan) greets() bool { return false }
