package docs

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/config/legacy"
	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
)

// ofTheValues are kinds of findings that a converted file has as the old one had: values stay what they are.
var ofTheValues = []report.Kind{report.KindWeak, report.KindOpen, report.KindUnusable}

// converted converts a file that is fine and returns what both files say, and the text of the new one. What is not converted,
// of hooks that the old file does not mean, has its defaults in both.
func converted(t *testing.T, path, text, to string) (before, after *schema.Config, out string) {
	t.Helper()
	c, err := convertText(path, text, to)
	require.NoError(t, err, text)
	after, rep := mustLoad(t, to, string(c.Text))
	for _, f := range rep.Findings {
		require.False(t, f.Kind.Strict() && !slices.Contains(ofTheValues, f.Kind), "%s\nin %s", f, c.Text)
	}
	before, old := mustLoad(t, path, text)
	forgetIdleHooks(before, old)
	return before, after, string(c.Text)
}

// requireSame fails the test with what differs, unless both configs say the same.
func requireSame(t *testing.T, before, after *schema.Config, text string) {
	t.Helper()
	before, after = plainConfig(before), plainConfig(after)
	if reflect.DeepEqual(before, after) {
		return
	}
	diff := changes(before, after)
	if len(diff) == 0 {
		require.Equal(t, before, after, text) // something that Diff does not know
	}
	require.Fail(t, "the converted file says something else", "%v\nof\n%s", diff, text)
}

func convertText(path, text, to string) (*Converted, error) {
	return convert(config.Source{Path: path, Required: true, Read: func(name string) ([]byte, error) {
		if name != path {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return []byte(text), nil
	}}, to, nil)
}

var convertedNames = []string{"new.json", "new.yaml", "new.yml", "new.toml"}

// The files of the generations say the same before and after, in every format.
func TestConvertKeepsWhatAFileSays(t *testing.T) {
	n := 0
	require.NoError(t, filepath.WalkDir("../testdata/generations", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		if _, _, err := loadOne(t, "x"+filepath.Ext(path), string(text)); err != nil {
			return nil // files that set everything at once, without validation
		}
		n++
		for _, to := range convertedNames {
			before, after, _ := converted(t, "old"+filepath.Ext(path), string(text), to)
			requireSame(t, before, after, path)
		}
		return nil
	}))
	require.Positive(t, n)
}

// Every flat key alone, in every format of the new file, is the one option that it was, or nothing where it says what holds
// anyway.
func TestConvertTakesEveryFlatKey(t *testing.T) {
	t.Parallel()
	n := 0
	for _, o := range schema.Options() {
		value := sampleOf(o)
		if o.Key == "engine.type" || o.Key == "broker.type" || value == "" {
			continue
		}
		for _, old := range legacy.FlatNames(o.Key) {
			text := `{"` + old + `": ` + value + `}`
			if _, _, err := loadOne(t, "c.json", text); err != nil {
				continue // not alone
			}
			n++
			for _, to := range []string{"new.json", "new.yaml", "new.toml"} { // .yml is as .yaml
				before, after, out := converted(t, "old.json", text, to)
				requireSame(t, before, after, text)
				require.Contains(t, out, o.Key[strings.LastIndexByte(o.Key, '.')+1:], text)
			}
		}
	}
	require.Greater(t, n, 80)
}

// randomOldFile returns the file with this number: one of versions 4 and 5 with some of their keys and some namespaces, as JSON.
// Every option has a stream of random numbers of its own, so that one more changes nothing of the others. loads reports whether
// one key of the file loads alone.
func randomOldFile(number uint64, loads func(text string) bool) string {
	r := randomOf(number, "channel")
	var members []string
	add := func(in *[]string, key, value string) { *in = append(*in, fmt.Sprintf("%q: %s", key, value)) }
	maybe := func() bool { return r.IntN(3) == 0 }
	channel := func(in *[]string) {
		for _, name := range []string{"allow_subscribe_for_client", "presence", "join_leave", "force_push_join_leave", "proxy_subscribe", "allow_user_limited_channels"} {
			if maybe() {
				add(in, name, fmt.Sprint(r.IntN(4) > 0))
			}
		}
		if maybe() {
			add(in, "history_size", fmt.Sprint(1+r.IntN(1000)))
			add(in, "history_ttl", fmt.Sprintf(`"%ds"`, 1+r.IntN(90000)))
			add(in, "force_recovery", fmt.Sprint(maybe()))
		}
		if maybe() {
			add(in, "channel_regex", `"^[a-z\"\\\\#:é]+$"`)
		}
	}
	values := []string{`"a"`, `"7s"`, `"1h30m"`, `true`, `false`, `0`, `5`, `2000000`, `"0s"`, `["https://a.example"]`, `["a b", "c\"d"]`, `"/x"`, `"x y\n"`,
		`"http://u:p@h/?q=1#f"`, `{"A": "b", "C-D": "e\\f"}`, `"debug"`, `[]`, `""`,
		`[{"status_code": 404, "to_disconnect": {"code": 4504, "reason": "r"}}, {"status_code": 403, "to_error": {"code": 7, "message": "m", "temporary": true}}]`,
		`{"enabled": true, "transforms": [{"code": 3500, "to": {"status_code": 401, "body": "no"}}]}`}
	for _, o := range schema.Options() {
		r := randomOf(number, o.Key)
		for _, old := range legacy.FlatNames(o.Key) {
			if r.IntN(6) > 0 || strings.HasPrefix(o.Key, "channel.without_namespace.") || o.Key == "engine.type" || o.Key == "broker.type" {
				continue
			}
			for range 3 { // most values are of the wrong type
				value := values[r.IntN(len(values))]
				if loads(`{"` + old + `": ` + value + `}`) {
					add(&members, old, value)
					break
				}
			}
		}
	}
	channel(&members)
	var namespaces []string
	for i := range r.IntN(4) {
		ns := []string{fmt.Sprintf(`"name": "ns%d"`, i)}
		channel(&ns)
		namespaces = append(namespaces, "{"+strings.Join(ns, ", ")+"}")
	}
	if len(namespaces) > 0 {
		members = slices.DeleteFunc(members, func(m string) bool { return strings.HasPrefix(m, `"namespaces"`) })
		add(&members, "namespaces", "["+strings.Join(namespaces, ", ")+"]")
	}
	return "{" + strings.Join(members, ",\n ") + "}"
}

