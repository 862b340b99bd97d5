package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/legacy"

	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// Every option that holds a secret can be given in a file: from a config file of each format, a variable and a flag.
func TestEverySecretCanBeInAFile(t *testing.T) {
	n := 0
	for _, o := range Options() {
		if !o.File || o.InObject {
			continue
		}
		n++
		content := "file-value"
		want := `"file-value"`
		switch o.Kind {
		case "list of strings":
			content, want = "one:1\ntwo:2\n", `["one:1", "two:2"]`
		case "map of strings":
			content, want = `{"K": "v"}`, `{"K": "v"}`
		}
		expected := decodedAs(t, "c.json", nest(o.Key, want))
		read := func(text string) func(string) ([]byte, error) {
			return func(name string) ([]byte, error) {
				switch name {
				case "work/secret":
					return []byte(content), nil
				case "work/.env":
					return nil, fs.ErrNotExist
				}
				return []byte(text), nil
			}
		}
		for name, text := range inAllFormats(t, nest(o.Key+"_file", `"secret"`)) {
			l := newLoader(Source{Path: name, Dir: "work", Read: read(text)})
			require.True(t, l.file())
			require.Empty(t, l.errs, o.Key)
			require.Empty(t, l.rep.Findings)
			require.Equal(t, expected, l.cfg, o.Key)
			require.Contains(t, l.rep.Origin(o.Key), "file "+name+":")
		}
		for _, prefix := range schema.EnvPrefixes {
			l := newLoader(Source{Dir: "work", Read: read("")})
			l.env(map[string]string{prefix + strings.TrimPrefix(o.Env, "SLUICE_") + "_FILE": "secret"})
			require.Empty(t, l.errs, o.Key)
			require.Empty(t, l.rep.Findings)
			require.Equal(t, expected, l.cfg, o.Key)
		}
		l := newLoader(Source{Dir: "work", Flags: map[string]string{o.Key + "_file": "secret"}, Read: read("")})
		l.flags()
		require.Empty(t, l.errs, o.Key)
		require.Equal(t, expected, l.cfg, o.Key)
		for _, flat := range legacy.FlatNames(o.Key) {
			l := newLoader(Source{Path: "c.json", Dir: "work", Read: read(`{"` + flat + `_file": "secret"}`)})
			require.True(t, l.file())
			require.Empty(t, l.errs, flat)
			key := strings.Split(o.Key, ".")
			require.NotEmpty(t, l.rep.Origin(o.Key), "%s %s", flat, key)
		}
	}
	require.Greater(t, n, 20)
}

func nest(key, value string) string {
	parts := strings.Split(key, ".")
	for i := len(parts) - 1; i >= 0; i-- {
		value = `{"` + parts[i] + `": ` + value + `}`
	}
	return value
}

func TestSecretFilesAreReadAsTheyAreExceptTheLastLineEnd(t *testing.T) {
	f := func(content, want string) {
		t.Helper()
		c, _ := mustLoad(t, given{files: map[string]string{"config.json": `{"http_api": {"key_file": "f"}}`, "f": content}})
		require.Equal(t, want, c.HTTPAPI.Key)
	}
	f("key", "key")
	f("key\n", "key")
	f("key\r\n", "key")
	f(" key \n\n", " key \n")
}

