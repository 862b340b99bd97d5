package redis

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
	"sluice/gateway/testkit/tcpproxy"
)

func TestAReaderHandsOverWhatIsPublished(t *testing.T) {
	testkit.Snapshot(t)
	server := redisrig.Shared(t)
	for _, resp2 := range []bool{false, true} {
		s := openWith(t, Options{Address: []string{server.Addr}, ForceRESP2: resp2}).Shards()[0]
		h := &recorder{}
		r := s.NewReader("test", h)
		a, b := s.Keys().Client("a"), s.Keys().Client("b")
		require.NoError(t, r.Subscribe(soon(t), a, b))
		testkit.Eventually(t, func() bool { return h.count("back") == 1 }, "the reader to be back")
		var want []string
		long := strings.Repeat("x", 3*readBuffer)
		for _, text := range []string{"", "1", "\r\n\x00", long} {
			require.NoError(t, s.Do(soon(t), Command("PUBLISH", []string{a}, text)).Err())
			require.NoError(t, s.Do(soon(t), Command("PUBLISH", []string{b}, text)).Err())
			want = append(want, a+" "+text, b+" "+text)
		}
		require.NoError(t, r.Marker(soon(t)))
		require.Equal(t, append([]string{"back"}, want...), h.all())
		require.NoError(t, r.Unsubscribe(soon(t), b))
		require.NoError(t, s.Do(soon(t), Command("PUBLISH", []string{b}, "no")).Err())
		require.NoError(t, s.Do(soon(t), Command("PUBLISH", []string{a}, "yes")).Err())
		require.NoError(t, r.Marker(soon(t)))
		require.Equal(t, 0, h.count(b+" no"))
		require.Equal(t, 1, h.count(a+" yes"))
		stats := r.Stats()
		require.EqualValues(t, len(want)+1, stats.Messages)
		require.True(t, stats.Live && stats.ProbeAge >= 0 && stats.Channels == 2 && stats.Pending == 0, "%+v", stats)
		r.Close()
		require.ErrorIs(t, r.Subscribe(soon(t), a), ErrUnavailable)
		require.ErrorIs(t, r.Marker(soon(t)), ErrUnavailable)
	}
}

func TestAReaderComesBackWithAllChannels(t *testing.T) {
	testkit.Snapshot(t)
	server := redisrig.Single(t)
	s := openWith(t, Options{Address: []string{server.Addr}}).Shards()[0]
	h := &recorder{}
	r := s.NewReader("test", h)
	var names []string
	for i := range 2*mostFlying + 7 {
		names = append(names, fmt.Sprintf("c%d", i))
	}
	require.NoError(t, r.Subscribe(soon(t), names...))
	require.NoError(t, r.Unsubscribe(soon(t), names[1]))
	server.Kill(t)
	h.await(t, "lost", 1)
	require.False(t, r.Live())
	require.ErrorIs(t, r.Marker(soon(t)), ErrUnavailable)
	require.ErrorIs(t, r.Subscribe(within(t, 50*time.Millisecond), "late1"), ErrUnavailable)
	late := make(chan error, 1)
	go func() { late <- r.Subscribe(soon(t), "late2") }()
	require.NoError(t, r.Unsubscribe(soon(t), names[2]))
	server.Start(t)
	require.NoError(t, <-late)
	h.await(t, "back", 2)
	require.NoError(t, s.Do(soon(t), Command("PING", nil).Repeatable()).Err())
	for _, name := range []string{names[0], names[1], names[2], names[len(names)-1], "late1", "late2"} {
		require.NoError(t, s.Do(soon(t), Command("PUBLISH", []string{name}, "x")).Err())
	}
	require.NoError(t, r.Marker(soon(t)))
	require.Equal(t, []string{"back", "lost", "back", "c0 x", names[len(names)-1] + " x", "late1 x", "late2 x"}, h.all())
	server.KillPubSub(t)
	h.await(t, "back", 3)
}

// A server may refuse what it accepted before: after a failover to one with other rules, or while
// somebody changes them. What was subscribed is not given up.
func TestAReaderInsistsOnWhatItHad(t *testing.T) {
	testkit.Snapshot(t)
	server := redisrig.Single(t)
	s := openWith(t, Options{Address: []string{server.Addr}}).Shards()[0]
	h := &recorder{}
	r := s.NewReader("test", h)
	require.NoError(t, r.Subscribe(soon(t), "a"))
	refused := func(n uint64) {
		t.Helper()
		before := r.Stats().Refused
		testkit.Eventually(t, func() bool { return r.Stats().Refused >= before+n }, "the server to refuse the channel")
	}
	server.Do(t, "ACL", "SETUSER", "default", "resetchannels")
	server.KillPubSub(t)
	refused(4)
	require.Equal(t, 1, h.count("back"))
	require.ErrorIs(t, r.Subscribe(within(t, 100*time.Millisecond), "b"), ErrUnavailable)
	server.Do(t, "ACL", "SETUSER", "default", "allchannels")
	h.await(t, "back", 2)
	require.NoError(t, r.Marker(soon(t)))
	server.Do(t, "PUBLISH", "a", "x")
	h.await(t, "a x", 1)
}

