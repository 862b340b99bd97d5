package codec

import (
	"cmp"
	"slices"
	"strconv"

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
	if err := r.Decode(src, lim); err != nil {
		return nil, err
	}
	return r, nil
}

// Decode is [DecodeConnect] into a request that is empty, but for memory that Subs may have.
// After an error it means nothing.
func (r *ConnectRequest) Decode(src []byte, lim Limits) error {
	if !decodePlain(src, r) { // Slow path
		*r = ConnectRequest{}
		if err := r.decode(src, lim); err != nil {
			return err
		}
	}
	if len(r.Subs) > 1 {
		slices.SortFunc(r.Subs, func(a, b SubRequest) int { return cmp.Compare(a.Channel, b.Channel) })
	}
	return nil
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

// decodePlain is [DecodeConnect] for requests as nearly all clients write them: a token,
// name, version and subs, none of them twice, in names of lower case and texts of printable
// ASCII without escapes. Of others it reports false, and what it has set means nothing. Why:
// a decoder that goes by types makes seven things of the shortest request.
func decodePlain(src []byte, r *ConnectRequest) bool {
	p := plainReader{src: src}
	subs := false
	ok := p.object(func(name []byte) bool {
		switch string(name) {
		case "token":
			return p.textOnce(&r.Token)
		case "name":
			return p.textOnce(&r.Name)
		case "version":
			return p.textOnce(&r.Version)
		case "subs":
			if subs {
				return false
			}
			subs = true
			return p.object(func(channel []byte) bool { return p.sub(r, channel) })
		}
		return false
	})
	return ok && p.next() == 0 && p.pos == len(p.src)
}

// plainSubs is how many subs a plain request has at most.
const plainSubs = 32

// sub reads the value of a channel.
func (p *plainReader) sub(r *ConnectRequest, channel []byte) bool {
	if len(r.Subs) == plainSubs {
		return false
	}
	for i := range r.Subs {
		if r.Subs[i].Channel == string(channel) {
			return false
		}
	}
	s := SubRequest{Channel: string(channel)}
	if !p.word("null") {
		recovers, offset := false, false
		ok := p.object(func(name []byte) bool {
			switch string(name) {
			case "recover":
				s.Recover = p.word("true")
				again := recovers
				recovers = true
				return !again && (s.Recover || p.word("false"))
			case "offset":
				again := offset
				offset = true
				return !again && p.uint(&s.Offset)
			case "epoch":
				return p.textOnce(&s.Epoch)
			case "delta":
				return p.textOnce(&s.Delta)
			}
			return false
		})
		if !ok {
			return false
		}
	}
	r.Subs = append(r.Subs, s)
	return true
}

// plainReader reads JSON that is plain, see decodePlain; its methods report whether it was.
type plainReader struct {
	src []byte
	pos int
}

// next returns the next byte that is not white space, 0 at the end.
func (p *plainReader) next() byte {
	for ; p.pos < len(p.src); p.pos++ {
		switch b := p.src[p.pos]; b {
		case ' ', '\t', '\n', '\r':
		default:
			return b
		}
	}
	return 0
}

// took goes past the next byte if it is this one.
func (p *plainReader) took(b byte) bool {
	if p.next() != b {
		return false
	}
	p.pos++
	return true
}

// object calls member for each, which reads its value.
func (p *plainReader) object(member func(name []byte) bool) bool {
	if !p.took('{') {
		return false
	}
	if p.took('}') {
		return true
	}
	for {
		name, ok := p.text()
		if !ok || !p.took(':') || !member(name) {
			return false
		}
		if p.took('}') {
			return true
		}
		if !p.took(',') {
			return false
		}
	}
}

func (p *plainReader) text() ([]byte, bool) {
	if !p.took('"') {
		return nil, false
	}
	for start := p.pos; p.pos < len(p.src); p.pos++ {
		switch b := p.src[p.pos]; {
		case b == '"':
			p.pos++
			return p.src[start : p.pos-1], true
		case b == '\\', b < ' ', b > '~':
			return nil, false
		}
	}
	return nil, false
}

// textOnce reads what was empty until now, into a copy.
func (p *plainReader) textOnce(to *string) bool {
	text, ok := p.text()
	if !ok || len(text) == 0 || *to != "" {
		return false
	}
	*to = string(text)
	return true
}

func (p *plainReader) word(w string) bool {
	p.next()
	if len(p.src)-p.pos < len(w) || string(p.src[p.pos:p.pos+len(w)]) != w {
		return false
	}
	p.pos += len(w) // what follows is looked at by whoever reads on
	return true
}

func (p *plainReader) uint(to *uint64) bool {
	p.next()
	start := p.pos
	for p.pos < len(p.src) && p.src[p.pos] >= '0' && p.src[p.pos] <= '9' {
		p.pos++
	}
	digits := p.src[start:p.pos]
	if len(digits) > 1 && digits[0] == '0' {
		return false
	}
	var err error
	*to, err = strconv.ParseUint(string(digits), 10, 64)
	return err == nil
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
