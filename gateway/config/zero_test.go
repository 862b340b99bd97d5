package config

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/schema"
)

// Every number and duration says what 0 means where it is allowed, in the reference and in config files.
func TestEveryOptionSaysWhatZeroMeans(t *testing.T) {
	aZero := regexp.MustCompile(`\b0\b`)
	reference := Reference()
	n := 0
	var check func(s *schema.Section)
	check = func(s *schema.Section) {
		for _, f := range s.Fields {
			switch {
			case f.Unserved:
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

// A 0 that stands for the default says so wherever it comes from: nobody writes it for that.
func TestAZeroThatMeansTheDefaultIsNamed(t *testing.T) {
	n := 0
	for _, o := range Options() {
		if o.ZeroIs == "" || o.InObject || o.Unserved {
			continue
		}
		n++
		want := o.Key + ": 0 stands for the default, " + o.Default + "; "
		if o.Key == "client.ping_interval" {
			want += "a negative duration switches it off"
		} else {
			want += "it is neither off nor without limit"
		}
		zeros := []string{"0", "0.0"}
		if o.Type == "duration" {
			zeros = append(zeros, `"0s"`, `"0"`, `"0ms"`)
		}
		for _, zero := range zeros {
			shown := strings.Replace(want, "0 stands", zero+" stands", 1)
			require.Contains(t, warningsOf(t, nest(o.Key, zero)), at+shown)
		}
		for _, g := range []given{{env: []string{o.Env + "=0"}}, {flags: map[string]string{o.Key: "0"}}} {
			_, rep := mustLoad(t, g)
			require.Contains(t, strings.Join(rep.Warnings, "\n"), strings.Replace(want, ": 0 stands", ": ", 1)[:len(o.Key)+2])
			require.Contains(t, strings.Join(rep.Warnings, "\n"), "stands for the default, "+o.Default)
		}
		c, _ := mustLoad(t, fromJSON(nest(o.Key, "0")))
		require.Equal(t, Default(), c)
		require.NotContains(t, warningsOf(t, nest(o.Key, "null")), "stands for")
	}
	require.Greater(t, n, 10)
	require.Contains(t, warningsOf(t, `{"ping_interval": "0s"}`), `ping_interval: "0s" stands for the default, 25s; a negative duration switches it off`)
}
