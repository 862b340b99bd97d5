package docs

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/schema"
)

func TestEverySectionHasATitle(t *testing.T) {
	for _, f := range schema.Root.Fields {
		require.NotEmpty(t, f.Doc, f.Name)
	}
}

// Each option has a row, or its object is said to be that of another key, which has rows.
func TestReferenceCoversEveryOption(t *testing.T) {
	reference := Reference()
	covered := func(key string) bool {
		if strings.Contains(reference, "| `"+key+"` |") {
			return true
		}
		for at := key; strings.Contains(at, "."); {
			at = at[:strings.LastIndexByte(at, '.')]
			if strings.Contains(reference, "| `"+at+".*` |") {
				return true
			}
		}
		return false
	}
	for _, o := range schema.Options() {
		require.True(t, covered(o.Key), o.Key)
	}
	for line := range strings.Lines(reference) {
		if strings.HasPrefix(line, "|") {
			require.Equal(t, 5, strings.Count(line, "|")-strings.Count(line, `\|`), line)
		}
	}
	for _, heading := range strings.Split(reference, "\n## ")[1:] {
		name, _, _ := strings.Cut(heading, "\n")
		require.Contains(t, reference, "["+name+"](#"+name+")")
	}
}

func TestReferenceRows(t *testing.T) {
	reference := Reference()
	f := func(row string) {
		t.Helper()
		require.Contains(t, reference, row)
	}
	f("| `client.ping_interval` | duration | `25s` | Time between pings.")
	f("| `client.queue_max_size` | int, bytes | `1048576` |")
	f("Allowed: chunked, close. |")
	f("*v5*: `uni_sse`. |")
	f("Empty: such tokens are refused. *File*. *Live*. *v5*: `token_hmac_secret_key`. |")
	f("| `http_server.internal_tls.*` | | | The options of `http_server.tls`. |")
	f("| `channel.namespaces[].*` | | | The options of `channel.without_namespace`. |")
	f("| `channel.namespaces[].name` |")
	require.NotContains(t, reference, "<host>", "tags are escaped")
}

func TestDescribe(t *testing.T) {
	text, err := Describe("client.ping_interval")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(text, "client.ping_interval (duration, default 25s)\n    Time between pings."), text)
	require.Contains(t, text, "Environment: SLUICE_CLIENT_PING_INTERVAL\n")
	require.Equal(t, 1, strings.Count(text, "Environment"))

	section, err := Describe("UNI_SSE")
	require.NoError(t, err)
	require.Greater(t, strings.Count(section, "Environment"), 10)

	for _, key := range []string{"channel.namespaces.history_size", "channel.namespaces[].history_size"} {
		text, err = Describe(key)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(text, "channel.namespaces[].history_size (int, default 0)\n"), text)
	}

	_, err = Describe("ping_interval")
	require.ErrorIs(t, err, ErrUnknownKey)
	require.ErrorContains(t, err, "did you mean client.ping_interval?")
	_, err = Describe("nothing like it")
	require.ErrorIs(t, err, ErrUnknownKey)
	_, err = Describe("")
	require.ErrorIs(t, err, ErrUnknownKey)
}

func TestUpdateReferenceKeepsWhatIsAround(t *testing.T) {
	const begin, end = "<!-- options:begin -->\n", "<!-- options:end -->\n"
	text, err := UpdateReference([]byte("before\n" + begin + "old\n" + end + "after\n"))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(text), "before\n"+begin+"\n"+Reference()))
	require.True(t, strings.HasSuffix(string(text), "\n"+end+"after\n"))
	require.NotContains(t, string(text), "old\n")
	again, err := UpdateReference(text)
	require.NoError(t, err)
	require.Equal(t, string(text), string(again))
	for _, wrong := range []string{"", begin, end, end + begin} {
		_, err = UpdateReference([]byte(wrong))
		require.ErrorIs(t, err, ErrNoMarkers)
	}
}

// All options are of parts that exist; where a section stands again, its options are one row.
func TestTheReferenceHasAllParts(t *testing.T) {
	reference := Reference()
	require.Contains(t, reference, "| `broker.nats.jetstream.shards` | int | `4` |")
	require.Contains(t, reference, "| `presence_manager.nats.*` | | | The options of `broker.nats`. |")
	require.Contains(t, reference, "| `engine.type` | string | `memory` |")
	require.Contains(t, reference, "| `engine.redis.address` | list of strings | `redis://127.0.0.1:6379` |")
	require.Contains(t, reference, "| `broker.redis.*` | | | The options of `engine.redis`. |")
}

// Every number and duration says what 0 means where it is allowed, in the reference and in config files.
func TestEveryOptionSaysWhatZeroMeans(t *testing.T) {
	aZero := regexp.MustCompile(`\b0\b`)
	reference := Reference()
	n := 0
	var check func(s *schema.Section)
	check = func(s *schema.Section) {
		for _, f := range s.Fields {
			switch {
			case f.Sub != nil:
				check(f.Sub)
			case f.Kind != schema.KindInt && f.Kind != schema.KindDuration, f.Min > 0, f.Name == "pong_timeout":
			case f.Unit == "" && strings.HasSuffix(f.Name, "code"): // of an error or a status; 0 is refused
			default:
				n++
				require.Regexp(t, aZero, comment(f), f.Name)
				require.Contains(t, reference, escapeMarkdown(meaning(f)), f.Name)
			}
		}
	}
	check(schema.Root)
	require.Greater(t, n, 30)
}
