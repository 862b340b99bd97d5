//go:build linux

package rig

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/bench/load"
)

func TestTargetFlagsMustDescribeOneServer(t *testing.T) {
	f := func(flags targetFlags, want string) {
		t.Helper()
		_, err := flags.external()
		require.ErrorContains(t, err, want)
	}
	f(targetFlags{API: "http://127.0.0.1/api"}, "-url")
	f(targetFlags{URL: "http://127.0.0.1/x"}, "-anonymous")
	f(targetFlags{URL: "http://127.0.0.1/x", Anonymous: true, PIDs: "12,x"}, "-P")

	got, err := (&targetFlags{}).external()
	require.NoError(t, err)
	require.Nil(t, got)
	got, err = (&targetFlags{URL: "http://127.0.0.1/x", API: "http://127.0.0.1/api/", Secret: "s", PIDs: "12,34", Channel: "c"}).external()
	require.NoError(t, err)
	require.Equal(t, &load.Target{StreamURL: "http://127.0.0.1/x", APIURL: "http://127.0.0.1/api", Secret: "s", Channel: "c", PIDs: []int{12, 34}}, got)
}

func TestPeerCountHasEveryServerBesideOurs(t *testing.T) {
	require.Zero(t, (&peerFlags{}).PeerCount())
	require.Equal(t, 3, (&peerFlags{Peers: "nchan", Before: "bin/older", peerCmd: "other"}).PeerCount())
}

func TestServerOfOursIsConfiguredAsModesWish(t *testing.T) {
	listener := func(own OwnServer) map[string]any {
		return serverConfig(1, "k", "s", own)["http_server"].(map[string]any)
	}
	require.Equal(t, map[string]any{"address": "127.0.0.1", "port": 1}, listener(OwnServer{}))
	require.Equal(t, "10m", listener(OwnServer{Waiting: true})["header_timeout"])

	c, err := newCertificate(t.Context())
	require.NoError(t, err)
	require.Contains(t, listener(OwnServer{tls: c})["tls"], "cert_pem")
	h := &Host{Target: ownTarget("http://127.0.0.1:7", "k", "s", "c", true, 1)}
	c.behind(h.Target, 8)
	require.Equal(t, "http://127.0.0.1:8"+streamPath, h.Target.StreamURL)
	require.Equal(t, "127.0.0.1:7", h.Inside())
}
