package redis

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/presence"
	"sluice/gateway/redis"
	"sluice/gateway/reference"
	"sluice/gateway/testkit/recordings"
	"sluice/gateway/testkit/redisrig"
)

// replay compares a manager with what the reference left in Redis.
type replay struct {
	t      *testing.T
	server *redisrig.Server
	prefix string // instead of the reference's
	base   time.Time
	opt    redis.Options
	kept   map[string]recordings.Key // latest state of each key, by its recorded name
}

func newReplay(t *testing.T) *replay {
	server := redisrig.Shared(t)
	return &replay{
		t: t, server: server, prefix: redisrig.Prefix(t), base: time.Now().Truncate(time.Second),
		opt: redis.Options{Address: []string{server.Addr}}, kept: make(map[string]recordings.Key),
	}
}

// manager is one of a reference's node with that prefix, whose clock is so far from base.
func (r *replay) manager(prefix string, mapping bool, ahead time.Duration) *Manager {
	opt := r.opt
	opt.Prefix = r.name(prefix)
	m := New(connect(r.t, opt), Options{UserMapping: mapping})
	m.now = func() time.Time { return r.base.Add(ahead) }
	return m
}

// name puts our prefix before a recorded name.
func (r *replay) name(recorded string) string { return r.prefix + recorded }

// isPresence reports whether a recorded key is one of presence, and of what.
func isPresence(key string) (prefix, channel string, ok bool) {
	prefix, rest, ok := strings.Cut(key, ".presence.")
	if !ok {
		return "", "", false
	}
	for _, kind := range []string{"data.", "expire.", "user.clients.", "user.expire."} {
		if channel, ok := strings.CutPrefix(rest, kind); ok {
			return prefix, strings.Trim(channel, "{}"), true
		}
	}
	return "", "", false
}

// apply does what a recorded call of a script did.
func (r *replay) apply(step *recordings.Step, c *recordings.Command) {
	name, keys, argv, ok := c.Script()
	if !ok || name != "presence_add" && name != "presence_rem" {
		return
	}
	prefix, channel, ok := isPresence(keys[1])
	require.True(r.t, ok, keys[1])
	text := func(i int) string {
		b, err := step.Bytes(argv[i])
		require.NoError(r.t, err)
		return string(b)
	}
	if name == "presence_rem" {
		info := &codec.ClientInfo{Client: text(0), User: text(1)}
		m := r.manager(prefix, text(2) == "1", 0)
		require.NoError(r.t, m.Apply(r.t.Context(), []presence.Change{{Channel: channel, Info: info, Left: true}}))
		return
	}
	info, left, err := reference.DecodeInfo([]byte(text(3)), reference.Limits{})
	require.NoError(r.t, err)
	require.Zero(r.t, left)
	require.Equal(r.t, "60", text(0))
	ends, ok := argv[1].FromNow()
	require.True(r.t, ok)
	m := r.manager(prefix, text(5) == "1", ends-defaultTTL)
	require.NoError(r.t, m.Apply(r.t.Context(), []presence.Change{{Channel: channel, Info: info}}))
}

// same fails unless a key holds what the reference's did. The JSON of infos is ours:
// compact.
func (r *replay) same(step *recordings.Step, name string, key recordings.Key) {
	t := r.t
	var want, got map[string]string
	switch key.Type {
	case "hash":
		want, got = r.texts(step, key.Hash, strings.Contains(name, ".data.")), pairs(t, r.server.Do(t, "HGETALL", r.name(name)))
	case "zset":
		want, got = r.scores(key.Sorted), pairs(t, r.server.Do(t, "ZRANGE", r.name(name), 0, -1, "WITHSCORES"))
	default:
		t.Fatalf("%s: %s", name, key.Type)
	}
	require.Equal(t, want, got, "%s: %s", step.Name, name)
	ttl := r.server.Do(t, "TTL", r.name(name)).(int64)
	require.True(t, ttl > 0 && ttl <= 60, "%s: %s: TTL %d", step.Name, name, ttl)
}

func (r *replay) texts(step *recordings.Step, hash map[string]recordings.Value, infos bool) map[string]string {
	out := make(map[string]string)
	for field, v := range hash {
		b, err := step.Bytes(v)
		require.NoError(r.t, err)
		if infos {
			info, _, err := reference.DecodeInfo(b, reference.Limits{})
			require.NoError(r.t, err)
			b = reference.AppendInfo(nil, info)
		}
		out[field] = string(b)
	}
	return out
}

