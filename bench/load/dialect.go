//go:build linux

package load

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
	Subscribe(u *url.URL, channels []string, token, lastID string) ([]byte, error)
	// publish returns the request that publishes payload below the API URL u,
	// and where in it the payload stands.
	Publish(u *url.URL, key, channel string, payload []byte) (request []byte, payloadAt int, err error)
	// accepts reports whether an answer says that the message was taken.
	Accepts(status int, body []byte) bool
	// greets reports whether the first event of a stream is a connect push; if
	// not, a stream is open as soon as its response head is there.
	Greets() bool
}

// uniSSE is the endpoint and the server API of PROTOCOL: ours, and the
// reference server's.
type uniSSE struct{}

// Subscribe implements dialect (PROTOCOL 1.2, 2.1).
func (uniSSE) Subscribe(u *url.URL, channels []string, token, lastID string) ([]byte, error) {
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

// Publish implements dialect (PROTOCOL 7).
func (uniSSE) Publish(u *url.URL, key, channel string, payload []byte) (request []byte, payloadAt int, err error) {
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

// Batch returns the request that publishes payload n times in one call, one after the
// other, to a server of uniSSE, and what says that all were taken (PROTOCOL 7.10).
func Batch(u *url.URL, key, channel string, payload []byte, n int) (request []byte, accepts func(status int, body []byte) bool, err error) {
	name, err := json.Marshal(channel)
	if err != nil {
		return nil, nil, fmt.Errorf("bench: channel %q: %w", channel, err)
	}
	commands := bytes.Repeat(fmt.Appendf(nil, `{"publish":{"channel":%s,"data":%s}},`, name, payload), n)
	body := fmt.Appendf(nil, `{"commands":[%s]}`, bytes.TrimSuffix(commands, []byte(",")))
	request = fmt.Appendf(nil, "POST %s/batch HTTP/1.1\r\nHost: %s\r\nX-API-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		u.EscapedPath(), u.Host, key, len(body), body)
	return request, func(status int, body []byte) bool {
		return status == 200 && bytes.Count(body, []byte(`{"publish":`)) == n
	}, nil
}

// Accepts implements dialect: 200 with {"result":…} (PROTOCOL 7.1).
func (uniSSE) Accepts(status int, body []byte) bool {
	return status == 200 && !bytes.HasPrefix(body, []byte(`{"error"`))
}

// Greets implements dialect.
func (uniSSE) Greets() bool { return true }

// Nchan is what bench/rig/peers/nchan configures: /sub/CHANNEL and /pub/CHANNEL.
type Nchan struct{}

// Subscribe implements dialect. nchan takes one channel per stream, and no
// token.
func (Nchan) Subscribe(u *url.URL, channels []string, _, lastID string) ([]byte, error) {
	if len(channels) != 1 {
		return nil, fmt.Errorf("bench: nchan is asked for one channel per stream, not %d", len(channels))
	}
	if lastID != "" {
		lastID = "Last-Event-ID: " + lastID + "\r\n"
	}
	return fmt.Appendf(nil, "GET %s/%s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n%s\r\n",
		strings.TrimSuffix(u.EscapedPath(), "/"), url.PathEscape(channels[0]), u.Host, lastID), nil
}

// Publish implements dialect: the body is the message.
func (Nchan) Publish(u *url.URL, _, channel string, payload []byte) (request []byte, payloadAt int, err error) {
	request = fmt.Appendf(nil, "POST %s/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		strings.TrimSuffix(u.EscapedPath(), "/"), url.PathEscape(channel), u.Host, len(payload))
	return append(request, payload...), len(request), nil
}

// Accepts implements dialect: 201 with subscribers, 202 without.
func (Nchan) Accepts(status int, _ []byte) bool { return status == 201 || status == 202 }

// Greets implements dialect: a comment follows the head, and no event.
func (Nchan) Greets() bool { return false }