// randomOf returns the random numbers of one key in the file with this number.
func randomOf(number uint64, key string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // never fails (hash.Hash)
	return rand.New(rand.NewPCG(number, h.Sum64()))
}

// refusedByPackages reports what packages channel and proxy refuse, and what is not converted therefore.
func refusedByPackages(c *schema.Config) bool {
	return slices.ContainsFunc(c.Channel.Namespaces, func(ns schema.Namespace) bool { return ns.Name == "" }) ||
		slices.ContainsFunc(c.Hooks(), func(h schema.Hook) bool {
			return h.Proxy.Enabled && (!strings.HasPrefix(h.Proxy.Endpoint, "http") || slices.Contains(h.Proxy.HTTPHeaders, "a b"))
		})
}

// Whatever an old file says, the new one says the same, passes --strict, and is the shortest: without any of its values it
// says something else, or is wrong.
func TestConvertedFilesAreEqualAndShortest(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	loads := func(text string) bool {
		fine, is := known[text]
		if !is {
			_, _, err := loadOne(t, "c.json", text)
			fine, known[text] = err == nil, err == nil
		}
		return fine
	}
	good := 0
	for i := uint64(0); i < 4000 && good < 120; i++ {
		text := randomOldFile(i, loads)
		if c, _, err := loadOne(t, "c.json", text); err != nil || refusedByPackages(c) {
			continue
		}
		good++
		before, after, _ := converted(t, "old.json", text, convertedNames[good%len(convertedNames)]) // in turn: a load takes its time
		requireSame(t, before, after, text)
		if good%2 > 0 {
			continue
		}
		_, _, out := converted(t, "old.json", text, "new.json")
		withoutEach(t, out, func(less string) {
			c, _, err := loadOne(t, "c.json", less)
			require.False(t, err == nil && len(changes(before, c)) == 0, "%s\nsays the same as\n%s", less, out)
		})
	}
	require.GreaterOrEqual(t, good, 100)
}

func changes(a, b *schema.Config) []config.Change {
	live, restart := config.Diff(a, b)
	return append(live, restart...)
}

// withoutEach calls each with the JSON text less one of its values, for every value in it.
func withoutEach(t *testing.T, text string, each func(less string)) {
	t.Helper()
	var tree any
	require.NoError(t, json.Unmarshal([]byte(text), &tree))
	emit := func() {
		less, err := json.Marshal(tree)
		require.NoError(t, err)
		each(string(less))
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, inner := range v {
				walk(inner)
				delete(v, key)
				emit()
				v[key] = inner
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(tree)
}

const planted = "hunter2-do-not-show"

// Secrets in files of their own, and variables in headers, stay where they are. What is not supported, or does not exist yet,
// is left out.
func TestConvertLeavesSecretsWhereTheyAre(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	key := write("key", planted+"\n")
	write(".env", "SLUICE_PID_FILE=from-the-environment\n")
	old := write("old.json", `{"uni_sse": true, "token_hmac_secret_key_file": "`+key+`", "api_key": "k", "admin": true, "admin_password": "pw", "engine": "memory",
		"proxy_connect_endpoint": "http://h/", "proxy_static_http_headers": {"A": "${SLUICE_VAR_X}"}, "websocket_disable": false, "swagger": true, "nope": 1,
		"ping_interval": "25s"}`)
	for _, to := range []string{"new.json", "new.yaml", "new.toml"} {
		c, err := Convert(old, to, nil)
		require.NoError(t, err)
		text := string(c.Text)
		require.NotContains(t, text, planted)
		for _, want := range []string{"hmac_secret_key_file", key, "${SLUICE_VAR_X}", "admin"} {
			require.Contains(t, text, want)
		}
		for _, no := range []string{"nats", "swagger", "websocket", "nope", "ping_interval", "from-the-environment", "#"} {
			require.NotContains(t, text, no)
		}
		require.Less(t, strings.Count(text, "\n"), 40)
	}
	c, err := Convert(write("all.yaml", "uni_sse: false\n"), "x.yaml", nil)
	require.NoError(t, err)
	require.Equal(t, "{}\n", string(c.Text))
}

func TestConvertRefusesWhatIsWrong(t *testing.T) {
	_, err := convertText("old.json", `{"port": "x", "ping_interval": 30}`, "new.yaml")
	require.ErrorContains(t, err, "file old.json:1: http_server.port (written as port): ")
	require.ErrorContains(t, err, "client.ping_interval (written as ping_interval): 30 is a bare number")
	_, err = convertText("old.json", `{}`, "new.ini")
	require.ErrorContains(t, err, "allowed .json, .yaml, .yml, .toml")
	_, err = Convert(filepath.Join(t.TempDir(), "none.json"), "new.json", nil)
	require.ErrorContains(t, err, "not found")
}
