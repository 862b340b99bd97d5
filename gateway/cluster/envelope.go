package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sluice/codec"
	"sluice/gateway/broker"
)

// Every message is one JSON object:
//
//	{"v":1,"from":"<id of the node>","id":7,"kind":"disconnect","ask":true,"data":{...}}
//
// id rises with every message of a sender, whoever it is for: it tells repeats apart.
// ask: the sender waits for an answer, also to a kind that the receiver does not know.

const (
	version = 1
	// maxMessage bounds a message, in bytes: a whitelist as long as the API takes one
	// fits.
	maxMessage = 4 << 20
	// maxUID and maxName bound what nodes are called, in bytes.
	maxUID, maxName = 64, 128
	// maxText bounds the text of an error that travels, in bytes.
	maxText = 512
)

// Kinds of messages. A command carries its own type as data.
const (
	kindAnnounce    = "announce"    // I am here
	kindLeave       = "leave"       // I am no longer
	kindSubscribe   = "subscribe"   // commands
	kindUnsubscribe = "unsubscribe" //
	kindDisconnect  = "disconnect"  //
	kindRefresh     = "refresh"     //
	kindEvict       = "evict"       // not asked: nobody waits for it
	kindChannels    = "channels"    // surveys
	kindInfo        = "info"        //
	kindInspect     = "inspect"     // of consoles, see Inspect
	kindAnswer      = "answer"      // to a command or a survey
	kindNext        = "next"        // go on with an answer in parts
	// kindReference are all messages of and to the reference's nodes, which have a form
	// of their own.
	kindReference = "reference"
)

func kinds() []string {
	return []string{kindAnnounce, kindLeave, kindSubscribe, kindUnsubscribe, kindDisconnect, kindRefresh, kindEvict,
		kindChannels, kindInfo, kindInspect, kindAnswer, kindNext}
}

// message is what goes from node to node.
type message struct {
	from string
	id   uint64
	kind string
	ask  bool
	// data is, by kind: *announcement, nil, *Subscribe and the like, *query, nil,
	// *inspection, *answer, *next.
	data any
}

// announcement is what a node says of itself every now and then.
type announcement struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// New: it knows nobody yet, who hears it announces itself to it at once.
	New bool `json:"new,omitempty"`
}

// query is a survey of channels.
type query struct {
	Pattern string `json:"pattern,omitempty"`
}

// answer answers the message with the id To. Long ones come in parts, each of which but
// the first is asked for.
type answer struct {
	To   uint64 `json:"to"`
	Part int    `json:"part,omitempty"`
	More bool   `json:"more,omitempty"`
	// Code is that of a codec.Error, 0 if there is only a text, which is then of
	// whatever broke there.
	Code  uint32 `json:"code,omitempty"`
	Error string `json:"error,omitempty"`
	// Channels is an object of names and counts; it is read by who asked.
	Channels json.RawMessage `json:"channels,omitempty"`
	Info     *Info           `json:"info,omitempty"`
	// Inspected is read by who asked, too.
	Inspected json.RawMessage `json:"inspected,omitempty"`
}

// next asks for a part of the answer to the message with the id To.
type next struct {
	To   uint64 `json:"to"`
	Part int    `json:"part"`
}

// wire is a message as JSON.
type wire struct {
	V    int             `json:"v"`
	From string          `json:"from"`
	ID   uint64          `json:"id"`
	Kind string          `json:"kind"`
	Ask  bool            `json:"ask,omitempty"`
	Data json.RawMessage `json:"data,omitempty"`
}

// subscribeWire and refreshWire carry values as raw JSON, which is checked on arrival.
type (
	subscribeWire struct {
		Target
		Channel  string          `json:"channel"`
		ExpireAt int64           `json:"expire_at,omitempty"`
		Info     json.RawMessage `json:"info,omitempty"`
		Data     json.RawMessage `json:"data,omitempty"`
		Override Override        `json:"override"`
		Since    *positionWire   `json:"since,omitempty"`
	}
	positionWire struct {
		Offset uint64 `json:"offset"`
		Epoch  string `json:"epoch"`
	}
	refreshWire struct {
		Target
		Expired  bool            `json:"expired,omitempty"`
		ExpireAt int64           `json:"expire_at,omitempty"`
		Info     json.RawMessage `json:"info,omitempty"`
	}
)

// ErrTooLarge is wrapped by errors about what does not fit into messages.
var ErrTooLarge = errors.New("too large to go between nodes")

// encode returns the bytes of a message.
func encode(m *message) ([]byte, error) {
	data := m.data
	switch cmd := data.(type) {
	case *Subscribe:
		w := &subscribeWire{Target: cmd.Target, Channel: cmd.Channel, ExpireAt: cmd.ExpireAt,
			Info: raw(cmd.Info), Data: raw(cmd.Data), Override: cmd.Override}
		if cmd.Since != nil {
			w.Since = &positionWire{cmd.Since.Offset, cmd.Since.Epoch}
		}
		data = w
	case *Refresh:
		data = &refreshWire{Target: cmd.Target, Expired: cmd.Expired, ExpireAt: cmd.ExpireAt, Info: raw(cmd.Info)}
	}
	w := wire{V: version, From: m.from, ID: m.id, Kind: m.kind, Ask: m.ask}
	if data != nil {
		var err error
		if w.Data, err = marshal(data); err != nil {
			return nil, fmt.Errorf("cluster: %s: %w", m.kind, err)
		}
	}
	out, err := marshal(&w)
	if err == nil && len(out) > maxMessage {
		err = fmt.Errorf("%d bytes, at most %d: %w", len(out), maxMessage, ErrTooLarge)
	}
	if err != nil {
		return nil, fmt.Errorf("cluster: %s: %w", m.kind, err)
	}
	return out, nil
}

