package config

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	f := func(want int, g given) {
		t.Helper()
		c, _ := mustLoad(t, g)
		require.Equal(t, want, c.HTTPServer.Port)
	}
	file := map[string]string{"config.json": `{"http_server": {"port": 1}}`}
	reference, ours := "CENTRIFUGO_HTTP_SERVER_PORT=2", "SLUICE_HTTP_SERVER_PORT=3"
	flag := map[string]string{"http_server.port": "4"}

	f(8000, given{})
	f(1, given{files: file})
	f(2, given{files: file, env: []string{reference}})
	f(3, given{files: file, env: []string{ours, reference}})
	f(3, given{files: file, env: []string{reference, ours}})
	f(4, given{files: file, env: []string{reference, ours}, flags: flag})
	f(4, given{flags: flag})
}

func TestMissingFileIsAWarning(t *testing.T) {
	c, rep := mustLoad(t, given{path: "nowhere.json"})
	require.Equal(t, Default(), c)
	require.Contains(t, rep.Warnings[0], "file nowhere.json: not found")
}

func TestNoFileIsNoWarning(t *testing.T) {
	_, rep, err := Load(Source{Dir: t.TempDir(), Flags: quietFlags()})
	require.NoError(t, err)
	require.Empty(t, rep.Warnings)
}

func TestRealFilesAreFoundInDir(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "c.json"), []byte(`{"pid_file": "x"}`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".env"), []byte("SLUICE_NODE_NAME=n"), 0o600))
	c, _, err := Load(Source{Dir: dir, Path: "c.json"})
	require.NoError(t, err)
	require.Equal(t, "x", c.PIDFile)
	require.Equal(t, "n", c.Node.Name)
}

func TestUnreadableFileIsAnError(t *testing.T) {
	_, _, err := Load(Source{Dir: t.TempDir(), Path: "."})
	require.ErrorContains(t, err, "config: file .: cannot be read: is a directory")
}

func TestMalformedFileIsAnErrorWithItsPlace(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		c, rep, err := fromJSON(text).load()
		require.EqualError(t, err, "config: file config.json: "+want)
		require.Nil(t, c)
		require.NotNil(t, rep)
	}
	f("", `empty; write {} to have the defaults`)
	f(" \n", `empty; write {} to have the defaults`)
	f("{", `line 1, column 2: the text ends, expected a key in double quotes`)
	f("{\n  \"a\": 1,\n}", `line 3, column 1: expected a key in double quotes`)
	f("{\"ä\" 1}", `line 1, column 6: expected ":"`)
	f("{} x", `line 1, column 4: expected the end of the text`)
	f("\xff", `not UTF-8`)
}

func TestFileMustHoldAnObject(t *testing.T) {
	_, _, err := fromJSON(`[1]`).load()
	require.EqualError(t, err, "config: file config.json:1: holds a list: allowed an object")
	_, _, err = fromJSON(`"top secret"`).load()
	require.EqualError(t, err, "config: file config.json:1: holds a string: allowed an object")
}

func TestUnknownFormatIsAnError(t *testing.T) {
	_, _, err := given{path: "config.ini", files: map[string]string{"config.ini": "{}"}}.load()
	require.EqualError(t, err, `config: file config.ini: ".ini" is not the extension of a known format: allowed .json, .toml, .yaml, .yml`)
}

func TestReportKnowsWhatWasSetAndWhere(t *testing.T) {
	g := fromJSON("{\n\"client\": {\n\"token\": {\"hmac_secret_key\": \"ssssssssssssssssssssssssssssssss\"}},\n\"channel\": {\"namespaces\": [\n{\"name\": \"news\", \"presence\": true}]}}")
	g.env = []string{"SLUICE_LOG_LEVEL=debug"}
	g.flags = map[string]string{"pid_file": "p"}
	_, rep := mustLoad(t, g)
	for _, key := range []string{
		"client.token.hmac_secret_key", "client.token", "client", "channel.namespaces", "channel.namespaces[0].presence", "log.level", "pid_file",
	} {
		require.True(t, rep.IsSet(key), key)
	}
	for _, key := range []string{"client.tok", "client.insecure", "channel.namespaces[0].join_leave", "http_server.port", ""} {
		require.False(t, rep.IsSet(key), key)
	}
	require.Equal(t, "file config.json:3", rep.Origin("client.token.hmac_secret_key"))
	require.Equal(t, "file config.json:5", rep.Origin("channel.namespaces[0].presence"))
	require.Equal(t, "env SLUICE_LOG_LEVEL", rep.Origin("log.level"))
	require.Equal(t, "flag --pid_file", rep.Origin("pid_file"))
	require.Equal(t, "", rep.Origin("http_server.port"))
	require.False(t, (*Report)(nil).IsSet("client"))
}

