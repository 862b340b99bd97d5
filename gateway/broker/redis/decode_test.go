package redis

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
	"sluice/gateway/broker/follow"
	rds "sluice/gateway/redis"
	"sluice/gateway/reference"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/recordings"
	"sluice/gateway/testkit/redisrig"
)

// loose is a link without a shard, for what comes on it.
func loose() *link {
	l := &link{engine: New(Options{}), shard: new(rds.Shard)}
	l.follower = follow.New(brokertest.NewSink(), l)
	return l
}

// FuzzDecode: whatever is published into a channel or stands in a history, it is a message, or
// it is counted; and what pub/sub brings is recognised as what the history keeps.
func FuzzDecode(f *testing.F) {
	for _, s := range recordings.Redis(f) {
		for _, p := range s.Published {
			f.Add([]byte(p.Payload))
		}
	}
	for _, payload := range []string{"", "__", "__p1:1:e__", "__p1:01:e__\"\x01x", "__d1:2:e:0::3:\"\x011", "__d1:2:e:3:\"\x011:3:\"\x012", "__d1:2:e:99:", "__j__"} {
		f.Add([]byte(payload))
	}
	l := loose()
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, ok := l.decode("c", "e", payload)
		if ok && m.Kind == follow.KindPublication && m.Pub != nil && m.At.Offset > 0 {
			out, err := reference.Decode(payload, reference.Limits{})
			require.NoError(t, err)
			p, _, err := reference.DecodeMessage(stored(payload, &out), m.At.Offset, m.At.Epoch, reference.Limits{})
			require.NoError(t, err)
			p.Delta = m.Pub.Delta
			require.Equal(t, m.Pub, p)
		}
		for _, id := range []string{"", "7-0", "0-1", string(payload)} {
			if m, ok := l.decodeEntry("c", entry{id, string(payload)}, "e", reference.Limits{}); ok {
				require.NotZero(t, m.At.Offset)
			}
		}
	})
}

// A stream that holds what nobody of the fleet wrote is read as far as it can be, and
// the rest is counted.
func TestForeignEntriesAreSkipped(t *testing.T) {
	server, prefix := redisrig.Shared(t), redisrig.Prefix(t)
	var said testkit.LogBuffer
	log := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	n := started(t, rds.Options{Address: []string{server.Addr}, Prefix: prefix}, Options{Log: log})
	n.publish("c", "1")
	stream := prefix + ".stream.c"
	server.Do(t, "XADD", stream, "1-5", "d", "x")
	server.Do(t, "XADD", stream, "2-0", "other", "x", "d", "\"\x03\"2\"")
	server.Do(t, "XADD", stream, "3-0", "other", "x")
	server.Do(t, "XADD", stream, "4-0", "d", "garbage")
	server.Do(t, "HSET", prefix+".stream.meta.c", "s", "4")
	list, top, err := broker.Read(t.Context(), n, broker.HistoryQuery{Channel: "c", Limit: -1, MetaTTL: time.Hour})
	require.NoError(t, err)
	require.EqualValues(t, 4, top.Offset)
	require.Len(t, list, 2)
	require.EqualValues(t, 2, list[1].Offset)
	require.Contains(t, said.String(), `channel=c reason=entry error="entry \"1-5\": expected OFFSET-0"`)
	require.Contains(t, said.String(), "channel=c reason=malformed error=")
	for _, bad := range [][]any{
		{"DEL", stream}, {"SET", stream, "x"}, {"HSET", prefix + ".stream.meta.c", "e", "a:b__c"}, {"HSET", prefix + ".stream.meta.c", "s", "many"},
		{"DEL", prefix + ".stream.meta.c"}, {"SET", prefix + ".stream.meta.c", "x"},
	} {
		server.Do(t, bad...)
		_, _, err := broker.Read(t.Context(), n, broker.HistoryQuery{Channel: "c", Limit: -1, MetaTTL: time.Hour})
		if bad[0] != "DEL" {
			require.Error(t, err, "%v", bad)
			_, err = n.Publish(t.Context(), "c", &codec.Publication{Data: codec.QuoteJSON("x")}, broker.PublishOptions{History: kept})
			t.Log(bad, err) // an answer, whatever it is
		}
	}
	require.Error(t, n.links[0].Follow(t.Context(), []follow.Want{{Channel: "c", From: 1}})[0].Err)
	n.awaitReady()
}
