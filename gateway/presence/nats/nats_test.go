package nats

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/nats"
	"sluice/gateway/presence"
	"sluice/gateway/reference"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/natsrig"
	"sluice/gateway/testkit/tcpproxy"
)

// What tools for key-value buckets show, and what they leave behind.
func TestToolsForBucketsReadIt(t *testing.T) {
	t.Parallel()
	server := natsrig.Single(t)
	m := manager(t, connect(t, nats.Options{URL: server.URL, Prefix: "eu.a_b"}), Options{})
	good := &codec.ClientInfo{User: "u", Client: "good"}
	require.NoError(t, m.Apply(t.Context(), []presence.Change{{Channel: "chat:a b", Info: good}}))
	js, err := jetstream.New(server.Dial(t))
	require.NoError(t, err)
	kv, err := js.KeyValue(t.Context(), "sluice_eu_2Ea_5Fb")
	require.NoError(t, err)
	entry, err := kv.Get(t.Context(), "c.chat=3Aa=20b.u.good")
	require.NoError(t, err)
	require.Equal(t, reference.AppendInfo(nil, good), entry.Value())
	torn := reference.AppendInfo(nil, &codec.ClientInfo{User: "u", Client: "torn"})
	for key, value := range map[string][]byte{
		"u.empty": nil, "u.text": []byte("hello"), "u.json": []byte(`{"user":"u"}`), "u.torn": torn[:len(torn)-2], "u.other": torn, "v.torn": torn,
		"u.large": reference.AppendInfo(nil, &codec.ClientInfo{Client: "large", User: strings.Repeat("x", largestInfo)}),
	} {
		_, err := kv.Put(t.Context(), "c.chat=3Aa=20b."+key, value)
		require.NoError(t, err)
	}
	for _, key := range []string{"c.chat=3Aa=20b", "c.chat=3Aa=20b.u", "c.chat=3Aa=20b.u.c.d", "other", "chat=3Aa=20b.u.c"} { // of no client
		_, err := kv.PutString(t.Context(), key, "x")
		require.NoError(t, err)
	}
	_, err = kv.PutString(t.Context(), "c.chat=3Aa=20b.u.deleted", "x")
	require.NoError(t, err)
	require.NoError(t, kv.Delete(t.Context(), "c.chat=3Aa=20b.u.deleted"))
	list, err := m.Presence(t.Context(), "chat:a b")
	require.NoError(t, err)
	require.Equal(t, []*codec.ClientInfo{good}, list)
	require.EqualValues(t, 7, m.Counters().Skipped)
	require.Equal(t, presence.Stats{Clients: 1, Users: 1}, count(t, m, "chat:a b"))
	require.NoError(t, m.Apply(t.Context(), []presence.Change{left("chat:a b", "u", "good")}))
	_, err = kv.Get(t.Context(), "c.chat=3Aa=20b.u.good")
	require.ErrorIs(t, err, jetstream.ErrKeyNotFound)
}

// Nothing is left of those who left, soon, and of those who are not renewed.
func TestNothingStays(t *testing.T) {
	t.Parallel()
	server := natsrig.Single(t)
	m := manager(t, connect(t, nats.Options{URL: server.URL}), Options{TTL: 4 * time.Second})
	require.NoError(t, m.Apply(t.Context(), []presence.Change{here("ch", "u", "gone"), here("ch", "u", "lost"), left("ch", "u", "gone"), left("other", "u", "never")}))
	require.Equal(t, presence.Stats{Clients: 1, Users: 1}, count(t, m, "ch"))
	s := stream(t, server, m.bucket)
	testkit.Eventually(t, func() bool {
		info, err := s.Info(t.Context())
		return err == nil && info.State.Msgs == 0
	}, "an empty bucket")
	require.Zero(t, count(t, m, "ch"))
}

// Of each client only the last change of a call is published.
func TestOnlyTheLastChangeOfAClientIsPublished(t *testing.T) {
	t.Parallel()
	m := manager(t, connect(t, nats.Options{URL: natsrig.Single(t).URL}), Options{})
	var changes []presence.Change
	for n := range 3000 {
		changes = append(changes, left("ch", "u", fmt.Sprint(n)), here("ch", fmt.Sprint("u", n%10), fmt.Sprint(n)), here("ch", "u", fmt.Sprint(n)))
	}
	require.NoError(t, m.Apply(t.Context(), changes))
	require.Equal(t, Counters{Changes: 9000, Commands: 6000}, m.Counters())
	require.Equal(t, presence.Stats{Clients: 6000, Users: 11}, count(t, m, "ch"))
}

