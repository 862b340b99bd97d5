package config

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/source"
)

// Whatever option an address is given to, its user and password are in no error and no finding. So is a secret that stands
// where the path of its file should be.
func TestUserinfoNeverShowsWhereverItStands(t *testing.T) {
	values := []string{
		"https://S:S@host/path", "https://S:x@S@host", "S:S@host:1", "S@host", "//S:S@host", "https://S:S@ho st/(",
		"ftp://S:S@host", "https://S:\"S@host", "grpc://" + strings.Repeat("S", 40) + "@host",
	}
	n := 0
	try := func(key, value string) {
		n++
		value = strings.ReplaceAll(value, "S", planted)
		quoted, err := json.Marshal(value)
		require.NoError(t, err)
		for _, text := range []string{nest(key, string(quoted)), nest(key, "["+string(quoted)+"]"), nest(key, `{`+string(quoted)+`: 1}`)} {
			text = strings.ReplaceAll(text, "[]", "")
			require.NotContains(t, everything(fromJSON(text)), planted, text)
		}
		require.NotContains(t, everything(given{flags: map[string]string{key: value}}), planted, key)
	}
	for _, o := range Options() {
		if o.InObject {
			continue
		}
		for _, value := range values {
			try(o.Key, value)
			if o.File {
				try(o.Key+"_file", value)
			}
		}
	}
	require.Greater(t, n, 1000)
	for _, text := range []string{
		`{"S:S@host": 1}`, `{"client": {"https://S:S@host": 1}}`, `{"client.https://S:S@host": 1}`,
		`{"client": {"proxy": {"connect": {"enabled": true, "endpoint": "http://h", "http_headers": ["https://S:S@host"]}}}}`,
		`{"client": {"proxy": {"connect": {"enabled": true, "endpoint": "http://h", "http": {"static_headers": {"https://S:S@host": "a"}}}}}}`,
		`{"channel": {"namespaces": [{"name": "https://S:S@host"}]}}`, `{"channel": {"namespaces": [{"name": "aa", "channel_regex": "https://S:S@host("}]}}`,
		`{"client": {"connect_code_to_unidirectional_disconnect": {"transforms": [{"code": 1, "to": {"code": 4000, "reason": "\u0001https://S:S@host"}}]}}}`,
		`{"granular_proxy_mode": true, "connect_proxy_name": "https://S:S@host", "proxies": []}`,
		`{"granular_proxy_mode": true, "connect_proxy_name": "x", "proxies": [{"name": "https://S:S@host"}]}`,
	} {
		require.NotContains(t, everything(fromJSON(strings.ReplaceAll(text, "S", planted))), planted, text)
	}
}

// Every secret that stands where the path of its file should be is not shown, whatever keeps it from being a path.
func TestAMisplacedSecretIsNotShown(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "c.toml"), nil, 0o600))
	n := 0
	for _, o := range Options() {
		if !o.File || o.InObject {
			continue
		}
		for _, value := range []string{
			planted, "/" + planted, "a/" + planted + "+/==", "c.toml/" + planted, planted + "\x00", strings.Repeat(planted, 300), "-----BEGIN\n" + planted,
		} {
			n++
			_, rep, err := Load(Source{Dir: dir, Flags: map[string]string{o.Key + "_file": value}})
			require.ErrorContains(t, err, o.Key+"_file: names no file (it is not shown: ", "%q", value)
			require.NotContains(t, err.Error(), planted)
			require.NotContains(t, strings.Join(rep.Warnings, "\n"), planted)
		}
	}
	require.Greater(t, n, 100)
	for _, cause := range []error{fs.ErrPermission, syscall.EISDIR, source.ErrNotRegular, source.ErrTooLarge} {
		require.False(t, namesNoFile(&fs.PathError{Op: "open", Err: cause}), "a file that is there is named: %v", cause)
	}
}
