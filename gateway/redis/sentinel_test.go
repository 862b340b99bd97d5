package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
)

// A Sentinel that is silent, as one whose machine is gone, leaves time for the master that the others name.
func TestASilentSentinelLeavesTimeForTheMaster(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	set := redisrig.Sentinel(t)
	r := openWith(t, Options{
		SentinelAddress: []string{silent.Addr().String() + "," + set.Addrs()[0]}, SentinelMasterName: set.Name,
		ConnectTimeout: 2 * time.Second,
	})
	works(t, r)
}

// Sentinels have a password of their own, and speak TLS with the same certificates as the
// servers, or none. What is wrong with them has a reason and a remedy.
func TestSentinelsWithPasswordAndTLS(t *testing.T) {
	testkit.Snapshot(t)
	t.Run("password", func(t *testing.T) {
		t.Parallel()
		set := redisrig.Sentinel(t, redisrig.Password("server-secret"), redisrig.SentinelPassword("sentinel-secret"))
		set.Sentinels[0].Do(t, "ACL", "SETUSER", "watcher", "on", ">user-secret", "-@all",
			"+auth", "+client|setname", "+sentinel|get-master-addr-by-name") // as docs/scaling.md says
		right := Options{
			SentinelAddress: []string{strings.Join(set.Addrs(), ",")}, SentinelMasterName: set.Name, Password: "server-secret",
			SentinelPassword: "sentinel-secret", SentinelClientName: "sluice", ConnectTimeout: 2 * time.Second,
		}
		works(t, openWith(t, right))
		user := right
		user.SentinelAddress = set.Addrs()[:1] // it alone has the user
		user.SentinelUser, user.SentinelPassword = "watcher", "user-secret"
		works(t, openWith(t, user))
		for _, wrong := range []string{"", "server-secret"} {
			o := right
			o.SentinelPassword = wrong
			sentinelFails(t, o, ReasonAuth, "")
		}
		o := right
		o.SentinelMasterName = "another"
		sentinelFails(t, o, ReasonSentinel, `knows no master "another"`)
		o = right
		o.SentinelTLS = &tls.Config{MinVersion: tls.VersionTLS12}
		sentinelFails(t, o, ReasonSentinel, "")
		o = right
		o.SentinelAddress = []string{"127.0.0.1:1"}
		sentinelFails(t, o, ReasonSentinel, "connection refused")
	})
	t.Run("TLS", func(t *testing.T) {
		t.Parallel()
		set := redisrig.Sentinel(t, redisrig.TLS(), redisrig.Password("server-secret"), redisrig.SentinelPassword("sentinel-secret"))
		pem, err := os.ReadFile(set.Servers[0].CA)
		require.NoError(t, err)
		trust := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		require.True(t, trust.RootCAs.AppendCertsFromPEM(pem))
		right := Options{
			SentinelAddress: []string{strings.Join(set.Addrs(), ",")}, SentinelMasterName: set.Name, Password: "server-secret", TLS: trust,
			SentinelPassword: "sentinel-secret", SentinelTLS: trust, ConnectTimeout: 2 * time.Second,
		}
		s := works(t, openWith(t, right))
		o := right
		o.SentinelTLS = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		sentinelFails(t, o, ReasonTLS, "certificate")
		o.SentinelTLS = nil // they do not understand what comes, or wait for more of it
		sentinelFails(t, o, ReasonSentinel, "")
		_, master := set.Failover(t)
		testkit.Eventually(t, func() bool {
			return s.Do(within(t, time.Second), Command("SET", []string{s.Keys().Stream("b")}, "1")).Err() == nil
		}, "the master that the sentinels chose")
		require.Equal(t, int64(1), master.Do(t, "EXISTS", s.Keys().Stream("b")))
	})
}

// sentinelFails requires that a connection by options fails for a reason, which the error
// says without a secret, and that there is something to do about it.
func sentinelFails(t *testing.T, o Options, reason, says string) {
	t.Helper()
	r := openWith(t, o)
	defer r.Close()
	var err error
	var e *Error
	testkit.Eventually(t, func() bool {
		err = r.Shards()[0].Do(within(t, 50*time.Millisecond), Command("GET", []string{"x"})).Err()
		return errors.As(err, &e) && e.Reason == reason
	}, "the reason "+reason)
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, says)
	require.NotContains(t, err.Error(), "secret")
	require.NotEmpty(t, e.Remedy())
}

// Whatever the reason of an error, the log says what to do about it.
func TestEveryReasonHasARemedy(t *testing.T) {
	seen := make(map[string]bool)
	for _, reason := range []string{
		ReasonDial, ReasonSentinel, ReasonTLS, ReasonAuth, ReasonTopology, ReasonVersion, ReasonReadonly, ReasonLoading,
		ReasonClusterDown, ReasonMemory, ReasonNoPerm, ReasonTimeout, ReasonBroken, ReasonBusy, ReasonReply,
	} {
		remedy := (&Error{Reason: reason}).Remedy()
		require.NotEmpty(t, remedy, reason)
		require.False(t, seen[remedy], reason)
		seen[remedy] = true
	}
	require.Len(t, remedies, len(seen))
}
