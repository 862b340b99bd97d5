package codec

import json "github.com/goccy/go-json"

// APIRequest is the set of requests of the server API (PROTOCOL 7).
type APIRequest interface {
	PublishRequest | BroadcastRequest | SubscribeRequest | UnsubscribeRequest |
		DisconnectRequest | RefreshRequest | PresenceRequest | PresenceStatsRequest |
		HistoryRequest | HistoryRemoveRequest | ChannelsRequest | InfoRequest |
		RPCRequest | BatchRequest
}

// DecodeRequest decodes one request of the server API by the rules of
// encoding/json (PROTOCOL 7.1): null is the empty request, names match whatever
// their case, unknown ones are ignored, of a repeated one the last counts. An
// empty src and anything behind the value are errors. src is copied. Errors are
// described by [Detail].
func DecodeRequest[T APIRequest](src []byte, lim Limits) (*T, error) {
	r := new(T)
	var err error
	if p, ok := any(r).(*PublishRequest); ok {
		err = DecodePublish(p, src, lim)
	} else {
		err = decode(src, lim, r)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// DecodePublish is [DecodeRequest] into r, which is zero. After an error r means nothing.
func DecodePublish(r *PublishRequest, src []byte, lim Limits) error {
	if len(src) < largeRequest {
		if r.decodePlain(src, lim) {
			return nil
		}
		return decode(src, lim, r)
	}
	if err := checkRequestDepth(src, lim); err != nil {
		return err
	}
	if r.decodeLarge(src, lim) {
		return nil
	}
	return decode(src, lim, r)
}

// Content is what a publish and a broadcast say alike (PROTOCOL 7.3).
type Content struct {
	Data           json.RawMessage   `json:"data"` // empty if absent or in Value, "null" if null
	B64Data        string            `json:"b64data"`
	SkipHistory    bool              `json:"skip_history"`
	TagMap         map[string]string `json:"tags"`
	IdempotencyKey string            `json:"idempotency_key"`
	Delta          bool              `json:"delta"`
	Version        uint64            `json:"version"`
	VersionEpoch   string            `json:"version_epoch"`

	value JSON  // the data of a plain request; zero: they are in Data, or in room
	room  *Room // has the data of a large request
}

// Value returns the data of a publish that were made a JSON with the request, and the
// room for its frame if it is a large one; the zero JSON if they are in Data.
func (c *Content) Value() (JSON, *Room) {
	if c.room == nil {
		return c.value, nil
	}
	return c.room.value, c.room
}

// Tags returns the tags in the order of their keys.
func (c *Content) Tags() []Tag { return sortedTags(c.TagMap) }

// PublishRequest is PROTOCOL 7.3.
type PublishRequest struct {
	Channel string `json:"channel"`
	Content
}

// BroadcastRequest is PROTOCOL 7.4.
type BroadcastRequest struct {
	Channels []string `json:"channels"`
	Content
}

// StreamPosition is a place in a channel's history.
type StreamPosition struct {
	Offset uint64 `json:"offset"`
	Epoch  string `json:"epoch"`
}

// BoolValue is a switch that may also be absent.
type BoolValue struct {
	Value bool `json:"value"`
}

// OverrideRequest replaces options of the namespace for one subscription; nil
// leaves an option alone.
type OverrideRequest struct {
	Presence           *BoolValue `json:"presence"`
	JoinLeave          *BoolValue `json:"join_leave"`
	ForceRecovery      *BoolValue `json:"force_recovery"`
	ForcePositioning   *BoolValue `json:"force_positioning"`
	ForcePushJoinLeave *BoolValue `json:"force_push_join_leave"`
}

// SubscribeRequest is PROTOCOL 7.5.
type SubscribeRequest struct {
	Channel      string           `json:"channel"`
	User         string           `json:"user"`
	ExpireAt     int64            `json:"expire_at"` // Unix seconds
	Info         json.RawMessage  `json:"info"`
	B64Info      string           `json:"b64info"`
	Client       string           `json:"client"`
	Data         json.RawMessage  `json:"data"`
	B64Data      string           `json:"b64data"`
	RecoverSince *StreamPosition  `json:"recover_since"`
	Override     *OverrideRequest `json:"override"`
	Session      string           `json:"session"`
}

// UnsubscribeRequest is PROTOCOL 7.5.
type UnsubscribeRequest struct {
	Channel string `json:"channel"`
	User    string `json:"user"`
	Client  string `json:"client"`
	Session string `json:"session"`
}

// DisconnectReason is the code and reason that a disconnect asks for.
type DisconnectReason struct {
	Code   uint32 `json:"code"`
	Reason string `json:"reason"`
}

// DisconnectRequest is PROTOCOL 7.6.
type DisconnectRequest struct {
	User       string            `json:"user"`
	Disconnect *DisconnectReason `json:"disconnect"`
	Client     string            `json:"client"`
	Whitelist  []string          `json:"whitelist"`
	Session    string            `json:"session"`
}

// RefreshRequest is PROTOCOL 7.7.
type RefreshRequest struct {
	User     string          `json:"user"`
	Client   string          `json:"client"`
	Expired  bool            `json:"expired"`
	ExpireAt int64           `json:"expire_at"` // Unix seconds
	Info     json.RawMessage `json:"info"`
	Session  string          `json:"session"`
}

// PresenceRequest is PROTOCOL 7.8.
type PresenceRequest struct {
	Channel string `json:"channel"`
}

// PresenceStatsRequest is PROTOCOL 7.8.
type PresenceStatsRequest struct {
	Channel string `json:"channel"`
}

// HistoryRequest is PROTOCOL 7.9.
type HistoryRequest struct {
	Channel string          `json:"channel"`
	Limit   int32           `json:"limit"`
	Since   *StreamPosition `json:"since"`
	Reverse bool            `json:"reverse"`
}

// HistoryRemoveRequest is PROTOCOL 7.9.
type HistoryRemoveRequest struct {
	Channel string `json:"channel"`
}

// ChannelsRequest is PROTOCOL 7.10.
type ChannelsRequest struct {
	Pattern string `json:"pattern"`
}

// InfoRequest is PROTOCOL 7.10.
type InfoRequest struct{}

// RPCRequest is PROTOCOL 7.10.
type RPCRequest struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// BatchRequest is PROTOCOL 7.10. A command is nil where it was null.
type BatchRequest struct {
	Commands []*Command `json:"commands"`
	Parallel bool       `json:"parallel"`
}

// Command is one request within a batch.
type Command struct {
	Publish       *PublishRequest       `json:"publish"`
	Broadcast     *BroadcastRequest     `json:"broadcast"`
	Subscribe     *SubscribeRequest     `json:"subscribe"`
	Unsubscribe   *UnsubscribeRequest   `json:"unsubscribe"`
	Disconnect    *DisconnectRequest    `json:"disconnect"`
	History       *HistoryRequest       `json:"history"`
	HistoryRemove *HistoryRemoveRequest `json:"history_remove"`
	Presence      *PresenceRequest      `json:"presence"`
	PresenceStats *PresenceStatsRequest `json:"presence_stats"`
	Info          *InfoRequest          `json:"info"`
	RPC           *RPCRequest           `json:"rpc"`
	Refresh       *RefreshRequest       `json:"refresh"`
	Channels      *ChannelsRequest      `json:"channels"`
}

// Request returns the method of the command and its request, a pointer to an
// [APIRequest]: of several the first in the order of PROTOCOL 7.10. Without
// any, method is "".
func (c *Command) Request() (method string, request any) {
	switch {
	case c.Publish != nil:
		return "publish", c.Publish
	case c.Broadcast != nil:
		return "broadcast", c.Broadcast
	case c.Subscribe != nil:
		return "subscribe", c.Subscribe
	case c.Unsubscribe != nil:
		return "unsubscribe", c.Unsubscribe
	case c.Disconnect != nil:
		return "disconnect", c.Disconnect
	case c.History != nil:
		return "history", c.History
	case c.HistoryRemove != nil:
		return "history_remove", c.HistoryRemove
	case c.Presence != nil:
		return "presence", c.Presence
	case c.PresenceStats != nil:
		return "presence_stats", c.PresenceStats
	case c.Info != nil:
		return "info", c.Info
	case c.RPC != nil:
		return "rpc", c.RPC
	case c.Refresh != nil:
		return "refresh", c.Refresh
	case c.Channels != nil:
		return "channels", c.Channels
	}
	return "", nil
}
