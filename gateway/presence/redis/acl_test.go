package redis

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/cluster"
	"sluice/gateway/presence"
	"sluice/gateway/redis"
	"sluice/gateway/testkit/redisrig"
)

// documentedUser makes the user that docs/scaling.md shows.
func documentedUser(t *testing.T, server *redisrig.Server) redis.Options {
	t.Helper()
	page, err := os.ReadFile("../../docs/scaling.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(page), "<!-- test acl -->")
	require.True(t, ok)
	_, rest, _ = strings.Cut(rest, "ACL SETUSER ")
	rule, _, _ := strings.Cut(rest, "```")
	args := []any{"ACL", "SETUSER"}
	for _, word := range strings.Fields(strings.ReplaceAll(rule, "PASSWORD", "secret")) {
		args = append(args, word)
	}
	require.Equal(t, "OK", server.Do(t, args...))
	return redis.Options{Address: []string{server.Addr}, User: args[2].(string), Password: "secret", Prefix: "centrifugo"}
}

// The user that the documentation shows may do all that presence and places need.
func TestTheDocumentedUserMayDoAllThatIsNeeded(t *testing.T) {
	r := connect(t, documentedUser(t, redisrig.Single(t)))
	for _, mapping := range []bool{false, true} {
		m := New(r, Options{UserMapping: mapping})
		at := time.Now()
		m.now = func() time.Time { return at }
		changes := []presence.Change{{Channel: "ch", Info: &codec.ClientInfo{User: "u", Client: "a"}}, {Channel: "ch", Info: &codec.ClientInfo{User: "u", Client: "b"}}}
		require.NoError(t, m.Apply(t.Context(), changes))
		changes[0].Left = true
		require.NoError(t, m.Apply(t.Context(), changes[:1]))
		here, err := m.Presence(t.Context(), "ch")
		require.NoError(t, err)
		require.Len(t, here, 1)
		at = at.Add(defaultTTL)
		st, err := m.Stats(t.Context(), "ch")
		require.NoError(t, err)
		require.Zero(t, st)
	}
	p := NewPlaces(r, time.Minute)
	for limit := range 2 {
		place, err := p.Reserve(t.Context(), "u", "c", limit)
		require.NoError(t, err)
		require.Equal(t, cluster.PlaceTaken, place)
	}
	for _, want := range []cluster.Place{cluster.PlaceDoubtful, cluster.PlaceRefused} {
		place, err := p.Reserve(t.Context(), "u", "d", 1)
		require.NoError(t, err)
		require.Equal(t, want, place)
		time.Sleep(2 * time.Millisecond) // the server's clock counts so
		require.NoError(t, p.Apply(t.Context(), []cluster.PlaceChange{{User: "u", Client: "c"}}))
	}
	require.NoError(t, p.Apply(t.Context(), []cluster.PlaceChange{{User: "u", Client: "c"}, {User: "u", Client: "c", Left: true}}))
	_, _, err := p.Claim(t.Context(), "u", 0)
	require.NoError(t, err)
	var missing *FieldTTLError
	require.ErrorAs(t, New(r, Options{FieldTTL: true}).Probe(ctxOf(t)), &missing)
}