func TestSecretFilesThatCannotBeUsed(t *testing.T) {
	f := func(g given, want string) {
		t.Helper()
		_, rep, err := g.load()
		require.EqualError(t, err, want)
		require.NotContains(t, err.Error(), planted)
		for _, w := range rep.Warnings {
			require.NotContains(t, w, planted)
		}
	}
	with := func(text string) given {
		return given{files: map[string]string{
			"config.json": text, "good": planted, "empty": "\n", "large": strings.Repeat(planted, 10_000), "bad": planted + `": `,
		}}
	}
	const origin = "config: file config.json:1: "
	const shy = origin + `http_api.key_file: names no file (it is not shown: it may be the value itself): allowed the path of a file that holds the value`
	f(with(`{"http_api": {"key_file": "gone"}}`), shy)
	f(with(`{"http_api": {"key_file": "`+planted+`"}}`), shy)        // the value under the wrong name
	f(with(`{"http_api": {"key_file": "run/`+planted+`/=="}}`), shy) // base64 has slashes
	f(with(`{"http_api": {"key_file": "empty"}}`), origin+`http_api.key_file: file "empty": holds nothing: allowed the value of http_api.key`)
	f(with(`{"http_api": {"key_file": "large"}}`), origin+`http_api.key_file: file "large": 190000 bytes: allowed at most 65536`)
	f(with(`{"http_api": {"key_file": ""}}`), origin+`http_api.key_file: file "": the path is empty: allowed the path of a file that holds the value`)
	f(with(`{"http_api": {"key_file": ["`+planted+`"]}}`), origin+`http_api.key_file: a list is not a path: allowed the path of a file that holds the value`)
	f(with(`{"http_api": {"key_file": "good", "key": "`+planted+`"}}`), origin+`http_api.key_file: set together with http_api.key: allowed one of them`)
	f(with(`{"client": {"proxy": {"connect": {"http": {"static_headers_file": "bad"}}}}}`), origin+
		`client.proxy.connect.http.static_headers_file: file "bad": not JSON: line 1, column 1: expected a value: an object, a list, a string in double quotes, a number, true, false or null: allowed an object of strings as JSON text`)
	f(with(`{"api_key_file": "gone"}`), origin+`http_api.key_file (written as api_key_file): names no file (it is not shown: it may be the value itself): allowed the path of a file that holds the value`)
	f(with(`{"api_key_file": "good", "api_key": "x"}`), origin+`api_key_file: set together with api_key: allowed one of them`)
	f(with(`{"api_key_file": "good", "http_api": {"key": "x"}}`), origin+`api_key_file: set together with http_api.key: allowed one of them`)
	f(with(`{"api_key": "x", "http_api": {"key_file": "good"}}`), origin+`api_key: set together with http_api.key_file: allowed one of them`)

	g := with(`{}`)
	g.env = []string{"SLUICE_HTTP_API_KEY_FILE=good", "CENTRIFUGO_HTTP_API_KEY=x"}
	f(g, `config: env SLUICE_HTTP_API_KEY_FILE: http_api.key_file: set together with CENTRIFUGO_HTTP_API_KEY: allowed one of them`)
	g.env = []string{"CENTRIFUGO_API_KEY_FILE=gone"}
	f(g, `config: env CENTRIFUGO_API_KEY_FILE: http_api.key_file (written as api_key_file): names no file (it is not shown: it may be the value itself): allowed the path of a file that holds the value`)
	g.env = []string{"CENTRIFUGO_API_KEY_FILE=good", "CENTRIFUGO_API_KEY=x"}
	f(g, `config: env CENTRIFUGO_API_KEY_FILE: api_key_file: set together with api_key: allowed one of them`)
	g.env, g.flags = nil, map[string]string{"api_key_file": "good", "api_key": "x"}
	f(g, `config: flag --api_key_file: api_key_file: set together with api_key: allowed one of them`)
	g.env, g.flags = nil, map[string]string{"http_api.key_file": "good", "http_api.key": "x"}
	f(g, `config: flag --http_api.key_file: http_api.key_file: set together with http_api.key: allowed one of them`)
}

func TestAVariableWithAFileBeatsTheConfigFile(t *testing.T) {
	g := given{files: map[string]string{"config.json": `{"http_api": {"key": "old"}}`, "f": "new"}, env: []string{"SLUICE_HTTP_API_KEY_FILE=f", "SLUICE_ADMIN_SECRET_FILE="}}
	c, rep := mustLoad(t, g)
	require.Equal(t, "new", c.HTTPAPI.Key)
	require.Contains(t, rep.Warnings, "env SLUICE_ADMIN_SECRET_FILE: admin.secret_file: empty, ignored")
}

func TestOnlySecretsHaveFiles(t *testing.T) {
	require.Contains(t, warningsOf(t, `{"http_server": {"port_file": "x"}}`), "http_server.port_file: unknown key, ignored")
	c, _ := mustLoad(t, fromJSON(`{"log": {"file": "a"}, "pid_file": "b"}`))
	require.Equal(t, []string{"a", "b"}, []string{c.Log.File, c.PIDFile})
}

func TestSecretFilesAreReadAgainAtEachLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("c.toml", "http_api.key_file = 'key'\n")
	for _, key := range []string{"one", "two"} {
		write("key", key+"\n")
		c, _, err := Load(Source{Dir: dir, Path: "c.toml"})
		require.NoError(t, err)
		require.Equal(t, key, c.HTTPAPI.Key)
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "key")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "key"), 0o600))
	_, _, err := Load(Source{Dir: dir, Path: "c.toml"})
	require.ErrorContains(t, err, `http_api.key_file: file "key": cannot be read: not a regular file`)
}

func TestALargeConfigFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "c.json"), make([]byte, source.MaxFile+1), 0o600))
	_, _, err := Load(Source{Dir: dir, Path: "c.json"})
	require.EqualError(t, err, "config: file c.json: cannot be read: larger than 4194304 bytes")
}

// Keys count in any case, those of secret files, too: what came out of one is set.
func TestSecretFilesAreNamedInAnyCase(t *testing.T) {
	c, rep := mustLoad(t, given{files: map[string]string{
		"config.json": `{"HTTP_API": {"Key_File": "kf"}}`, "kf": "the key of the file",
	}})
	require.Equal(t, "the key of the file", c.HTTPAPI.Key)
	require.True(t, rep.IsSet("http_api.key"))
	_, _, err := given{files: map[string]string{"config.json": `{"HTTP_API": {"KEY_FILE": "none"}}`}}.load()
	require.ErrorContains(t, err, "http_api.key_file: ")
}