func (r *replay) scores(sorted map[string]recordings.Value) map[string]string {
	out := make(map[string]string)
	for member, v := range sorted {
		ends, ok := v.FromNow()
		require.True(r.t, ok)
		out[member] = fmt.Sprint(r.base.Add(ends).Unix())
	}
	return out
}

func pairs(t *testing.T, reply any) map[string]string {
	t.Helper()
	out := make(map[string]string)
	list := reply.([]any)
	for i := 0; i+1 < len(list); i += 2 {
		out[list[i].(string)] = list[i+1].(string)
	}
	return out
}

// What we write is what the reference's nodes wrote, key for key, byte for byte but for
// white space in JSON.
func TestWritesAreTheReferences(t *testing.T) {
	r := newReplay(t)
	compared := 0
	for _, step := range recordings.Redis(t) {
		if strings.HasPrefix(step.Name, "presence_api_with_handmade") || step.Name == "presence_leave_first" {
			continue // with a client that was made by hand
		}
		for i := range step.Commands {
			r.apply(&step, &step.Commands[i])
		}
		// Other scores than those of the step itself are of steps before, seconds ago.
		if !strings.Contains(step.Name, "subscribe") && step.Name != "presence_anonymous" {
			continue
		}
		for name, key := range step.Keys {
			if _, _, ok := isPresence(name); ok && len(key.Hash)+len(key.Sorted) == 1 {
				r.same(&step, name, key)
				compared++
			}
		}
	}
	require.Greater(t, compared, 8)
}

// restore writes the keys as the reference left them.
func (r *replay) restore(step *recordings.Step) {
	t := r.t
	for name, key := range r.kept {
		args := []any{r.name(name)}
		r.server.Do(t, "DEL", r.name(name))
		switch key.Type {
		case "hash":
			for field, v := range r.texts(step, key.Hash, false) {
				args = append(args, field, v)
			}
			r.server.Do(t, append([]any{"HSET"}, args...)...)
		case "zset":
			for member, score := range r.scores(key.Sorted) {
				args = append(args, score, member)
			}
			r.server.Do(t, append([]any{"ZADD"}, args...)...)
		}
	}
}

// What we read of what the reference left is what its own API answered.
func TestReadsAreTheReferences(t *testing.T) {
	r := newReplay(t)
	compared := 0
	for _, step := range recordings.Redis(t) {
		if step.Keys != nil {
			r.kept = make(map[string]recordings.Key)
			for name, key := range step.Keys {
				if _, _, ok := isPresence(name); ok {
					r.kept[name] = key
				}
			}
		}
		if step.Request.API != "presence" && step.Request.API != "presence_stats" {
			continue
		}
		r.restore(&step)
		var asked struct{ Channel string }
		require.NoError(t, json.Unmarshal(step.Request.Body, &asked))
		prefix, mapping := "centrifugo", step.Request.Node == "c"
		if mapping {
			prefix = "lst"
		}
		r.answers(&step, r.manager(prefix, mapping, 0), asked.Channel)
		compared++
	}
	require.GreaterOrEqual(t, compared, 6)
}

func (r *replay) answers(step *recordings.Step, m *Manager, channel string) {
	t := r.t
	var answer struct {
		Result struct {
			Presence map[string]struct {
				User, Client string
				ConnInfo     json.RawMessage `json:"conn_info"`
				ChanInfo     json.RawMessage `json:"chan_info"`
			}
			Clients int `json:"num_clients"`
			Users   int `json:"num_users"`
		}
	}
	require.NoError(t, json.Unmarshal(step.Response, &answer))
	if step.Request.API == "presence_stats" {
		st, err := m.Stats(t.Context(), channel)
		require.NoError(t, err)
		require.Equal(t, presence.Stats{Clients: answer.Result.Clients, Users: answer.Result.Users}, st, step.Name)
		return
	}
	here, err := m.Presence(t.Context(), channel)
	require.NoError(t, err)
	require.Len(t, here, len(answer.Result.Presence), step.Name)
	for _, info := range here {
		want := answer.Result.Presence[info.Client]
		require.Equal(t, want.User, info.User, step.Name)
		compact := func(raw json.RawMessage) (v codec.JSON) {
			if raw != nil {
				v, err = codec.Compact(raw, codec.Limits{})
				require.NoError(t, err)
			}
			return v
		}
		require.Equal(t, compact(want.ConnInfo), info.ConnInfo, step.Name)
		require.Equal(t, compact(want.ChanInfo), info.ChanInfo, step.Name)
	}
}
