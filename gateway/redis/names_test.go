package redis

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit/recordings"
)

// Channels lie on the shards on which the reference's nodes look for them.
func TestChannelsLieWhereTheReferenceHasThem(t *testing.T) {
	checked := 0
	for _, step := range recordings.RedisCluster(t) {
		shards := map[string]int{"shards2_20_names": 2, "shards3_20_names": 3}[step.Name]
		if shards == 0 {
			continue
		}
		var names map[string]struct{ Shard int }
		require.NoError(t, json.Unmarshal(step.Response, &names))
		for name, where := range names {
			require.Equal(t, where.Shard, shardOf(name, shards), "%s of %d", name, shards)
			checked++
		}
	}
	require.Equal(t, 40, checked)
	require.Zero(t, shardOf("any", 1))
}

func TestSlots(t *testing.T) {
	f := func(key string, want int) {
		t.Helper()
		require.Equal(t, want, SlotOf(key), key)
	}
	f("123456789", 0x31C3) // of the specification of Cluster
	f("foo", 12182)
	f("", 0)
	f("x{foo}y{z}", 12182)
	f("{foo", SlotOf("{foo"))
	f("{}foo", SlotOf("{}foo"))
	require.NotEqual(t, SlotOf(""), SlotOf("{}foo"))
}

// Every name is one that the reference's nodes used.
func TestNamesOfKeys(t *testing.T) {
	f := func(steps []recordings.Step, k Keys, channel string, names ...string) {
		t.Helper()
		seen := map[string]bool{}
		for _, step := range steps {
			for key := range step.Keys {
				seen[key] = true
			}
			for _, p := range step.Published {
				seen[p.Channel] = true
			}
		}
		for _, name := range names {
			require.True(t, seen[name], name)
		}
		got, ok := k.Channel([]byte(k.Client(channel)))
		require.True(t, ok)
		require.Equal(t, channel, string(got))
	}
	k := newKeys("centrifugo", false, false)
	f(recordings.Redis(t), k, "pjl:p", k.Client("pjl:p"), k.PresenceData("pjl:p"), k.PresenceExpire("pjl:p"), k.Control())
	k = newKeys("lst", false, false)
	f(recordings.Redis(t), k, "x", k.PresenceUserClients("pjl:um"), k.PresenceUserExpire("pjl:um"))
	k = newKeys("centrifugo", true, false)
	f(recordings.RedisCluster(t), k, "hist:a", k.Client("hist:a"), k.Stream("hist:a"), k.StreamMeta("hist:a"), k.Result("hist:a", "key-1"),
		k.PresenceData("pjl:p"), k.PresenceExpire("pjl:p"), k.Control())
	require.Equal(t, "p.client.a", newKeys("p", true, true).Client("a"))
	require.Equal(t, "p.stream.{a}", newKeys("p", true, true).Stream("a"))
	require.Equal(t, "p.sluice.control", newKeys("p", true, true).Own("control"))
	require.Equal(t, "p.node.u p.shard.0 p.list.a p.list.meta.a", func(k Keys) string {
		return strings.Join([]string{k.Node("u"), k.ShardTechnical(0), k.List("a"), k.ListMeta("a")}, " ")
	}(newKeys("p", false, false)))
	for _, foreign := range []string{"", "p.client", "p.client.a", "p.client.{a", "q.client.{a}", "p.clienx.{a}"} {
		_, ok := newKeys("p", true, false).Channel([]byte(foreign))
		require.False(t, ok, foreign)
	}
}
