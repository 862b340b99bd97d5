// Package recordings is what the reference did on Redis and NATS when it was watched,
// step by step: requests and their answers, the bytes of each message between nodes,
// what clients were sent, keys afterwards, and the commands, scripts' included.
//
// The files under testdata are facts and not ours to change. Their steps are in the
// order of execution, and one may need the state that earlier ones left. Redis has a
// standalone server with two nodes; RedisCluster a cluster (steps cluster_*), two and
// three servers (shards2_*, shards3_*) and Sentinel (sentinel_*); NATS its server.
// The reference was 6.9.1 (which calls itself 0.0.0 OSS), Redis 7.0.15, NATS 2.9.10.
//
// Whatever differs from run to run stands as something fixed. In payloads, whose
// length it keeps: UUIDs count up as 00000000-0000-4000-8000-<n>, those of nodes begin
// with aaaaaaaa, bbbbbbbb, and cccccccc for one made by hand; epochs are epochAAA and
// so on; times are 1700000001000 and a thousand more each. In arguments and values see
// [Value]. The order of maps (tags, metrics, channels of a survey) is the one that came.
//
// Options beyond the defaults: client.presence_update_interval 6s,
// client.channel_position_check_delay 5s. Namespaces: hist (history_size 5,
// history_ttl 300s, force_recovery), honly (3, 60s, history_meta_ttl 3600s), pos
// (as hist but force_positioning), pjl (presence, join_leave, force_push_join_leave),
// pjlh (pjl and hist), delta (hist, allowed_delta_types fossil, delta_publish), dnoh
// (those two without history), cache (1, force_recovery, mode cache), acache (cache,
// auto_cache_recover), short (5, 3s, history_meta_ttl 8s), bin (binary format).
//
// Like testkit it is for tests only and imports nothing of this module.
package recordings

import (
	"bufio"
	"bytes"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"
)

//go:embed testdata/*.jsonl
var files embed.FS

var (
	redis        = sync.OnceValues(func() ([]Step, error) { return load("redis") })
	redisCluster = sync.OnceValues(func() ([]Step, error) { return load("redis-cluster") })
	nats         = sync.OnceValues(func() ([]Step, error) { return load("nats") })
)

// Redis returns the steps on a standalone server. All steps are shared: read only.
func Redis(t testing.TB) []Step { return need(t, redis) }

// RedisCluster returns the steps on several servers.
func RedisCluster(t testing.TB) []Step { return need(t, redisCluster) }

// NATS returns the steps on NATS.
func NATS(t testing.TB) []Step { return need(t, nats) }

func need(t testing.TB, load func() ([]Step, error)) []Step {
	t.Helper()
	steps, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

// Step is one thing that was done, and all that was seen of it.
type Step struct {
	Name    string  `json:"step"`
	Request Request `json:"request"`
	// Response is the answer of the API; for a PUBLISH by hand the number of its
	// receivers, which includes the one who watched. nil if there is none.
	Response  json.RawMessage `json:"response"`
	Published []Published     `json:"published"` // announcements of nodes only where one starts
	Pushes    []Push          `json:"pushes"`    // in the order of each stream
	// Keys are those of the step's channels afterwards; nil if nobody looked.
	Keys     map[string]Key `json:"keys"`
	Commands []Command      `json:"commands"`
	Note     string         `json:"note"`
}

// Request is what was done. Raw has all of it; of the fields only those are set
// which the step has.
type Request struct {
	Node    string          `json:"node"` // a, b, ...: which node was asked
	API     string          `json:"api"`  // a method, with Body
	Body    json.RawMessage `json:"body"` // an object, or a string that has it byte for byte
	Connect json.RawMessage `json:"uni_sse_connect"`
	Claims  json.RawMessage `json:"token_claims"`
	Stream  string          `json:"stream"`       // the name that Connect's stream gets
	Close   string          `json:"close_stream"` // the stream that the client closes
	// Channel and Payload of a PUBLISH by hand; its subject with NATS.
	Channel string `json:"channel"`
	Subject string `json:"subject"`
	Payload Hex    `json:"payload_hex"`

	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON also keeps the text.
func (r *Request) UnmarshalJSON(src []byte) error {
	type plain Request
	r.Raw = bytes.Clone(src)
	return json.Unmarshal(src, (*plain)(r))
}

// Published is one message that was seen on a channel of the server.
type Published struct {
	Channel string `json:"channel"`
	Payload Hex    `json:"payload_hex"`
	// Decoded is what an independent decoder said: its kind (plain, p1, d1, join,
	// leave, control, push, raw, unparsed), and names and values of the fields.
	// Booleans read 1; bytes that are no text are "hex:...".
	Decoded json.RawMessage `json:"decoded"`
}

// Push is what a client got: a push, or the end of its stream.
type Push struct {
	Stream string          `json:"stream"`
	Push   json.RawMessage `json:"push"`
	End    bool            `json:"end"`
}

// Key is one key with its value: Hash and Sorted by field and member, List from its
// head on, Stream in order.
type Key struct {
	Type   string // hash, zset, list, stream
	TTL    time.Duration
	Shard  int // which server has it
	Hash   map[string]Value
	Sorted map[string]Value
	List   []Value
	Stream []Entry
}

// Entry of a stream.
type Entry struct {
	ID     string
	Fields map[string]Value
}

// UnmarshalJSON decodes the value by the type.
func (k *Key) UnmarshalJSON(src []byte) error {
	var raw struct {
		Type  string
		Value json.RawMessage
		TTL   float64 `json:"ttl_s"`
		Shard int
	}
	if err := json.Unmarshal(src, &raw); err != nil {
		return err
	}
	*k = Key{Type: raw.Type, TTL: time.Duration(raw.TTL * float64(time.Second)), Shard: raw.Shard}
	switch k.Type {
	case "hash":
		return json.Unmarshal(raw.Value, &k.Hash)
	case "zset":
		return json.Unmarshal(raw.Value, &k.Sorted)
	case "list":
		return json.Unmarshal(raw.Value, &k.List)
	case "stream":
		return json.Unmarshal(raw.Value, &k.Stream)
	}
	return fmt.Errorf("recordings: a key of type hash, zset, list or stream expected, got %q", k.Type)
}

// UnmarshalJSON decodes [id, {field: value}].
func (e *Entry) UnmarshalJSON(src []byte) error {
	return json.Unmarshal(src, &[]any{&e.ID, &e.Fields})
}

// Hex is bytes that the files hold in hexadecimal digits.
type Hex []byte

// UnmarshalJSON decodes the digits.
func (h *Hex) UnmarshalJSON(src []byte) error {
	var text string
	if err := json.Unmarshal(src, &text); err != nil {
		return err
	}
	var err error
	*h, err = hex.DecodeString(text)
	return err
}

func load(name string) ([]Step, error) {
	src, err := files.ReadFile("testdata/" + name + ".jsonl")
	if err != nil {
		return nil, fmt.Errorf("recordings: %w", err)
	}
	var steps []Step
	lines := bufio.NewScanner(bytes.NewReader(src))
	lines.Buffer(nil, len(src))
	for lines.Scan() {
		var s Step
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return nil, fmt.Errorf("recordings: %s: step %d %s: %w", name, len(steps)+1, s.Name, err)
		}
		steps = append(steps, s)
	}
	return steps, lines.Err()
}
