package redis

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/presence"
	"sluice/gateway/redis"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
)

// cpu returns the CPU time of this process.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRenewal renews 1,024 clients at once, as a keeper does: of ten channels that
// all share, and of a channel each. ns/op is of one client in one channel.
func BenchmarkRenewal(b *testing.B) {
	server := redisrig.Single(b)
	for _, shape := range []struct {
		name     string
		channels int
	}{{"shared", 10}, {"own", 1 << 30}} {
		for _, mapping := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/mapping=%v", shape.name, mapping), func(b *testing.B) {
				r, err := redis.Open(redis.Options{Address: []string{server.Addr}, Prefix: redisrig.Prefix(b)})
				require.NoError(b, err)
				defer r.Close()
				m := New(r, Options{UserMapping: mapping})
				const at = 1024
				changes := make([]presence.Change, at)
				for i := range changes {
					changes[i] = presence.Change{
						Channel: fmt.Sprint("bench:", i%shape.channels),
						Info:    &codec.ClientInfo{User: fmt.Sprint("user", i/10), Client: fmt.Sprintf("00000000-0000-4000-8000-%012x", i), ConnInfo: codec.QuoteJSON("somebody")},
					}
				}
				testkit.Eventually(b, func() bool { return m.Apply(b.Context(), changes) == nil }, "a connection")
				b.ReportAllocs()
				b.ResetTimer()
				began, used := time.Now(), cpu(b)
				for n := 0; n < b.N; n += at {
					require.NoError(b, m.Apply(b.Context(), changes))
				}
				b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "changes/s")
				b.ReportMetric(float64(cpu(b)-used)/float64(b.N), "own-cpu-ns/op")
			})
		}
	}
}
