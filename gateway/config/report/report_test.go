package report

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/source"
)

func TestAReportKnowsWhatWasSet(t *testing.T) {
	r := New()
	r.Set("a.b", Origin{Place: source.Place{Origin: "file c.json", Line: 3}, Written: "a_b"})
	r.Set("l[0].x", Origin{Place: source.Place{Origin: "env X"}})
	require.True(t, r.IsSet("a") && r.IsSet("a.b") && r.IsSet("l"))
	require.False(t, r.IsSet("a.b.c") || r.IsSet("") || (*Report)(nil).IsSet("a"))
	require.Equal(t, []string{"file c.json:3", "env X", ""}, []string{r.Origin("a.b"), r.Origin("l[0].x"), r.Origin("z")})
	require.Equal(t, []string{"a_b", "l[0].x"}, []string{r.Written("a.b"), r.Written("l[0].x")})
	r.Forget("l")
	require.False(t, r.IsSet("l"))
	r.Spoil("a")
	require.False(t, r.Sound("a.b"))
	r.Set("a", Origin{})
	require.True(t, r.Sound("a.b"))
}

// Deprecated names of one source share a warning; every other finding has its own, without what precedes an @.
func TestWarningsOfFindings(t *testing.T) {
	r := New()
	for i, key := range []string{"one", "two", "three"} {
		r.Add(Finding{Origin: "file c", Line: i + 1, Key: key, Kind: KindDeprecated, Detail: "old", Suggestion: "new." + key})
	}
	r.Add(Finding{Origin: "env X", Kind: KindUnknown, Detail: `unknown "u:p@h"`, Suggestion: "Y"})
	r.SumUpDeprecated()
	require.Equal(t, []string{
		`env X: unknown "(hidden)@h"; did you mean Y?`,
		"file c:1: one: old; write new.one (and 2 more like it; checkconfig names them all)",
	}, r.Warnings)
	require.Equal(t, KindUnknown, ByWeight(r.Findings)[0].Kind)
}