// Large infos come in several answers, and the keys of a page are bounded in bytes.
func TestLargeInfosAreReadInPages(t *testing.T) {
	t.Parallel()
	m := manager(t, connect(t, nats.Options{URL: natsrig.Single(t).URL}), Options{})
	large, long := codec.QuoteJSON(strings.Repeat("x", 60_000)), strings.Repeat("ü", 120)
	var changes []presence.Change
	for n := range 300 {
		changes = append(changes, presence.Change{Channel: long, Info: &codec.ClientInfo{User: fmt.Sprint(long, n%7), Client: fmt.Sprint(n), ConnInfo: large}})
	}
	require.NoError(t, m.Apply(t.Context(), changes))
	require.Equal(t, presence.Stats{Clients: 300, Users: 7}, count(t, m, long))
	require.Zero(t, m.Counters().Behind)
}

// In a channel too large to read for its numbers, clients that left are counted for as long as their markers are there,
// but not on their own node.
func TestWhoLeftALargeChannelIsCountedForAMoment(t *testing.T) {
	t.Parallel()
	server := natsrig.Single(t)
	conns := nats.Options{URL: server.URL, Prefix: natsrig.Prefix(t)}
	one, two := manager(t, connect(t, conns), Options{}), manager(t, connect(t, conns), Options{})
	var changes []presence.Change
	for n := range 2 * perPage {
		changes = append(changes, here("ch", fmt.Sprint(n%3), fmt.Sprint(n)))
	}
	require.NoError(t, one.Apply(t.Context(), changes))
	gone := changes[:perPage/2]
	for i := range gone {
		gone[i].Left = true
	}
	require.NoError(t, one.Apply(t.Context(), gone))
	want := presence.Stats{Clients: 2*perPage - len(gone), Users: 3}
	require.Equal(t, want, count(t, one, "ch"))
	list, err := two.Presence(t.Context(), "ch")
	require.NoError(t, err)
	require.Len(t, list, want.Clients)
	testkit.Eventually(t, func() bool {
		st, err := two.Stats(t.Context(), "ch")
		return err == nil && st == want
	}, "markers end")
	require.NoError(t, one.Apply(t.Context(), []presence.Change{here("ch", "0", "0")}))
	want.Clients++
	require.Equal(t, want, count(t, one, "ch"), "it came back")
}

// A replica that stays behind is not waited for.
func TestTheLeaderHasWhatReplicasLack(t *testing.T) {
	t.Parallel()
	m := manager(t, connect(t, nats.Options{URL: natsrig.Single(t).URL}), Options{})
	require.NoError(t, m.Apply(t.Context(), []presence.Change{here("ch", "u", "a"), here("ch", "u", "b")}))
	state, err := m.keys(t.Context(), "ch")
	require.NoError(t, err)
	var got []string
	r := reader{m: m, channel: "ch", want: state.Last + 1, take: func(info *codec.ClientInfo) { got = append(got, info.Client) }}
	require.NoError(t, r.all(t.Context(), state.Subjects))
	require.ElementsMatch(t, []string{"a", "b"}, got)
	require.EqualValues(t, laggingTries, m.Counters().Behind)
}

func TestNamesOfAnyLengthAreKept(t *testing.T) {
	t.Parallel()
	m := manager(t, connect(t, nats.Options{URL: natsrig.Single(t).URL}), Options{})
	long := strings.Repeat("a.b", 5000)
	require.NoError(t, m.Apply(t.Context(), []presence.Change{here(long, long, "1"), here(long, long+"x", long), here(long[1:], long, "1")}))
	require.Equal(t, presence.Stats{Clients: 2, Users: 2}, count(t, m, long))
	require.Equal(t, presence.Stats{Clients: 1, Users: 1}, count(t, m, long[1:]))
}

