package redis

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/problem"
)

func TestFormsOfAddresses(t *testing.T) {
	f := func(o Options, check func(t *testing.T, all []target)) {
		t.Helper()
		require.Empty(t, o.Check())
		var list problem.List
		all := o.targets(&list)
		for i := range all {
			require.NotContains(t, all[i].name, "secret")
		}
		check(t, all)
	}
	one := func(address string, kind targetKind, name string, more func(t *testing.T, got target)) {
		t.Helper()
		f(Options{Address: []string{address}}, func(t *testing.T, all []target) {
			t.Helper()
			require.Len(t, all, 1)
			require.Equal(t, kind, all[0].kind)
			require.Equal(t, name, all[0].name)
			if more != nil {
				more(t, all[0])
			}
		})
	}
	one("h:1", serverTarget, "h:1", nil)
	one("h", serverTarget, "h:6379", nil)
	one("[::1]:7", serverTarget, "[::1]:7", nil)
	one("::1", serverTarget, "[::1]:6379", nil)
	one("tcp://h:2", serverTarget, "h:2", nil)
	one("redis://u:secret%40@h:1/3?io_timeout=7s&connect_timeout=1m&force_resp2=true", serverTarget, "h:1", func(t *testing.T, got target) {
		require.Equal(t, login{"u", "secret@", ""}, got.login)
		require.Equal(t, 3, got.db)
		require.True(t, got.resp2 && got.io == 7*time.Second && got.connect == time.Minute && got.tls == nil)
	})
	one("redis://:secret@h", serverTarget, "h:6379", func(t *testing.T, got target) { require.Equal(t, login{"", "secret", ""}, got.login) })
	one("redis://secret@h", serverTarget, "h:6379", func(t *testing.T, got target) { require.Equal(t, login{"", "secret", ""}, got.login) })
	one("rediss://h", serverTarget, "h:6379", func(t *testing.T, got target) { require.NotNil(t, got.tls) })
	one("redis://h?tls_enabled=true", serverTarget, "h:6379", func(t *testing.T, got target) { require.NotNil(t, got.tls) })
	one("unix:///run/redis.sock", serverTarget, "/run/redis.sock", func(t *testing.T, got target) { require.Equal(t, "unix", got.network) })
	one("redis+sentinel://u:secret@h?addr=i:5&addr=j&sentinel_master_name=m&sentinel_user=su&sentinel_password=sp", sentinelTarget, "m@h:26379,i:5,j:26379", func(t *testing.T, got target) {
		require.Equal(t, login{"su", "sp", ""}, got.sentinel)
		require.Nil(t, got.sentineltl)
	})
	one("rediss+sentinel://h?sentinel_master_name=m", sentinelTarget, "m@h:26379", func(t *testing.T, got target) {
		require.True(t, got.tls != nil && got.sentineltl != nil)
	})
	one("rediss+sentinel://h?sentinel_master_name=m&sentinel_tls_enabled=false", sentinelTarget, "m@h:26379", func(t *testing.T, got target) {
		require.True(t, got.tls != nil && got.sentineltl == nil)
	})
	one("redis+cluster://:secret@h:1?addr=i:2", clusterTarget, "h:1,i:2", nil)
	one("rediss+cluster://h:1", clusterTarget, "h:1", func(t *testing.T, got target) { require.NotNil(t, got.tls) })
	f(Options{ClusterAddress: []string{"a:1, b:2", "c:3"}, Address: []string{"x"}}, func(t *testing.T, all []target) {
		require.Equal(t, []string{"a:1", "b:2"}, all[0].addrs)
		require.Equal(t, []string{"c:3"}, all[1].addrs)
	})
	f(Options{SentinelAddress: []string{"a,b"}, SentinelMasterName: "m", Password: "secret"}, func(t *testing.T, all []target) {
		require.Equal(t, []string{"a:26379", "b:26379"}, all[0].addrs)
		require.Equal(t, "m", all[0].master)
	})
	f(Options{}, func(t *testing.T, all []target) { require.Equal(t, []string{"127.0.0.1:6379"}, all[0].addrs) })
}

func TestWrongOptionsAreNamed(t *testing.T) {
	f := func(o Options, wants ...string) {
		t.Helper()
		list := o.Check()
		var all []string
		for _, p := range list {
			all = append(all, p.Field+": "+p.Detail)
		}
		text := strings.Join(all, "\n")
		for _, want := range wants {
			require.Contains(t, text, want)
		}
		require.NotContains(t, text, "secret")
		if err := list.Err("redis"); err != nil {
			require.NotContains(t, err.Error(), "secret")
			_, failed := Open(o)
			require.Error(t, failed)
		}
	}
	f(Options{Address: []string{"a:1", ":"}}, "address[1]", "expected host:port")
	f(Options{Address: []string{"http://u:secret@h"}}, "unknown scheme", "expected redis")
	f(Options{Address: []string{"redis://u:secret@/?h"}}, "expected host:port")
	f(Options{Address: []string{"redis://u:secret#@h:1"}}, "address")
	f(Options{Address: []string{"redis://h/x"}}, "number of a database")
	f(Options{Address: []string{"redis://h?x=secret"}}, "unknown option")
	f(Options{Address: []string{"redis://h?io_timeout=-1s"}}, "io_timeout")
	f(Options{Address: []string{"redis://h?addr=b:1"}}, "several addr")
	f(Options{Address: []string{"redis+sentinel://h"}}, "sentinel_master_name")
	f(Options{Address: []string{"unix://"}}, "unix:///path")
	f(Options{Address: []string{"h:70000"}}, "expected host:port")
	f(Options{ClusterAddress: []string{"redis://u:secret@h"}}, "cluster_address", "belong into address")
	f(Options{ClusterAddress: []string{"h"}, DB: 3}, "db", "only database 0")
	f(Options{DB: -1}, "db", "expected 0 or more")
	f(Options{User: "u"}, "user", "no password")
	f(Options{SentinelAddress: []string{"a", "b"}, SentinelMasterName: "m"}, "2 shards")
	f(Options{SentinelMasterName: "m"}, "no effect")
	f(Options{ShardedPubSub: true, LegacyClusterChannels: true}, "sharded_pubsub")
}
