package codec

import (
	"cmp"
	"slices"

	json "github.com/goccy/go-json"
)

// ConnectRequest is what a client asks for when it opens a stream
// (PROTOCOL 2.1).
type ConnectRequest struct {
	Token   string
	Name    string
	Version string
	Data    JSON         // zero if absent
	Subs    []SubRequest // sorted by channel
	Headers []Tag        // emulated HTTP headers as the client wrote them, sorted by key
}

// SubRequest is a channel that a connecting client asks for, with the position
// that it has if Recover is set.
type SubRequest struct {
	Channel string
	Recover bool
	Offset  uint64
	Epoch   string
	Delta   string
}

// connectWire is a ConnectRequest as it is written. Fields without an effect
// are here because a wrong type in them refuses the request.
type connectWire struct {
	Token   string              `json:"token"`
	Data    json.RawMessage     `json:"data"`
	Name    string              `json:"name"`
	Version string              `json:"version"`
	Subs    map[string]*subWire `json:"subs"`
	Headers map[string]string   `json:"headers"`
	Flag    int64               `json:"flag"`
}

// subWire is a SubRequest as it is written; see connectWire.
type subWire struct {
	Channel     string          `json:"channel"`
	Token       string          `json:"token"`
	Recover     bool            `json:"recover"`
	Epoch       string          `json:"epoch"`
	Offset      uint64          `json:"offset"`
	Data        json.RawMessage `json:"data"`
	Positioned  bool            `json:"positioned"`
	Recoverable bool            `json:"recoverable"`
	JoinLeave   bool            `json:"join_leave"`
	Delta       string          `json:"delta"`
	Filter      *filterWire     `json:"tf"`
	Flag        int64           `json:"flag"`
	Type        int32           `json:"type"`
	Phase       int32           `json:"phase"`
	Cursor      string          `json:"cursor"`
	Limit       int32           `json:"limit"`
	Asc         bool            `json:"asc"`
}

// filterWire is a tags filter, which has no effect on this transport.
type filterWire struct {
	Op    string        `json:"op"`
	Key   string        `json:"key"`
	Cmp   string        `json:"cmp"`
	Val   string        `json:"val"`
	Vals  []string      `json:"vals"`
	Nodes []*filterWire `json:"nodes"`
}

// DecodeConnect decodes the connect request of a client: the value of
// cf_connect or the body of a POST (PROTOCOL 1.2, 1.3, 2.1). null is the empty
// request, and a null entry of subs asks for nothing special (12.1). Names are
// matched as encoding/json does, unknown ones are ignored. An empty src is an
// error, as is anything behind the value (12.9). src is copied. Errors are
// described by [Detail].
func DecodeConnect(src []byte, lim Limits) (*ConnectRequest, error) {
	r := &ConnectRequest{}
	if !decodePlain(src, r) { // Slow path
		*r = ConnectRequest{}
		if err := r.decode(src, lim); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(r.Subs, func(a, b SubRequest) int { return cmp.Compare(a.Channel, b.Channel) })
	return r, nil
}

// decode sets the fields from src, the subs in no order.
func (r *ConnectRequest) decode(src []byte, lim Limits) error {
	var wire connectWire
	if err := decode(src, lim, &wire); err != nil {
		return err
	}
	r.Token, r.Name, r.Version, r.Headers = wire.Token, wire.Name, wire.Version, sortedTags(wire.Headers)
	if len(wire.Data) > 0 {
		data, err := Compact(wire.Data, lim)
		if err != nil {
			return &FieldError{Field: "data", Want: "acceptable JSON", Cause: err}
		}
		r.Data = data
	}
	if len(wire.Subs) == 0 {
		return nil
	}
	r.Subs = make([]SubRequest, 0, len(wire.Subs))
	for channel, s := range wire.Subs {
		sub := SubRequest{Channel: channel}
		if s != nil {
			sub.Recover, sub.Offset, sub.Epoch, sub.Delta = s.Recover, s.Offset, s.Epoch, s.Delta
		}
		r.Subs = append(r.Subs, sub)
	}
	return nil
}

// sortedTags returns the pairs of m in the order of their keys.
func sortedTags(m map[string]string) []Tag {
	if len(m) == 0 {
		return nil
	}
	tags := make([]Tag, 0, len(m))
	for k, v := range m {
		tags = append(tags, Tag{k, v})
	}
	slices.SortFunc(tags, func(a, b Tag) int { return cmp.Compare(a.Key, b.Key) })
	return tags
}

// envelopeDepth is how much deeper than one payload a request may be nested:
// a payload lies at most four levels deep, in the commands of a batch.
const envelopeDepth = 8

// decode fills into, a pointer to a struct, from the one JSON value in src.
func decode(src []byte, lim Limits, into any) error {
	if err := checkRequestDepth(src, lim); err != nil {
		return err
	}
	if err := json.Unmarshal(src, into); err != nil {
		lim.Depth = requestDepth(lim)
		return requestError(src, lim, err)
	}
	return nil
}

func requestDepth(lim Limits) int {
	if lim.Depth <= 0 {
		return DefaultDepth + envelopeDepth
	}
	return lim.Depth + envelopeDepth
}

func checkRequestDepth(src []byte, lim Limits) error { return CheckDepth(src, requestDepth(lim)) }
