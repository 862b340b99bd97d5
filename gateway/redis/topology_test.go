package redis

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
)

// works proves that commands and messages pass.
func works(t *testing.T, r *Redis) *Shard {
	t.Helper()
	s := r.Shards()[0]
	text, err := s.Do(soon(t), Command("SET", []string{s.Keys().Stream("a")}, "1")).Text()
	require.NoError(t, err)
	require.Equal(t, "OK", text)
	h := &recorder{}
	reader := s.NewReader("works", h)
	defer reader.Close()
	c := s.Keys().Client("a")
	require.NoError(t, reader.Subscribe(soon(t), c))
	require.NoError(t, s.Do(soon(t), Command("PUBLISH", []string{c}, "x")).Err())
	require.NoError(t, reader.Marker(soon(t)))
	require.Equal(t, []string{"back", c + " x"}, h.all())
	return s
}

func TestWaysToReachAServer(t *testing.T) {
	testkit.Snapshot(t)
	server := redisrig.Single(t, redisrig.TLS(), redisrig.Unix(), redisrig.Password("secret"), redisrig.User("alice on >pw ~* &* +@all"))
	pem, err := os.ReadFile(server.CA)
	require.NoError(t, err)
	trust := &tls.Config{RootCAs: x509.NewCertPool()}
	require.True(t, trust.RootCAs.AppendCertsFromPEM(pem))

	for _, o := range []Options{
		{Address: []string{"rediss://:secret@" + server.Addr}, TLS: trust},
		{Address: []string{server.Addr}, Password: "secret", TLS: trust, ForceRESP2: true, DB: 3, ClientName: "sluice"},
		{Address: []string{"rediss://alice:pw@" + server.Addr + "/2"}, TLS: trust, ClientName: "sluice"},
		{Address: []string{"unix://" + server.Socket}, User: "alice", Password: "pw"},
	} {
		s := works(t, openWith(t, o))
		if o.ClientName != "" {
			require.Contains(t, server.Do(t, "CLIENT", "LIST"), " name=sluice ")
		}
		if o.ForceRESP2 {
			require.Contains(t, server.Do(t, "CLIENT", "LIST"), " db=3 ")
			v, _ := s.Server()
			require.Equal(t, 2, v.Proto)
		}
	}

	f := func(o Options, reason string) {
		t.Helper()
		o.ConnectTimeout = 2 * time.Second
		r := openWith(t, o)
		err := r.Shards()[0].Do(within(t, 50*time.Millisecond), Command("GET", []string{"x"})).Err()
		require.ErrorIs(t, err, ErrUnavailable)
		var e *Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, reason, e.Reason, "%v", err)
		require.NotContains(t, err.Error(), "wrong-secret")
		require.NotEmpty(t, remedies[reason])
		r.Close()
	}
	f(Options{Address: []string{"rediss://:wrong-secret@" + server.Addr}, TLS: trust}, ReasonAuth)
	f(Options{Address: []string{"rediss://bob:wrong-secret@" + server.Addr}, TLS: trust}, ReasonAuth)
	f(Options{Address: []string{"rediss://" + server.Addr}, TLS: trust}, ReasonAuth)
	f(Options{Address: []string{"rediss://:secret@" + server.Addr}}, ReasonTLS)
	f(Options{Address: []string{"rediss://" + server.Addr}, TLS: &tls.Config{RootCAs: trust.RootCAs, ServerName: "elsewhere"}}, ReasonTLS)
}

func TestAServerOfAnotherKindIsRefused(t *testing.T) {
	server := redisrig.Shared(t)
	r := openWith(t, Options{ClusterAddress: []string{server.Addr}, ConnectTimeout: 2 * time.Second})
	err := r.Shards()[0].Do(within(t, 50*time.Millisecond), Command("GET", []string{"x"})).Err()
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "not part of a Redis Cluster")
}

func TestShards(t *testing.T) {
	servers := redisrig.Shards(t, 2)
	r := openWith(t, Options{Address: []string{servers[0].Addr, "redis://" + servers[1].Addr}, Prefix: "p"})
	for i := range 20 {
		channel := fmt.Sprintf("channel-%d", i)
		s := r.ShardOf(channel)
		require.NoError(t, s.Do(soon(t), Command("SET", []string{s.Keys().Stream(channel)}, "1")).Err())
		require.Equal(t, "1", servers[shardOf(channel, 2)].Do(t, "GET", "p.stream."+channel))
	}
	servers[1].Stop(t)
	require.NoError(t, r.Shards()[0].Do(soon(t), Command("SET", []string{"x"}, "1")).Err())
}

func TestACluster(t *testing.T) {
	testkit.Snapshot(t)
	cluster := redisrig.Cluster(t)
	r := openWith(t, Options{ClusterAddress: []string{strings.Join(cluster.Addrs(), ",")}, Prefix: "p"})
	s := works(t, r)
	require.True(t, s.Cluster())
	require.Equal(t, "p.client.{a}", s.Keys().Client("a"))

	var cmds []Cmd
	for i := range 100 {
		cmds = append(cmds, Command("SET", []string{s.Keys().Stream(fmt.Sprint(i))}, fmt.Sprint(i)))
	}
	cmds = append(cmds, Command("PING", nil), Command("PUBLISH", []string{"p.control"}, "x"))
	for _, reply := range s.DoMulti(soon(t), cmds...) {
		require.NoError(t, reply.Err())
	}
	two := Command("MGET", []string{"a", "b"})
	require.ErrorIs(t, s.Do(soon(t), two).Err(), ErrRefused)
	require.ErrorContains(t, s.Do(soon(t), two).Err(), `keys of one slot of the Cluster expected (with the same part in braces), got "a" and "b"`)
	mixed := s.DoMulti(soon(t), cmds[0], two, Command("", nil), cmds[1])
	require.NoError(t, mixed[0].Err())
	require.ErrorIs(t, mixed[1].Err(), ErrRefused, "it alone")
	require.ErrorContains(t, mixed[2].Err(), "a command without a name")
	require.NoError(t, mixed[3].Err())
	require.ErrorIs(t, s.DoMulti(soon(t), two, two)[1].Err(), ErrRefused)

	key := s.Keys().Stream("7")
	slot := cluster.Slot(t, key)
	require.EqualValues(t, SlotOf(key), slot)
	from := cluster.Owner(t, slot)
	to := cluster.Masters[0]
	if to == from {
		to = cluster.Masters[1]
	}
	get := Command("GET", []string{key}).Repeatable()
	cluster.MigrateSlot(t, slot, to, func() {
		text, err := s.Do(soon(t), get).Text() // ASK
		require.NoError(t, err)
		require.Equal(t, "7", text)
	})
	text, err := s.Do(soon(t), get).Text() // MOVED
	require.NoError(t, err)
	require.Equal(t, "7", text)
}
