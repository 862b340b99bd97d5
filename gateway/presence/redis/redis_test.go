package redis

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/presence"
	"sluice/gateway/redis"
	"sluice/gateway/reference"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
)

// shared is a manager on the server that tests have in common, and the prefix of its keys.
func shared(t *testing.T, opt Options) (m *Manager, server *redisrig.Server, prefix string) {
	t.Helper()
	server, prefix = redisrig.Shared(t), redisrig.Prefix(t)
	return New(connect(t, redis.Options{Address: []string{server.Addr}, Prefix: prefix}), opt), server, prefix
}

func TestForeignValuesAreSkippedAndCounted(t *testing.T) {
	m, server, prefix := shared(t, Options{})
	good := &codec.ClientInfo{User: "u", Client: "good"}
	require.NoError(t, m.Apply(t.Context(), []presence.Change{{Channel: "ch", Info: good}}))
	data := prefix + ".presence.data.ch"
	torn := string(reference.AppendInfo(nil, &codec.ClientInfo{User: "u", Client: "torn"}))
	for field, value := range map[string]string{
		"empty": "", "text": "hello", "json": `{"user":"u"}`, "torn": torn[:len(torn)-2],
		"other": torn, // of another client
		"large": string(reference.AppendInfo(nil, &codec.ClientInfo{Client: "large", User: strings.Repeat("x", largestInfo)})),
	} {
		server.Do(t, "HSET", data, field, value)
	}
	bad := append(reference.AppendInfo(nil, &codec.ClientInfo{User: "v", Client: "bad info"}), "\x1a\x03{]}"...)
	server.Do(t, "HSET", data, "bad info", string(bad)) // of another protocol: the client is there
	here, err := m.Presence(t.Context(), "ch")
	require.NoError(t, err)
	require.ElementsMatch(t, []*codec.ClientInfo{good, {User: "v", Client: "bad info"}}, here)
	require.EqualValues(t, 6, m.Counters().Skipped)
	st, err := m.Stats(t.Context(), "ch")
	require.NoError(t, err)
	require.Equal(t, presence.Stats{Clients: 2, Users: 2}, st)
	server.Do(t, "DEL", data)
	server.Do(t, "SET", data, "a string")
	_, err = m.Presence(t.Context(), "ch")
	require.ErrorContains(t, err, "WRONGTYPE")
	require.NotErrorIs(t, err, presence.ErrUnavailable)
	require.Error(t, m.Apply(t.Context(), []presence.Change{{Channel: "other", Info: good}, {Channel: "ch", Info: good}}))
	st, err = m.Stats(t.Context(), "other")
	require.NoError(t, err)
	require.Equal(t, 1, st.Clients, "one channel is no reason to leave out another")
}

// Many changes of a channel are few commands in one pipeline, and of each client only the
// last change is sent.
func TestChangesOfAChannelAreFewCommands(t *testing.T) {
	m, server, prefix := shared(t, Options{UserMapping: true})
	var changes []presence.Change
	for n := range 3 * perCommand {
		info := &codec.ClientInfo{User: "u", Client: fmt.Sprint(n)}
		changes = append(changes, presence.Change{Channel: "ch", Info: info, Left: true}, presence.Change{Channel: "ch", Info: info})
	}
	require.NoError(t, m.Apply(t.Context(), changes))
	require.Equal(t, Counters{Changes: uint64(len(changes)), Commands: 3}, m.Counters())
	require.EqualValues(t, 3*perCommand, server.Do(t, "HLEN", prefix+".presence.data.ch"))
	require.Equal(t, fmt.Sprint(3*perCommand), server.Do(t, "HGET", prefix+".presence.user.clients.ch", "u"))
	for _, kind := range []string{"data", "expire", "user.clients", "user.expire"} {
		ttl := server.Do(t, "TTL", prefix+".presence."+kind+".ch").(int64)
		require.True(t, ttl > 50 && ttl <= 60, "%s: %d", kind, ttl)
	}
}

// Clients that expire are off their users' counts, so that a user does not outlive its
// last client, whether it is the reader or the writer who is late.
func TestUsersDoNotOutliveTheirClients(t *testing.T) {
	m, server, prefix := shared(t, Options{UserMapping: true})
	at := time.Now()
	m.now = func() time.Time { return at }
	apply := func(left bool, infos ...*codec.ClientInfo) {
		var changes []presence.Change
		for _, info := range infos {
			changes = append(changes, presence.Change{Channel: "ch", Info: info, Left: left})
		}
		require.NoError(t, m.Apply(t.Context(), changes))
	}
	long := strings.Repeat("u", 300) // its length takes two bytes
	dead := []*codec.ClientInfo{{User: "u", Client: "1"}, {User: "", Client: "2"}, {User: long, Client: "3"}, {User: "gone", Client: "4"}}
	apply(false, dead...)
	at = at.Add(45 * time.Second)
	alive := []*codec.ClientInfo{{User: "u", Client: "5"}, {User: "", Client: "6"}, {User: long, Client: "7"}}
	apply(false, alive...)
	at = at.Add(45 * time.Second)
	st, err := m.Stats(t.Context(), "ch")
	require.NoError(t, err)
	require.Equal(t, presence.Stats{Clients: 3, Users: 3}, st)
	require.Equal(t, map[string]string{"u": "1", "": "1", long: "1"}, pairs(t, server.Do(t, "HGETALL", prefix+".presence.user.clients.ch")))
	apply(true, alive...)
	st, err = m.Stats(t.Context(), "ch")
	require.NoError(t, err)
	require.Zero(t, st)
	require.Empty(t, server.Do(t, "KEYS", prefix+"*"))
}