func TestAddressesOfTheListeners(t *testing.T) {
	f := func(text, external, internal string, separate bool) {
		t.Helper()
		c, _ := mustLoad(t, fromJSON(`{"http_server": `+text+`}`))
		require.Equal(t, external, c.HTTPServer.External())
		addr, sep := c.HTTPServer.Internal()
		require.Equal(t, internal, addr)
		require.Equal(t, separate, sep)
	}
	f(`{}`, ":8000", ":8000", false)
	f(`{"address": "::1", "port": "9"}`, "[::1]:9", "[::1]:9", false)
	f(`{"internal_port": 9000}`, ":8000", ":9000", true)
	f(`{"internal_port": "8000"}`, ":8000", ":8000", false)
	f(`{"address": "10.0.0.1", "internal_address": "127.0.0.1"}`, "10.0.0.1:8000", "127.0.0.1:8000", true)
}

func TestDevSetsOnlyWhatNobodySet(t *testing.T) {
	dev := &Dev{Secret: "dev-secret-of-thirty-two-bytes-...", APIKey: "dddddddddddddddd"}

	c, rep := mustLoad(t, given{files: map[string]string{"config.json": `{}`}, dev: dev})
	require.Empty(t, rep.Warnings)
	require.Equal(t, "127.0.0.1", c.HTTPServer.Address)
	require.True(t, c.UniSSE.Enabled)
	require.True(t, c.UniSSE.BoundedStreams)
	require.True(t, c.Health.Enabled)
	require.True(t, c.Client.AllowAnonymousConnectWithoutToken)
	require.Equal(t, "dev-secret-of-thirty-two-bytes-...", c.Client.Token.HMACSecretKey)
	require.Equal(t, "dddddddddddddddd", c.HTTPAPI.Key)
	o := c.Channel.WithoutNamespace
	require.True(t, o.AllowSubscribeForClient && o.AllowSubscribeForAnonymous && o.Presence && o.JoinLeave && o.ForceRecovery)
	require.Equal(t, 100, o.HistorySize)
	require.Equal(t, 300*time.Second, o.HistoryTTL)
	require.Len(t, c.Channel.Namespaces, 3)

	c, _ = mustLoad(t, given{dev: dev, files: map[string]string{"config.json": `{
		"http_server": {"address": "10.0.0.1"}, "uni_sse": {"enabled": false}, "client": {"token": {"hmac_secret_key": "mine"}},
		"http_api": {"key": ""}, "channel": {"without_namespace": {"presence": false}, "namespaces": []}}`}})
	require.Equal(t, "10.0.0.1", c.HTTPServer.Address)
	require.False(t, c.UniSSE.Enabled)
	require.Equal(t, "mine", c.Client.Token.HMACSecretKey)
	require.Equal(t, "", c.HTTPAPI.Key)
	require.False(t, c.Channel.WithoutNamespace.Presence)
	require.True(t, c.Channel.WithoutNamespace.JoinLeave)
	require.Empty(t, c.Channel.Namespaces)
}

func TestDevLeavesOptionsAloneThatItsOwnWouldContradict(t *testing.T) {
	f := func(text string) {
		t.Helper()
		c, _ := mustLoad(t, given{dev: &Dev{Secret: "s", APIKey: "k"}, files: map[string]string{"config.json": `{"channel": ` + text + `}`}})
		require.False(t, c.Channel.WithoutNamespace.ForceRecovery)
	}
	f(`{"without_namespace": {"slow_policy": "drop_oldest"}}`)
	f(`{"without_namespace": {"conflate_key": "symbol"}}`)
	f(`{"without_namespace": {"max_rate": "1s"}}`)
	f(`{"without_namespace": {"history_size": 0}}`)
	f(`{"without_namespace": {"history_meta_ttl": "10s"}}`)
	f(`{"history_meta_ttl": "10s"}`)
}

func TestApplyDevWithoutReport(t *testing.T) {
	c := Default()
	ApplyDev(c, nil, "s", "k")
	require.Equal(t, "s", c.Client.Token.HMACSecretKey)
	require.Equal(t, "k", c.HTTPAPI.Key)
}

// Who may not read a file wants to know as whom it was tried.
func TestAFileThatMayNotBeReadIsSaidWithTheUser(t *testing.T) {
	_, _, err := Load(Source{Path: "c.json", Read: func(name string) ([]byte, error) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}})
	require.ErrorContains(t, err, fmt.Sprintf("file c.json: cannot be read: permission denied (the process runs as uid %d)", os.Getuid()))
}

// A key may be empty, or look like an element of a list.
func TestOddKeysAreUnknownKeys(t *testing.T) {
	require.Equal(t, "file config.json:1: client.: unknown key, ignored", warningsOf(t, `{"client": {"": 1}}`))
	require.Equal(t, "file config.json:1: client.[0]: unknown key, ignored", warningsOf(t, `{"client": {"[0]": 1}}`))
}
