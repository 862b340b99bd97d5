package node

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/testkit"
)

func TestPublicAddressesAreTold(t *testing.T) {
	machine := testkit.MachineAt(t, "127.0.0.1/8", "::1/128", "10.1.2.3/8", "fe80::1/64", "192.0.2.7/24", "2001:db8::7/64")
	f := func(bound string, want ...string) {
		t.Helper()
		at := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(bound))
		require.Equal(t, want, publicAddrs(at, machine), bound)
	}
	f("127.0.0.1:8000")
	f("[::1]:8000")
	f("10.0.0.1:8000")
	f("172.16.0.1:8000")
	f("192.168.1.1:8000")
	f("169.254.1.1:8000")
	f("100.64.0.1:8000")
	f("[fd00::1]:8000")
	f("[fe80::1]:8000")
	f("[::ffff:10.0.0.1]:8000")
	f("192.0.2.1:8000", "192.0.2.1")
	f("[::ffff:192.0.2.1]:8000", "192.0.2.1")
	f("[2001:db8::1]:8000", "2001:db8::1")
	f("0.0.0.0:8000", "192.0.2.7")
	f("[::]:8000", "192.0.2.7", "2001:db8::7")

	everywhere := &net.TCPAddr{IP: net.IPv6unspecified, Port: 1}
	require.Empty(t, publicAddrs(everywhere, func() ([]net.Addr, error) { return nil, errors.New("no") }))
	require.Empty(t, publicAddrs(&net.UnixAddr{Name: "/run/sluice"}, machine))
}

// What is not for everybody is warned of where everybody can reach it, and only
// there.
func TestExposedEndpointsAreWarnedOf(t *testing.T) {
	public := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8000}
	private := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 9000}
	f := func(name string, change func(*config.Config), at net.Addr, internal, separate bool, want ...string) {
		t.Run(name, func(t *testing.T) {
			var log testkit.LogBuffer
			cfg := config.Default()
			change(cfg)
			g := &Node{cfg: cfg, log: slog.New(slog.NewTextHandler(&log, nil))}
			g.warnExposed(at, internal, separate, net.InterfaceAddrs)
			var got []string
			for line := range strings.Lines(log.String()) {
				require.Contains(t, line, "level=WARN")
				_, rest, _ := strings.Cut(line, "endpoint=")
				endpoint, _, _ := strings.Cut(rest, " ")
				got = append(got, endpoint)
				given := map[string]bool{"http_api": cfg.HTTPAPI.External, "admin": cfg.Admin.External}[endpoint]
				require.Equal(t, given, strings.Contains(line, "unset "+endpoint+".external"), "what is not set cannot be unset: %s", line)
			}
			require.Equal(t, want, got)
		})
	}
	all := func(c *config.Config) {
		c.Prometheus.Enabled, c.Debug.Enabled, c.Admin.Enabled = true, true, true
	}
	f("the API alone", func(*config.Config) {}, public, false, false, "http_api")
	f("everything", all, public, false, false, "http_api", "prometheus", "debug", "admin")
	f("a private address", all, private, false, false)
	f("the public one of two listeners", all, public, false, true)
	f("the internal one, but public", all, public, true, true, "http_api", "prometheus", "debug", "admin")
	f("the internal one, private", all, private, true, true)
	f("external API and admin", func(c *config.Config) {
		all(c)
		c.HTTPAPI.External, c.Admin.External = true, true
	}, public, false, true, "http_api", "admin")
	f("nothing", func(c *config.Config) { c.HTTPAPI.Disabled = true }, public, false, false)
}