// Clients expire by the clock of the server: that of a node may be wrong, or stepped.
func TestTheClockOfTheServerCounts(t *testing.T) {
	m, server, prefix := shared(t, Options{UserMapping: true, TTL: 2 * time.Second})
	seconds := func() int64 {
		now, err := strconv.ParseInt(server.Do(t, "TIME").([]any)[0].(string), 10, 64)
		require.NoError(t, err)
		return now
	}
	before := seconds()
	require.NoError(t, m.Apply(t.Context(), []presence.Change{{Channel: "ch", Info: &codec.ClientInfo{User: "u", Client: "a"}}}))
	after := seconds()
	for _, key := range []string{".presence.expire.ch", ".presence.user.expire.ch"} {
		ends, err := strconv.ParseInt(server.Do(t, "ZRANGE", prefix+key, 0, -1, "WITHSCORES").([]any)[1].(string), 10, 64)
		require.NoError(t, err)
		require.True(t, ends >= before+2 && ends <= after+2, "%s: %d is not 2 s behind %d–%d", key, ends, before, after)
	}
	st, err := m.Stats(t.Context(), "ch")
	require.NoError(t, err)
	require.Equal(t, presence.Stats{Clients: 1, Users: 1}, st)
	// Its key outlives it where another one came later.
	testkit.Eventually(t, func() bool {
		require.NoError(t, m.Apply(t.Context(), []presence.Change{{Channel: "ch", Info: &codec.ClientInfo{User: "v", Client: "b"}}}))
		st, err := m.Stats(t.Context(), "ch")
		return err == nil && st == presence.Stats{Clients: 1, Users: 1}
	}, "the end of who is not renewed")
}

// More than one call of a script removes are removed all the same.
func TestACrowdExpiresAtOnce(t *testing.T) {
	m, _, _ := shared(t, Options{UserMapping: true})
	at := time.Now()
	m.now = func() time.Time { return at }
	var changes []presence.Change
	for n := range 2*expirePerCall + 10 {
		changes = append(changes, presence.Change{Channel: "ch", Info: &codec.ClientInfo{User: fmt.Sprint(n), Client: fmt.Sprint(n)}})
	}
	require.NoError(t, m.Apply(t.Context(), changes))
	at = at.Add(time.Minute)
	st, err := m.Stats(t.Context(), "ch")
	require.NoError(t, err)
	require.Zero(t, st)
}

func TestAServerThatCannotExpireFieldsIsNamed(t *testing.T) {
	m, server, _ := shared(t, Options{FieldTTL: true})
	err := m.Probe(ctxOf(t))
	if known := server.Do(t, "COMMAND", "INFO", "HEXPIRE").([]any); known[0] != nil {
		require.NoError(t, err)
		return
	}
	var missing *FieldTTLError
	require.ErrorAs(t, err, &missing)
	require.ErrorContains(t, err, "presence_hash_field_ttl needs 7.4")
	require.ErrorIs(t, m.Ready(), err)
	changes := []presence.Change{{Channel: "ch", Info: &codec.ClientInfo{Client: "c"}}}
	m.lacks.Store(nil) // a server that was not within reach at the start
	require.NoError(t, m.Ready())
	require.ErrorAs(t, m.Apply(t.Context(), changes), &missing)
	require.ErrorAs(t, m.Ready(), &missing)
	plain, _, _ := shared(t, Options{})
	require.NoError(t, plain.Probe(ctxOf(t)))
}

func TestOptionsAreChecked(t *testing.T) {
	require.Empty(t, (&Options{}).Check())
	require.Empty(t, (&Options{TTL: time.Minute}).Check())
	short := (&Options{TTL: 999 * time.Millisecond}).Check()
	require.Len(t, short, 1)
	require.Contains(t, fmt.Sprint(short), "presence_ttl")
	require.Len(t, (&Options{TTL: 1500 * time.Millisecond}).Check(), 1)
	require.Equal(t, time.Second, New(nil, Options{TTL: 1500 * time.Millisecond}).TTL())
	require.Equal(t, defaultTTL, New(nil, Options{}).TTL())
}

func FuzzDecode(f *testing.F) {
	f.Add("c", reference.AppendInfo(nil, &codec.ClientInfo{User: "u", Client: "c", ConnInfo: codec.QuoteJSON("x")}))
	f.Add("", []byte{})
	f.Add("c", []byte("\x0a\xff\xff\xff\xff\x0f"))
	m := New(nil, Options{})
	f.Fuzz(func(t *testing.T, client string, value []byte) {
		if info := m.decode(client, string(value)); info != nil && info.Client != client {
			t.Fatal("another client")
		}
	})
}
