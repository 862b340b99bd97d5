package check_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/config/report"
)

func TestAddressesOfUnixSockets(t *testing.T) {
	refused := func(section, why string) {
		t.Helper()
		_, err := tryLoad(`{"http_server": {`+section+`}}`, nil)
		require.ErrorContains(t, err, why)
	}
	refused(`"address": "unix:@sluice"`, ` is an abstract socket, which every user of this machine may connect to`)
	refused(`"internal_address": "unix:s.sock"`, `http_server.internal_address: "unix:s.sock" has no absolute path: allowed such as unix:/run/sluice/public.sock`)
	refused(`"address": "unix:/`+strings.Repeat("a", 108)+`"`, "has 109 bytes: the system allows a socket's")
	refused(`"address": "unix:/run/s.sock", "internal_port": 9000`, "http_server.internal_port: 9000 is a port beside http_server.address, which is a Unix socket")
	refused(`"unix_socket_mode": "rw"`, `http_server.unix_socket_mode: "rw" is no mode of a socket`)

	found := func(section, key string, kinds ...config.Kind) {
		t.Helper()
		rep := load(t, `{"http_server": {`+section+`}}`, nil)
		require.ElementsMatch(t, kinds, kindsOf(rep, key))
	}
	const port, reuse, mode = "http_server.internal_port", "http_server.reuse_port", "http_server.unix_socket_mode"
	found(`"internal_address": "unix:/run/s.sock"`, port)
	found(`"internal_address": "unix:/run/s.sock", "internal_port": "9000"`, port, report.KindAdvice)
	found(`"address": "unix:/run/s.sock", "reuse_port": "force"`, reuse, report.KindAdvice)
	found(`"address": "127.0.0.1", "reuse_port": "force"`, reuse)
	found(`"address": "unix:/run/s.sock", "unix_socket_mode": "0666"`, mode)
	found(`"address": "unix:/run/s.sock", "trusted_proxies": ["unix"]`, mode)
	found(`"address": "unix:/run/s.sock", "trusted_proxies": ["unix"], "unix_socket_mode": "0666"`, mode, report.KindOpen)
}

func TestWhereAUnixSocketStandsForAnAddress(t *testing.T) {
	f := func(section, external, internal string, separate bool) {
		t.Helper()
		rep := load(t, `{"http_server": {`+section+`}}`, nil)
		s := &rep.Decoded().HTTPServer
		require.Equal(t, external, s.External())
		addr, is := s.Internal()
		require.Equal(t, internal, addr)
		require.Equal(t, separate, is)
	}
	f(`"address": "unix:/a"`, "unix:/a", "unix:/a", false)
	f(`"address": "unix:/a", "internal_address": "unix:/a"`, "unix:/a", "unix:/a", false)
	f(`"address": "unix:/a", "internal_address": "unix:/b"`, "unix:/a", "unix:/b", true)
	f(`"address": "unix:/a", "internal_address": "127.0.0.1"`, "unix:/a", "127.0.0.1:8000", true)
	f(`"address": "unix:/a", "internal_address": "127.0.0.1", "internal_port": 9000`, "unix:/a", "127.0.0.1:9000", true)
	f(`"port": 80, "internal_address": "unix:/b"`, ":80", "unix:/b", true)
}
