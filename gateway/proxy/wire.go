package proxy

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	json "github.com/goccy/go-json"

	"sluice/codec"
	"sluice/gateway/auth"
)

// appendStart appends what every request begins with, in the order that
// backends have seen.
func appendStart(b []byte, client string, binary bool) []byte {
	b = append(b, `{"client":`...)
	b = codec.AppendString(b, client)
	b = append(b, `,"transport":"uni_sse","protocol":"json","encoding":`...)
	if binary {
		return append(b, `"binary"`...)
	}
	return append(b, `"json"`...)
}

// appendText appends a member with a string, if there is one.
func appendText(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(append(append(b, `,"`...), name...), `":`...)
	return codec.AppendString(b, value)
}

// appendConnect appends the body of a connect call (PROTOCOL 8.2).
func appendConnect(b []byte, c *auth.ConnectCall, binary bool) []byte {
	b = appendStart(b, c.Client, binary)
	switch {
	case c.Data.IsZero():
	case binary:
		b = appendText(b, "b64data", base64.StdEncoding.EncodeToString([]byte(c.Data.String())))
	default:
		b = c.Data.Append(append(b, `,"data":`...))
	}
	b = appendText(b, "name", c.Name)
	b = appendText(b, "version", c.Version)
	if len(c.Channels) > 0 {
		b = append(b, `,"channels":`...)
		for i, ch := range c.Channels {
			sep := byte(',')
			if i == 0 {
				sep = '['
			}
			b = codec.AppendString(append(b, sep), ch)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// appendRefresh appends the body of a refresh call (PROTOCOL 8.4).
func appendRefresh(b []byte, c *auth.RefreshCall, meta, binary bool) []byte {
	b = appendText(appendStart(b, c.Client, binary), "user", c.User)
	if meta && !c.Meta.IsZero() {
		b = c.Meta.Append(append(b, `,"meta":`...))
	}
	return append(b, '}')
}

// reply is the body of an answer: one of the three, and of several the last.
type reply[T any] struct {
	Result     *T              `json:"result"`
	Error      *errorWire      `json:"error"`
	Disconnect *disconnectWire `json:"disconnect"`
}

type errorWire struct {
	Code      uint32 `json:"code"`
	Message   string `json:"message"`
	Temporary bool   `json:"temporary"`
}

type disconnectWire struct {
	Code   uint32 `json:"code"`
	Reason string `json:"reason"`
}

// connectResult is PROTOCOL 8.2.
type connectResult struct {
	User     string              `json:"user"`
	ExpireAt int64               `json:"expire_at"`
	Info     json.RawMessage     `json:"info"`
	B64Info  string              `json:"b64info"`
	Data     json.RawMessage     `json:"data"`
	B64Data  string              `json:"b64data"`
	Channels []string            `json:"channels"`
	Subs     map[string]*subWire `json:"subs"`
	Meta     json.RawMessage     `json:"meta"`
}

// subWire is one entry of subs. expire_at has no effect at connect; it is here
// because a wrong type in it makes the answer wrong.
type subWire struct {
	auth.SubOptions
	CacheRecover bool  `json:"cache_recover"`
	ExpireAt     int64 `json:"expire_at"`
}

// refreshResult is PROTOCOL 8.4.
type refreshResult struct {
	Expired  bool            `json:"expired"`
	ExpireAt int64           `json:"expire_at"`
	Info     json.RawMessage `json:"info"`
	B64Info  string          `json:"b64info"`
	Meta     json.RawMessage `json:"meta"`
}

// decodeReply decodes an answer. The result is nil if there is none; an error
// that is a codec.Error or codec.Disconnect is the answer.
func decodeReply[T any](body []byte) (*T, error) {
	// Why: the lenient decoder below works on text that was checked and whose
	// depth is bounded.
	text, err := codec.AppendCompact(make([]byte, 0, len(body)), body, codec.Limits{})
	if err != nil {
		return nil, err
	}
	if text[0] != '{' {
		return nil, errors.New("a JSON object expected")
	}
	var r reply[T]
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, wrongType(err)
	}
	switch {
	case r.Disconnect != nil:
		return nil, &codec.Disconnect{Code: r.Disconnect.Code, Reason: r.Disconnect.Reason}
	case r.Error != nil && r.Error.Code == 0:
		return nil, errors.New("error: a code expected")
	case r.Error != nil:
		return nil, &codec.Error{Code: r.Error.Code, Message: r.Error.Message, Temporary: r.Error.Temporary}
	}
	return r.Result, nil
}

// wrongType says which field has a wrong type, without its value.
func wrongType(err error) error {
	var e *json.UnmarshalTypeError
	if !errors.As(err, &e) {
		return errors.New("an answer of the documented form expected")
	}
	_, field, _ := strings.Cut(e.Field, ".")
	if field == "" {
		field = e.Field
	}
	kind, _, _ := strings.Cut(e.Value, " ")
	return fmt.Errorf("%s: a value of another type expected, got %s", field, kind)
}

// maxExpiry is how far ahead a connection may expire.
const maxExpiry = 365 * 24 * time.Hour

// expiry returns an expire_at within its bounds.
func expiry(at int64, now time.Time) int64 { return min(max(at, 0), now.Add(maxExpiry).Unix()) }

// decodeConnect decodes the answer of a connect hook; see decodeReply. One that grants more
// channels than a connection may have says so before they are decoded.
func decodeConnect(body []byte, now time.Time, maxChannels int) (*auth.ConnectAnswer, error) {
	if grantsMore(body, maxChannels) {
		if _, err := decodeReply[struct{}](body); err != nil {
			return nil, err // it is told something else
		}
		return nil, codec.DisconnectChannelLimit
	}
	r, err := decodeReply[connectResult](body)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return &auth.ConnectAnswer{}, nil
	}
	id := &auth.Identity{User: strings.Clone(r.User), ExpireAt: expiry(r.ExpireAt, now)}
	a := &auth.ConnectAnswer{Identity: id}
	if id.Info, err = auth.JSONOrBase64("info", r.Info, r.B64Info); err != nil {
		return nil, err
	}
	if id.Meta, err = auth.JSONOrBase64("meta", r.Meta, ""); err != nil {
		return nil, err
	}
	if a.Data, err = auth.JSONOrBase64("data", r.Data, r.B64Data); err != nil {
		return nil, err
	}
	if id.Subs, err = r.grants(); err != nil {
		return nil, err
	}
	return a, nil
}

// grantsMore reports whether an answer names more than so many channels, each counted once,
// or a multiple of that, however often each.
func grantsMore(body []byte, most int) bool {
	if len(body)/minName <= most {
		return false
	}
	seen, listed := make(map[string]struct{}), 0
	one := func(name []byte) {
		listed++
		if len(seen) <= most && len(name) > 0 && string(name) != `""` {
			seen[string(bytes.Trim(name, `"`))] = struct{}{}
		}
	}
	codec.Members(body, func(name, result []byte) {
		if !codec.IsNamed(name, "result") {
			return
		}
		codec.Members(result, func(name, value []byte) {
			if codec.IsNamed(name, "channels", "subs") {
				codec.Elements(value, one)
				codec.Members(value, func(name, _ []byte) { one(name) })
			}
		})
	})
	return len(seen) > most || listed > repeated*most
}

// repeated is how often all channels may be listed.
const repeated = 10

// minName is the least that a channel takes in an answer: its name and a comma.
const minName = len(`"",`)

// grants returns the channels of the answer: those of channels in their order,
// then those of subs, which win, by name.
func (r *connectResult) grants() ([]auth.SubGrant, error) {
	var out []auth.SubGrant
	seen := make(map[string]bool, len(r.Channels))
	for _, ch := range r.Channels {
		if _, better := r.Subs[ch]; ch != "" && !better && !seen[ch] {
			seen[ch] = true
			out = append(out, auth.SubGrant{Channel: strings.Clone(ch)})
		}
	}
	for _, ch := range slices.Sorted(maps.Keys(r.Subs)) {
		if ch == "" {
			continue
		}
		w := r.Subs[ch]
		if w == nil {
			w = &subWire{}
		}
		g, err := w.Grant(ch)
		if err != nil {
			return nil, fmt.Errorf("subs: %w", err)
		}
		g.CacheRecover = w.CacheRecover
		out = append(out, g)
	}
	return out, nil
}

// decodeRefresh decodes the answer of a refresh hook; see decodeReply.
func decodeRefresh(body []byte, now time.Time) (*auth.RefreshAnswer, error) {
	r, err := decodeReply[refreshResult](body)
	if err != nil {
		return nil, err
	}
	if r == nil || r.Expired || r.ExpireAt != 0 && r.ExpireAt <= now.Unix() {
		return &auth.RefreshAnswer{Expired: true}, nil
	}
	a := &auth.RefreshAnswer{ExpireAt: expiry(r.ExpireAt, now)}
	if a.Info, err = auth.JSONOrBase64("info", r.Info, r.B64Info); err != nil {
		return nil, err
	}
	if a.Meta, err = auth.JSONOrBase64("meta", r.Meta, ""); err != nil {
		return nil, err
	}
	return a, nil
}