// A bucket that is gone is made again, and clients are there with their next renewal.
func TestABucketThatIsGoneIsMadeAgain(t *testing.T) {
	t.Parallel()
	server := natsrig.Single(t)
	m := manager(t, connect(t, nats.Options{URL: server.URL}), Options{})
	changes := []presence.Change{here("ch", "u", "a"), here("ch", "u", "b")}
	present := func() bool {
		require.NoError(t, m.Apply(t.Context(), changes))
		return count(t, m, "ch") == presence.Stats{Clients: 2, Users: 1}
	}
	require.True(t, present())
	js, err := jetstream.New(server.Dial(t))
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, js.DeleteStream(t.Context(), m.bucket.stream))
		require.True(t, present())
		require.NoError(t, js.DeleteStream(t.Context(), m.bucket.stream))
		require.Zero(t, count(t, m, "ch"))
	}
	require.True(t, present())
	server.Kill(t)
	testkit.Eventually(t, func() bool { return m.Ready() != nil }, "the loss is noticed")
	require.ErrorIs(t, m.Apply(t.Context(), changes), presence.ErrUnavailable)
	server.Start(t)
	testkit.Eventually(t, func() bool { return m.Ready() == nil }, "a connection")
	require.Zero(t, count(t, m, "ch"), "it was in memory")
	require.True(t, present())
}

// Who leaves while NATS is away is there until its TTL ends, or it was said again.
func TestALeaveDuringAnOutage(t *testing.T) {
	t.Parallel()
	proxy := tcpproxy.New(t, natsrig.Single(t).Addr)
	m := manager(t, connect(t, nats.Options{URL: proxy.Addr}), Options{TTL: 3 * time.Second})
	leaves := []presence.Change{left("ch", "u", "a")}
	require.NoError(t, m.Apply(t.Context(), []presence.Change{here("ch", "u", "a"), here("ch", "u", "b")}))
	proxy.Refuse(t, true)
	proxy.Cut()
	testkit.Eventually(t, func() bool { return m.Ready() != nil }, "the loss is noticed")
	began := time.Now()
	require.ErrorIs(t, m.Apply(t.Context(), leaves), presence.ErrUnavailable)
	require.Less(t, time.Since(began), 20*time.Second, "nobody waits for what is away")
	proxy.Refuse(t, false)
	testkit.Eventually(t, func() bool { return m.Apply(within(t, time.Second), leaves) == nil }, "it is back")
	list, err := m.Presence(t.Context(), "ch")
	require.NoError(t, err)
	require.NotContains(t, list, leaves[0].Info)
	testkit.Eventually(t, func() bool {
		st, err := m.Stats(t.Context(), "ch")
		return err == nil && st == presence.Stats{}
	}, "b was not renewed")
}

// A server that stands still makes no call last longer than its context.
func TestAServerThatStandsStill(t *testing.T) {
	t.Parallel()
	server := natsrig.Single(t)
	m := manager(t, connect(t, nats.Options{URL: server.URL}), Options{})
	require.NoError(t, m.Apply(t.Context(), []presence.Change{here("ch", "u", "a")}))
	server.Freeze(t)
	ctx := within(t, 200*time.Millisecond)
	var changes []presence.Change
	for n := range 1000 {
		changes = append(changes, here("ch", "u", fmt.Sprint(n)))
	}
	require.ErrorIs(t, m.Apply(ctx, changes), presence.ErrUnavailable)
	_, err := m.Presence(ctx, "ch")
	require.ErrorIs(t, err, presence.ErrUnavailable)
	for i := range changes {
		changes[i].Left = true
	}
	server.Thaw(t)
	testkit.Eventually(t, func() bool { return m.Apply(within(t, time.Second), changes) == nil }, "it goes on")
	require.Equal(t, presence.Stats{Clients: 1, Users: 1}, count(t, m, "ch"), "nobody comes back who left")
}

