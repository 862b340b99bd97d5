//go:build linux

package rig

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNchanConfigHasTheRunsSettings(t *testing.T) {
	config, err := nchanConfig(nchanSettings{Module: "/m/ngx_nchan_module.so", Port: 4711, Files: 2222, Buffer: 33, Root: true})
	require.NoError(t, err)
	for _, want := range []string{
		"load_module /m/ngx_nchan_module.so;", "listen 127.0.0.1:4711 ", "worker_rlimit_nofile 2222;", "nchan_message_buffer_length 33;", "user root;", "daemon off;",
	} {
		require.Contains(t, string(config), want)
	}
	config, err = nchanConfig(nchanSettings{})
	require.NoError(t, err)
	require.NotContains(t, string(config), "user root;")
}

func TestPeerCommandIsFilledIn(t *testing.T) {
	require.Equal(t, []string{"server", "-c", "/tmp/c.json", "--port=7"}, peerArgs("server  -c {config} --port={port}", "/tmp/c.json", 7))
	require.Empty(t, peerArgs(" ", "x", 1))

	config, err := peerConfig("", 4711, "the key", "the secret")
	require.NoError(t, err)
	var parsed struct {
		HTTPServer struct{ Port int }             `json:"http_server"`
		HTTPAPI    struct{ Key string }           `json:"http_api"`
		Client     struct{ Token map[string]any } `json:"client"`
	}
	require.NoError(t, json.Unmarshal(config, &parsed))
	require.Equal(t, 4711, parsed.HTTPServer.Port)
	require.Equal(t, "the key", parsed.HTTPAPI.Key)
	require.Equal(t, "the secret", parsed.Client.Token["hmac_secret_key"])

	file := filepath.Join(t.TempDir(), "peer.yaml")
	require.NoError(t, os.WriteFile(file, []byte("port: {port}\nkey: {key}\nsecret: {secret}\n"), 0o600))
	config, err = peerConfig(file, 1, "k", "s")
	require.NoError(t, err)
	require.Equal(t, "port: 1\nkey: k\nsecret: s\n", string(config))
	_, err = peerConfig(file+".none", 1, "k", "s")
	require.ErrorContains(t, err, "-peer-config")
}