// marshal leaves values as they are, which json.Marshal does not.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}

func raw(j codec.JSON) json.RawMessage {
	if j.IsZero() {
		return nil
	}
	return json.RawMessage(j.String())
}

// Why a message is skipped; the labels of the counter.
const (
	skipSize      = "size"      // larger than any of ours
	skipSyntax    = "syntax"    // not an envelope
	skipVersion   = "version"   // of another version
	skipSender    = "sender"    // from nobody that can be named
	skipKind      = "kind"      // of a kind that is not known here
	skipContent   = "content"   // not what its kind says
	skipRepeated  = "repeated"  // it was here before, or is too old to say
	skipFull      = "full"      // too many wait to be carried out
	skipLate      = "late"      // an answer that nobody waits for
	skipNodes     = "nodes"     // from one node too many
	skipReference = "reference" // of the reference's nodes, with no meaning here
)

func skipReasons() []string {
	return []string{skipSize, skipSyntax, skipVersion, skipSender, skipKind, skipContent, skipRepeated, skipFull, skipLate, skipNodes, skipReference}
}

// decode reads what arrived, which is not kept. With skipKind or skipContent the message
// is there but for its data; with any other reason there is none.
func decode(payload []byte, lim codec.Limits) (m *message, skip string) {
	if len(payload) > maxMessage {
		return nil, skipSize
	}
	var w wire
	if err := json.Unmarshal(payload, &w); err != nil {
		return nil, skipSyntax
	}
	switch {
	case w.V != version:
		return nil, skipVersion
	case !validUID(w.From):
		return nil, skipSender
	}
	m = &message{from: w.From, id: w.ID, kind: w.Kind, ask: w.Ask}
	if !slices.Contains(kinds(), w.Kind) {
		return m, skipKind
	}
	data, err := decodeData(w.Kind, w.Data, lim)
	if err != nil {
		return m, skipContent
	}
	m.data = data
	return m, ""
}

func decodeData(kind string, data json.RawMessage, lim codec.Limits) (any, error) {
	switch kind {
	case kindSubscribe:
		return decodeSubscribe(data, lim)
	case kindRefresh:
		return decodeRefresh(data, lim)
	case kindAnnounce:
		return decodeAnnouncement(data)
	case kindUnsubscribe:
		return decodeAs[Unsubscribe](data)
	case kindDisconnect:
		return decodeAs[Disconnect](data)
	case kindEvict:
		return decodeAs[Evict](data)
	case kindChannels:
		return decodeAs[query](data)
	case kindInspect:
		return decodeInspection(data)
	case kindAnswer:
		return decodeAs[answer](data)
	case kindNext:
		return decodeAs[next](data)
	}
	return nil, nil // a leave, and the question for info, say all by being there
}

func decodeAs[T any](data json.RawMessage) (*T, error) {
	v := new(T)
	return v, json.Unmarshal(data, v)
}

func decodeSubscribe(data json.RawMessage, lim codec.Limits) (*Subscribe, error) {
	var w subscribeWire
	if err := json.Unmarshal(data, &w); err != nil {
		return nil, err
	}
	if w.Channel == "" {
		return nil, errors.New("a channel expected")
	}
	cmd := &Subscribe{Target: w.Target, Channel: w.Channel, ExpireAt: w.ExpireAt, Override: w.Override}
	if w.Since != nil {
		cmd.Since = &broker.Position{Offset: w.Since.Offset, Epoch: w.Since.Epoch}
	}
	var err error
	if cmd.Info, err = value(w.Info, lim); err == nil {
		cmd.Data, err = value(w.Data, lim)
	}
	return cmd, err
}

func decodeRefresh(data json.RawMessage, lim codec.Limits) (*Refresh, error) {
	var w refreshWire
	if err := json.Unmarshal(data, &w); err != nil {
		return nil, err
	}
	info, err := value(w.Info, lim)
	return &Refresh{Target: w.Target, Expired: w.Expired, ExpireAt: w.ExpireAt, Info: info}, err
}

func decodeInspection(data json.RawMessage) (*inspection, error) {
	q, err := decodeAs[inspection](data)
	if err == nil && len(q.Question) == 0 {
		err = errors.New("a question expected")
	}
	if err != nil {
		return nil, err
	}
	var compact bytes.Buffer
	err = json.Compact(&compact, q.Question)
	q.Question = compact.Bytes()
	return q, err
}

func decodeAnnouncement(data json.RawMessage) (*announcement, error) {
	a, err := decodeAs[announcement](data)
	if err == nil {
		a.Name, a.Version = plain(a.Name, maxName), plain(a.Version, maxName)
	}
	return a, err
}

// value makes a value of JSON that arrived; none is zero.
func value(data json.RawMessage, lim codec.Limits) (codec.JSON, error) {
	if len(data) == 0 {
		return codec.JSON{}, nil
	}
	return codec.Compact(data, lim)
}

// validUID reports whether a node can be called so: the id is part of a subject, and of
// answers of the API.
func validUID(uid string) bool {
	return uid != "" && len(uid) <= maxUID && !strings.ContainsFunc(uid, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
	})
}

// plain makes text of others fit for logs and headers: printable ASCII, at most so many
// bytes.
func plain(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return text[:min(len(text), most)]
}
