package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A 0 that stands for the default says so wherever it comes from: nobody writes it for that.
func TestAZeroThatMeansTheDefaultIsNamed(t *testing.T) {
	n := 0
	for _, o := range Options() {
		if !o.ZeroDefault || o.InObject {
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
		if o.Kind == "duration" {
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
