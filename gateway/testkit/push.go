package testkit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// Push is one decoded event of a stream (PROTOCOL 2.2).
type Push struct {
	// Channel is the envelope's channel, "" for pushes about the whole connection.
	Channel string
	// Kind is the body key: connect, pub, join, leave, subscribe, unsubscribe, message, disconnect, refresh or gap; ping
	// for an empty object; invalid for an event that is no push (seen only with ConnectOptions.AllowViolations).
	Kind string
	// Raw is the whole event data as it came.
	Raw json.RawMessage
	// Body is the value under the kind's key, nil for a ping.
	Body json.RawMessage
	// EventID is the last event id once this event was dispatched; HasID says that the event's own block carried it.
	EventID string
	HasID   bool
	// Frame is the raw bytes of the block, see Event.Raw.
	Frame []byte
}

// Decode decodes Body into v, strictly: a field that v does not have fails the test.
func (p Push) Decode(t testing.TB, v any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(p.Body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		t.Fatalf("testkit: expected the body of a %s push as %T: %v in %s", p.Kind, v, err, p.Raw)
	}
}

// ConnectResult is the body of a connect push.
type ConnectResult struct {
	Client  string                     `json:"client"`
	Version string                     `json:"version"`
	Data    json.RawMessage            `json:"data"`
	Subs    map[string]SubscribeResult `json:"subs"`
	Expires bool                       `json:"expires"`
	TTL     uint32                     `json:"ttl"`  // seconds
	Ping    uint32                     `json:"ping"` // seconds
	Session string                     `json:"session"`
	Time    int64                      `json:"time"` // Unix milliseconds

	// EventID and HasID are those of the push.
	EventID string `json:"-"`
	HasID   bool   `json:"-"`
}

// SubscribeResult is a granted subscription, in a connect push or as the body of a subscribe push.
type SubscribeResult struct {
	Recoverable   bool            `json:"recoverable"`
	Epoch         string          `json:"epoch"`
	Publications  []Publication   `json:"publications"`
	Recovered     bool            `json:"recovered"`
	Offset        uint64          `json:"offset"`
	Positioned    bool            `json:"positioned"`
	Data          json.RawMessage `json:"data"`
	WasRecovering bool            `json:"was_recovering"`
	Delta         bool            `json:"delta"`
}

// Publication is the body of a pub push, or a recovered publication. The fields that PROTOCOL 2.2 says are never in the
// channels of this transport (time, key, removed, score, prev_data) are left out, so that they fail a test.
type Publication struct {
	Data    json.RawMessage   `json:"data"`
	Info    *ClientInfo       `json:"info"`
	Offset  uint64            `json:"offset"`
	Tags    map[string]string `json:"tags"`
	Delta   bool              `json:"delta"`
	Channel string            `json:"channel"`
	Epoch   string            `json:"epoch"`
	Version uint64            `json:"version"`

	// EventID and HasID are those of the push; empty for a recovered publication.
	EventID string `json:"-"`
	HasID   bool   `json:"-"`
}

// ClientInfo says who published, joined or left.
type ClientInfo struct {
	User     string          `json:"user"`
	Client   string          `json:"client"`
	ConnInfo json.RawMessage `json:"conn_info"`
	ChanInfo json.RawMessage `json:"chan_info"`
}

// Join is the body of a join push and of a leave push.
type Join struct {
	Info ClientInfo `json:"info"`
}

// Unsubscribe is the body of an unsubscribe push.
type Unsubscribe struct {
	Code   uint32 `json:"code"`
	Reason string `json:"reason"`
}

// Disconnect is the body of a disconnect push.
type Disconnect struct {
	Code   uint32 `json:"code"`
	Reason string `json:"reason"`
}

// Refresh is the body of a refresh push.
type Refresh struct {
	Expires bool   `json:"expires"`
	TTL     uint32 `json:"ttl"` // seconds
}

var (
	channelKinds    = []string{"pub", "join", "leave", "subscribe", "unsubscribe"}
	connectionKinds = []string{"message", "connect", "disconnect", "refresh"}
	otherKinds      = []string{"gap"}
)

// decodePush decodes an event and holds it against PROTOCOL 1.5 and 2.2; the push is usable unless its kind is invalid.
func decodePush(ev Event) (Push, error) {
	p := Push{Kind: "invalid", Raw: json.RawMessage(ev.Data), EventID: ev.ID, HasID: ev.HasID, Frame: ev.Raw}
	if ev.Type != "message" {
		return p, fmt.Errorf("event type %q: pushes have none", ev.Type)
	}
	if strings.Contains(ev.Data, "\n") {
		return p, fmt.Errorf("several data lines, expected one line of JSON: %q", ev.Data)
	}
	keys, values, err := members(ev.Data)
	if err != nil {
		return p, fmt.Errorf("expected one JSON object, got %q: %w", ev.Data, err)
	}
	if len(keys) == 0 {
		p.Kind = "ping"
		return p, nil
	}
	hasChannel := keys[0] == "channel"
	if hasChannel {
		if err := json.Unmarshal(values[0], &p.Channel); err != nil || p.Channel == "" {
			return p, fmt.Errorf("channel is not a non-empty string: %s", ev.Data)
		}
		keys, values = keys[1:], values[1:]
	}
	if len(keys) != 1 {
		return p, fmt.Errorf("expected an optional channel and then one body key, got %s", ev.Data)
	}
	kind := keys[0]
	switch {
	case slices.Contains(channelKinds, kind):
		if !hasChannel {
			return p, fmt.Errorf("%s push without channel: %s", kind, ev.Data)
		}
	case slices.Contains(connectionKinds, kind):
		if hasChannel {
			return p, fmt.Errorf("%s push with a channel: %s", kind, ev.Data)
		}
	case !slices.Contains(otherKinds, kind):
		return p, fmt.Errorf("unknown push kind %q: %s", kind, ev.Data)
	}
	if values[0][0] != '{' {
		return p, fmt.Errorf("the body of a %s push is not an object: %s", kind, ev.Data)
	}
	p.Kind, p.Body = kind, values[0]
	return p, nil
}

// members returns the keys of a JSON object in the order they come, with their values.
func members(text string) (keys []string, values []json.RawMessage, err error) {
	dec := json.NewDecoder(strings.NewReader(text))
	open, err := dec.Token()
	if err != nil {
		return nil, nil, err
	}
	if open != json.Delim('{') {
		return nil, nil, fmt.Errorf("it starts with %v", open)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, nil, err
		}
		keys, values = append(keys, fmt.Sprint(key)), append(values, value)
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("more text after the object")
	}
	return keys, values, nil
}