func TestServersThatCannotAreRefused(t *testing.T) {
	t.Parallel()
	t.Run("old", func(t *testing.T) {
		m := manager(t, connect(t, nats.Options{URL: natsrig.Debian(t).URL}), Options{})
		err := m.Check(t.Context())
		require.ErrorContains(t, err, "needs nats-server 2.11 or later on all servers, connected to 2.")
		require.ErrorContains(t, m.Ready(), "2.11")
		err = m.Apply(t.Context(), []presence.Change{here("ch", "u", "a")})
		require.ErrorContains(t, err, "2.11")
		require.NotErrorIs(t, err, presence.ErrUnavailable)
		_, err = m.Places().Reserve(t.Context(), "u", "c", 1)
		require.ErrorContains(t, err, "2.11")
	})
	t.Run("core", func(t *testing.T) {
		m := manager(t, connect(t, nats.Options{URL: natsrig.Single(t, natsrig.Core()).URL}), Options{})
		require.NoError(t, m.Check(t.Context()), "it may be only away")
		require.ErrorIs(t, m.Apply(t.Context(), []presence.Change{here("ch", "u", "a")}), presence.ErrUnavailable)
	})
	t.Run("foreign", func(t *testing.T) {
		server := natsrig.Single(t)
		m := manager(t, connect(t, nats.Options{URL: server.URL}), Options{})
		js, err := jetstream.New(server.Dial(t))
		require.NoError(t, err)
		kv := jetstream.KeyValueConfig{Bucket: strings.TrimPrefix(m.bucket.stream, "KV_"), Storage: jetstream.MemoryStorage}
		_, err = js.CreateKeyValue(t.Context(), kv)
		require.NoError(t, err)
		require.ErrorContains(t, m.Check(t.Context()), "expected allow_msg_ttl")
		require.Error(t, m.Ready())
		require.NoError(t, js.DeleteKeyValue(t.Context(), kv.Bucket))
		testkit.Eventually(t, func() bool { return m.Check(t.Context()) == nil && m.Ready() == nil }, "it is made once that is gone")
		kv.TTL, kv.LimitMarkerTTL = time.Minute, time.Second
		m.bucket.made.Store(false)
		require.NoError(t, js.DeleteKeyValue(t.Context(), kv.Bucket))
		_, err = js.CreateKeyValue(t.Context(), kv)
		require.NoError(t, err)
		require.ErrorContains(t, m.Check(t.Context()), "max_age")
	})
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	require.Empty(t, (&Options{}).Check())
	require.Empty(t, (&Options{TTL: time.Minute, Replicas: 3}).Check())
	short := (&Options{TTL: 999 * time.Millisecond}).Check()
	require.Len(t, short, 1)
	require.Contains(t, fmt.Sprint(short), "presence_ttl")
	require.Len(t, (&Options{TTL: 1500 * time.Millisecond}).Check(), 1)
	require.Len(t, (&Options{Replicas: 6}).Check(), 1)
	n := connect(t, nats.Options{URL: "127.0.0.1:1"})
	m, err := New(n, Options{TTL: 1500 * time.Millisecond})
	require.NoError(t, err)
	require.Equal(t, time.Second, m.TTL())
	m, err = New(n, Options{})
	require.NoError(t, err)
	require.Equal(t, defaultTTL, m.TTL())
	require.ErrorIs(t, m.Apply(t.Context(), []presence.Change{here("ch", "u", "a")}), presence.ErrUnavailable)
	require.Error(t, m.Ready())
	require.NoError(t, m.Close(t.Context()))
}

func FuzzKeys(f *testing.F) {
	f.Add("ch", "u", "c", "ch", "", "c")
	f.Add("a.b", "*", ">", "a", "b", "c")
	f.Add(strings.Repeat("x", 2000), "", "=", strings.Repeat("=", 400), "h", "=h")
	f.Fuzz(func(t *testing.T, ch1, u1, c1, ch2, u2, c2 string) {
		one, two := clientKey(ch1, &codec.ClientInfo{User: u1, Client: c1}), clientKey(ch2, &codec.ClientInfo{User: u2, Client: c2})
		require.Equal(t, ch1 == ch2 && u1 == u2 && c1 == c2, one == two)
		require.LessOrEqual(t, len(one), 3*longestToken+2)
		user, ok := userOf(one)
		require.True(t, ok)
		require.Equal(t, token(u1), user)
		require.Equal(t, ch1 == ch2, strings.HasPrefix(one, strings.TrimSuffix(channelKeys(ch2), "*.*")))
		require.Equal(t, ch1 == ch2, bucketText(ch1) == bucketText(ch2))
		_, _ = userOf(ch1) // of any key
	})
}

func FuzzSeats(f *testing.F) {
	f.Add([]byte(`{"places":{"a":1},"refused":2}`), "c", int64(5))
	f.Add([]byte(`{"places":null}`), "", int64(-1))
	f.Fuzz(func(t *testing.T, data []byte, client string, now int64) {
		p := &Places{}
		s := p.seats(&nats.Stored{Data: data})
		s.reserve(client, 1, now, 1000)
		again := p.seats(&nats.Stored{Data: s.encode()})
		require.Equal(t, s, again)
	})
}
