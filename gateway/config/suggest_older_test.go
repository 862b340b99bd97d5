package config

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/legacy"
)

// Of a name of version 3 or before it is said what means the same now, or that nothing does: never a name that is only alike.
func TestNamesBeforeVersion4(t *testing.T) {
	const is, gone = "a name of version 3", ", which nothing took the place of"
	for name, now := range map[string]string{"recover": "force_recovery", "protected": ""} {
		alone, inside := is+gone, is+gone
		if now != "" {
			alone, inside = is+"; did you mean channel.without_namespace."+now+"?", is+"; did you mean channel.namespaces[0]."+now+"?"
		}
		require.Equal(t, "file config.json:1: "+name+": unknown key, ignored: "+alone, warningsOf(t, nest(name, `"x"`)))
		require.Equal(t, "file config.json:1: channel.namespaces[0]."+name+": unknown key, ignored: "+inside,
			warningsOf(t, `{"channel": {"namespaces": [{"name": "news", "`+name+`": true}]}}`))
		require.Equal(t, "file config.json:1: channel.without_namespace."+name+": unknown key, ignored: "+alone,
			warningsOf(t, nest("channel.without_namespace."+name, "true")))
	}
	_, rep := mustLoad(t, given{env: []string{"CENTRIFUGO_PUBLISH=true", "CENTRIFUGO_RECOVER=true"}})
	require.Contains(t, rep.Warnings, "env CENTRIFUGO_PUBLISH: unknown variable, ignored: "+is+gone)
	require.Contains(t, rep.Warnings, "env CENTRIFUGO_RECOVER: unknown variable, ignored: "+is+"; did you mean CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_FORCE_RECOVERY?")
	_, _, err := given{flags: map[string]string{"publish": "true"}}.load()
	require.EqualError(t, err, "config: flag --publish: unknown option: "+is+gone)
	require.Empty(t, legacy.Suggest("publish"))
	require.Equal(t, "channel.without_namespace.force_recovery", legacy.Suggest("recover"))
}