// A handler that blocks must make Redis wait: nothing is queued here, nothing dropped.
func TestABlockedHandlerHoldsBackRedis(t *testing.T) {
	server := redisrig.Single(t, redisrig.Lines("client-output-buffer-limit pubsub 0 0 0"))
	s := openWith(t, Options{Address: []string{server.Addr}, IOTimeout: 400 * time.Millisecond, ProbeInterval: 50 * time.Millisecond}).Shards()[0]
	h := &recorder{block: make(chan struct{}), entry: make(chan struct{}, 1)}
	r := s.NewReader("test", h)
	require.NoError(t, r.Subscribe(soon(t), "c"))
	payload := strings.Repeat("x", 16<<10)
	publish := func(n int) {
		for range n {
			require.NoError(t, s.Do(soon(t), Command("PUBLISH", []string{"c"}, payload)).Err())
		}
	}
	publish(1)
	<-h.entry
	publish(2000) // 32 MB, far above what the kernel takes
	before := heapInUse()
	omem := func() bool {
		return strings.Contains(server.Do(t, "CLIENT", "LIST", "TYPE", "pubsub").(string), "omem=0 ")
	}
	require.False(t, omem(), "Redis keeps what we do not read")
	// Longer than the io_timeout: the connection is not given up for our own lateness.
	testkit.Eventually(t, func() bool { return r.Stats().MarkerErrors >= 2 }, "markers that do not come")
	require.Less(t, int64(heapInUse())-int64(before), int64(8<<20))
	require.True(t, r.Live())
	h.mu.Lock()
	block := h.block
	h.block = nil
	h.mu.Unlock()
	close(block)
	require.NoError(t, r.Marker(soon(t)))
	require.Equal(t, 2001, h.count("c "+payload))
	require.Zero(t, h.count("lost"))
}

func TestASilentServerIsFoundAndLeft(t *testing.T) {
	server := redisrig.Shared(t)
	proxy := tcpproxy.New(t, server.Addr)
	s := openWith(t, Options{Address: []string{proxy.Addr}, IOTimeout: 300 * time.Millisecond}).Shards()[0]
	h := &recorder{}
	r := s.NewReader("test", h)
	require.NoError(t, r.Subscribe(soon(t), s.Keys().Client("c")))
	proxy.Mute(true)
	h.await(t, "lost", 1)
	proxy.Mute(false)
	h.await(t, "back", 2)
}

func TestChannelsThatAreRefused(t *testing.T) {
	server := redisrig.Single(t, redisrig.User("u on >p ~* resetchannels &p.* +@all"))
	s := openWith(t, Options{Address: []string{server.Addr}, Prefix: "p", User: "u", Password: "p"}).Shards()[0]
	r := s.NewReader("test", &recorder{})
	err := r.Subscribe(soon(t), "p.a", "q.b", "p.c")
	require.ErrorIs(t, err, ErrRefused)
	require.ErrorContains(t, err, `"q.b"`)
	require.NoError(t, r.Marker(soon(t)))
	require.NoError(t, r.Subscribe(soon(t), "p.a", "p.d"))
	require.Equal(t, 4, r.Stats().Channels) // with the marker's
	require.EqualValues(t, 1, r.Stats().Refused)
}

func TestComingAndGoingLeavesNothing(t *testing.T) {
	testkit.Snapshot(t)
	server := redisrig.Shared(t)
	s := openWith(t, Options{Address: []string{server.Addr}}).Shards()[0]
	r := s.NewReader("test", &recorder{})
	cycle := func(n int) {
		for i := range n {
			names := make([]string, 20)
			for j := range names {
				names[j] = s.Keys().Client(fmt.Sprintf("%d-%d", i, j))
			}
			require.NoError(t, r.Subscribe(soon(t), names...))
			require.NoError(t, r.Unsubscribe(soon(t), names...))
		}
	}
	cycle(200)
	before := heapInUse()
	cycle(1000)
	require.Less(t, int64(heapInUse())-int64(before), int64(2<<20))
	stats := r.Stats()
	require.True(t, stats.Channels == 1 && stats.Pending == 0, "%+v", stats)
}
